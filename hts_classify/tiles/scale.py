"""What a tile is: a whole field, averaged down to a scale that a plate sets once.

The scale is a fraction that follows from the plate's field and the tile size that is asked for.
It is kept with the models, so that a plate with larger fields gives larger tiles and a cell keeps
its size in pixels.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FieldError, UsageError
from ..features import shrink

__all__ = ["LEAST", "Scale", "downscale", "flattened", "tile_scale", "tile_shape"]

Scale = tuple[int, int]
"""`(num, den)` in lowest terms, num ≤ den: a tile's pixel is den/num of a field's along a side."""

LEAST = 16
"""Pixels a side that a CNN needs."""


def tile_scale(field_shape: tuple[int, int], size: int) -> Scale:
    """Return the scale at which a field's longer side is exactly `size` pixels.

    A field that is no longer than that stays as it is.

    Examples
    --------
    >>> tile_scale((1080, 1080), 224), tile_scale((1080, 1280), 128), tile_scale((64, 64), 128)
    ((28, 135), (1, 10), (1, 1))
    """
    if size < LEAST:
        raise UsageError(f"tile size {size}", remedy=f"ask for {LEAST} pixels or more")
    longer = max(field_shape)
    if longer <= size:
        return 1, 1
    common = gcd(size, longer)
    return size // common, longer // common


def tile_shape(field_shape: tuple[int, int], scale: Scale) -> tuple[int, int]:
    """Return rows and columns of a field's tile; `DataError` if they are too few for a CNN.

    Examples
    --------
    >>> tile_shape((1080, 1280), tile_scale((1080, 1280), 224))
    (189, 224)
    """
    rows, columns = _scaled(field_shape, scale)
    if min(rows, columns) < LEAST:
        raise DataError(
            f"a field of {_by(field_shape)} pixels, scaled by {scale[0]}/{scale[1]}, gives a tile"
            f" of {_by((rows, columns))}; a CNN needs {LEAST}",
            remedy="ask for a larger --tile-size, or use models trained at a finer scale",
        )
    return rows, columns


def downscale(
    field: NDArray[Any], scale: Scale, shape: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Average a field down to a tile.

    Parameters
    ----------
    field : ndarray of uint8 or uint16, shape (channels, y, x) or (channels, z, y, x)
        Raw grey levels; of a volume the maximum over z is taken first.
    scale : Scale
        `(num, den)`: each pixel of the tile is the mean of den/num × den/num pixels of the field,
        those at its edges in the share that it covers, counted from the top left corner. What is
        left over at the right and at the bottom is left out.
    shape : tuple of int, optional
        Rows and columns that the tile must have, the plate's (`tile_shape`). The scale does not
        change, so that a cell keeps its size: a larger field's tile is cut around its centre, a
        smaller field's is continued by its mirror image on all sides.

    Returns
    -------
    ndarray of float32, shape (channels, rows, columns)
        Mean grey levels, from exact integer sums.

    Raises
    ------
    FieldError
        When the field is smaller than one pixel of the tile, or than half of `shape`: mirrored,
        it would show the same cells again and again.

    Examples
    --------
    >>> field = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    >>> downscale(field, (1, 2))[0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    >>> downscale(field, (1, 2), (3, 1))[0].ravel()
    array([ 2.5, 10.5, 10.5], dtype=float32)
    """
    images = flattened(field)
    size = images.shape[1], images.shape[2]
    rows, columns = _scaled(size, scale)
    if not rows or not columns:
        raise FieldError(
            f"a field of {_by(size)} pixels is less than a pixel of a tile scaled by"
            f" {scale[0]}/{scale[1]}",
            remedy="use a finer scale",
        )
    tile = np.empty((len(images), rows, columns), np.float32)
    for image, small in zip(images, tile, strict=True):
        shrink(image, scale, out=small)
    return tile if shape is None else _fitted(tile, shape, size)


def flattened(field: NDArray[Any]) -> NDArray[Any]:
    """Return (channels, y, x) pixels; of a volume the maximum projection."""
    flat: NDArray[Any] = field.max(axis=1) if field.ndim == 4 else field
    return flat


def _fitted(
    tile: NDArray[np.float32], shape: tuple[int, int], field_shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut a tile around its centre, or continue it by its mirror image."""
    held = tile.shape[1], tile.shape[2]
    if any(2 * have < want for have, want in zip(held, shape, strict=True)):
        raise FieldError(
            f"a field of {_by(field_shape)} pixels fills less than half of a tile of {_by(shape)}",
            remedy="leave the field out, or give it a plate of its own",
        )
    lost = [max(0, have - want) for have, want in zip(held, shape, strict=True)]
    lacking = [max(0, want - have) for have, want in zip(held, shape, strict=True)]
    (top, left), (rows, columns) = (side // 2 for side in lost), shape
    cut = tile[:, top : top + rows, left : left + columns]
    if not any(lacking):
        return np.ascontiguousarray(cut)
    around = [(0, 0), *((side // 2, side - side // 2) for side in lacking)]
    return np.pad(cut, around, mode="symmetric")


def _scaled(field_shape: tuple[int, int], scale: Scale) -> tuple[int, int]:
    num, den = scale
    return field_shape[0] * num // den, field_shape[1] * num // den


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} × {shape[1]}"
