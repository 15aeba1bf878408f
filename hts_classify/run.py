"""The main job: one pass over plates, two paths on the same folds, one report.

::

    plates + plate map ─► extract ─► folds ─► audit
       ─► for each path and fold: train, call the fold's wells
          for each path: train on all, call the other wells
       ─► predictions ─► comparison.json ─► report.html
      prepare ─► extract ─► splits ─► audit ─► trial, fits ─► conclude

Every step's result is a file of its own, named after what it was made from, so that a run that
was stopped goes on at the step where it stopped, and a finished one does nothing again. All
that changes from run to run is in `timings.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .audit import audit
from .conclude import conclude
from .errors import DesignError, UsageError
from .extract import Extraction, extract
from .files import digest, read_json, whole, write_json
from .fits import Fits
from .plate import store_stem
from .prepare import Job, RunSettings, deal, prepare
from .progress import Progress
from .repeating import write_folds
from .report import count_failures
from .seen import keep_seen
from .shards import TILE_ROW
from .splits import Folds
from .trial import Trial
from .vocabulary import FOLD, GROUP, METADATA, PLATE, ROLE, TARGET, WELL

__all__ = ["RunSettings", "default_out", "run"]


def default_out(plate: str | Path) -> Path:
    """Return the folder beside a plate that its run goes to; of a URL, one in this folder.

    Examples
    --------
    >>> default_out(Path("screen/plate.ome.zarr")).name
    'plate-hts'
    """
    folder = Path.cwd() if "://" in str(plate) else Path(plate).resolve().parent
    return folder / f"{store_stem(plate).replace('.csv#', '-')}-hts"


def run(
    plates: str | Path | Sequence[str | Path],
    settings: RunSettings,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Classify plates both ways and leave a run directory.

    Parameters
    ----------
    plates : path, URL, or sequence of these
        One plate, or several of one kind that are trained on and tested together.
    settings : RunSettings
        What is asked for.
    out : path, optional
        The run directory; by default `<plate>-hts` beside the first plate. One that holds the
        same run is finished, and left as it is where it is finished already.
    progress : Progress, optional
        Who is told how far it is.

    Returns
    -------
    Path
        The run directory: see the README for what is in it.

    Raises
    ------
    HTSError
        Before any long work, for whatever is wrong with the plate, the plate map, the design or
        the folder.
    """
    progress = progress or Progress()
    if out is not None and "://" in str(out):
        raise UsageError(
            "a run directory by URL", where=str(out), remedy="extract takes one; name a folder here"
        )
    paths = [plates] if isinstance(plates, (str, Path)) else list(plates)
    job = prepare(paths, settings, Path(out) if out else default_out(paths[0]))
    for note in job.notes:
        progress.note(note)
    extraction = _pass(job, progress)
    read = len(extraction.features)
    extraction, tiles = keep_seen(job.out, job.asked, extraction)
    if lost := read - len(extraction.features):
        progress.note(f"fields without an object, left out of both paths: {lost} (failures.csv)")
    crops = [] if job.asked.crops == "none" else [job.out / "crops.parquet"]
    folds, *repeats = _folds(job, extraction, progress)
    fits = Fits(
        out=job.out,
        features=extraction.features,
        tiles=tiles,
        folds=folds,
        seed=settings.seed,
        normalise=settings.normalise,
        cnn=settings.cnn,
        aggregate=settings.aggregate,
        card=_card(job),
        key=digest(
            extraction.stamp,
            job.out / "features.parquet",
            *crops,
            job.out / "folds.csv",
            read_json(job.out / "run.json"),
        ),
        repeats=tuple(repeats),
    )
    audited = _audited(extraction, fits, progress)
    trial = Trial(fits=fits, devices=job.devices, timings=job.timings, progress=progress)
    shards = trial.shards()
    units = conclude(
        fits,
        shards,
        wells=job.wells,
        target=job.target,
        proba=settings.proba,
        audited=audited,
        raters=job.raters,
    )
    progress.note(f"inner splits, for what training chooses, by {units}")
    return job.out


def _pass(job: Job, progress: Progress) -> Extraction:
    """Read the plates, once."""
    fields = sum(len(plate.fields) for plate in job.plates)
    with progress.stage("reading, features and tiles", fields, "fields") as advance:
        return extract(
            job.plates,
            job.out,
            job.asked,
            scheduler=job.settings.scheduler,
            workers=job.settings.workers,
            timings=job.timings,
            on_well=lambda _plate, _well, cost: advance(int(cost["fields"]), int(cost["bytes"])),
            say=progress.note,
        )


def _folds(job: Job, extraction: Extraction, progress: Progress) -> list[Folds]:
    """Deal the wells that have a field for both paths into folds, and write them down."""
    read = extraction.features[[PLATE, WELL]].drop_duplicates()
    wells = job.wells.merge(read, on=[PLATE, WELL], how="inner")
    classes = (set(table[job.target].dropna().map(str)) for table in (job.wells, wells))
    lost = sorted(set.difference(*classes))
    for name in lost:
        progress.note(f"class {name} is left out: no field is left of its wells")
    unscored = tuple(name for name in job.settings.unscored if name not in lost)
    try:
        dealt = deal(wells, job.target, job.split, replace(job.settings, unscored=unscored))
    except DesignError as error:
        if not len(extraction.failures):
            raise
        why = f"{job.out / 'failures.csv'} says why {count_failures(extraction.failures)} left out"
        remedy = f"{error.remedy}; {why}"
        raise DesignError(error.what, where=error.where, remedy=remedy) from error
    for note in dealt[0].notes:
        if note not in job.notes:
            progress.note(note)
    with whole(job.out / "folds.csv") as part:
        dealt[0].wells[[PLATE, WELL, TARGET, GROUP, FOLD, ROLE]].to_csv(part, index=False)
    write_folds(job.out, dealt[1:])
    return dealt


def _audited(extraction: Extraction, fits: Fits, progress: Progress) -> dict[str, Any]:
    """Look for what could make a path look good for the wrong reason, once, and say it."""
    shard = fits.out / "predictions" / f"audit-{fits.key}.json"
    if not shard.exists():
        used = extraction.quality[TILE_ROW].isin(extraction.features[TILE_ROW])
        quality = extraction.quality[used].reset_index(drop=True)
        tiles = extraction.tiles.view(quality[TILE_ROW].to_numpy())
        with progress.stage("leakage audit", 1) as advance:
            write_json(shard, audit(fits.folds, quality, tiles, seed=fits.seed).as_json())
            advance(1)
    found: dict[str, Any] = read_json(shard)
    for said in (*(finding["said"] for finding in found["findings"]), *found["notes"]):
        progress.note(f"leakage audit: {said}")
    return found


def _card(job: Job) -> dict[str, Any]:
    """Say what models trained here must be given, to be used on another plate."""
    return {
        "plates": [plate.name for plate in job.plates],
        "target": job.target.removeprefix(METADATA),
        "channels": list(job.plates[0].channels),
        "dtype": job.plates[0].dtype,
        "volumes": job.plates[0].volumes,
        "view": job.plates[0].view.summary(),
        "features": job.settings.features,
        "full_scale": job.settings.full_scale,
        "tile_scale": list(job.scale),
        "crops": job.settings.crops,
        "crop_size": job.settings.crop_size,
        "crops_per_field": job.settings.crops_per_field,
        "labels": job.settings.labels if job.settings.crops == "objects" else "",
        "scaling": job.settings.cnn.scaling,
        "normalise": job.settings.normalise,
        "aggregate": job.settings.aggregate,
    }
