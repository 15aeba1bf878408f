"""Statistics with the thresholds that they were taken at: of images, volumes and objects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, UsageError
from . import _tas, mahotas
from .dispatch import absent, checked_kernel
from .inputs import Axes, checked_image, objects_of, region_of
from .thresholds import Rule, Thresholds

__all__ = [
    "ObjectsResult",
    "Scope",
    "TasResult",
    "measure",
    "measure_objects",
]

Scope = Literal["object", "image"]

NAN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TasResult(Thresholds):
    """The statistics of one image, and the thresholds that they were taken at."""

    values: NDArray[np.float64]
    """54 proportions (of a volume 162), in the order of
    `hts_classify.vocabulary.feature_columns`; with `definition="mahotas"` in that of mahotas."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectsResult:
    """The statistics of every object of a label image; all arrays are by ascending label."""

    labels: NDArray[np.uint32]
    """The labels that occur, but 0."""
    pixels: NDArray[np.uint64]
    """How many pixels each object has."""
    threshold: NDArray[np.float64]
    """T of each; with `scope="image"` the image's."""
    margin: NDArray[np.float64]
    """m of each."""
    mu: NDArray[np.float64]
    """The mean of the object's (or image's) pixels > T; 0 where there are none."""
    empty: NDArray[np.bool_]
    """No pixel of the object (or image) is > T."""
    values: NDArray[np.float64]
    """54 (162) proportions of each: shape (objects, 54)."""


def measure(
    image: NDArray[Any],
    rule: Rule = Rule(),  # noqa: B008  (frozen)
    *,
    axes: Axes | None = None,
    mask: NDArray[np.bool_] | None = None,
    scope: Scope = "object",
    kernel: str | None = None,
) -> TasResult:
    """Compute threshold adjacency statistics, and say at which thresholds.

    Parameters
    ----------
    image : ndarray, shape (y, x) or (z, y, x)
        One channel, as for `tas`; not a stack.
    rule : Rule, optional
        Which statistics: parameter-free ones of the standard definition, unless given.
    axes, mask, scope, kernel
        As for `tas`.

    Returns
    -------
    TasResult
        `values`, `threshold`, `margin`, `mu`, and `empty`: no pixel is above the threshold.

    Raises
    ------
    ImageError, KernelError, UsageError
        As from `tas`.

    Examples
    --------
    >>> dark = measure(np.zeros((4, 4), dtype=np.uint8))
    >>> dark.empty, dark.mu
    (True, 0.0)
    """
    pixels = checked_image(image, axes)
    refuse_stack("measure", axes)
    region = None if mask is None else region_of(mask, pixels, kernel)
    values = np.empty(values_of(axes))
    at = np.empty(4)
    write(pixels, region, values, at, rule, axes=axes, scope=scope, kernel=kernel)
    return result_of(values, at)


def measure_objects(
    image: NDArray[Any],
    labels: NDArray[Any],
    rule: Rule = Rule(),  # noqa: B008  (frozen)
    *,
    axes: Axes | None = None,
    scope: Scope = "object",
    kernel: str | None = None,
) -> ObjectsResult:
    """Compute the statistics of every object of a label image.

    Parameters
    ----------
    image, labels, axes, scope, kernel
        As for `tas`.
    rule : Rule, optional
        As for `measure`.

    Returns
    -------
    ObjectsResult
        Labels and sizes, thresholds, and one row of statistics an object.

    Raises
    ------
    ImageError, KernelError, UsageError
        As from `tas`.

    Examples
    --------
    >>> image = np.array([[9, 9, 0, 5], [9, 8, 0, 7]], dtype=np.uint8)
    >>> found = measure_objects(image, np.array([[4, 4, 0, 2], [4, 4, 0, 2]]))
    >>> found.labels.tolist(), found.pixels.tolist(), found.threshold.tolist()
    ([2, 4], [2, 4], [5.0, 8.0])
    """
    pixels = checked_image(image, axes)
    objects = checked_objects(labels, pixels, axes, kernel)
    values = np.empty((len(objects), values_of(axes)))
    at = np.empty((len(objects), 4))
    write(pixels, objects, values, at, rule, axes=axes, scope=scope, kernel=kernel)
    return ObjectsResult(
        labels=np.array(objects.labels(), dtype=np.uint32),
        pixels=np.array(objects.pixels(), dtype=np.uint64),
        threshold=at[:, 0],
        margin=at[:, 1],
        mu=at[:, 2],
        empty=at[:, 3] == 0,
        values=values,
    )


def checked_objects(
    labels: NDArray[Any], pixels: NDArray[Any], axes: Axes | None, kernel: str | None
) -> _tas.Objects:
    """Find the objects of a label image beside an image or a volume."""
    refuse_stack("labels", axes)
    return objects_of(labels, pixels, kernel)


def refuse_stack(what: str, axes: Axes | None) -> None:
    """Raise UsageError where a stack is no single image."""
    if axes == "nyx":
        raise UsageError(
            f"{what} with axes='nyx'", remedy="measure one image of the stack at a time"
        )


def result_of(values: NDArray[np.float64], at: NDArray[np.float64]) -> TasResult:
    """Put together what `write` has written of one image."""
    T, m, mu, above = at.tolist()
    return TasResult(threshold=T, margin=m, mu=mu, empty=above == 0, values=values)


def values_of(axes: Axes | None) -> int:
    """Say how many statistics there are.

    Examples
    --------
    >>> values_of("nyx"), values_of("zyx")
    (54, 162)
    """
    return 162 if axes == "zyx" else 54


def write(
    pixels: NDArray[Any],
    region: _tas.Objects | None,
    values: NDArray[np.float64],
    at: NDArray[np.float64] | None,
    rule: Rule,
    *,
    axes: Axes | None,
    scope: Scope = "object",
    kernel: str | None = None,
    histogram: _tas.Histogram | None = None,
) -> None:
    """Write the statistics of an image, or of its regions, to `values`, and where to `at`.

    The image's own histogram is taken again unless it is given.
    """
    if not isinstance(rule, Rule):
        raise UsageError(f"rule {rule!r}", remedy="pass a Rule, as Rule('tas', threshold=100)")
    is_volume, as_mahotas = axes == "zyx", rule.definition == "mahotas"
    kernel = checked_kernel(kernel)
    T, m, mu, above = _given(pixels, rule)
    if not isinstance(scope, str) or scope not in ("object", "image"):
        raise UsageError(f"scope={scope!r}", remedy="use object or image")
    if region is None and scope == "image":
        raise UsageError("scope='image' without a mask or labels", remedy="leave it out")
    if region is not None and as_mahotas:
        raise UsageError(
            "a mask or labels with definition='mahotas'",
            remedy="use the standard definition: mahotas has neither",
        )
    try:
        if region is not None and scope == "image":
            whole = np.empty(4)
            _tas.measure(pixels, None, None, whole, T, m, mu, is_volume, False, False, kernel, None)
            T, m, mu, above = whole.tolist()
        _tas.measure(
            pixels,
            region,
            values,
            at,
            T,
            m,
            mu,
            is_volume,
            as_mahotas,
            as_mahotas or rule.border == "reflect",
            kernel,
            partial(mahotas.deviation, pixels) if as_mahotas else None,
            histogram,
        )
    except LookupError as error:
        raise absent(error) from None
    if at is not None and mu == mu:
        at[..., 3] = above


def _given(pixels: NDArray[Any], rule: Rule) -> tuple[float, float, float, float]:
    """Return T, m, mu and the number of pixels > T, as far as the pixels need not be asked."""
    T, m, itemsize = rule.threshold, rule.margin, pixels.itemsize
    as_mahotas = rule.definition == "mahotas"
    if T is None or m is None:
        # Floats have no largest value that a fixed threshold could be scaled to.
        fixed = rule.fixed(255 if itemsize == 1 else 65535) if itemsize < 4 or as_mahotas else None
        T = fixed if T is None else T
        m = fixed if m is None else m
    if rule.full_scale is not None and pixels.max() > rule.full_scale:
        at = tuple(int(i) for i in np.argwhere(pixels > rule.full_scale)[0])
        raise ImageError(
            f"pixel {pixels[at]} at {at} above full_scale={rule.full_scale}",
            remedy="give the brightest value that the camera writes",
        )
    if itemsize < 4:
        return NAN if T is None else T, NAN if m is None else m, NAN, NAN
    if as_mahotas and T is not None:
        with np.errstate(all="ignore"):
            m = mahotas.deviation(pixels, T) if m is None else m
            mu, above = mahotas.mean_of_floats(pixels, T)
        if not math.isfinite(mu) or not math.isfinite(m):
            raise ImageError(
                f"image of dtype {pixels.dtype} whose sum is beyond that type",
                remedy="scale it down, or use the standard definition, which sums up exactly",
            )
        return T, m, mu, above
    if T is None or m is None:
        lacks = [name for name, given in (("threshold", T), ("margin", m)) if given is None]
        raise ImageError(
            f"image of dtype {pixels.dtype} without a {' and a '.join(lacks)}",
            remedy="use tas(image, threshold=…, margin=…), both in the image's units",
        )
    return T, m, NAN, NAN
