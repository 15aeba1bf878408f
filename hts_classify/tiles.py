"""What a tile is, and the store that keeps tiles.

A tile is a whole field downscaled by averaging blocks of `factor` × `factor` pixels, in raw
grey levels: every normalisation is a model's own. The factor is a whole number that follows
from the plate once and is then kept with the models, so that a plate with larger fields gives
larger tiles and a cell keeps its size in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, UsageError

__all__ = ["TileStore", "TileView", "downscale", "tile_factor", "tile_shape"]


_LEAST = 16


def tile_factor(field_shape: tuple[int, int], size: int) -> int:
    """Return the smallest factor that brings a field's longer side down to `size` pixels.

    Examples
    --------
    >>> tile_factor((1080, 1080), 128), tile_factor((64, 64), 128)
    (9, 1)
    """
    if size < _LEAST:
        raise UsageError(f"tile size {size}", remedy=f"ask for {_LEAST} pixels or more")
    return max(1, -(-max(field_shape) // size))


def tile_shape(field_shape: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return rows and columns of a field's tile; `DataError` if they are too few for a CNN.

    Examples
    --------
    >>> tile_shape((1080, 1280), 9)
    (120, 142)
    """
    height, width = field_shape
    rows, columns = height // factor, width // factor
    if min(rows, columns) < _LEAST:
        raise DataError(
            f"a field of {height} × {width} pixels, downscaled {factor} times, gives a tile of"
            f" {rows} × {columns}; a CNN needs {_LEAST}",
            remedy="ask for a larger --tile-size, or use models trained at a finer scale",
        )
    return rows, columns


def downscale(field: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Average a field over blocks of pixels.

    Parameters
    ----------
    field : ndarray of uint8 or uint16, shape (channels, y, x)
        Raw grey levels.
    factor : int
        Side of a block in pixels; rows and columns beyond the last whole block are left out.

    Returns
    -------
    ndarray of float32, shape (channels, y // factor, x // factor)
        Mean grey level of each block, from exact integer sums.

    Raises
    ------
    DataError
        When the field is smaller than one block.

    Examples
    --------
    >>> downscale(np.arange(16, dtype=np.uint8).reshape(1, 4, 4), 2)[0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    channels, height, width = field.shape
    rows, columns = height // factor, width // factor
    if not rows or not columns:
        raise DataError(
            f"a field of {height} × {width} pixels has no block of {factor} × {factor}",
            remedy="use a smaller factor",
        )
    cut = field[:, : rows * factor, : columns * factor]
    by_row = cut.reshape(channels, rows, factor, columns * factor).sum(axis=2, dtype=np.uint32)
    sums = by_row.reshape(channels, rows, columns, factor).sum(axis=3, dtype=np.uint64)
    return np.asarray(sums / (factor * factor), np.float32)


class TileStore:
    """Tiles of a plate on disk: a Zarr array (fields, channels, y, x), one chunk a field.

    Parameters
    ----------
    path : Path
        The store, `tiles.zarr` in a run directory.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        self.path = path
        try:
            self._array: Any = zarr.open_array(str(path), mode="r+")
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise DataError(
                f"no tiles ({error})", where=str(path), remedy="delete the folder and run again"
            ) from None

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int, int, int]) -> TileStore:
        """Make a store of this shape, or open the one that is there if it has this shape."""
        import zarr
        from zarr.codecs import ZstdCodec

        if not (path / "zarr.json").exists():
            zarr.create_array(
                str(path),
                shape=shape,
                chunks=(1, *shape[1:]),
                dtype="float32",
                compressors=ZstdCodec(level=1),
                # A tile that nobody wrote must not look like a black one.
                fill_value=np.nan,
                dimension_names=("field", "channel", "y", "x"),
            )
        store = cls(path)
        if store.shape != shape:
            raise UsageError(
                f"holds tiles of shape {store.shape}, not {shape}",
                where=str(path),
                remedy="name another folder with -o, or delete this one",
            )
        return store

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Fields, channels, y, x."""
        fields, channels, height, width = self._array.shape
        return fields, channels, height, width

    def has(self, row: int) -> bool:
        """Tell whether a field's tile was ever written."""
        return (self.path / "c" / str(row) / "0" / "0" / "0").exists()

    def write(self, row: int, tile: NDArray[np.float32]) -> None:
        """Keep one field's tile."""
        self._array[row] = tile

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read tiles by row, stacked; a tile that was never written is an error."""
        tiles = np.empty((len(rows), *self.shape[1:]), np.float32)
        for position, row in enumerate(rows):
            try:
                tiles[position] = self._array[int(row)]
            except Exception as error:  # whatever a codec or a disk throws
                raise DataError(
                    f"tile {int(row)} does not decode ({error})",
                    where=str(self.path),
                    remedy="delete the run's folder and run again",
                ) from error
            if np.isnan(tiles[position, 0, 0, 0]):
                raise DataError(
                    f"tile {int(row)} is absent",
                    where=str(self.path),
                    remedy="delete the run's folder and run again",
                )
        return tiles

    def view(self, rows: Sequence[int] | NDArray[Any]) -> TileView:
        """Return some tiles as a model's inputs, read when they are asked for."""
        return TileView(self, np.asarray(rows, np.intp))


class TileView:
    """Some tiles of a store, indexed from 0: what a model trains on and scores."""

    def __init__(self, store: TileStore, rows: NDArray[np.intp]) -> None:
        self._store, self._rows = store, rows

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self._rows)

    def __getitem__(self, index: NDArray[Any]) -> NDArray[np.float32]:
        """Read the tiles at these indices: float32, shape (n, channels, y, x)."""
        return self._store.read(self._rows[index])
