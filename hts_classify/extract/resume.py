"""What of an earlier pass is still good."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from ..shards import held
from .work import Job, Task

__all__ = ["todo"]

_LOOKING: Final = 4  # threads: an object store answers each question late


def todo(job: Job, tasks: Sequence[Task], *, only_failed: bool = False) -> list[Task]:
    """Return what is to be done: tasks with the fields that no shard holds as they now are.

    Parameters
    ----------
    job : Job
        The pass.
    tasks : sequence of Task
        All wells.
    only_failed : bool, optional
        Leave out what no shard names as failed.
    """
    stores = job.tile_stores()

    def left(task: Task) -> Task:
        shard, plate = job.shard(task.plate, task.well), job.plates[task.plate]
        known = {entry.row: entry for entry in held(shard, job.keys[task.plate])}
        good, failed = set(), set()
        for at in task.places:
            entry = known.get(at.row)
            if entry is None:
                continue
            if entry.failed:
                failed.add(at.row)
            elif entry.stamp == plate.stamp(at.field, job.settings.labels) and all(
                s.has(at.row) for s in stores
            ):
                good.add(at.row)
        wanted = failed if only_failed else task.todo - good
        # A well's objects and crops stand in one file each: it is done as a whole.
        together = job.settings.labels or job.settings.crops != "none"
        return replace(task, todo=task.todo if wanted and together else frozenset(wanted))

    with ThreadPoolExecutor(_LOOKING) as lookers:
        return [task for task in lookers.map(left, tasks) if task.todo]
