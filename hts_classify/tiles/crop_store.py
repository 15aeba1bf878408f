"""The crops of a run on disk: for each well a Zarr array in one file, each crop with a checksum.

The file is a shard of Zarr's `sharding_indexed` codec: crop after crop, then an index of where
each lies. A well is written at once, and one crop is read without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from ..files import again, whole, write_json
from .chunks import (
    CHECKSUM,
    CODECS,
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

__all__ = ["CropStore", "CropView"]

_FILE = chunk_key((0, 0, 0, 0))
_KINDS = ("uint8", "uint16")


class CropStore:
    """Crops by plate and well: arrays (crops, channels, y, x) of the plate's own type.

    Any Zarr library reads them as `crops.zarr/<plate>/<well>`. Many threads and processes may
    write at once, each well by one of them.

    Parameters
    ----------
    path : Path
        The store, `crops.zarr` in a run directory; made by the first `write`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, plate: str, well: str) -> bool:
        """Tell whether a well's crops were ever written."""
        return (self._array(plate, well) / METADATA).exists()

    def write(self, plate: str, well: str, crops: NDArray[Any]) -> None:
        """Keep a well's crops in the place of those that it may have had.

        Parameters
        ----------
        plate, well : str
            Names of folders; neither may be a path.
        crops : ndarray of uint8 or uint16, shape (n, channels, size, size)
            As from `cut`; n may be 0.

        Raises
        ------
        DataError
            When they have another shape or type.
        UsageError
            When the plate's or the well's name cannot name a folder.
        """
        if crops.ndim != 4 or crops.dtype.name not in _KINDS:
            raise DataError(f"crops of {crops.dtype} {crops.shape}", where=str(self.path))
        array = self._begun(plate, well)
        if len(crops):
            with whole(array / _FILE) as part, part.open("wb") as file:
                file.writelines(_shard(crops))
        write_json(array / METADATA, _metadata(crops.shape, crops.dtype))
        if not len(crops):
            (array / _FILE).unlink(missing_ok=True)

    def take(self, plate: str, well: str, other: CropStore) -> None:
        """Keep a well's crops as another store has them."""
        array, source = self._begun(plate, well), other._array(plate, well)
        if (source / _FILE).exists():
            again(source / _FILE, array / _FILE)
        again(source / METADATA, array / METADATA)
        if not (source / _FILE).exists():
            (array / _FILE).unlink(missing_ok=True)

    def read(self, plate: str, well: str) -> NDArray[Any]:
        """Read a well's crops: shape (n, channels, size, size).

        Raises
        ------
        DataError
            When they were never written, or their file is damaged.
        """
        held = self._well(plate, well)
        crops = np.empty(held.shape, held.dtype)
        if len(crops):
            held.read_into(crops, np.arange(len(crops)), np.arange(len(crops)))
        return crops

    def view(
        self,
        plates: Sequence[str],
        wells: Sequence[str],
        indices: Sequence[int] | NDArray[Any],
        *,
        keys: NDArray[np.intp] | None = None,
    ) -> CropView:
        """Return some crops as a model's inputs, read when they are asked for.

        Parameters
        ----------
        plates, wells, indices : sequences of equal length
            For each crop its plate, its well, and its place in the well's array.
        keys : ndarray of int, optional
            What tells each crop from every other one of a run.

        Raises
        ------
        DataError
            When a well has no crops, fewer than that, or ones of another shape or type than the
            first well's.
        """
        names = list(zip(plates, wells, strict=True))
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        held = [self._well(*name) for name in numbers]
        of = np.array([numbers[name] for name in names], np.intp)
        which = np.asarray(indices, np.intp)
        self._check(held, of, which)
        return CropView(held, of, which, keys)

    def _check(self, held: list[_Well], of: NDArray[np.intp], indices: NDArray[np.intp]) -> None:
        """Refuse crops that do not stack, and ones that are not there."""
        if not held:
            raise DataError("no crops to look at", where=str(self.path))
        kinds = [(well.dtype.name, *well.shape[1:]) for well in held]
        for well, kind in zip(held, kinds, strict=True):
            if kind != kinds[0]:
                raise DataError(f"crops of {kind}, and of {kinds[0]} before", where=str(well.array))
        if len(of) != len(indices):
            raise DataError(f"{len(indices)} indices for {len(of)} crops", where=str(self.path))
        lacking = (indices < 0) | (indices >= np.array([well.shape[0] for well in held])[of])
        if lacking.any():
            first = int(np.flatnonzero(lacking)[0])
            well = held[of[first]]
            raise DataError(
                f"no crop {indices[first]} of {well.shape[0]}",
                where=str(well.array),
                remedy="delete the run's folder and run again",
            )

    def _begun(self, plate: str, well: str) -> Path:
        """Return a well's array, in groups that are there."""
        array = self._array(plate, well)
        for group in (self.path, array.parent):
            if not (group / METADATA).exists():
                write_json(group / METADATA, group_metadata())
        return array

    def _array(self, plate: str, well: str) -> Path:
        for name in (plate, well):
            if not name or name.startswith((".", "__")) or {"/", "\\", "\0"} & set(name):
                raise UsageError(
                    f"{name!r} names no folder", where=str(self.path), remedy="give it another name"
                )
        return self.path / plate / well

    def _well(self, plate: str, well: str) -> _Well:
        array = self._array(plate, well)
        held = metadata_of(array, "crops")
        shape, dtype = shape_of(held), held.get("data_type")
        if shape and dtype in _KINDS and held == _metadata(shape, np.dtype(dtype)):
            return _Well(array, shape, np.dtype(dtype).newbyteorder("<"))
        raise DataError(
            f"{METADATA} is not that of a run's crops",
            where=str(array),
            remedy="delete the run's folder and run again",
        )


class CropView:
    """Some crops of a store, indexed from 0: what a model trains on and scores."""

    def __init__(
        self,
        wells: Sequence[_Well],
        of: NDArray[np.intp],
        indices: NDArray[np.intp],
        keys: NDArray[np.intp] | None,
    ) -> None:
        self._wells, self._of, self._indices = wells, of, indices
        self.keys = keys
        """What tells each crop from every other one of a run; None where nobody said."""

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self._of)

    def __getitem__(self, index: NDArray[Any]) -> NDArray[Any]:
        """Read the crops at these indices: shape (n, channels, size, size), of the plate's type."""
        of, indices = self._of[index], self._indices[index]
        crops = np.empty((len(of), *self._wells[0].shape[1:]), self._wells[0].dtype)
        for number in np.unique(of):
            places = np.flatnonzero(of == number)
            self._wells[number].read_into(crops, places, indices[places])
        return crops


@dataclass(frozen=True, slots=True)
class _Well:
    """Where a well's crops are, and what they are like."""

    array: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read_into(
        self, crops: NDArray[Any], places: NDArray[np.intp], indices: NDArray[np.intp]
    ) -> None:
        """Read the crops of these indices to these places."""
        length = prod(self.shape[1:]) * self.dtype.itemsize + CHECKSUM
        try:
            with (self.array / _FILE).open("rb") as stored:
                for place, index in zip(places, indices, strict=True):
                    stored.seek(int(index) * length)
                    fill(stored, crops[place])
            return
        except FileNotFoundError:
            what, remedy = "its crops are absent", f"delete {self.array} and run again"
        except OSError as error:
            what, remedy = f"its crops cannot be read ({error})", "run again"
        except ValueError as error:
            what = f"crop {index} does not decode ({error})"
            remedy = f"delete {self.array} and run again"
        raise DataError(what, where=str(self.array), remedy=remedy)


def _shard(crops: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """Lay crops out one after another, each with its checksum, and the index after them."""
    stored = plain(crops)
    length = stored[0].nbytes + CHECKSUM
    index = np.empty((len(stored), 2), "<u8")  # where a crop begins, and its bytes
    index[:, 0], index[:, 1] = np.arange(len(stored)) * length, length
    for pixels in (*stored, index):
        yield pixels.data
        yield seal(pixels)


def _metadata(shape: Sequence[int], dtype: np.dtype[Any]) -> dict[str, Any]:
    count, *crop = shape
    shards = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, *crop],
            "codecs": CODECS,
            "index_codecs": CODECS,
            "index_location": "end",
        },
    }
    return array_metadata(
        shape,
        (max(1, count), *crop),
        dtype,
        dimensions=("crop", "channel", "y", "x"),
        codecs=[shards],
    )
