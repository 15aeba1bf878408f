"""Class names to numbers, and which inner splits a model can use; NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DesignError
from .protocol import Inputs, Split

__all__ = ["encode", "usable_splits"]


def encode(inputs: Inputs, targets: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Turn class names into column numbers, after checking them against the inputs.

    Returns
    -------
    tuple of (tuple of str, ndarray of intp, shape (n,))
        The sorted class names, and each example's place among them.

    Raises
    ------
    DataError
        When the numbers of inputs and targets differ, or the targets are all one class.

    Examples
    --------
    >>> encode(np.zeros((3, 2)), ["nuclear", "cytoplasmic", "nuclear"])
    (('cytoplasmic', 'nuclear'), array([1, 0, 1]))
    """
    if len(inputs) != len(targets):
        raise DataError(
            f"{len(inputs)} examples and {len(targets)} targets", remedy="give one target each"
        )
    names, numbers = np.unique(np.asarray(targets, dtype=np.str_), return_inverse=True)
    classes = tuple(str(name) for name in names)
    if len(classes) < 2:
        raise DataError(
            f"{len(targets)} training examples of the classes {list(classes)}",
            remedy="a classifier needs examples of at least two classes",
        )
    return classes, numbers.astype(np.intp)


def usable_splits(
    inner: Sequence[Split], numbers: NDArray[np.intp], classes: Sequence[str]
) -> list[Split]:
    """Return the inner splits whose learning half holds every class.

    A split by compound can take all of a class away from the learning half; what is chosen on
    it would be chosen for another problem, so it is left out.

    Raises
    ------
    DesignError
        When no split is left, with the classes that they lack.

    Examples
    --------
    >>> halves = [(np.array([0, 1]), np.array([2])), (np.array([0]), np.array([1, 2]))]
    >>> len(usable_splits(halves, np.array([0, 1, 1]), ["a", "b"]))
    1
    """
    kept: list[Split] = []
    lacking: set[str] = set()
    for learn, judge in inner:
        absent = set(range(len(classes))) - set(numbers[learn].tolist())
        lacking.update(classes[number] for number in absent)
        if not absent and len(judge):
            kept.append((learn, judge))
    if not kept:
        without = f" (classes lacking: {', '.join(sorted(lacking))})" if lacking else ""
        raise DesignError(
            f"none of the {len(inner)} inner splits leaves every class to learn from{without}",
            remedy="split the training examples by a finer unit, the well for instance",
        )
    return kept
