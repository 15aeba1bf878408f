"""The one pass: each field is read once, and gives its TAS features, its tiles and its quality.

::

    plates ─► plan ─► tasks ─► resume: what is kept? ─► engines: one task a well ─► tables
                        └ parts: which?                  └ work: read ─► measure, downscale ─► shard

Dask runs one task a well, with one field in memory at a time: on threads, processes or a
cluster (`engines`). A well's result is a shard of its own, `features/<plate>/<well>.parquet`, so
that a pass that was killed goes on where it stopped; the shards then become tables,
`features.parquet`, `quality.parquet` and, where they were asked for, `objects.parquet` and
`crops.parquet`. `failures.csv` lists every field that was left out. Seconds and bytes are kept by
kind, so that a comparison can charge reading, TAS and tiles separately. `parts` are passes that
do some of the fields, and `merge` joins them into what one pass would have left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import absolute, place, read_json, sweep, write_json
from ..plate import ImageSets, Plate, View, open_plate
from ..plate.many import distinct
from ..timings import Timings, stopwatch
from .engines import Done, Scheduler, compute, interruptible
from .parts import DESCRIPTION, adopt, claim_part, part_of, restricted
from .resume import failed_only, todo
from .settings import TILE_SIZE, PassSettings, plan
from .tables import Extraction, collect
from .tasks import job_of, make_stores, tasks_of
from .work import Job, Task, WellCost

__all__ = [
    "TILE_SIZE",
    "Extraction",
    "PassSettings",
    "Scheduler",
    "WellCost",
    "adopt",
    "check_folder",
    "extract",
    "held_pass",
    "plan",
]


def extract(
    plates: Plate | Sequence[Plate],
    out: str | Path,
    settings: PassSettings = PassSettings(),  # noqa: B008  (frozen)
    *,
    scheduler: Scheduler = "threads",
    workers: int | None = None,
    retry_failed: bool = False,
    image_sets: ImageSets | None = None,
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
    image_sets : ImageSets, optional
        Do a part of the pass: these fields. The folder then holds that part and nothing else,
        and `merge` joins the parts of a pass into what one call would have left.
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
        When plates do not go together, the scheduler does not answer, there is nothing of which
        the failed fields could be read again, or no image set is meant.
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
    check_folder(folder, description, retry_failed=retry_failed)
    wells = tasks_of(plates)
    part = part_of(folder, plates, image_sets, retry_failed=retry_failed)
    if part:
        wells = restricted(wells, part, together=settings.is_together)
        claim_part(folder, part)
    job = job_of(plates, folder, settings, rule, shapes, description)
    make_stores(job)
    sweep(folder)
    if retry_failed:
        tasks, changed = failed_only(job, wells), 0
    else:
        tasks, changed = todo(job, wells, thorough=part is not None)
    kept = sum(len(well.places) for well in wells) - sum(len(task.todo) for task in tasks)
    if kept:
        say(f"{kept} fields are kept from an earlier pass")
    if changed:
        say(f"{changed} fields have changed since an earlier pass, and are read again")
    timings = timings or Timings(folder / "timings.json")
    timings.note(cost={"plates": [[plate.name, absolute(plate.path)] for plate in plates]})
    timings.save()
    # Last: who finds it may rely on the rest, also where a kill comes between.
    write_json(folder / "features" / DESCRIPTION, description)
    costs = _run(job, tasks, scheduler, workers, timings, on_well, say)
    if tasks:
        sweep(folder)  # of workers that were lost
    return collect(job, wells, costs, is_part=part is not None)


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
    file = folder / "features" / DESCRIPTION
    where = Timings(folder / "timings.json").content.get("plates", [])
    if not file.exists() or not where:
        raise UsageError("holds no pass", where=str(out), remedy="run one without --retry-failed")
    held = read_json(file)
    views = {path: View.from_json(held["plates"][name]) for name, path in where}
    plates = distinct(lambda path: open_plate(path, view=views[path]), list(views))
    return plates, PassSettings.from_json(held["settings"])


def check_folder(folder: Path, description: dict[str, Any], *, retry_failed: bool = False) -> None:
    """Refuse a folder whose results must not be replaced, before anything is written."""
    remedy = "name another folder with -o"
    if folder.exists() and not folder.is_dir():
        raise UsageError("is not a folder", where=str(folder), remedy=remedy)
    file = folder / "features" / DESCRIPTION
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
