"""Where a plate's bytes are: a folder here, what a URL leads to in `remote`.

A folder is read by the calls of the operating system alone: a plate has tens of thousands of
files, and a `Path` takes three times as long for each.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple, Protocol, TypeVar

__all__ = ["THREADS", "Folder", "Part", "Stat", "Storage", "spread"]

THREADS: Final = 32
"""Questions that are put to a network at a time."""
_TRIED: Final = 8  # items after which it is known how long an answer takes
_SLOW: Final = 2e-4  # seconds that even the fastest answer takes where threads pay
_KEPT: Final = 1 << 26  # bytes of the largest buffer that a thread keeps
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without waiting: nobody may ever write to a pipe that lies where a file should."""
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

    def read_each(self, paths: Sequence[str], *, most: int) -> list[bytes | Exception]:
        """Read many small files, by threads where the file system is a slow one."""

        def one(path: str) -> bytes | Exception:
            try:
                return self._read(path, most)
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
                status = os.stat(base + name)  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                found.append(None)
                continue
            regular = stat.S_ISREG(status.st_mode)
            found.append(Stat(status.st_size, str(status.st_mtime_ns)) if regular else None)
        return found

    def _read(self, path: str, most: int) -> bytes:
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
    with ThreadPoolExecutor(THREADS) as threads:
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
