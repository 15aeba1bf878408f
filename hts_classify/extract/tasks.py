"""What there is to do: a task for each well, and what every worker is told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..features import Rule
from ..files import place
from ..plate import Plate
from ..tiles import TileStore
from .settings import PassSettings, Shapes, key_of
from .work import Job, Place, Task

__all__ = ["job_of", "make_stores", "tasks_of"]


def job_of(
    plates: tuple[Plate, ...],
    out: Path,
    settings: PassSettings,
    rule: Rule,
    shapes: Shapes,
    description: dict[str, Any],
) -> Job:
    """Say what a worker is told."""
    keys = tuple(key_of(description, plate.name) for plate in plates)
    stop = str(out / f".stop-{uuid4().hex}")
    return Job(plates, str(out), settings, rule, shapes, keys, stop)


def make_stores(job: Job) -> None:
    """Make the stores of tiles: with a row for each field of the plates."""
    fields, first = sum(len(plate.fields) for plate in job.plates), job.plates[0]
    for size, shape in zip(job.shapes.names, job.shapes.tiles, strict=True):
        TileStore.create(
            place(job.out) / "tiles.zarr",
            size,
            (fields, len(first.channels), *shape),
            kind="uint16" if first.dtype == "uint16" else "float32",
        )


def tasks_of(plates: Sequence[Plate]) -> list[Task]:
    """Make a task of each well, and give each field its row."""
    tasks, row = [], 0
    for number, plate in enumerate(plates):
        for _, fields in groupby(plate.fields, key=lambda field: field.well):
            places = tuple(Place(field, row + k) for k, field in enumerate(fields))
            tasks.append(Task(number, places, frozenset(at.row for at in places)))
            row += len(places)
    return tasks
