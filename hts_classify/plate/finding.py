"""From what a user names to plates: one, a folder of them, a pattern, or a list in a file."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import PlateError
from .hdf5 import is_hdf5
from .list_table import plate_names
from .ome_zarr import is_zarr_group

__all__ = ["find_plates"]

_LIST: Final = ".txt"
_IMAGES: Final = ".csv"
_SUFFIXES: Final = (".h5", ".hdf5", ".ch5")


def find_plates(places: Sequence[str | Path]) -> tuple[str, ...]:
    """Return the path or URL of every plate that is meant.

    Parameters
    ----------
    places : sequence of str or Path
        Each a plate, a folder of plates, a pattern (`screen/*.zarr`), a text file (`.txt`) with
        one of these a line, relative to the file, an image list (`.csv`), which may hold several
        plates, or a URL, which is taken as it is.

    Returns
    -------
    tuple of str
        Plates in the order given, those of a folder or pattern by name; each once.

    Raises
    ------
    PlateError
        When something does not exist, or holds no plate.

    Examples
    --------
    >>> find_plates(["s3://screens/BR1.zarr", "s3://screens/BR2.zarr"])
    ('s3://screens/BR1.zarr', 's3://screens/BR2.zarr')
    >>> find_plates(["no/such/*.zarr"])
    Traceback (most recent call last):
      ...
    hts_classify.errors.PlateError: no/such/*.zarr: no file or folder matches; check the path
    """
    return tuple(dict.fromkeys(plate for where in places for plate in _expand(str(where))))


def _expand(where: str, inside: tuple[Path, ...] = ()) -> Iterator[str]:
    if "://" in where:
        yield where
        return
    path = Path(where)
    if not path.exists() and any(mark in where for mark in "*?["):
        yield from _matching(where)
    elif path.suffix.lower() == _LIST and path.is_file():
        yield from _listed(path, inside)
    elif path.suffix.lower() == _IMAGES and path.is_file() and len(names := plate_names(path)) > 1:
        yield from (f"{where}#{name}" for name in names)
    elif path.is_dir() and not is_zarr_group(path) and (within := _inside(path)):
        yield from within
    else:
        yield where  # a plate; opening it says what is wrong if it is none


def _matching(pattern: str) -> Iterator[str]:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (may be absolute)
    if not found:
        raise PlateError("no file or folder matches", where=pattern, remedy="check the path")
    plates = [path for path in found if _is_plate(Path(path))]
    if not plates:
        raise PlateError(
            f"matches {len(found)} paths and no plate", where=pattern, remedy="check the pattern"
        )
    yield from plates


def _listed(file: Path, inside: tuple[Path, ...]) -> Iterator[str]:
    if file.resolve() in inside:
        raise PlateError("lists itself", where=str(file), remedy="list plates")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise PlateError(
            f"cannot be read ({error})", where=str(file), remedy="write one path a line, UTF-8"
        ) from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise PlateError("lists no plate", where=str(file), remedy="write one path a line")
    for name in names:
        full = name if "://" in name else str(file.parent / name)
        yield from _expand(full, (*inside, file.resolve()))


def _inside(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.iterdir()) if _is_plate(path)]


def _is_plate(path: Path) -> bool:
    """Tell by the look of it; a run's folders and plate maps lie beside plates."""
    if path.is_dir():
        return is_zarr_group(path)
    return path.suffix.lower() in _SUFFIXES and is_hdf5(path)
