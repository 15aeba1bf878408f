"""Threshold adjacency statistics as arrays: `tas` at fixed thresholds, `pftas` at its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, UsageError
from . import _tas
from .inputs import Axes, checked_image, checked_out, region_of
from .measure import Scope, checked_objects, values_of, write
from .thresholds import Border, Definition, Rule

__all__ = ["pftas", "tas"]

_cached = lru_cache(maxsize=64, typed=True)(Rule)


def _rule(*parameters: Any) -> Rule:
    try:
        return _cached(*parameters)
    except TypeError:  # one of them cannot be a key; the rule itself says what is wrong with it
        return Rule(*parameters)


def tas(
    image: NDArray[Any],
    *,
    axes: Axes | None = None,
    mask: NDArray[np.bool_] | None = None,
    labels: NDArray[Any] | None = None,
    scope: Scope = "object",
    definition: Definition = "standard",
    border: Border | None = None,
    threshold: float | None = None,
    margin: float | None = None,
    full_scale: int | None = None,
    kernel: str | None = None,
    out: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute threshold adjacency statistics at a fixed threshold and margin.

    Parameters
    ----------
    image : ndarray of uint8, uint16, float32 or float64
        One channel: an image (y, x), or what `axes` says; any strides, read-only or not. Pixels
        in foreign byte order, or not aligned, are copied first. Floats need `threshold` and
        `margin`, and may not be infinite or NaN anywhere.
    axes : {"yx", "zyx", "nyx"}, optional
        An image, a volume with 26 neighbours a voxel, or a stack of n images. An array of three
        axes is refused without.
    mask : ndarray of bool, the image's shape, optional
        The pixels that are counted, and whose values set mu; those beyond it are off neighbours.
    labels : ndarray of integers, the image's shape, optional
        The objects that are measured, each by itself: 0 is background. Another object's pixel is
        an off neighbour. An object need not be connected.
    scope : {"object", "image"}, optional
        With a mask or labels: whose pixels set mu (and T and m, where they are found): each
        object's own, or the mask's; or all of the image's.
    definition : {"standard", "mahotas"}, optional
        `"mahotas"` equals `mahotas.features.tas` 1.4.19 to the last bit, in its order, for whole
        images and volumes; for float32 that of C-contiguous ones under NumPy 2, as mahotas
        itself depends on the order in memory.
    border : {"constant", "reflect"}, optional
        What is outside the image: off, unless given; or the edge pixel once more, which is what
        mahotas's definition has.
    threshold, margin : float, optional
        T and m in grey levels: 30 for 8 bits, round(30 · full_scale / 255) for 16 bits; with
        `"mahotas"` always 30.
    full_scale : int, optional
        The brightest value that the camera writes; the type's largest unless given. A pixel
        above it is an error.
    kernel : str, optional
        One of `kernels()`; else the environment's HTS_CLASSIFY_KERNEL; else the fastest.
    out : ndarray of float64, C-contiguous, the result's shape, optional
        Where the result is written; for several images or objects, memory of its own.

    Returns
    -------
    ndarray of float64, shape (54,); (162,) for a volume; a row for each image or object
        Intervals Band, Lower, Mean; in each, of the on pixels the proportions with 0 to 8 (26)
        on neighbours, then of the off pixels. A half without pixels is zeros. Objects are by
        ascending label (`measure_objects` says which).

    Raises
    ------
    ImageError
        When the image, the mask or the labels are not as above.
    KernelError
        When this build or this CPU does not have the kernel.
    UsageError
        When a parameter has no such value, or no meaning beside another.

    Notes
    -----
    The intervals are open: mu-m < x < mu+m, x > mu-m, x > mu, where mu is the mean of all pixels
    above T. The paper's wording, "at least 30" for T and closed ranges, leaves open whether the
    bounds themselves are in; no reference values of its authors exist to decide it, so this
    reading, which is also mahotas's, is unverified.

    References
    ----------
    Hamilton et al., BMC Bioinformatics 2007, 8:110.

    Examples
    --------
    >>> image = np.zeros((3, 4), dtype=np.uint8)
    >>> image[1, 1:3] = 200
    >>> values = tas(image)
    >>> values[:9]  # Band, on: each of the two has the other as its one neighbour
    array([0., 1., 0., 0., 0., 0., 0., 0., 0.])
    >>> values[9:18]  # Band, off: six pixels see one of the two, four see both
    array([0. , 0.6, 0.4, 0. , 0. , 0. , 0. , 0. , 0. ])
    """
    rule = _rule("tas", definition, border, threshold, margin, full_scale)
    return _values(image, rule, axes, mask, labels, scope, kernel, out)


def pftas(
    image: NDArray[Any],
    *,
    axes: Axes | None = None,
    mask: NDArray[np.bool_] | None = None,
    labels: NDArray[Any] | None = None,
    scope: Scope = "object",
    definition: Definition = "standard",
    border: Border | None = None,
    threshold: float | None = None,
    kernel: str | None = None,
    out: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute threshold adjacency statistics that need no parameters.

    T is Otsu's threshold of the image (the mask, the object), m the standard deviation of the
    pixels above it.

    Parameters
    ----------
    image : ndarray of uint8 or uint16
        As for `tas`. Floats only with `definition="mahotas"` and a threshold.
    axes, mask, labels, scope, border, kernel, out
        As for `tas`.
    definition : {"standard", "mahotas"}, optional
        `"mahotas"` equals `mahotas.features.pftas` 1.4.19 to the last bit, in its order.
    threshold : float, optional
        T in grey levels, in place of Otsu's.

    Returns
    -------
    ndarray of float64
        As from `tas`.

    Raises
    ------
    ImageError, KernelError, UsageError
        As from `tas`.

    References
    ----------
    Coelho et al., Structured Literature Image Finder, LNCS 2010, 6004:23; as in mahotas.

    Examples
    --------
    >>> image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    >>> float(pftas(image)[36:45].sum())  # a half sums to one
    1.0
    >>> pftas(image, labels=image % 3).shape  # the objects 1 and 2
    (2, 54)
    """
    rule = _rule("pftas", definition, border, threshold)
    return _values(image, rule, axes, mask, labels, scope, kernel, out)


def _values(
    image: NDArray[Any],
    rule: Rule,
    axes: Axes | None,
    mask: NDArray[np.bool_] | None,
    labels: NDArray[Any] | None,
    scope: Scope,
    kernel: str | None,
    out: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    pixels = checked_image(image, axes)
    shape: tuple[int, ...] = (values_of(axes),)
    region = None
    if mask is not None and labels is not None:
        raise UsageError("a mask and labels", remedy="pass one: labels where the mask is, else 0")
    if labels is not None:
        region = checked_objects(labels, pixels, axes, kernel)
        shape = (len(region), *shape)
    elif axes == "nyx":
        return _stack(pixels, rule, mask, scope, kernel, out)
    elif mask is not None:
        region = region_of(mask, pixels, kernel)
    values = checked_out(out, shape, np.float64, *((pixels,) if region is not None else ()))
    write(pixels, region, values, None, rule, axes=axes, scope=scope, kernel=kernel)
    return values


def _stack(
    stack: NDArray[Any],
    rule: Rule,
    mask: NDArray[np.bool_] | None,
    scope: Scope,
    kernel: str | None,
    out: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Measure each image of a stack by itself."""
    if mask is not None and np.shape(mask) != stack.shape:
        raise ImageError(
            f"mask of shape {np.shape(mask)} for a stack of shape {stack.shape}",
            remedy="pass one value for each pixel",
        )
    values = checked_out(out, (len(stack), 54), np.float64, stack, mask)
    regions: list[_tas.Objects | None] = [None] * len(stack)
    if mask is not None:
        regions = [
            region_of(inside, pixels, kernel, where=f"image {i} of the stack")
            for i, (inside, pixels) in enumerate(zip(mask, stack, strict=True))
        ]
    for pixels, region, row in zip(stack, regions, values, strict=True):
        write(pixels, region, row, None, rule, axes="yx", scope=scope, kernel=kernel)
    return values
