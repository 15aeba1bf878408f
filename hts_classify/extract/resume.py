"""What of an earlier pass is still good."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

from ..errors import FieldError, UsageError
from ..files import place
from ..plate import Field, Plate
from ..shards import has_key, held
from ..tiles import CropStore
from .settings import folder_name
from .work import Job, Task

__all__ = ["failed_only", "todo"]

_LOOKING: Final = 4  # threads: an object store answers each question late


def todo(job: Job, tasks: Sequence[Task]) -> tuple[list[Task], int]:
    """Return what is to be done, and how many fields of it an earlier pass saw otherwise.

    To be done are tasks with the fields that no shard holds as they now are.
    """
    states = _states(job, tasks)
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


class _State(NamedTuple):
    """How far a task is; fields go by their rows."""

    task: Task
    todo: frozenset[int]
    failed: frozenset[int]
    """Those of them that could not be read."""
    changed: int
    """How many of them were read, and have other pixels now."""


def _states(job: Job, tasks: Sequence[Task]) -> list[_State]:
    stores = job.tile_stores()

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
        good = {
            entry.row
            for entry in same
            if len(entry.checksums) == len(stores)
            and all(s.holds(entry.row, c) for s, c in zip(stores, entry.checksums, strict=True))
        }
        if job.is_together:
            # A well's objects and crops stand in one file each: it is done as a whole.
            companions = [job.shard(task.plate, task.well, kind) for kind in job.companions]
            done = good == task.todo and all(has_key(path, key) for path in companions)
            if "crops" in job.companions:
                crops = CropStore(place(job.out) / "crops.zarr")
                done = done and crops.has(folder_name(plate.name), task.well)
            return _State(task, frozenset() if done else task.todo, failed, changed)
        return _State(task, task.todo - good, failed, changed)

    with ThreadPoolExecutor(_LOOKING) as lookers:
        return list(lookers.map(state, tasks))


def _stamp(plate: Plate, field: Field, label: str) -> str | None:
    """Return a field's stamp; None where the storage does not tell."""
    try:
        return plate.stamp(field, label)
    except (OSError, FieldError):
        return None
