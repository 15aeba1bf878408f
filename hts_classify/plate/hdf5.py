"""Plates as one HDF5 file.

The layout, version 1, carries the words of OME-NGFF in native attributes::

    /            hts_classify_layout = 1
                 name                 "BR00117"
                 rows, columns        ["A", "B", …], ["1", "2", …]
                 wells                ["A/1", "A/2", …]: paths of the wells' groups
                 channels             ["DNA", "GFP"]          (may be absent)
    /A/1         images               ["0", "1", …]: names of the well's datasets, in order
    /A/1/0       axes                 "cyx", or any of yx … tczyx with t and z of length 1

Each dataset holds one field, uint8 or uint16, best in chunks of one channel: (1, y, x).
`h5py` objects cannot be pickled, nor shared with a forked process, so every read opens the file
and closes it again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, PlateError
from .layout import Field, Missing
from .ome import Head, Well, make_wells
from .stored import Broken, Gap, Image, StoredPlate, make_plate, sample

__all__ = ["LAYOUT", "LAYOUT_KEY", "HDF5Store", "is_hdf5", "open_hdf5"]

LAYOUT: Final = 1
LAYOUT_KEY: Final = "hts_classify_layout"
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class HDF5Store:
    """Datasets in one file."""

    root: str

    @property
    def format(self) -> str:
        """Always `HDF5`."""
        return "HDF5"

    def listing(self) -> dict[str, int]:
        """Size of the file."""
        return {"": Path(self.root).stat().st_size}

    def gaps(self, image: Image, has: Callable[[str], bool] | None = None) -> Sequence[Gap]:
        """Find chunks that were never written; the file's own index says so."""
        import h5py

        with h5py.File(self.root, "r") as file:
            dataset = file[image.path]
            if dataset.chunks is None:
                stored = dataset.id.get_storage_size() > 0 or dataset.external
                return [] if stored else [Gap(image.path, (0,) * dataset.ndim, dataset.shape)]
            counts = [-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]
            if dataset.id.get_num_chunks() == np.prod(counts):
                return []
            written: set[tuple[int, ...]] = set()
            dataset.id.chunk_iter(lambda chunk: written.add(chunk.chunk_offset))
            starts = itertools.product(
                *(range(0, n, c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
            )
            return [
                Gap(f"{image.path} at {start}", start, dataset.chunks)
                for start in starts
                if start not in written
            ]

    def stamp(self, image: Image) -> str:
        """Hash a sample of each of the dataset's chunks, as they are in the file."""
        import h5py

        content = hashlib.sha256(repr(image).encode())
        with h5py.File(self.root, "r") as file, Path(self.root).open("rb") as raw:
            dataset = file[image.path].id
            places = [(dataset.get_offset() or 0, dataset.get_storage_size())]
            if file[image.path].chunks is not None:
                places = []
                dataset.chunk_iter(lambda chunk: places.append((chunk.byte_offset, chunk.size)))
            for offset, size in places:
                content.update(sample(raw, offset, size))
        return content.hexdigest()[:16]

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of a dataset."""
        import h5py

        with h5py.File(self.root, "r") as file:
            return np.asarray(file[image.path][index])


def is_hdf5(path: Path) -> bool:
    """Tell whether a file begins like HDF5."""
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def open_hdf5(path: Path, *, name: str, channels: Sequence[str] | None = None) -> StoredPlate:
    """Open a plate in one HDF5 file; see `hts_classify.plate.open_plate`."""
    import h5py

    where = str(path)
    images: dict[Field, Image | Broken] = {}
    missing = []
    try:
        with h5py.File(where, "r") as file:
            head = _read_head(file, where=where, name=name)
            labels = _texts(file.attrs.get("channels", ()))
            for well in head.wells:
                found = _open_well(file, well, labels)
                if isinstance(found, Missing):
                    missing.append(found)
                else:
                    images |= found
    except OSError as error:
        raise PlateError(
            f"the HDF5 file does not open ({error})", where=where, remedy="copy it again"
        ) from error
    return make_plate(
        where,
        head=head,
        store=HDF5Store(where),
        images=images,
        missing=tuple(missing),
        channels=channels,
    )


def _read_head(file: Any, *, where: str, name: str) -> Head:
    attributes = file.attrs
    if LAYOUT_KEY not in attributes:
        raise PlateError(
            f"an HDF5 file without the attribute {LAYOUT_KEY}",
            where=where,
            remedy="write it in the layout that hts_classify.plate.hdf5 describes",
        )
    if int(attributes[LAYOUT_KEY]) != LAYOUT:
        raise PlateError(
            f"HDF5 layout version {attributes[LAYOUT_KEY]}",
            where=where,
            remedy=f"this hts_classify reads version {LAYOUT}",
        )
    rows, columns, wells = (_texts(attributes.get(key, ())) for key in ("rows", "columns", "wells"))
    own = "".join(_texts([attributes.get("name", "")]))
    return Head(own or name, rows, columns, make_wells(wells, where=where))


def _open_well(
    file: Any, well: Well, labels: tuple[str, ...]
) -> dict[Field, Image | Broken] | Missing:
    if well.path not in file:
        return Missing(well.name, None, f"group {well.path} is missing")
    names = _texts(file[well.path].attrs.get("images", ()))
    if not names:
        return Missing(well.name, None, f"group {well.path} lists no images")
    found: dict[Field, Image | Broken] = {}
    for site, name in enumerate(names, start=1):
        field = Field(well.name, site, f"{well.path}/{name}")
        try:
            found[field] = _image(file, field.path, labels)
        except FieldError as error:
            found[field] = Broken(error.what, error.remedy or "write the plate again")
    return found


def _image(file: Any, path: str, labels: tuple[str, ...]) -> Image:
    dataset = file.get(path)
    if not hasattr(dataset, "shape"):
        raise FieldError(f"dataset {path} is missing")
    axes = tuple("".join(_texts([dataset.attrs.get("axes", "cyx")])))
    image = Image(path, axes, tuple(dataset.shape), dataset.dtype.name, labels)
    image.check()
    return image


def _texts(values: Any) -> tuple[str, ...]:
    """Return strings, however h5py or another writer stored them."""
    return tuple(v.decode() if isinstance(v, bytes) else str(v) for v in values)
