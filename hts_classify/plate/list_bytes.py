"""Bytes of the files of an image list, on this machine or behind URLs.

A header takes the first few kilobytes of a file, and where its pages are described at its end some
there; nothing else of it is fetched. URLs go by fsspec, as those of OME-Zarr plates do (`remote`).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..errors import FieldError, PlateError, UsageError
from .list_places import is_url
from .remote import Remote, open_storage
from .storage import Part, Stat

__all__ = ["check_storages", "look_at", "opened", "read_files", "root_of"]

_MOST: Final = 1 << 30
"""Bytes of the largest file that is read from a network: a field of view is far smaller."""
_BLOCK: Final = 1 << 13
"""Bytes that are fetched of a header at a time."""
_HEADER: Final = 1 << 26
"""Where such a file is taken to end. Pillow asks, so as to believe no tag that is longer; to ask
the server would take as long as all the rest."""


def check_storages(files: Mapping[str, str]) -> None:
    """Refuse URLs that no installed package reads.

    Parameters
    ----------
    files : mapping
        Paths and URLs, and where each is named first.

    Raises
    ------
    UsageError, PlateError
        Naming the place and the package to install.
    """
    first: dict[str, str] = {}
    for file in filter(is_url, files):
        first.setdefault(root_of(file), file)
    for root, file in first.items():
        try:
            open_storage(root)
        except (UsageError, PlateError) as error:
            raise type(error)(
                f"{file} {error.what}", where=files[file], remedy=error.remedy
            ) from error


def look_at(files: Iterable[str]) -> dict[str, Stat | None]:
    """Return each file's size and what changes with it; None where there is none.

    Raises
    ------
    FieldError
        When one may not be looked at.
    OSError
        When a storage does not answer.
    """
    found: dict[str, Stat | None] = {}
    for root, paths in _by_root(files).items():
        try:
            looks = Remote(root).look(list(paths.values())) if root else map(_stat, paths)
            found |= zip(paths, looks, strict=True)
        except PermissionError as error:
            raise _forbidden(root or next(iter(paths)), error) from error
    return found


def read_files(files: Iterable[str]) -> dict[str, bytes | Exception]:
    """Read those files that are behind URLs, many at a time; an error stands in a file's place."""
    found: dict[str, bytes | Exception] = {}
    for root, paths in _by_root(files).items():
        if root:
            contents = Remote(root).read_each(list(paths.values()), most=_MOST)
            found |= zip(paths, contents, strict=True)
    for file, content in found.items():
        if isinstance(content, PermissionError):
            found[file] = _forbidden(file, content)
    return found


def opened(file: str) -> Any:
    """Return what Pillow opens: a path, or something to read a URL with, part by part."""
    return io.BufferedReader(_Ahead(*_split(file)), _BLOCK) if is_url(file) else file


def root_of(url: str) -> str:
    """Return the server or bucket of a URL.

    Examples
    --------
    >>> root_of("s3://screens/BR1/x.tif")
    's3://screens'
    """
    return _split(url)[0]


class _Ahead(io.RawIOBase):
    """A file behind a URL, of which what is asked for is fetched, and little more."""

    def __init__(self, root: str, path: str) -> None:
        super().__init__()
        self._file, self._path, self._at = Remote(root), path, 0
        self._spans: list[tuple[int, bytes]] = []
        self._end: int | None = None

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere."""
        self._at = offset + {io.SEEK_CUR: self._at, io.SEEK_END: _HEADER}.get(whence, 0)
        return self._at

    def tell(self) -> int:
        """Say where it is."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read on, at the most as many bytes as there is room for."""
        view = memoryview(buffer)
        content = self._held(len(view))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _held(self, size: int) -> bytes:
        """Return some of the bytes from here on; fetch them where they were not before."""
        for start, content in self._spans:
            if start <= self._at < start + len(content):
                begin = self._at - start
                return content[begin : begin + size]
        if size == 0 or (self._end is not None and self._at >= self._end):
            return b""
        asked = max(size, _BLOCK)
        parts = self._file.fetch([Part(self._path, self._at, asked)], most=_MOST)
        try:
            content = bytes(next(parts))
        except ValueError:  # a range beyond the end
            content = b""
        if len(content) < asked:
            self._end = self._at + len(content)
        self._spans.append((self._at, content))
        return content[:size]


def _stat(file: str) -> Stat | None:
    try:
        status = os.stat(file)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    regular = stat.S_ISREG(status.st_mode)
    return Stat(status.st_size, str(status.st_mtime_ns)) if regular else None


def _by_root(files: Iterable[str]) -> dict[str, dict[str, str]]:
    """Put files together that one storage holds, each with its path there; local ones by ``."""
    found: dict[str, dict[str, str]] = {}
    for file in dict.fromkeys(files):
        root, path = _split(file) if is_url(file) else ("", file)
        found.setdefault(root, {})[file] = path
    return found


def _split(url: str) -> tuple[str, str]:
    """Take a URL apart into its server or bucket, and the rest."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", path


def _forbidden(where: str, error: Exception) -> FieldError:
    return FieldError(
        f"{where} may not be read ({error})", remedy="check its permissions and your credentials"
    )
