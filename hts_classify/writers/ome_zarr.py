"""Plates as OME-Zarr: OME-NGFF 0.5 in zarr v3, and 0.4 in zarr v2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError
from ..files import write_json
from ..plate import Field
from .ngff import image_metadata, label_metadata, plate_metadata, well_metadata
from .outline import Frames, Outline, check_label, image_name, parts
from .pyramid import average, level_count, thin

__all__ = ["OmeZarrWriter"]

_ZSTD: Final = 1
_LZ4: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What is known of a pyramid when all of its frames are there."""

    axes: str
    levels: int
    dtype: np.dtype[Any]
    windows: tuple[tuple[int, int], ...]
    """Least and largest value of each channel."""


@dataclass(frozen=True, slots=True)
class OmeZarrWriter:
    """Writes a plate into a folder; see `hts_classify.writers.Writer`."""

    path: Path
    outline: Outline
    version: str
    """`0.5` or `0.4`."""
    levels: int | None = None
    shards: bool = False

    @property
    def workers(self) -> int:
        """Two: the codec lets other threads run, and a disk is soon busy."""
        return 2

    @property
    def resumes(self) -> bool:
        """An image with metadata is whole."""
        return True

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        for depth in ("", "*/", "*/*/"):  # what a process that was killed left of a group
            for part in self.path.glob(f"{depth}.*.part"):
                part.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Have nothing to close."""

    def has(self, field: Field) -> bool:
        """Tell whether a field's metadata are there, which are written last."""
        return (self._folder(field) / self._metadata).is_file()

    def write(
        self,
        field: Field,
        frames: Frames,
        *,
        times: int | None = None,
        labels: Mapping[str, Frames] = {},
    ) -> list[FieldError]:
        """Write one field's image and label images."""
        folder = self._folder(field)
        shutil.rmtree(folder, ignore_errors=True)
        faults = []
        try:
            image = self._pyramid(folder, frames, times, channels=True)
            written = []
            for name, label in labels.items():
                try:
                    self._label(folder / "labels", name, label, times)
                    written.append(name)
                except FieldError as fault:
                    faults.append(fault)
            if written:
                self._group(folder / "labels", {"labels": sorted(written)})
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        metadata = image_metadata(
            self.outline,
            image.axes,
            name=folder.name,
            levels=image.levels,
            dtype=image.dtype,
            windows=image.windows,
        )
        self._group(folder, self._versioned(metadata))
        return faults

    def finish(self, fields: Sequence[Field]) -> None:
        """Write the metadata of rows, wells and the plate."""
        for row in sorted({parts(field.well)[0] for field in fields}):
            self._group(self.path / row, {})
        for well, own in groupby(fields, lambda field: field.well):
            metadata = well_metadata(own, self.version)
            self._group(self.path.joinpath(*parts(well)), {"well": self._inner(metadata)})
        plate = plate_metadata(self.outline, fields, self.version)
        self._group(self.path, {"plate": self._inner(plate)})

    @property
    def _metadata(self) -> str:
        return ".zattrs" if self.version == "0.4" else "zarr.json"

    def _folder(self, field: Field) -> Path:
        return self.path.joinpath(*parts(field.well), image_name(field))

    def _inner(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Leave the version out where 0.5 has it once, beside what it describes."""
        if self.version == "0.4":
            return metadata
        return {key: value for key, value in metadata.items() if key != "version"}

    def _versioned(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Add the version where 0.4 has it: in each multiscale, in a label image."""
        if self.version == "0.4":
            for part in (*metadata["multiscales"], metadata.get("image-label", {})):
                part["version"] = self.version
        return metadata

    def _group(self, folder: Path, ome: dict[str, Any]) -> None:
        """Write a group, its attributes last."""
        if self.version == "0.4":
            write_json(folder / ".zgroup", {"zarr_format": 2})
            write_json(folder / ".zattrs", ome)
            return
        attributes = {"ome": {"version": self.version, **ome}} if ome else {}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        write_json(folder / "zarr.json", group)

    def _label(self, folder: Path, name: str, frames: Frames, times: int | None) -> None:
        check_label(name)
        try:
            label = self._pyramid(folder / name, frames, times, channels=False)
        except FieldError:
            shutil.rmtree(folder / name, ignore_errors=True)
            raise
        metadata = label_metadata(self.outline, label.axes, name=name, levels=label.levels)
        self._group(folder / name, self._versioned(metadata))

    def _pyramid(
        self, folder: Path, frames: Frames, times: int | None, *, channels: bool
    ) -> _Written:
        """Write frames in all levels, holding one frame at a time."""
        smaller: Callable[[NDArray[Any]], NDArray[Any]] = average if channels else thin
        arrays: list[Any] = []
        lows, highs = [], []
        axes, frame = "", np.empty(0)
        for time, frame in enumerate(frames):
            if not arrays:
                axes = _axes(frame.ndim, channels, times)
                arrays = self._arrays(folder, frame, axes, times)
            spread = tuple(range(1 if channels else 0, frame.ndim))
            lows.append(np.atleast_1d(frame.min(axis=spread)))
            highs.append(np.atleast_1d(frame.max(axis=spread)))
            values = frame
            for level, array in enumerate(arrays):
                values = smaller(values) if level else values
                array[... if times is None else time] = values
        extremes = zip(np.min(lows, axis=0), np.max(highs, axis=0), strict=True)
        return _Written(
            axes=axes,
            levels=len(arrays),
            dtype=frame.dtype,
            windows=tuple((int(low), int(high)) for low, high in extremes),
        )

    def _arrays(self, folder: Path, frame: NDArray[Any], axes: str, times: int | None) -> list[Any]:
        """Make the arrays of an image's levels, the largest first."""
        height, width = frame.shape[-2:]
        made = []
        for level in range(level_count(frame.shape, self.levels)):
            plane = (height >> level, width >> level)
            shape = (*frame.shape[:-2], *plane)
            shard = shape if times is None else (1, *shape)
            shape = shape if times is None else (times, *shape)
            chunk = (1,) * (len(shape) - 2) + plane
            made.append(self._array(folder / str(level), axes, frame.dtype, shape, chunk, shard))
        return made

    def _array(
        self,
        folder: Path,
        axes: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        shard: tuple[int, ...],
    ) -> Any:
        import zarr
        from zarr.storage import LocalStore

        old = self.version == "0.4"
        array = zarr.create_array(
            LocalStore(folder),
            shape=shape,
            dtype=dtype.newbyteorder("<"),
            chunks=chunk,
            shards=shard if self.shards else None,
            compressors=_checked_zstd() if old else _checked_lz4(),
            fill_value=0,
            zarr_format=2 if old else 3,
            chunk_key_encoding={"name": "v2" if old else "default", "separator": "/"},
            dimension_names=None if old else tuple(axes),
            # What is left out reads as zeros, and so would what is lost.
            config={"write_empty_chunks": True},
        )
        if old:
            _plain_zstd(folder / ".zarray")
        return array


def _axes(dimensions: int, channels: bool, times: int | None) -> str:
    space = "zyx" if dimensions - channels == 3 else "yx"
    return ("" if times is None else "t") + ("c" if channels else "") + space


def _checked_lz4() -> list[Any]:
    from zarr.codecs import BloscCodec, Crc32cCodec

    return [BloscCodec(cname="lz4", clevel=_LZ4, shuffle="shuffle"), Crc32cCodec()]


def _checked_zstd() -> Any:
    import numcodecs  # type: ignore[import-untyped]

    return numcodecs.Zstd(_ZSTD, checksum=True)


def _plain_zstd(metadata: Path) -> None:
    """Take the word `checksum` out of an array's metadata: some readers know no such setting.

    A frame itself says whether it has one, and whoever decodes it checks it.
    """
    content = json.loads(metadata.read_bytes())
    content["compressor"].pop("checksum", None)
    write_json(metadata, content)
