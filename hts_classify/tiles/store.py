"""The tiles of a plate on disk: for each tile size a Zarr array with one chunk a field."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import again, whole, write_json
from .chunks import (
    CHECKSUM,
    METADATA,
    array_metadata,
    chunk_key,
    fill,
    group_metadata,
    metadata_of,
    plain,
    seal,
    shape_of,
)

__all__ = ["TileStore", "TileView"]

_KINDS: Final = ("float32", "uint16")


class TileStore:
    """Tiles of one size: (fields, channels, y, x), one file a field.

    Tiles are float32 where they are made and used. Those of 16-bit plates are kept as uint16, to
    the nearest grey level, since averaging leaves far more noise than that and half the bytes are
    half the time; those of 8-bit plates as they are. Any Zarr library reads the store as
    `tiles.zarr/<size>`. It can be pickled; many threads and processes may write at once, each
    field by one of them.

    Parameters
    ----------
    path : Path
        The store, `tiles.zarr` in a run directory.
    size : int
        The tile size that was asked for, which is the array's name.

    Raises
    ------
    DataError
        When the store has no tiles of this size, or not as this package writes them.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path / str(size)
        held = metadata_of(self.path, "tiles")
        shape, kind = shape_of(held), str(held.get("data_type"))
        if shape is None or kind not in _KINDS or held != _metadata(shape, kind):
            raise DataError(
                f"{METADATA} is not that of a run's tiles",
                where=str(self.path),
                remedy="delete the run's folder and run again",
            )
        self.shape = shape
        """Fields, channels, y, x."""
        self.dtype = np.dtype(kind)
        """What tiles are kept as."""

    @classmethod
    def create(
        cls,
        path: Path,
        size: int,
        shape: tuple[int, int, int, int],
        *,
        kind: Literal["float32", "uint16"] = "float32",
    ) -> TileStore:
        """Make a store of this shape and type, or give them to the one that is there.

        Tiles that are there stay, each in its row: which of them are still good, the tables say
        that were made with them.
        """
        write_json(path / METADATA, group_metadata())
        write_json(path / str(size) / METADATA, _metadata(shape, kind))
        return cls(path, size)

    def has(self, row: int) -> bool:
        """Tell whether a field's tile was ever written."""
        return self.file(row).exists()

    def holds(self, row: int, checksum: int) -> bool:
        """Tell whether a field's tile is there, as long as it must be and with this checksum."""
        size = prod(self.shape[1:]) * self.dtype.itemsize
        try:
            with self.file(row).open("rb") as stored:
                stored.seek(size)
                return stored.read() == checksum.to_bytes(CHECKSUM, "little")
        except OSError:
            return False

    def is_intact(self, row: int, checksum: int) -> bool:
        """Tell whether a field's tile is there and its pixels have this checksum: reads them."""
        tile = np.empty(self.shape[1:], self.dtype.newbyteorder("<"))
        try:
            self._read_into(tile, row)
        except DataError:
            return False
        return seal(tile) == checksum.to_bytes(CHECKSUM, "little")

    def take(self, row: int, other: TileStore) -> None:
        """Keep one field's tile as another store of the same shape and type has it."""
        again(other.file(row), self.file(row))

    def write(self, row: int, tile: NDArray[np.float32]) -> int:
        """Keep one field's tile, whole or not at all; return its checksum (crc32c).

        Raises
        ------
        DataError
            When there is no such field, or the tile has another shape or type.
        """
        if not 0 <= row < self.shape[0]:
            raise DataError(f"row {row} of {self.shape[0]}", where=str(self.path))
        if tile.shape != self.shape[1:] or tile.dtype != np.float32:
            raise DataError(
                f"a tile of {tile.dtype} {tile.shape}, not float32 {self.shape[1:]}",
                where=str(self.path),
            )
        pixels = plain(tile if self.dtype == tile.dtype else np.rint(tile).astype(self.dtype))
        checksum = seal(pixels)
        with whole(self.file(row)) as part, part.open("wb") as file:
            file.write(pixels.data)
            file.write(checksum)
        return int.from_bytes(checksum, "little")

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read tiles by row: float32, shape (rows, channels, y, x).

        Raises
        ------
        DataError
            When a tile was never written, or its file is damaged; it names the file.
        """
        tiles = np.empty((len(rows), *self.shape[1:]), self.dtype.newbyteorder("<"))
        for tile, row in zip(tiles, rows, strict=True):
            self._read_into(tile, int(row))
        return tiles.astype(np.float32, copy=False)

    def view(self, rows: Sequence[int] | NDArray[Any]) -> TileView:
        """Return some tiles as a model's inputs, read when they are asked for."""
        return TileView(self, np.asarray(rows, np.intp))

    def file(self, row: int) -> Path:
        """Return the path of a field's tile."""
        return self.path / chunk_key((row, 0, 0, 0))

    def _read_into(self, tile: NDArray[Any], row: int) -> None:
        file = self.file(row)
        try:
            with file.open("rb") as stored:
                fill(stored, tile)
                if stored.read(1):
                    raise ValueError("its file goes on after it")
        except FileNotFoundError:
            what, remedy = f"tile {row} is absent", "run again"
        except OSError as error:
            what, remedy = f"tile {row} cannot be read ({error})", "run again"
        except ValueError as error:
            what, remedy = f"tile {row} does not decode ({error})", f"delete {file} and run again"
        else:
            return
        raise DataError(what, where=str(self.path), remedy=remedy)


class TileView:
    """Some tiles of a store, indexed from 0: what a model trains on and scores."""

    def __init__(self, store: TileStore, rows: NDArray[np.intp]) -> None:
        self._store, self._rows = store, rows

    @property
    def keys(self) -> NDArray[np.intp]:
        """Row of each tile in the store: what tells it from every other tile of a run."""
        return self._rows

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self._rows)

    def __getitem__(self, index: NDArray[Any]) -> NDArray[np.float32]:
        """Read the tiles at these indices: float32, shape (n, channels, y, x)."""
        return self._store.read(self._rows[index])


def _metadata(shape: Sequence[int], kind: str) -> dict[str, Any]:
    return array_metadata(shape, (1, *shape[1:]), kind, dimensions=("field", "channel", "y", "x"))
