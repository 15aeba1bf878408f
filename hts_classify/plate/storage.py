"""Where a plate's bytes are: in a folder, or behind a URL.

`Folder` uses the calls of the operating system alone. `Remote` is any file system of fsspec
(`s3://`, `https://`, `memory://`, …), whose credentials and endpoints are fsspec's own and never
in the URL: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `FSSPEC_S3_ENDPOINT_URL`, or its
configuration files (https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration).
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Final, NamedTuple, Protocol, TypeVar

from ..errors import PlateError, UsageError

__all__ = ["Folder", "Part", "Remote", "Stat", "Storage", "open_storage", "spread"]

_THREADS: Final = 32
_TRIED: Final = 8  # items after which it is known how long an answer takes
_SLOW: Final = 2e-4  # seconds that even the fastest answer takes where threads pay
_TRIES: Final = 3
_PAUSE: Final = 0.2  # seconds before trying again, then twice as long
_KEPT: Final = 1 << 26  # bytes of the largest buffer that a thread keeps
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without waiting: nobody may ever write to a pipe that lies where a file should."""
_LISTING: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
"""File systems that tell everything below a folder in one answer."""
_TAGS: Final = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "updated", "created")
_T = TypeVar("_T")
_R = TypeVar("_R")


class Part(NamedTuple):
    """Some bytes of a file."""

    path: str
    start: int = 0
    """Counted from the end where it is negative."""
    size: int | None = None
    """As many as there are where it is None."""


class Stat(NamedTuple):
    """What is known of a file without reading it."""

    size: int
    tag: str
    """What changes when the file does: its time of change, or its ETag."""


class Storage(Protocol):
    """Files below one root. Picklable, safe in many threads.

    What may be over in a moment is raised as ConnectionError or TimeoutError.
    """

    def read(self, path: str, *, most: int) -> bytes:
        """Read a whole file; ValueError when it is larger than `most` bytes."""
        ...

    def read_each(self, paths: Sequence[str], *, most: int) -> list[bytes | Exception]:
        """Read many small files together; what goes wrong with one stands in its place."""
        ...

    def fetch(self, parts: Sequence[Part], *, most: int) -> Iterator[memoryview]:
        """Read parts of files in this order; each is good until the next one is asked for.

        A part is shorter where its file is. ValueError when one is larger than `most` bytes.
        """
        ...

    def stats(self, folder: str, names: Sequence[str]) -> list[Stat | None]:
        """Look at files below a folder; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine's file system."""

    root: str

    def read(self, path: str, *, most: int) -> bytes:
        """Read a whole file."""
        file = os.open(f"{self.root}/{path}", _FLAGS)
        try:
            size = _size(file)
            if size > most:
                raise ValueError(f"holds {size} bytes, more than {most}")
            content = os.read(file, size)
            while len(content) < size and (more := os.read(file, size - len(content))):
                content += more
            return content
        finally:
            os.close(file)

    def read_each(self, paths: Sequence[str], *, most: int) -> list[bytes | Exception]:
        """Read many small files, by threads where the file system is a slow one."""

        def one(path: str) -> bytes | Exception:
            try:
                return self.read(path, most=most)
            except (OSError, ValueError) as error:
                return error

        return spread(one, paths)

    def fetch(self, parts: Sequence[Part], *, most: int) -> Iterator[memoryview]:
        """Read parts of files one after the other, all into one buffer of this thread."""
        for path, start, size in parts:
            with _open(f"{self.root}/{path}") as file:
                held = _size(file.fileno())
                begin = max(held + start, 0) if start < 0 else min(start, held)
                wanted = held - begin if size is None else min(size, held - begin)
                if wanted > most:
                    raise ValueError(f"{path} holds {wanted} bytes, more than {most}")
                if begin:
                    file.seek(begin)
                buffer = _buffer(wanted)
                done = 0
                while done < wanted:
                    count = file.readinto(buffer[done:])  # type: ignore[attr-defined]
                    if not count:
                        break
                    done += count
            yield buffer[:done]

    def stats(self, folder: str, names: Sequence[str]) -> list[Stat | None]:
        """Look at files below a folder."""
        base = f"{self.root}/{folder}/"
        found: list[Stat | None] = []
        for name in names:
            try:
                status = os.stat(base + name)  # noqa: PTH116  a Path takes three times as long
            except (FileNotFoundError, NotADirectoryError):
                found.append(None)
                continue
            regular = stat.S_ISREG(status.st_mode)
            found.append(Stat(status.st_size, str(status.st_mtime_ns)) if regular else None)
        return found


@dataclass(frozen=True, slots=True)
class Remote:
    """What a URL leads to, by fsspec."""

    url: str

    def read(self, path: str, *, most: int) -> bytes:
        """Read a whole file."""
        content = self.read_each([path], most=most)[0]
        if isinstance(content, Exception):
            raise content
        return content

    def read_each(self, paths: Sequence[str], *, most: int) -> list[bytes | Exception]:
        """Read many small files at a time; those that get no answer are asked for again."""
        parts = [Part(path, 0, most + 1) for path in paths]
        return [
            ValueError(f"holds more than {most} bytes")
            if isinstance(content, bytes) and len(content) > most
            else content
            for content in self._get(parts)
        ]

    def fetch(self, parts: Sequence[Part], *, most: int) -> Iterator[memoryview]:
        """Read parts of files, many at a time."""
        bounded = [
            part if part.size is not None else part._replace(size=most + 1) for part in parts
        ]
        for part, content in zip(parts, self._get(bounded), strict=True):
            if isinstance(content, Exception):
                raise content
            if len(content) > most:
                raise ValueError(f"{part.path} holds more than {most} bytes")
            yield memoryview(content)

    def stats(self, folder: str, names: Sequence[str]) -> list[Stat | None]:
        """Look at files below a folder: by one listing where the storage lists, else at each."""
        system, root = _system(self.url)
        base = f"{root}/{folder}"
        if _LISTING & _protocols(system):
            listed = _asked(lambda: system.find(base, detail=True))
            return [_stat(listed.get(f"{base}/{name}")) for name in names]

        def one(name: str) -> Stat | None:
            try:
                return _stat(_asked(lambda: system.info(f"{base}/{name}")))
            except FileNotFoundError:
                return None

        return spread(one, names)

    def _get(self, parts: Sequence[Part]) -> list[bytes | Exception]:
        """Ask for parts together, and for those without an answer a few times."""
        system, root = _system(self.url)
        found: list[bytes | Exception] = [FileNotFoundError(part.path) for part in parts]
        left = list(range(len(parts)))
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            asked = [parts[index] for index in left]
            got = system.cat_ranges(
                [f"{root}/{part.path}" for part in asked],
                [part.start for part in asked],
                [_end(part) for part in asked],
                on_error="return",
                **({"batch_size": _THREADS} if system.async_impl else {}),
            )
            for index, part, content in zip(left, asked, got, strict=True):
                found[index] = _cut(part, content)
            left = [i for i in left if isinstance(found[i], (ConnectionError, TimeoutError))]
            if not left:
                break
        return found


def open_storage(where: str) -> Storage:
    """Return what reads the files below a path or URL.

    Raises
    ------
    UsageError
        When no installed package reads such a URL.
    """
    if "://" not in where and "::" not in where:
        return Folder(where)
    try:
        system, root = _system(where)
    except ImportError as error:
        raise UsageError(
            f"needs another package ({error})",
            where=where,
            remedy="pip install 'hts_classify[s3]' or 'hts_classify[http]'",
        ) from error
    except Exception as error:  # fsspec's own, and those of each of its file systems
        raise PlateError(
            f"is no URL that opens ({error})", where=where, remedy="check it"
        ) from error
    return Folder(root) if "file" in _protocols(system) else Remote(where)


def spread(call: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Call for each item, by threads where an answer takes long: where a network is asked.

    Examples
    --------
    >>> spread(str.upper, ["a1", "b2"])
    ['A1', 'B2']
    """
    items = list(items)
    done, fastest = [], _SLOW
    for item in items[:_TRIED]:
        begin = time.perf_counter()
        done.append(call(item))
        fastest = min(fastest, time.perf_counter() - begin)
    rest = items[_TRIED:]
    if not rest or fastest < _SLOW:
        return done + [call(item) for item in rest]
    with ThreadPoolExecutor(_THREADS) as threads:
        return done + list(threads.map(call, rest))


_LOCAL = threading.local()


def _buffer(size: int) -> memoryview:
    """Return memory to read into, the same for every read of a thread unless it is large.

    New memory is given by the system page by page, which takes longer than reading into it.
    """
    held: bytearray | None = getattr(_LOCAL, "buffer", None)
    if held is None or len(held) < size:
        held = bytearray(size)
        if size <= _KEPT:
            _LOCAL.buffer = held
    return memoryview(held)[:size]


def _open(path: str) -> BinaryIO:
    return open(path, "rb", buffering=0, opener=lambda path, _: os.open(path, _FLAGS))


def _size(file: int) -> int:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("is no regular file")
    return status.st_size


@lru_cache(maxsize=64)
def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path inside it; listings are never kept."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    system, root = url_to_fs(url, use_listings_cache=False)
    return system, str(root).rstrip("/")


def _protocols(system: Any) -> set[str]:
    protocol = system.protocol
    return {protocol} if isinstance(protocol, str) else set(protocol)


def _end(part: Part) -> int | None:
    """Return where a part ends, as fsspec counts; None is the end of the file."""
    if part.size is None or part.start < 0:
        return None
    return part.start + part.size


def _cut(part: Part, content: Any) -> bytes | Exception:
    """Take a part out of the whole file, which servers send that know no ranges."""
    if isinstance(content, BaseException):
        return _translate(content)
    got = bytes(content)
    whole = part.size is not None and len(got) > part.size
    return got[part.start :][: part.size] if whole else got


def _stat(info: Any) -> Stat | None:
    if not info or info.get("type") == "directory":
        return None
    tags = (str(info[name]) for name in _TAGS if info.get(name))
    return Stat(int(info.get("size") or 0), " ".join(tags))


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise _translate(error) from error


def _translate(error: BaseException) -> Exception:
    """Make what any network library raises one of Python's own errors."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and type(cause).__module__.startswith("aiohttp"):
        error = cause or error  # fsspec calls absent whatever a web server does not answer with
    if isinstance(error, (FileNotFoundError, PermissionError, ConnectionError, TimeoutError)):
        return error
    if not isinstance(error, Exception):
        raise error
    status = getattr(error, "status", None)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if status == 416 or getattr(error, "errno", None) == errno.EINVAL:  # a range of an empty file
        return ValueError(text)
    if status in (404, 410):
        return FileNotFoundError(text)
    if status in (401, 403):
        return PermissionError(text)
    return ConnectionError(text)
