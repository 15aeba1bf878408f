"""From scores to probabilities: one temperature a model, found on examples it did not learn from.

Guo et al. (On Calibration of Modern Neural Networks, ICML 2017): dividing all scores by one number
changes no call and makes their softmax as sure as it is right. NumPy alone.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["by_field", "log_proba", "proba", "temperature"]

_COLDEST: Final = 1e-3
_HOTTEST: Final = 1e3
"""Bounds of a temperature: scores that say nothing have none of their own."""

_HALVINGS: Final = 60


def temperature(logits: NDArray[np.float64], numbers: NDArray[np.intp]) -> float:
    """Return the temperature at which scores are as sure as they are right.

    Minimises the cross-entropy of softmax(logits / temperature), classes counting alike whatever
    their sizes. Targets are Platt's (Advances in Large Margin Classifiers 1999): a class that n
    examples show is meant with (n + 1) / (n + classes), so that a dozen right calls do not make a
    model certain.

    Parameters
    ----------
    logits : ndarray of float64, shape (n, classes)
        Scores of examples that the model did not learn from, at least one.
    numbers : ndarray of int, shape (n,)
        The class of each, as a column's number.

    Returns
    -------
    float
        From 0.001 to 1000, the largest where scores mislead or say nothing.

    Examples
    --------
    >>> scores = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    >>> modest = temperature(scores, np.array([0, 0, 1, 1]))  # one of two is wrong: not so sure
    >>> sure = temperature(scores, np.array([0, 0, 1, 0]))
    >>> modest > sure > 1
    True
    """
    count, classes = logits.shape
    members = np.bincount(numbers, minlength=classes)
    weights = 1 / (members[numbers] * np.count_nonzero(members))
    own = (members[numbers] + 1) / (members[numbers] + classes)
    targets = np.repeat(((1 - own) / (classes - 1))[:, None], classes, axis=1)
    targets[np.arange(count), numbers] = own
    # Convex in 1 / temperature: its slope has one zero, between the bounds or beyond them.
    low, high = np.log(1 / _HOTTEST), np.log(1 / _COLDEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        excess = proba(logits, float(np.exp(-middle))) - targets
        slope = float(weights @ (excess * logits).sum(axis=1))
        low, high = (low, middle) if slope >= 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def by_field(
    logits: NDArray[np.float64], numbers: NDArray[np.intp], fields: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the mean logits of each field, and its class.

    Examples
    --------
    >>> logits, numbers = np.array([[2.0], [4.0], [1.0]]), np.array([1, 1, 0])
    >>> means, own = by_field(logits, numbers, np.array(["b", "b", "a"]))
    >>> means.tolist(), own.tolist()
    ([[1.0], [3.0]], [0, 1])
    """
    _, firsts, own = np.unique(fields, return_index=True, return_inverse=True)
    sums = np.zeros((len(firsts), logits.shape[1]))
    np.add.at(sums, own, logits)
    return sums / np.bincount(own)[:, None], numbers[firsts]


def log_proba(
    logits: NDArray[np.float64], temperature: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithms of `proba`, also of those that are too small to be told from 0."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True)))


def proba(
    logits: NDArray[np.float64], temperature: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return softmax(logits / temperature): rows that add up to 1.

    One temperature for all rows, or shape (n, 1): one for each.

    Examples
    --------
    >>> proba(np.array([[0.0, 0.0], [2.0, 0.0]]), 1.0).round(3).tolist()
    [[0.5, 0.5], [0.881, 0.119]]
    """
    return np.asarray(np.exp(log_proba(logits, temperature)))
