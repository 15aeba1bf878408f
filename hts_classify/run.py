"""The main job: one pass over plates, two paths on the same folds, one report.

::

    plates + plate map ─► folds ─► extract ─► for each path and fold: train, call the fold's wells
                                              for each path: train on all, call the other wells
                                 ─► predictions ─► comparison.json ─► report.html

Every step's result is a file of its own, named after what it was made from, so that a run that
was stopped goes on at the step where it stopped, and a finished one does nothing again. All
that changes from run to run is in `timings.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compare import compare
from .errors import UsageError
from .evaluate import dose_responses, positions
from .extract import TILE_SIZE, Extraction, PassSettings, Scheduler, extract, plan
from .files import claim, digest, read_json, whole, write_json
from .models import CnnSettings, device_name
from .models.settings import Device
from .plate import (
    Columns,
    Plate,
    View,
    find_platemap,
    open_plates,
    read_platemap,
    resolve_column,
    store_stem,
)
from .predictions import write_table
from .progress import Progress
from .report import report
from .splits import Folds, choose_split, inner_splits, make_folds
from .tiles import Scale
from .timings import Timings
from .trial import Trial
from .vocabulary import (
    FOLD,
    GROUP,
    LEVEL,
    METADATA,
    PLATE,
    ROLE,
    SCORE,
    TARGET,
    UNLABELLED,
    WELL,
    FeatureKind,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunSettings", "default_out", "run"]

_SAID_ELSEWHERE = {"platemap", "device", "scheduler", "workers"}
_VERSIONED = ("hts_classify", "numpy", "scikit-learn", "torch", "zarr")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a run is asked for. Everything that it leaves follows from this and the plate."""

    target: str
    """Column of the plate map that holds the classes."""
    platemap: Path | None = None
    """Plate map; by default the one beside or inside the plate."""
    columns: Columns = field(default_factory=Columns)
    """Columns of the plate map that have unusual names."""
    view: View = field(default_factory=View)
    """Which part of the plates is looked at: channels, planes, time points, …"""
    split: str | None = None
    """Unit that goes out together; by default compound where there is one, else well."""
    unscored: tuple[str, ...] = ()
    """Classes that are trained on and not scored."""
    folds: int = 5
    """Folds at the most."""
    seed: int = 0
    """Seed of folds and training."""
    features: FeatureKind = "pftas"
    """How TAS thresholds are set."""
    full_scale: int | None = None
    """The brightest value that the camera writes; by default the type's largest."""
    tile_size: int = TILE_SIZE
    """Longest side of a tile in pixels."""
    exclude_flagged: bool = False
    """Leave out fields that are out of focus, saturated or without foreground."""
    cnn: CnnSettings = field(default_factory=CnnSettings)
    """How the CNN learns."""
    device: Device = "auto"
    """Where the CNN runs."""
    scheduler: Scheduler = "threads"
    """Where the pass runs; see `extract`."""
    workers: int | None = None
    """Threads or processes of the pass; by default one a core."""


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
    job = _prepare(paths, settings, Path(out) if out else default_out(paths[0]))
    for note in job.notes:
        progress.note(note)
    extraction = _pass(job, progress)
    folds = _folds(job, extraction, progress)
    trial = Trial(
        out=job.out,
        extraction=extraction,
        folds=folds,
        seed=settings.seed,
        cnn=settings.cnn,
        device=settings.device,
        card=_card(job),
        timings=job.timings,
        progress=progress,
    )
    _conclude(job, folds, trial.shards(), progress)
    return job.out


@dataclass(frozen=True, slots=True)
class _Job:
    """A run whose input has been looked at."""

    settings: RunSettings
    asked: PassSettings
    scale: Scale
    plates: tuple[Plate, ...]
    out: Path
    wells: pd.DataFrame
    target: str
    split: str
    timings: Timings
    notes: tuple[str, ...]


def _prepare(paths: Sequence[str | Path], settings: RunSettings, out: Path) -> _Job:
    """Look at everything that can be wrong before the first pixel is read."""
    plates = open_plates(paths, view=settings.view)
    asked = PassSettings(
        features=settings.features,
        full_scale=settings.full_scale,
        tile_sizes=(settings.tile_size,),
        exclude_flagged=settings.exclude_flagged,
    )
    shapes = plan(plates, asked)[1]
    platemaps = [_platemap(path, settings) for path in paths]
    wells = _read_platemaps(platemaps, plates, settings)
    target = resolve_column(wells, settings.target)
    split = choose_split(wells, settings.split)
    folds = _make_folds(wells, target, split, settings)
    for fold in range(folds.count):
        inner_splits(folds.wells[folds.training(fold)], seed=settings.seed)
    machine = device_name(settings.device)
    description = {
        "command": "run",
        "plates": [plate.name for plate in plates],
        "channels": list(plates[0].channels),
        "platemaps": {file.name: digest(file) for file in dict.fromkeys(platemaps)},
        "settings": {
            **{k: v for k, v in asdict(settings).items() if k not in _SAID_ELSEWHERE},
            "target": target.removeprefix(METADATA),
            "split": split,
        },
        "device": machine.partition(" ")[0],
        "versions": {package: version(package) for package in _VERSIONED},
    }
    claim(out / "run.json", description)
    timings = Timings(out / "timings.json")
    timings.note(
        cost={
            "machine": machine,
            "platemaps": [str(file) for file in dict.fromkeys(platemaps)],
        }
    )
    chosen = "" if settings.split else " (chosen; --split names another)"
    notes = (
        *(
            f"{plate.name}: {len(plate.wells)} wells, {len(plate.fields)} fields,"
            f" channels {', '.join(plate.channels)}"
            for plate in plates
        ),
        *dict.fromkeys(note for plate in plates for note in plate.notes),
        f"{folds.count} folds by {split}{chosen}; the CNN runs on {machine}",
    )
    return _Job(
        settings, asked, shapes.scales[0], plates, out, wells, target, split, timings, notes
    )


def _platemap(plate: str | Path, settings: RunSettings) -> Path:
    platemap = settings.platemap or find_platemap(plate)
    if platemap is None:
        raise UsageError(
            "no plate map", where=str(plate), remedy="name one with --platemap platemap.csv"
        )
    return platemap


def _read_platemaps(
    files: Sequence[Path], plates: Sequence[Plate], settings: RunSettings
) -> pd.DataFrame:
    """Put the wells of all plates under one another."""
    import pandas as pd

    tables = [
        read_platemap(file, plate, columns=settings.columns, target=settings.target)
        for file, plate in zip(files, plates, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _make_folds(wells: pd.DataFrame, target: str, split: str, settings: RunSettings) -> Folds:
    return make_folds(
        wells,
        target=target,
        split=split,
        unscored=settings.unscored,
        folds=settings.folds,
        seed=settings.seed,
    )


def _pass(job: _Job, progress: Progress) -> Extraction:
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


def _folds(job: _Job, extraction: Extraction, progress: Progress) -> Folds:
    """Deal the wells that have a field into folds, and write them down."""
    read = extraction.features[[PLATE, WELL]].drop_duplicates()
    wells = job.wells.merge(read, on=[PLATE, WELL], how="inner")
    classes = (set(table[job.target].dropna().map(str)) for table in (job.wells, wells))
    lost = sorted(set.difference(*classes))
    for name in lost:
        progress.note(f"class {name} is left out: none of its wells could be read")
    unscored = tuple(name for name in job.settings.unscored if name not in lost)
    folds = _make_folds(wells, job.target, job.split, replace(job.settings, unscored=unscored))
    with whole(job.out / "folds.csv") as part:
        folds.wells[[PLATE, WELL, TARGET, GROUP, FOLD, ROLE]].to_csv(part, index=False)
    return folds


def _card(job: _Job) -> dict[str, Any]:
    """Say what models trained here must be given, to be used on another plate."""
    return {
        "plates": [plate.name for plate in job.plates],
        "target": job.target.removeprefix(METADATA),
        "channels": list(job.plates[0].channels),
        "dtype": job.plates[0].dtype,
        "volumes": job.plates[0].volumes,
        "features": job.settings.features,
        "full_scale": job.settings.full_scale,
        "tile_scale": list(job.scale),
    }


def _conclude(job: _Job, folds: Folds, shards: Sequence[Path], progress: Progress) -> None:
    """Join the calls, hold the paths against each other, write the report."""
    import pandas as pd

    table = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
    columns = [str(column) for column in table]
    scores = sorted(column for column in columns if column.startswith(SCORE))
    about = folds.wells[[c for c in folds.wells if c in (PLATE, WELL) or c not in columns]]
    table = table.merge(about, on=[PLATE, WELL], how="left")
    others = [column for column in table if column not in scores]
    write_table(job.out / "predictions", table[[*others, *scores]])
    cards = {
        shard.stem.rsplit("-", 1)[0]: read_json(shard.with_suffix(".json")) for shard in shards
    }
    units = sorted({card["inner_unit"] for card in cards.values()})
    progress.note(f"inner splits, for what training chooses, by {', '.join(units)}")
    masks = [(folds.training(fold), folds.tested(fold)) for fold in range(folds.count)]
    classes = [column.removeprefix(SCORE) for column in scores]
    unlabelled = table[(table[LEVEL] == "well") & (table[ROLE] == UNLABELLED)]
    left = set(zip(folds.wells[PLATE], folds.wells[WELL], strict=True))
    comparison = compare(table).as_json() | {
        "lost": [
            [plate, well, None if pd.isna(name) else str(name)]
            for plate, well, name in job.wells[[PLATE, WELL, job.target]].itertuples(index=False)
            if (plate, well) not in left
        ],
        "split": job.split,
        "folds": folds.count,
        "inner_units": units,
        "positions": [asdict(place) for place in positions(folds.wells, TARGET, masks)],
        "doses": [asdict(dose) for dose in dose_responses(unlabelled, classes)],
        "training": cards,
    }
    write_json(job.out / "comparison.json", comparison)
    report(job.out)
