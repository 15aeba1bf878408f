"""Plates as OME-Zarr: OME-NGFF 0.4 (zarr v2) and 0.5 (zarr v3), from any writer.

The small JSON files are read directly: opening thousands of groups through zarr takes a
hundred times as long. zarr itself decodes the pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, HTSWarning, PlateError
from .layout import Field, Missing
from .ome import VERSIONS, Well, read_head, read_images, read_multiscale
from .stored import Broken, Gap, Image, StoredPlate, make_plate, sample
from .zarr_chunks import absent_inner, read_grid

__all__ = ["ZarrStore", "is_zarr_group", "open_ome_zarr", "store_stem"]

_READERS: Final = 8  # threads that read metadata: little on a local disk, much on a network one
_SUFFIXES: Final = (".zarr", ".ome", ".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class ZarrStore:
    """Arrays in a folder."""

    root: str
    zarr_format: int

    @property
    def format(self) -> str:
        """`OME-Zarr 0.4` or `OME-Zarr 0.5`."""
        return f"OME-Zarr {VERSIONS[self.zarr_format]}"

    def listing(self) -> dict[str, int]:
        """Sizes of all files, by path inside the store."""
        root = Path(self.root)
        return {
            (Path(folder) / name).relative_to(root).as_posix(): (Path(folder) / name).stat().st_size
            for folder, _, names in os.walk(root)
            for name in names
        }

    def gaps(self, image: Image, has: Callable[[str], bool] | None = None) -> Sequence[Gap]:
        """Find missing chunks, and shards that leave chunks out."""
        root = Path(self.root)
        grid = read_grid(self._array(image.path))
        found = []
        for key, start in grid.files():
            chunk = f"{image.path}/{key}"
            if not (has(chunk) if has else (root / chunk).is_file()):
                found.append(Gap(chunk, start, grid.chunks))
            elif grid.shard is not None:
                found += [
                    Gap(f"{chunk} at {inner}", inner, grid.shard.chunks)
                    for inner in absent_inner(root / chunk, grid, start)
                ]
        return found

    def stamp(self, image: Image) -> str:
        """Hash the array's metadata and a sample of each of its files."""
        metadata = self._array(image.path)
        content = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
        for key, _ in read_grid(metadata).files():
            content.update(_sample(Path(self.root, image.path, key)))
        return content.hexdigest()[:16]

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of an array with zarr."""
        import zarr
        from zarr.storage import LocalStore

        array = zarr.open_array(
            LocalStore(Path(self.root) / image.path, read_only=True),
            mode="r",
            zarr_format=3 if self.zarr_format == 3 else 2,
        )
        return np.asarray(array[index])

    def attributes(self, path: str = "") -> dict[str, Any]:
        """Read a group's OME metadata; FieldError where there are none."""
        folder = Path(self.root, path)
        if self.zarr_format == 2:
            return _load(folder / ".zattrs")
        attributes = _load(folder / "zarr.json").get("attributes")
        ome = attributes.get("ome") if isinstance(attributes, dict) else None
        return ome if isinstance(ome, dict) else {}

    def image(self, path: str) -> Image:
        """Read what the metadata say of one field."""
        scale = read_multiscale(self.attributes(path))
        level = f"{path}/{scale.level}"
        metadata = self._array(level)
        try:
            lengths = tuple(int(n) for n in metadata["shape"])
            dtype = metadata["dtype" if self.zarr_format == 2 else "data_type"]
        except (KeyError, TypeError, ValueError):
            raise FieldError(f"{level} is described by no array's metadata") from None
        image = Image(level, scale.axes, lengths, _dtype_name(dtype), scale.labels)
        image.check()
        return image

    def _array(self, path: str) -> dict[str, Any]:
        name = ".zarray" if self.zarr_format == 2 else "zarr.json"
        return _load(Path(self.root, path, name))


def is_zarr_group(path: Path) -> bool:
    """Tell whether a folder holds a zarr group or array, of any version."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def open_ome_zarr(path: Path, *, channels: Sequence[str] | None = None) -> StoredPlate:
    """Open an OME-Zarr plate in a folder; see `hts_classify.plate.open_plate`."""
    where = str(path)
    store = ZarrStore(where, 3 if (path / "zarr.json").is_file() else 2)
    try:
        attributes = store.attributes()
    except FieldError as error:
        raise PlateError(error.what, where=where, remedy="give the path of a plate") from error
    head = read_head(attributes, zarr_format=store.zarr_format, where=where, name=store_stem(path))
    _validate(attributes, store.zarr_format, where)
    images: dict[Field, Image | Broken] = {}
    missing = []
    with ThreadPoolExecutor(_READERS) as readers:
        for found in readers.map(lambda well: _open_well(store, well), head.wells):
            if isinstance(found, Missing):
                missing.append(found)
            else:
                images |= found
    return make_plate(
        where, head=head, store=store, images=images, missing=tuple(missing), channels=channels
    )


def store_stem(path: Path) -> str:
    """Return a store's name without the suffixes of its format.

    Examples
    --------
    >>> store_stem(Path("screens/BR00117.ome.zarr")), store_stem(Path("v1.2.h5"))
    ('BR00117', 'v1.2')
    """
    stem = path.absolute().name
    while (suffix := Path(stem).suffix.lower()) in _SUFFIXES:
        stem = stem[: -len(suffix)]
    return stem


def _open_well(store: ZarrStore, well: Well) -> dict[Field, Image | Broken] | Missing:
    try:
        paths = read_images(store.attributes(well.path))
    except FieldError as error:
        return Missing(well.name, None, error.what)
    found: dict[Field, Image | Broken] = {}
    for site, name in enumerate(paths, start=1):
        field = Field(well.name, site, f"{well.path}/{name}")
        try:
            found[field] = store.image(field.path)
        except FieldError as error:
            found[field] = Broken(error.what, error.remedy or "copy the plate again")
    return found


def _sample(path: Path) -> bytes:
    """Return what stands for a file in a stamp; nothing where there is none."""
    try:
        with path.open("rb") as file:
            return sample(file, 0, os.fstat(file.fileno()).st_size)
    except OSError:
        return b""


def _load(path: Path) -> dict[str, Any]:
    shown = "/".join(path.parts[-4:])
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FieldError(f"{shown} is missing") from None
    except (OSError, ValueError) as error:
        raise FieldError(f"{shown} is no readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise FieldError(f"{shown} is no JSON object")
    return content


def _dtype_name(dtype: Any) -> str:
    try:
        return str(np.dtype(dtype).name)
    except (TypeError, ValueError, SyntaxError):  # NumPy parses what it is given
        return str(dtype)


def _validate(attributes: Mapping[str, Any], zarr_format: int, where: str) -> None:
    """Say where a writer leaves the specification; what could be read is used all the same."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    model = v05.Plate if zarr_format == 3 else v04.Plate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # yaozarrs warns of each SHOULD
            model.model_validate(dict(attributes))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        warnings.warn(
            f"{where}: not valid OME-NGFF {VERSIONS[zarr_format]} ({place}: {first['msg']});"
            " what is needed could be read",
            HTSWarning,
            stacklevel=4,
        )
