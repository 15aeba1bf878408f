"""What of an earlier pass is still good."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

from ..errors import DataError, FieldError, UsageError
from ..files import place
from ..plate import Field, Plate
from ..shards import has_key, held
from ..tiles import CropStore, TileStore
from .settings import folder_name
from .work import Job, Task

__all__ = ["failed_only", "sound", "todo"]

_LOOKING: Final = 4  # threads: an object store answers each question late


def todo(job: Job, tasks: Sequence[Task], *, thorough: bool = False) -> tuple[list[Task], int]:
    """Return what is to be done, and how many fields of it an earlier pass saw otherwise.

    To be done are tasks with the fields that no shard holds as they now are. Tiles and crops are
    there when their files are; `thorough` reads them, and does damaged ones again.
    """
    states = _states(job, tasks, thorough=thorough)
    changed = sum(state.changed for state in states)
    return [replace(state.task, todo=state.todo) for state in states if state.todo], changed


def failed_only(job: Job, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks of a finished pass that have fields which could not be read, with these.

    Raises
    ------
    UsageError
        When more than these is to be done.
    """
    states = _states(job, tasks)
    if any(s.todo - s.failed for s in states if not (s.failed and job.is_together)):
        raise UsageError(
            "the pass is not finished, or its plates have changed since",
            where=job.out,
            remedy="run it without --retry-failed",
        )
    return [replace(s.task, todo=s.todo) for s in states if s.failed]


def sound(job: Job, tasks: Sequence[Task]) -> list[frozenset[int]]:
    """Return for each task the rows that are whole and as its plate now is; reads all of them.

    A field that could not be read is among them: the shard says why.
    """
    return [state.sound for state in _states(job, tasks, thorough=True)]


class _State(NamedTuple):
    """How far a task is; fields go by their rows."""

    task: Task
    todo: frozenset[int]
    failed: frozenset[int]
    """Those of them that could not be read."""
    changed: int
    """How many of them were read, and have other pixels now."""
    sound: frozenset[int]
    """Those that are held as they are, be it that they could not be read."""


def _states(job: Job, tasks: Sequence[Task], *, thorough: bool = False) -> list[_State]:
    stores = job.tile_stores()
    holds = TileStore.is_intact if thorough else TileStore.holds

    def state(task: Task) -> _State:
        plate, key = job.plates[task.plate], job.keys[task.plate]
        entries = held(job.shard(task.plate, task.well), key)
        fields = {at.row: at.field for at in task.places}
        if any(
            entry.row not in fields
            or (entry.site, entry.timepoint)
            != (fields[entry.row].site, fields[entry.row].timepoint)
            for entry in entries
        ):
            entries = []  # the well has other fields than it had: its rows are others'
        failed = frozenset(entry.row for entry in entries if entry.failed)
        whole = [entry for entry in entries if not entry.failed]
        same = [
            entry
            for entry in whole
            if entry.stamp == _stamp(plate, fields[entry.row], job.settings.labels)
        ]
        changed = len(whole) - len(same)
        good = frozenset(
            entry.row
            for entry in same
            if len(entry.checksums) == len(stores)
            and all(holds(s, entry.row, c) for s, c in zip(stores, entry.checksums, strict=True))
        )
        if job.is_together:
            # A well's objects and crops stand in one file each: it is done as a whole.
            beside = _has_companions(job, task, thorough=thorough)
            todo = frozenset() if beside and good == task.todo else task.todo
            is_sound = beside and good | failed == task.todo
            return _State(task, todo, failed, changed, task.todo if is_sound else frozenset())
        return _State(task, task.todo - good, failed, changed, good | failed)

    with ThreadPoolExecutor(_LOOKING) as lookers:
        return list(lookers.map(state, tasks))


def _has_companions(job: Job, task: Task, *, thorough: bool) -> bool:
    """Tell whether a well's objects and crops are there."""
    key, plate = job.keys[task.plate], folder_name(job.plates[task.plate].name)
    companions = [job.shard(task.plate, task.well, kind) for kind in job.companions]
    if not all(has_key(path, key) for path in companions):
        return False
    if "crops" not in job.companions:
        return True
    crops = CropStore(place(job.out) / "crops.zarr")
    if not thorough:
        return crops.has(plate, task.well)
    try:
        crops.read(plate, task.well)
    except DataError:
        return False
    return True


def _stamp(plate: Plate, field: Field, label: str) -> str | None:
    """Return a field's stamp; None where the storage does not tell."""
    try:
        return plate.stamp(field, label)
    except (OSError, FieldError):
        return None
