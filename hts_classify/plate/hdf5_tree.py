"""Looking through an HDF5 file without leaving the plate's folder.

HDF5 would follow links into any file. Here they are followed one by one, to files in the plate's
folder alone, and what HDF5 raises of damaged metadata becomes a FieldError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import FieldError, PlateError
from .fields import natural
from .hdf5_store import HDF5Store, Part, refuse_elsewhere
from .stored import Broken, Image

__all__ = ["Found", "Tree", "attribute", "texts"]

_HOPS: Final = 16
"""Links to follow before a circle is suspected."""
_MOST_VALUES: Final = 1 << 20
"""Values of an attribute: more are damage."""


@dataclass(frozen=True, slots=True)
class Found:
    """A dataset where it really is, behind all links."""

    dataset: Any
    file: str
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name, without the byte order."""

    def part(self, take: int | None = None) -> Part:
        """Return what the store keeps of it."""
        return Part(self.file, str(self.dataset.name), take)

    def axes(self, usual: str) -> tuple[str, ...]:
        """Return what the dataset's attribute says its axes are."""
        return tuple("".join(texts([attribute(self.dataset, "axes", usual)])))


class Tree:
    """An HDF5 file that is being looked through, and the files in its folder that it links to.

    Attributes
    ----------
    path, where, file : Path and str
        The file, what the user called it, and where it really is.
    parts, labels : dict
        What a store needs to know of the images that were found, as `HDF5Store` says.
    """

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where, self.file = path, where, str(path.resolve())
        self.parts: dict[str, tuple[Part, ...]] = {}
        self.labels: dict[str, dict[str, Image | Broken]] = {}
        self._stack = ExitStack()
        self._files: dict[Path, Any] = {}

    def __enter__(self) -> Tree:
        self.root = self._open(Path(self.file))
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    def get(self, path: str, start: Any = None, *, hops: int = 0) -> Any:
        """Return the group or dataset at a path, `None` where there is none.

        Raises
        ------
        FieldError
            When a link leaves the plate's folder, or leads nowhere.
        """
        import h5py

        node = self.root if start is None else start
        for name in path.split("/"):
            if name in ("", "."):
                continue
            if not isinstance(node, h5py.Group):
                return None
            with _telling(f"{node.name}/{name}"):
                node = self._child(node, name, hops)
        return node

    def names(self, group: Any) -> list[str]:
        """Return what a group holds, numbers by their value; nothing of what is no group."""
        import h5py

        if not isinstance(group, h5py.Group):
            return []
        with _telling(group.name):
            return sorted(group, key=natural)

    def dataset(self, path: str, start: Any = None) -> Found:
        """Return the dataset at a path; FieldError without one, or if its pixels are elsewhere."""
        import h5py

        node = self.get(path, start)
        if not isinstance(node, h5py.Dataset):
            at = path if start is None else f"{start.name}/{path}"
            raise FieldError(f"dataset {at.strip('/')} is missing")
        with _telling(node.name):
            refuse_elsewhere(node)
            file = h5py.h5f.get_name(node.id).decode()
            return Found(node, file, tuple(node.shape or ()), str(node.dtype.name))

    def keep(self, path: str, *parts: Part) -> None:
        """Note which datasets an image is made of, unless its path says so."""
        if parts != (Part(self.file, f"/{path.strip('/')}"),):
            self.parts[path] = parts

    def store(self, format: str) -> HDF5Store:
        """Return the store of what was kept."""
        return HDF5Store(self.file, format, self.parts, self.labels)

    def _child(self, group: Any, name: str, hops: int) -> Any:
        import h5py

        if not group.id.links.exists(name.encode()):
            return None
        if group.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD:
            return group[name]
        at = f"{group.name}/{name}"
        if hops >= _HOPS:
            raise FieldError(f"{at} is a circle of links")
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            start = self._neighbour(link.filename, at)
        else:
            start = group.file if link.path.startswith("/") else group
        found = self.get(link.path, start, hops=hops + 1)
        if found is None:
            raise FieldError(f"{at} is a link to {link.path}, which is not there")
        return found

    def _neighbour(self, name: str, link: str) -> Any:
        folder = Path(self.file).parent
        file = (folder / name).resolve()
        if not file.is_relative_to(folder):
            raise FieldError(
                f"{link} is a link to {name}, outside the plate's folder",
                remedy="copy what it links to into the plate",
            )
        if not file.is_file():
            raise FieldError(f"{link} is a link to {name}, which is missing")
        return self._open(file)

    def _open(self, file: Path) -> Any:
        if file not in self._files:
            self._files[file] = self._stack.enter_context(_opened(file))
        return self._files[file]


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return an attribute, or the default without it; FieldError where it is damaged."""
    with _telling(f"attribute {name} of {node.name}"):
        if name not in node.attrs:
            return default
        shape = node.attrs.get_id(name).shape
        if math.prod(shape) > _MOST_VALUES:  # HDF5 would not come back for hours
            raise FieldError(f"attribute {name} of {node.name} has the shape {shape}")
        return node.attrs[name]


def texts(values: Any) -> tuple[str, ...]:
    """Return one string or several, however h5py or another writer stored them.

    Raises
    ------
    FieldError
        When they are not UTF-8.
    """
    every = np.atleast_1d(np.asarray(values, dtype=object)).ravel()
    try:
        found = tuple(v.decode() if isinstance(v, bytes) else str(v) for v in every)
        "".join(found).encode()  # h5py hands on bytes that are no text
    except UnicodeError as error:
        raise FieldError(f"an attribute is no text ({error})", remedy="copy it again") from None
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file; PlateError says whether it is truncated or still being written."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        what, remedy = _explain(str(error), path)
        raise PlateError(what, where=str(path), remedy=remedy) from error
    with file:
        yield file


def _explain(error: str, path: Path) -> tuple[str, str]:
    """Say in our words why HDF5 does not open a file, and what helps."""
    if "truncated" in error:
        return f"the HDF5 file is truncated: {path.stat().st_size} bytes are left", "copy it again"
    if "lock" in error:
        return (
            "the HDF5 file is open for writing in another program",
            "wait until its writer closes it; on a file system without locks set "
            "HDF5_USE_FILE_LOCKING=FALSE",
        )
    if "already open for" in error:
        return (
            "the HDF5 file is open for writing, or its writer died before closing it",
            "wait for the writer; if there is none, run `h5clear -s` on a copy and check it",
        )
    return f"the HDF5 file does not open ({error})", "copy it again"


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Turn what HDF5 raises of damaged metadata into a FieldError."""
    try:
        yield
    except (FieldError, MemoryError):
        raise
    except Exception as error:  # KeyError, OSError, RuntimeError, … as the damage has it
        raise FieldError(f"{what} cannot be read ({error})", remedy="copy it again") from error
