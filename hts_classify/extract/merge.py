"""Parts of a pass into one: the bytes that a single pass would have left.

::

    out/parts/* ─► alike? ─► every row of every part: whole, and unchanged since? ─► each row once?
                                     └ shards, tiles, crops by their checksums            │
                                          tiles, crops, shards side by side ─► tables ◄───┘

Nothing is written before all has been looked at. Then each file takes its place whole, the shards
after what they vouch for, as in the pass itself: a merge that was killed is done again, or the pass
goes on from what it left. The parts stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from ..errors import DataError, UsageError
from ..files import PARTS, again, difference, place, read_json, sweep, write_json
from ..plate import Plate, number_image_sets
from ..plate.image_sets import spelt
from ..shards import TILE_ROW, records_of, shard_schema, write_table
from ..tiles import CropStore
from ..timings import Timings
from . import check_folder, held_pass
from .parts import DESCRIPTION, PART, PLAN, Part, read_plan, restricted
from .resume import sound
from .settings import folder_name, plan
from .tables import Extraction, collect
from .tasks import job_of, make_stores, tasks_of
from .work import Job, Task

__all__ = ["IncompleteError", "merge"]

_WORKING: Final = 4  # threads: disks and object stores answer late


class IncompleteError(DataError):
    """Parts lack image sets.

    Parameters
    ----------
    what, where, remedy : str
        As for `HTSError`.
    commands : sequence of str
        Those that are to be run again, as they were printed; empty where nobody planned them.
    """

    def __init__(
        self, what: str, *, where: str = "", remedy: str = "", commands: Sequence[str] = ()
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.commands = tuple(commands)


@dataclass(slots=True)
class _Held:
    """A part's folder, and what was found there."""

    folder: Path
    part: Part
    description: dict[str, Any] | None
    """Of its pass; None where it had not begun."""
    costs: dict[str, Any]
    """Its `timings.json`, which also says where its plates were."""
    rows: frozenset[int] = frozenset()
    """Rows that are whole, and as the plates now are."""


def merge(
    out: str | Path,
    *,
    remove_parts: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> Extraction:
    """Join the parts of a pass, `out/parts/*`, into what one pass would have left in `out`.

    Parameters
    ----------
    out : path or URL
        The folder whose `parts` were made by `extract` or `predict` with some image sets each.
    remove_parts : bool, optional
        Delete the parts when all is done.
    say : callable, optional
        Told what should be known.

    Returns
    -------
    Extraction
        As `extract` returns it of the whole; seconds are added up over the parts.

    Raises
    ------
    IncompleteError
        When image sets are missing, damaged, or have changed since; it has the commands that
        were printed for them.
    DataError
        When an image set is in two parts, or parts differ in their settings, their plates or the
        package's version.
    UsageError
        When there are no parts, or `out` holds something else.
    """
    folder = place(out)
    parts = _parts(folder)
    first = _check_alike(parts)
    plates, settings = held_pass(first.folder)
    rule, shapes, description = plan(plates, settings)
    if differs := difference(first.description, description):
        raise DataError(f"its plates have changed since: {differs}", where=str(first.folder))
    check_folder(folder, description)
    tasks = tasks_of(plates)
    numbers = _numbers(plates)
    job = job_of(plates, folder, settings, rule, shapes, description)
    for one in parts:
        if one.description is not None:
            own = restricted(tasks, one.part, together=settings.is_together)
            one.rows = frozenset().union(*sound(replace(job, out=str(one.folder)), own))
    _check_once(folder, parts, numbers)
    sweep(folder)
    make_stores(job)
    _join(job, tasks, parts)
    write_json(folder / "features" / DESCRIPTION, description)
    costs = _add_up(folder, parts)
    extraction = collect(job, tasks, costs)
    say(f"{len(parts)} parts, {len(numbers)} image sets: each is there once")
    if remove_parts:
        _remove(folder / PARTS)
    return extraction


def _remove(folder: Path) -> None:
    if isinstance(folder, Path):
        rmtree(folder)
    else:  # on an object store
        folder.rmdir(recursive=True)


def _parts(folder: Path) -> list[_Held]:
    """Find the parts, and the version and pass of each."""
    where = folder / PARTS
    found = sorted(path.parent for path in where.glob(f"*/{PART}")) if where.is_dir() else []
    if not found:
        raise UsageError(
            "holds no parts",
            where=str(where),
            remedy=f"run the commands of hts-classify batch … -o {folder}",
        )
    held = []
    for path in found:
        file = path / "features" / DESCRIPTION
        costs = Timings(path / "timings.json").content
        described = read_json(file) if file.exists() and "plates" in costs else None
        held.append(_Held(path, Part.read(path / PART), described, costs))
    return held


def _check_alike(parts: Sequence[_Held]) -> _Held:
    """Refuse parts of two versions, settings or plates; return one that has begun."""
    own = version("hts_classify")
    for one in parts:
        if one.part.version != own:
            raise DataError(
                f"a part from version {one.part.version} of hts_classify; this is {own}",
                where=str(one.folder),
                remedy="delete it and run its command again, or merge with that version",
            )
    begun = [one for one in parts if one.description is not None]
    if not begun:
        raise UsageError(
            "none of the parts has begun", where=str(parts[0].folder.parent), remedy="run them"
        )
    first, *others = begun
    wanted, plates = first.description, _plates(first)
    for one in others:
        differs = difference(wanted, one.description) or difference(plates, _plates(one))
        if differs:
            raise DataError(
                f"is a part of another pass than {first.folder.name}: "
                + differs.replace(" and is now ", " there, and here "),
                where=str(one.folder),
                remedy="delete the part that is wrong, and run its command again",
            )
    return first


def _plates(one: _Held) -> dict[str, str]:
    """Return where a part's plates were."""
    return {f"plate {name}": path for name, path in one.costs["plates"]}


def _numbers(plates: Sequence[Plate]) -> list[int]:
    """Return the image set's number of each row."""
    numbers = number_image_sets(plates)
    return [numbers[plate.name, at] for plate in plates for at in plate.fields]


def _check_once(folder: Path, parts: Sequence[_Held], numbers: Sequence[int]) -> None:
    """Refuse rows that two parts have, or none."""
    owner: dict[int, _Held] = {}
    for one in parts:
        doubled = [row for row in one.rows if row in owner]
        if doubled:
            other = owner[min(doubled)]
            shared = spelt(numbers[row] for row in doubled if owner[row] is other)
            raise DataError(
                f"image sets {shared} are in {other.folder.name} and in {one.folder.name}",
                where=str(one.folder.parent),
                remedy="delete the part that should not be there",
            )
        owner |= dict.fromkeys(one.rows, one)
    lost = {number for row, number in enumerate(numbers) if row not in owner}
    if lost:
        raise _incomplete(folder, parts, lost, len(set(numbers)))


def _incomplete(
    folder: Path, parts: Sequence[_Held], lost: set[int], count: int
) -> IncompleteError:
    """Name what is to be run again: the printed commands where they are known."""
    commands = [
        entry["command"]
        for entry in read_plan(folder / PARTS / PLAN)
        if any(first <= n <= last for first, last in entry["image_sets"] for n in lost)
    ]
    of = [one.folder.name for one in parts if one.part.image_sets & lost]
    begun = f" ({', '.join(of[:8])} {'is' if len(of) == 1 else 'are'} not finished)" if of else ""
    if commands:
        remedy = f"run again: {commands[0]}"
        if len(commands) > 1:
            remedy += f" (and {len(commands) - 1} more, which merge prints)"
    else:
        remedy = "run extract with -f and -l for them, as for the other parts"
    return IncompleteError(
        f"{len(lost)} of {count} image sets are missing, damaged or have changed:"
        f" {spelt(lost)}{begun}",
        where=str(folder / PARTS),
        remedy=remedy,
        commands=commands,
    )


def _join(job: Job, tasks: Sequence[Task], parts: Sequence[_Held]) -> None:
    """Put tiles, crops, objects and shards of the parts in their places."""
    owner = {row: one for one in parts for row in one.rows}
    there = {id(one): replace(job, out=str(one.folder)) for one in parts}
    stores = {number: held.tile_stores() for number, held in there.items()}
    own = job.tile_stores()

    def join(task: Task) -> None:
        for at in task.places:
            for mine, theirs in zip(own, stores[id(owner[at.row])], strict=True):
                if theirs.has(at.row):  # a field that could not be read has none
                    mine.take(at.row, theirs)
        jobs = [there[n] for n in dict.fromkeys(id(owner[at.row]) for at in task.places)]
        if job.is_together:  # whole wells alone
            job.shard(task.plate, task.well).unlink(missing_ok=True)
            _take_companions(job, task, jobs[0])
        _join_shard(job, task, [held.shard(task.plate, task.well) for held in jobs])

    with ThreadPoolExecutor(_WORKING) as workers:
        for _ in workers.map(join, tasks):
            pass


def _take_companions(job: Job, task: Task, there: Job) -> None:
    """Take a well's objects and crops as its part has them."""
    plate = folder_name(job.plates[task.plate].name)
    if "crops" in job.companions:
        crops = CropStore(place(job.out) / "crops.zarr")
        crops.take(plate, task.well, CropStore(place(there.out) / "crops.zarr"))
    for kind in job.companions:
        again(there.shard(task.plate, task.well, kind), job.shard(task.plate, task.well, kind))


def _join_shard(job: Job, task: Task, shards: Sequence[Path]) -> None:
    """Make one shard of those that parts have of a well."""
    import pyarrow as pa

    mine = job.shard(task.plate, task.well)
    if len(shards) == 1:
        again(shards[0], mine)
        return
    key = job.keys[task.plate]
    rows = sorted((r for s in shards for r in records_of(s, key)), key=lambda r: r[TILE_ROW])
    write_table(mine, pa.Table.from_pylist(rows, schema=shard_schema(key=key)))


def _add_up(folder: Path, parts: Sequence[_Held]) -> dict[str, dict[str, float]]:
    """Add up what the wells cost in all parts, and write it down."""
    timings, wells = Timings(folder / "timings.json"), dict[str, dict[str, float]]()
    for one in [part for part in parts if part.description is not None]:
        for well, cost in one.costs.get("wells", {}).items():
            held = wells.setdefault(well, {})
            held |= {name: held.get(name, 0) + value for name, value in cost.items()}
        timings.note(cost={"plates": one.costs["plates"]})
    for well, cost in wells.items():
        timings.note("wells", well, cost=cost)
    timings.save()
    return wells
