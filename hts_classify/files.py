"""Files that are whole or absent, and folders that hold one run only.

Every file of a run is written under a temporary name beside its own and renamed, so that a
run killed at any instant leaves nothing half-written behind. On an object store it is sent in
one piece, which comes to the same. Its credentials are fsspec's (`AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL`, …).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any, Final

from .errors import DataError, UsageError

__all__ = [
    "PARTS",
    "absolute",
    "again",
    "claim",
    "difference",
    "digest",
    "place",
    "read_json",
    "sweep",
    "whole",
    "write_json",
]

PARTS: Final = "parts"
"""Folder in a run directory where parts of a pass are, each in a run directory of its own."""

_LEFT: Final = re.compile(r"\..+\.\d+-\d+\.part|\.stop-[0-9a-f]{32}")
"""Names of files that `whole` was writing to, and of the one by which a pass stops its workers."""


def place(where: str | Path) -> Path:
    """Return a local path, or for a URL what has a path's methods (`upath.UPath`).

    Examples
    --------
    >>> place("screen/out").parts, type(place("memory://out")).__name__
    (('screen', 'out'), 'MemoryPath')
    """
    if isinstance(where, str) and "://" in where:
        from upath import UPath

        try:
            return UPath(where)  # type: ignore[return-value]
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"no such kind of storage ({error})", where=where, remedy="use a path, or s3://…"
            ) from None
    return Path(where) if isinstance(where, str) else where


def absolute(where: str) -> str:
    """Return a path that means the same from every folder; a URL does already.

    Examples
    --------
    >>> absolute("s3://screens/BR1.zarr")
    's3://screens/BR1.zarr'
    """
    return where if "://" in where else str(Path(where).resolve())


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to `path` when the block ends well.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "calls.csv"
    >>> with whole(path) as part:
    ...     _ = part.write_text("B03,nuclear")
    >>> path.read_text(), part.exists()
    ('B03,nuclear', False)
    """
    if not isinstance(path, Path):  # on an object store: one PUT
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder, path.name)
            yield part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.read_bytes())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two workers may write one file at a time, the second because the first seemed to be lost.
    part = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a run that was killed left in a folder and those inside it: half-written files.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in (".calls.csv.81-140627859031744.part", ".mine.part", "calls.csv"):
    ...     (folder / name).touch()
    >>> sweep(folder)
    >>> sorted(path.name for path in folder.iterdir())
    ['.mine.part', 'calls.csv']
    """
    if isinstance(folder, Path):
        for inside, folders, names in os.walk(folder):  # a million tiles: pathlib would take long
            if Path(inside) == folder and PARTS in folders:
                folders.remove(PARTS)  # others may be at work on them
            for name in filter(_LEFT.fullmatch, names):
                Path(inside, name).unlink(missing_ok=True)


def again(source: Path, target: Path) -> None:
    """Give a file that nobody writes to a second name, or copy it where that cannot be.

    Every file here is replaced whole, never written into, so that two names of one file do not
    meddle with each other.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a").write_text("B03")
    >>> again(folder / "a", folder / "more" / "b")
    >>> (folder / "more" / "b").read_text()
    'B03'
    """
    with whole(target) as part:
        try:
            os.link(source, part)
        except (OSError, TypeError, AttributeError):  # another disk, or an object store
            with source.open("rb") as held, part.open("wb") as copy:
                shutil.copyfileobj(held, copy)


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, one key a line, whole or not at all."""
    with whole(path) as part:
        part.write_text(
            json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """Read JSON that this package wrote.

    Raises
    ------
    DataError
        When the file is absent or damaged; it names the path.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=str(path)) from None
    except (ValueError, OSError) as error:
        raise DataError(
            f"cannot be read ({error})",
            where=str(path),
            remedy="delete the folder that it is in, and run again",
        ) from None


def digest(*parts: Any) -> str:
    """Return a short hash of what a result was made from: paths by content, the rest by JSON.

    Examples
    --------
    >>> digest({"seed": 0}) == digest({"seed": 0}), digest({"seed": 0}) == digest({"seed": 1})
    (True, False)
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                sha.update(hashlib.file_digest(file, "sha256").digest())
        else:
            sha.update(json.dumps(part, sort_keys=True).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:16]


def claim(path: Path, settings: Mapping[str, Any], *, beside: Container[str] = ()) -> None:
    """Write down what a folder is for, or check that it is for the same thing.

    Parameters
    ----------
    path : Path
        The JSON file that holds the settings; written when the folder is new or empty.
    settings : mapping
        JSON types only.
    beside : container of str, optional
        Names that the folder may hold already.

    Raises
    ------
    UsageError
        When the folder is none, holds something else, or a run with other settings; it names
        the first that differs.
    """
    folder, remedy = path.parent, "name another folder with -o"
    if folder.exists() and not folder.is_dir():
        raise UsageError("is not a folder", where=str(folder), remedy=remedy)
    if not path.exists():
        if folder.is_dir() and any(
            not held.name.startswith(".") and held.name not in beside for held in folder.iterdir()
        ):
            raise UsageError(
                f"is not empty, and no {path.name} says what it holds",
                where=str(folder),
                remedy=remedy,
            )
        write_json(path, settings)
        return
    if differs := difference(read_json(path), settings):
        raise UsageError(
            f"holds another run: {differs}",
            where=str(folder),
            remedy=f"{remedy}, or delete this one",
        )


def difference(held: Any, wanted: Any) -> str:
    """Say what the first setting is by which two descriptions differ; nothing where none does.

    Examples
    --------
    >>> difference({"seed": 0, "cnn": {"epochs": 3}}, {"seed": 0, "cnn": {"epochs": 4}})
    'cnn.epochs was 3 and is now 4'
    """
    was, is_now = _leaves(held), _leaves(json.loads(json.dumps(wanted)))
    for key in sorted({*is_now, *was}):
        if was.get(key) != is_now.get(key):
            return f"{key} was {was.get(key)!r} and is now {is_now.get(key)!r}"
    return ""


def _leaves(content: Any, name: str = "") -> dict[str, Any]:
    """Flatten nested settings into `settings.seed`-like keys."""
    if not isinstance(content, dict):
        return {name: content}
    dot = f"{name}." if name else ""
    return {
        key: value
        for part, inner in content.items()
        for key, value in _leaves(inner, f"{dot}{part}").items()
    }
