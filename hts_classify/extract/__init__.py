"""The one pass: each field is read once, and gives its TAS features, its tiles and its quality.

::

    plates ─► plan ─► resume: what is kept? ─► engines: one task a well ─► tables
                                                 └ work: read ─► measure, downscale ─► shard

Dask runs one task a well, with one field in memory at a time: on threads, processes or a
cluster (`engines`). A well's result is a shard of its own, `features/<plate>/<well>.parquet`, so
that a pass that was killed goes on where it stopped; the shards then become tables,
`features.parquet`, `quality.parquet` and, where they were asked for, `objects.parquet` and
`crops.parquet`. `failures.csv` lists every field that was left out. Seconds and bytes are kept by
kind, so that a comparison can charge reading, TAS and tiles separately.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..errors import UsageError
from ..features import Rule
from ..files import absolute, place, read_json, sweep, write_json
from ..plate import Plate, View, open_plate
from ..plate.many import distinct
from ..tiles import TileStore
from ..timings import Timings, stopwatch
from .engines import Done, Scheduler, compute, interruptible
from .resume import failed_only, todo
from .settings import TILE_SIZE, PassSettings, Shapes, key_of, plan
from .tables import Extraction, collect
from .work import Job, Place, Task, WellCost

__all__ = [
    "TILE_SIZE",
    "Extraction",
    "PassSettings",
    "Scheduler",
    "WellCost",
    "extract",
    "held_pass",
    "plan",
]

_DESCRIPTION = "pass.json"


def extract(
    plates: Plate | Sequence[Plate],
    out: str | Path,
    settings: PassSettings = PassSettings(),  # noqa: B008  (frozen)
    *,
    scheduler: Scheduler = "threads",
    workers: int | None = None,
    retry_failed: bool = False,
    timings: Timings | None = None,
    on_well: Callable[[str, str, dict[str, float]], None] | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Extraction:
    """Read every field of some plates once; leave features, tiles and quality in a folder.

    Parameters
    ----------
    plates : Plate or sequence of Plate
        Open plates of one kind: the same channels and type of pixels.
    out : path or URL
        Folder for the tables, `tiles.zarr` and `failures.csv`. Fields that an earlier call read
        there are not read again unless the plate or the settings have changed since; fields that
        could not be read are.
    settings : PassSettings, optional
        What is asked for.
    scheduler : {"threads", "processes", "synchronous"} or str, optional
        Where Dask runs the wells: here, or on the cluster whose scheduler has this address
        (`tcp://host:8786`). Its workers need to reach the plates and `out`, and nothing else.
    workers : int, optional
        Threads or processes; by default one a core.
    retry_failed : bool, optional
        Read nothing but the fields that could not be read.
    timings : Timings, optional
        Where seconds and bytes of each well go; by default `timings.json` in the folder.
    on_well : callable, optional
        Called in this thread with each finished well's plate and name and its cost (`WellCost`,
        as a dict, and the clock's `wall_s`).
    say : callable, optional
        Told what should be known: what was kept, where the work can be watched.

    Returns
    -------
    Extraction

    Raises
    ------
    UsageError
        When plates do not go together, the scheduler does not answer, or there is nothing of
        which the failed fields could be read again.
    PlateError
        When no field could be read.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every worker has finished its field and written what it
        has; the same call goes on from there.

    Examples
    --------
    >>> import tempfile
    >>> from hts_classify import open_plate
    >>> from hts_classify.synthetic import Recipe, write_plate
    >>> folder = Path(tempfile.mkdtemp())
    >>> recipe = Recipe(setting="texture", shape=(64, 64))
    >>> plate = open_plate(write_plate(folder / "plate.zarr", recipe))
    >>> result = extract(plate, folder / "out")
    >>> len(result.features) == len(plate.fields), len(result.failures)
    (True, 0)
    """
    plates = tuple(plates) if isinstance(plates, Sequence) else (plates,)
    folder = place(out)
    if not plates:
        raise UsageError("no plates", remedy="name one or more")
    rule, shapes, description = plan(plates, settings)
    _check_folder(folder, description, retry_failed=retry_failed)
    job = _job(plates, folder, settings, rule, shapes, description)
    sweep(folder)
    wells = _tasks(plates)
    tasks, changed = (failed_only(job, wells), 0) if retry_failed else todo(job, wells)
    kept = sum(len(plate.fields) for plate in plates) - sum(len(task.todo) for task in tasks)
    if kept:
        say(f"{kept} fields are kept from an earlier pass")
    if changed:
        say(f"{changed} fields have changed since an earlier pass, and are read again")
    write_json(folder / "features" / _DESCRIPTION, description)
    timings = timings or Timings(folder / "timings.json")
    timings.note(cost={"plates": [[plate.name, absolute(plate.path)] for plate in plates]})
    timings.save()
    costs = _run(job, tasks, scheduler, workers, timings, on_well, say)
    if tasks:
        sweep(folder)  # of workers that were lost
    return collect(job, wells, costs)


def held_pass(out: str | Path) -> tuple[tuple[Plate, ...], PassSettings]:
    """Open the plates of the pass that a folder holds, and return its settings.

    Raises
    ------
    UsageError
        When it holds none.
    PlateError
        When a plate is no longer where it was.
    """
    folder = place(out)
    file = folder / "features" / _DESCRIPTION
    where = Timings(folder / "timings.json").content.get("plates", [])
    if not file.exists() or not where:
        raise UsageError("holds no pass", where=str(out), remedy="run one without --retry-failed")
    held = read_json(file)
    views = {path: View.from_json(held["plates"][name]) for name, path in where}
    plates = distinct(lambda path: open_plate(path, view=views[path]), list(views))
    return plates, PassSettings.from_json(held["settings"])


def _check_folder(folder: Path, description: dict[str, Any], *, retry_failed: bool) -> None:
    """Refuse a folder whose results must not be replaced, before anything is written."""
    remedy = "name another folder with -o"
    if folder.exists() and not folder.is_dir():
        raise UsageError("is not a folder", where=str(folder), remedy=remedy)
    file = folder / "features" / _DESCRIPTION
    if not file.exists():
        if retry_failed:
            raise UsageError(
                "holds no pass", where=str(folder), remedy="run it once without --retry-failed"
            )
        return
    held = read_json(file)
    lost = set(held.get("plates", ())) - set(description["plates"])
    if lost:
        raise UsageError(
            f"holds a pass over {', '.join(sorted(lost))} too", where=str(folder), remedy=remedy
        )
    # Predictions and models beside it were made from what it holds.
    if (folder / "run.json").exists() and held != json.loads(json.dumps(description)):
        raise UsageError(
            "holds a run over another pass (its settings, views or plates differ)",
            where=str(folder),
            remedy=remedy,
        )


def _job(
    plates: tuple[Plate, ...],
    out: Path,
    settings: PassSettings,
    rule: Rule,
    shapes: Shapes,
    description: dict[str, Any],
) -> Job:
    """Make the stores of tiles, and what a worker is told."""
    fields = sum(len(plate.fields) for plate in plates)
    for size, shape in zip(shapes.names, shapes.tiles, strict=True):
        TileStore.create(
            out / "tiles.zarr",
            size,
            (fields, len(plates[0].channels), *shape),
            kind="uint16" if plates[0].dtype == "uint16" else "float32",
        )
    keys = tuple(key_of(description, plate.name) for plate in plates)
    stop = str(out / f".stop-{uuid4().hex}")
    return Job(plates, str(out), settings, rule, shapes, keys, stop)


def _tasks(plates: Sequence[Plate]) -> list[Task]:
    """Make a task of each well, and give each field its row."""
    tasks, row = [], 0
    for number, plate in enumerate(plates):
        for _, fields in groupby(plate.fields, key=lambda field: field.well):
            places = tuple(Place(field, row + k) for k, field in enumerate(fields))
            tasks.append(Task(number, places, frozenset(at.row for at in places)))
            row += len(places)
    return tasks


def _run(
    job: Job,
    tasks: Sequence[Task],
    scheduler: Scheduler,
    workers: int | None,
    timings: Timings,
    on_well: Callable[[str, str, dict[str, float]], None] | None,
    say: Callable[[str], None],
) -> dict[str, dict[str, float]]:
    """Do what is to be done, and write down what each well cost."""
    costs: dict[str, dict[str, float]] = {}
    lap = stopwatch()

    def finished(done: Done) -> None:
        plate, well, cost = done
        name = f"{plate}/{well}"
        costs[name] = {**cost, "wall_s": lap()}
        timings.note("wells", name, cost=costs[name])
        timings.save(at_once=False)
        if on_well is not None:
            on_well(plate, well, costs[name])

    with interruptible(job) as asked:
        try:
            compute(job, tasks, scheduler=scheduler, workers=workers, finished=finished, say=say)
        finally:
            timings.save()
        if asked():
            raise KeyboardInterrupt
    return costs
