"""Plates from any store into one that is read fast and carries checksums.

    Plate ─► images (a field at all its times) ─► Writer ─► <name>.part ─► the new plate

Everything goes into a folder beside the new plate, which is renamed when it is whole. An
interrupted conversion leaves that folder, and the same conversion goes on with it.
"""

from __future__ import annotations

import csv
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from .errors import DataError, FieldError, PlateError, UsageError
from .files import digest, read_json, whole, write_json
from .plate import Field, Plate
from .plate.patience import patiently
from .progress import Progress
from .vocabulary import PLATE, SITE, WELL, split_well
from .writers import Format, Outline, Writer, open_writer

__all__ = ["Conversion", "Failure", "convert"]

_COLUMNS: Final = (PLATE, WELL, SITE, "Channel", "Reason")

Image = tuple[Field, ...]
"""One field of view at each of its time points."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not on the new plate."""

    well: str
    site: int | None
    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a plate."""

    path: Path
    images: int
    """Images on the new plate; one holds all time points of its field."""
    failures: tuple[Failure, ...]
    """What is left out: missing wells first, then fields and label images in plate order."""
    table: Path
    """`<path>.failures.csv`, which is there where something is left out."""


def convert(
    source: Plate,
    path: str | Path,
    *,
    format: Format = "ome-zarr-0.5",
    levels: int | None = None,
    shards: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Write a plate anew: the pixels and label images that it shows.

    Parameters
    ----------
    source : Plate
        Its view says which acquisition, level, planes, time points and channels.
    path : str or Path
        The store to make, which may not exist. While the work goes on there is `<path>.part`.
    format, levels, shards
        As `hts_classify.writers.open_writer` takes them.
    progress : Progress, optional
        Told how the work goes on.

    Returns
    -------
    Conversion
        What could not be read is left out and listed. Sites are numbered anew, from 1: those
        after a field that is left out move up a place; the images keep their numbers as names.

    Raises
    ------
    UsageError
        When the path exists, or the format cannot do what is asked.
    PlateError
        When no field can be read.

    Examples
    --------
    >>> import tempfile
    >>> from hts_classify.plate import open_plate
    >>> from hts_classify.synthetic import Recipe, write_plate
    >>> folder, recipe = Path(tempfile.mkdtemp()), Recipe(setting="texture", shape=(64, 64))
    >>> plate = open_plate(write_plate(folder / "a.h5", recipe, format="hdf5"))
    >>> made = convert(plate, folder / "b.zarr")
    >>> made.images, made.failures, open_plate(made.path).info().format
    (36, (), 'OME-Zarr 0.5')
    """
    path = _target(path)
    work = path.with_name(f"{path.name}.part")
    new = work / "plate"
    writer = open_writer(new, _outline(source), format=format, levels=levels, shards=shards)
    images = [tuple(own) for _, own in groupby(source.fields, lambda f: (f.well, f.site))]
    _claim(work, _identity(source, images, [format, levels, shards]), resume=writer.resumes)
    try:
        with writer:
            failures = [Failure(m.well, m.site, "", m.reason) for m in source.missing]
            failures += _write(writer, source, images, progress or Progress())
            kept = [image[0] for image in images if writer.has(image[0])]
            if not kept:
                raise PlateError(
                    f"none of its fields can be read, the first because {failures[0].reason}",
                    where=source.path,
                    remedy="hts-classify info --check says more",
                )
            writer.finish(kept)
        new.rename(path)
    except BaseException as error:
        if isinstance(error, PlateError) or not writer.resumes:
            shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work)
    table = path.with_name(f"{path.name}.failures.csv")
    _write_failures(table, source.name, failures)
    return Conversion(path, len(kept), tuple(failures), table)


def _target(path: str | Path) -> Path:
    """Refuse a place that is taken or far away."""
    if "://" in str(path):
        raise UsageError("a URL", where=str(path), remedy="convert to a local path, and copy that")
    path = Path(path)
    if path.exists():
        raise UsageError("exists already", where=str(path), remedy="remove it, or give a new name")
    return path


def _outline(source: Plate) -> Outline:
    """Describe the new plate: the grid that the source lists, and the wells that it has."""
    info = source.info(check=False)
    seen = [split_well(well) for well in source.wells]
    rows = {row for row, _ in seen} | {row for row, _ in _parsed(f"{row}1" for row in info.rows)}
    columns = {column for _, column in seen}
    columns |= {column for _, column in _parsed(f"A{column}" for column in info.columns)}
    return Outline(
        name=source.name,
        rows=tuple(sorted(rows, key=lambda row: (len(row), row))),
        columns=tuple(map(str, sorted(columns))),
        channels=source.channels,
        pixel_size=info.pixel_size,
        acquisition=source.view.acquisition,
    )


def _parsed(wells: Iterator[str]) -> Iterator[tuple[str, int]]:
    """Take wells apart; names of rows and columns that make none are nobody's."""
    for well in wells:
        try:
            yield split_well(well)
        except DataError:
            continue


def _identity(source: Plate, images: Sequence[Image], settings: list[Any]) -> dict[str, Any]:
    """Return what a conversion that goes on must have begun with."""
    stamps = [source.stamp(image[0]) for image in images]
    shown = [source.name, source.channels, asdict(source.view), len(source.fields)]
    return {
        "source": digest(shown, stamps),
        "settings": settings,
        "hts_classify": version("hts_classify"),
    }


def _claim(work: Path, identity: dict[str, Any], *, resume: bool) -> None:
    """Make the folder of a conversion, without what another one left there."""
    note = work / "convert.json"
    if work.exists() and not note.is_file() and _strangers(work):
        raise UsageError(
            "is in the way, and is not of a conversion", where=str(work), remedy="remove it"
        )
    if work.exists() and not (resume and _held(note) == identity):
        shutil.rmtree(work)
    write_json(note, identity)


def _strangers(work: Path) -> bool:
    """Tell whether a folder holds what no conversion that was killed leaves."""
    if not work.is_dir():
        return True
    return any(p.name != "plate" and "convert.json" not in p.name for p in work.iterdir())


def _held(note: Path) -> Any:
    try:
        return read_json(note)
    except DataError:
        return None


def _write(
    writer: Writer, source: Plate, images: Sequence[Image], progress: Progress
) -> list[Failure]:
    """Write the images that are not there yet; return what could not be read."""
    times = any(field.timepoint for field in source.fields) and source.view.time == "all"
    failures: list[Failure] = []
    waiting: deque[Future[tuple[list[Failure], int]]] = deque()
    pool = ThreadPoolExecutor(writer.workers)
    try:
        with progress.stage("converting", len(images), "fields") as advance:

            def collect() -> None:
                faults, size = waiting.popleft().result()
                failures.extend(faults)
                advance(1, size)

            for image in images:
                waiting.append(pool.submit(_write_image, writer, source, image, times))
                if len(waiting) > 2 * writer.workers:
                    collect()
            while waiting:
                collect()
    finally:  # the fields in hand are finished, those that wait are not begun
        pool.shutdown(cancel_futures=True)
    return failures


def _write_image(
    writer: Writer, source: Plate, image: Image, times: bool
) -> tuple[list[Failure], int]:
    """Write one image unless it is there; return what could not be read, and bytes of pixels."""
    field = image[0]
    if writer.has(field):
        return [], 0
    size = 0

    def frames() -> Iterator[NDArray[Any]]:
        nonlocal size
        for at in image:
            pixels = _read(at, source.read, at)
            size += pixels.nbytes
            yield pixels

    labels = {
        name: (_read(at, source.read_label, at, name) for at in image)
        for name in source.label_names(field)
    }
    try:
        faults = writer.write(field, frames(), times=len(image) if times else None, labels=labels)
    except FieldError as error:
        faults = [error]
    return [Failure(field.well, field.site, e.channel, e.what) for e in faults], size


def _read(at: Field, read: Callable[..., NDArray[Any]], *arguments: Any) -> NDArray[Any]:
    """Read a field or a label image; say which time point it is of where that fails."""
    try:
        return patiently(lambda: read(*arguments))
    except FieldError as error:
        time = f"time point {at.timepoint}: " if at.timepoint else ""
        raise FieldError(time + error.what, where=str(at), channel=error.channel) from error


def _write_failures(path: Path, plate: str, failures: Sequence[Failure]) -> None:
    """Write the table of what is left out, or remove that of an earlier plate of the name."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for failure in failures:
            rows.writerow([plate, failure.well, failure.site, failure.channel, failure.reason])
