"""Where crops are taken at full resolution: on a grid, or one around each object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, UsageError
from .scale import flattened

__all__ = ["cut", "grid_crops", "object_crops"]

Corner = tuple[int, int]
"""Row and column of a crop's first pixel."""


def grid_crops(
    field_shape: tuple[int, int], size: int, per_side: int | tuple[int, int]
) -> list[Corner]:
    """Spread crops evenly over a field.

    Each stands in the middle of its own share of the field, so that no two overlap. More than fit
    side by side reach from edge to edge and overlap by as little as they must.

    Parameters
    ----------
    field_shape : tuple of int
        Rows and columns of pixels.
    size : int
        Side of a crop in pixels.
    per_side : int or tuple of int
        Crops along each side, or along y and along x.

    Returns
    -------
    list of tuple of int
        Top left corners (y, x), row by row.

    Raises
    ------
    FieldError
        When the field is smaller than a crop.
    UsageError
        For sizes or numbers below 1, and for more crops than there are places.

    Examples
    --------
    >>> grid_crops((100, 100), 20, 2), grid_crops((64, 80), 64, (1, 2))
    ([(15, 15), (15, 65), (65, 15), (65, 65)], [(0, 0), (0, 16)])
    """
    along_y, along_x = (per_side, per_side) if isinstance(per_side, int) else per_side
    _check_size(field_shape, size)
    rows = _spread(field_shape[0], size, along_y)
    return [(y, x) for y in rows for x in _spread(field_shape[1], size, along_x)]


def object_crops(
    labels: NDArray[Any], size: int, at_most: int
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Place a crop around the centroid of each object.

    A crop that would reach over the field's edge is shifted inside, so that every pixel of it was
    seen by the camera; its object is then not in the middle.

    Parameters
    ----------
    labels : ndarray of integers, shape (y, x) or (z, y, x)
        0 is background, every other value is an object; of a volume the crops are those of its
        projection along z.
    size : int
        Side of a crop in pixels.
    at_most : int
        With more objects than this, as many of them, at even distances in the order of labels.

    Returns
    -------
    labels : ndarray, shape (n,)
        The objects' labels, ascending.
    corners : ndarray of intp, shape (n, 2)
        Top left corners (y, x).

    Raises
    ------
    FieldError
        When the field is smaller than a crop.
    UsageError
        For a size or a number below 1.

    Examples
    --------
    >>> labels = np.zeros((40, 40), np.uint16)
    >>> labels[10:13, 20:23], labels[0, 0] = 7, 2
    >>> found, corners = object_crops(labels, 5, at_most=100)
    >>> found.tolist(), corners.tolist()
    ([2, 7], [[0, 0], [9, 19]])
    """
    if at_most < 1:
        raise UsageError(f"at most {at_most} crops", remedy="ask for 1 or more")
    shape = labels.shape[-2], labels.shape[-1]
    _check_size(shape, size)
    found, pixels, sums = _centroids(labels)
    # A pixel's centre is half a pixel from its corner; in whole numbers, so that nothing rounds.
    corners = (2 * sums + (2 - size) * pixels[:, None]) // (2 * pixels[:, None])
    corners = np.clip(corners, 0, np.subtract(shape, size)).astype(np.intp)
    if len(found) > at_most:
        kept = (2 * np.arange(at_most) + 1) * len(found) // (2 * at_most)
        found, corners = found[kept], corners[kept]
    return found, corners


def cut(
    field: NDArray[Any], corners: Sequence[Corner] | NDArray[np.intp], size: int
) -> NDArray[Any]:
    """Copy crops out of a field.

    Parameters
    ----------
    field : ndarray, shape (channels, y, x) or (channels, z, y, x)
        Raw grey levels; of a volume the maximum over z is taken.
    corners : sequence of (y, x)
        As from `grid_crops` or `object_crops`.
    size : int
        Side of a crop in pixels.

    Returns
    -------
    ndarray, shape (n, channels, size, size)
        The pixels as they are, of the field's type.

    Raises
    ------
    FieldError
        When a crop is not inside the field.

    Examples
    --------
    >>> cut(np.arange(16, dtype=np.uint8).reshape(1, 4, 4), [(1, 2)], 2).tolist()
    [[[[6, 7], [10, 11]]]]
    """
    images = flattened(field)
    channels, height, width = images.shape
    crops = np.empty((len(corners), channels, size, size), field.dtype)
    for crop, (y, x) in zip(crops, corners, strict=True):
        if not (0 <= y <= height - size and 0 <= x <= width - size):
            raise FieldError(
                f"a crop of {size} pixels at {y}, {x} is not inside {height} × {width}"
            )
        crop[...] = images[:, y : y + size, x : x + size]
    return crops


def _check_size(field_shape: tuple[int, int], size: int) -> None:
    if size < 1:
        raise UsageError(f"crops of {size} pixels", remedy="ask for 1 or more")
    if min(field_shape) < size:
        raise FieldError(
            f"a field of {field_shape[0]} × {field_shape[1]} pixels is smaller than a crop of"
            f" {size} × {size}",
            remedy="ask for smaller crops",
        )


def _spread(length: int, size: int, count: int) -> list[int]:
    """Return where crops begin along one side."""
    if count < 1 or (count > 1 and count > length - size + 1):
        raise UsageError(
            f"{count} crops of {size} pixels along {length}",
            remedy=f"ask for 1 to {length - size + 1}",
        )
    if count * size <= length:
        return [((2 * n + 1) * length - count * size) // (2 * count) for n in range(count)]
    return [n * (length - size) // (count - 1) for n in range(count)]


def _centroids(
    labels: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return each object's label, its pixels, and the sums of their y and x: whole numbers.

    They are summed by runs of one label along x, of which there are few.
    """
    height, width = labels.shape[-2:]
    rows = labels.reshape(-1, width)
    begins = np.ones(rows.shape, np.bool_)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=rows.size)
    values = rows.ravel()[starts]
    of_objects = values != 0
    starts, lengths = starts[of_objects], lengths[of_objects]
    found, run_of = np.unique(values[of_objects], return_inverse=True)
    y, x = starts // width % height, starts % width
    sums = np.zeros((len(found), 3), np.int64)
    parts = (lengths, y * lengths, x * lengths + lengths * (lengths - 1) // 2)
    np.add.at(sums, run_of, np.stack(parts, axis=1))
    return found, sums[:, 0], sums[:, 1:]
