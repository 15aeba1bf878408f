"""Fields of datasets in HDF5 files, read without trusting them.

HDF5 reads zeros where a virtual dataset's source is missing, and takes pixels from any file that
an external dataset names: both are refused. `h5py` objects cannot be pickled, nor shared with a
forked process, so every read opens the file (0.1 ms) and closes it again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError
from ..files import digest
from .hdf5_chunks import read_chunks, reads_chunks
from .stored import Broken, Gap, Image

__all__ = ["HDF5Store", "Part", "refuse_elsewhere"]

_MOST_CHUNKS: Final = 1 << 20
_LARGE: Final = 1 << 30
"""Bytes of pixels from which a dataset must have something stored for them …"""
_RATIO: Final = 2000
"""… at no more than this compression; deflate reaches 1032."""


@dataclass(frozen=True, slots=True)
class Part:
    """A dataset, or one index along its first axis."""

    file: str
    dataset: str
    take: int | None = None


@dataclass(frozen=True, slots=True)
class HDF5Store:
    """Fields of datasets in HDF5 files."""

    root: str
    format: str = "HDF5"
    parts: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    """Datasets of the arrays whose path is not theirs in the file; several make the channels."""
    labels: Mapping[str, Mapping[str, Image | Broken]] = field(default_factory=dict)
    """Label images by the path of their field and by name."""

    def size(self, images: Sequence[Image]) -> int:
        """Size of the files."""
        files = {part.file for image in images for part in self._parts(image)} | {self.root}
        return sum(Path(file).stat().st_size for file in files)

    def gaps(self, image: Image) -> Sequence[Gap]:
        """Find chunks that were never written; the file's own index says so."""
        parts = self._parts(image)
        found: list[Gap] = []
        for index, part in enumerate(parts):
            with _dataset(part) as dataset:
                for start, size in _unwritten(dataset):
                    if part.take is not None:
                        if not start[0] <= part.take < start[0] + size[0]:
                            continue
                        start, size = start[1:], size[1:]
                    if len(parts) > 1:
                        start, size = (index, *start), (1, *size)
                    name = part.dataset.strip("/")
                    at = f" at {start}" if any(start) or size != image.lengths else ""
                    found.append(Gap(name + at, start, size))
        return found

    def stamp(self, image: Image) -> str:
        """Hash the files' sizes and times of change, for HDF5 keeps none a dataset."""
        content: list[Any] = [repr(image)]
        for part in self._parts(image):
            about = Path(part.file).stat()
            content.append((Path(part.file).name, part.dataset, about.st_size, about.st_mtime_ns))
        return digest(content)

    def label(self, image: Image, name: str) -> Image:
        """Find a field's label image."""
        labels = self.labels.get(image.path, {})
        label = labels.get(name)
        if label is None:
            has = ", ".join(labels) or "none"
            raise FieldError("the field has none of that name", remedy=f"it has {has}")
        if isinstance(label, Broken):
            raise FieldError(label.reason, remedy=label.remedy)
        return label

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of an array."""
        parts = self._parts(image)
        if len(parts) == 1:
            return _read(parts[0], image.lengths, index)
        shown = parts[index[0]]
        return np.stack([_read(part, image.lengths[1:], index[1:]) for part in shown])

    def _parts(self, image: Image) -> tuple[Part, ...]:
        return self.parts.get(image.path) or (Part(self.root, image.path),)


@contextmanager
def _dataset(part: Part) -> Iterator[Any]:
    """Open one dataset for a moment."""
    import h5py

    with h5py.File(part.file, "r") as file:
        dataset = file[part.dataset]
        refuse_elsewhere(dataset)
        yield dataset


def _read(part: Part, lengths: tuple[int, ...], index: tuple[Any, ...]) -> NDArray[Any]:
    with _dataset(part) as dataset:
        shape = dataset.shape if part.take is None else dataset.shape[1:]
        if shape != lengths:
            raise FieldError(f"has the shape {shape}, and had {lengths} when the plate was opened")
        whole = index if part.take is None else (part.take, *index)
        if reads_chunks(dataset):
            return read_chunks(dataset, whole)
        return np.asarray(dataset[whole])


def refuse_elsewhere(dataset: Any) -> None:
    """Refuse a dataset whose pixels are in other files, or too many for what is stored."""
    import h5py

    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL:
        sources = sorted({source.file_name for source in dataset.virtual_sources()})
        raise FieldError(
            f"{dataset.name} is a virtual dataset of {', '.join(sources)}",
            remedy="write its pixels into one file: HDF5 reads zeros where a source is missing",
        )
    if made.get_external_count():
        raise FieldError(
            f"{dataset.name} keeps its pixels in {dataset.external[0][0]}, outside HDF5",
            remedy="h5repack puts them into the file",
        )
    size = dataset.nbytes
    if size > _LARGE and size > _RATIO * dataset.id.get_storage_size():
        raise FieldError(
            f"{dataset.name} claims {size} bytes of pixels and stores "
            f"{dataset.id.get_storage_size()}"
        )


def _unwritten(dataset: Any) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Find where chunks that are not in the file would begin, and their size."""
    if dataset.chunks is None:
        if not dataset.id.get_storage_size():
            yield (0,) * dataset.ndim, dataset.shape
        return
    shape, chunks = dataset.shape, dataset.chunks
    promised = math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    if promised > _MOST_CHUNKS:
        raise FieldError(f"{dataset.name} has {promised} chunks, of shape {chunks}")
    if dataset.id.get_num_chunks() == promised:
        return
    written: set[tuple[int, ...]] = set()
    dataset.id.chunk_iter(lambda chunk: written.add(chunk.chunk_offset))
    starts = itertools.product(*(range(0, n, c) for n, c in zip(shape, chunks, strict=True)))
    yield from ((start, chunks) for start in starts if start not in written)
