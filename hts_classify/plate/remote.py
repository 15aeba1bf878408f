"""Plates behind URLs: any file system of fsspec (`s3://`, `https://`, `memory://`, …).

Credentials and endpoints are fsspec's own and never in the URL: `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `FSSPEC_S3_ENDPOINT_URL`, or its configuration files
(https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration).
"""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ..errors import PlateError, UsageError
from .storage import THREADS, Folder, Part, Stat, Storage

__all__ = ["Remote", "open_storage"]

_TRIES: Final = 3
_PAUSE: Final = 0.2  # seconds before trying again, then twice as long
_HEADS: Final = 8  # files of one array that are looked at together
_MANY: Final = 100  # files that are no longer those of one array
_LISTING: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
"""File systems that tell everything below a folder in one answer."""
_TAGS: Final = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "updated", "created")


@dataclass(frozen=True, slots=True)
class Remote:
    """What a URL leads to, by fsspec."""

    url: str

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
        """Read parts of files, many at a time; those that lie close together as one."""
        for part in parts:
            if part.size is not None and part.size > most:
                raise ValueError(f"{part.path} has a part of {part.size} bytes, more than {most}")
        whole = [part if part.size is not None else part._replace(size=most + 1) for part in parts]
        joined = _join(whole)
        for (span, own), content in zip(
            joined, self._get([span for span, _ in joined]), strict=True
        ):
            if isinstance(content, Exception):
                raise content
            for part in own:
                begin = part.start - span.start
                held = memoryview(content)[begin : begin + (part.size or 0)]
                if len(held) > most:
                    raise ValueError(f"{part.path} holds more than {most} bytes")
                yield held

    def stats(self, folder: str, names: Sequence[str]) -> list[Stat | None]:
        """Look at files below a folder: by one listing where the storage lists, else at each."""
        system, root = _system(self.url)
        base = f"{root}/{folder}"
        if _LISTING & _protocols(system):
            listed = _asked(lambda: system.find(base, detail=True))
            return [_stat(listed.get(f"{base}/{name}")) for name in names]

        return self.look([f"{folder}/{name}" for name in names])

    def look(self, paths: Sequence[str]) -> list[Stat | None]:
        """Look at each of these files, wherever they lie; None where there is none."""
        system, root = _system(self.url)

        def one(path: str) -> Stat | None:
            try:
                return _stat(_asked(lambda: system.info(f"{root}/{path}")))
            except FileNotFoundError:
                return None

        if len(paths) < 2:
            return [one(path) for path in paths]
        most = _HEADS if len(paths) < _MANY else THREADS
        with ThreadPoolExecutor(min(len(paths), most)) as threads:
            return list(threads.map(one, paths))

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
                **({"batch_size": THREADS} if system.async_impl else {}),
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
    if "://" not in where:
        return Folder(str(Path(where).absolute()))  # a worker may be in another folder
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


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path inside it."""
    return _made(url, os.getpid())  # its connections do not survive a fork


@lru_cache(maxsize=64)
def _made(url: str, _: int) -> tuple[Any, str]:
    """Make a file system; it keeps no listings, which would hide what has changed."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    system, root = url_to_fs(url, use_listings_cache=False)
    return system, str(root).rstrip("/")


def _protocols(system: Any) -> set[str]:
    protocol = system.protocol
    return {protocol} if isinstance(protocol, str) else set(protocol)


def _join(parts: Sequence[Part]) -> list[tuple[Part, list[Part]]]:
    """Put the parts of a file together that take up half or more of what they span.

    Examples
    --------
    >>> [span for span, _ in _join([Part("a", 0, 4), Part("a", 5, 4), Part("b", -4, 4)])]
    [Part(path='a', start=0, size=9), Part(path='b', start=-4, size=4)]
    """
    joined: list[tuple[Part, list[Part]]] = []
    for path, group in itertools.groupby(parts, key=lambda part: part.path):
        own = list(group)
        begin = min(part.start for part in own)
        span = max(part.start + (part.size or 0) for part in own) - begin
        if begin >= 0 and span <= 2 * sum(part.size or 0 for part in own):
            joined.append((Part(path, begin, span), own))
        else:
            joined += [(part, [part]) for part in own]
    return joined


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


def _asked(call: Callable[[], Any], tries: int = _TRIES) -> Any:
    """Ask, and where there is no answer a few times more."""
    try:
        return call()
    except Exception as error:
        known = _translate(error)
        if tries == 1 or not isinstance(known, (ConnectionError, TimeoutError)):
            raise known from error
    time.sleep(_PAUSE * 2 ** (_TRIES - tries))
    return _asked(call, tries - 1)


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
