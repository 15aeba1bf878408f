"""The main job: one pass over a plate, two paths on the same folds, one report.

::

    plate + plate map ─► folds ─► extract ─► for each path and fold: train, call the fold's wells
                                              for each path: train on all, call the other wells
                                 ─► predictions ─► comparison.json ─► report.html

Every step's result is a file of its own, named after what it was made from, so that a run that
was stopped goes on at the step where it stopped, and a finished one does nothing again. All
that changes from run to run is in `timings.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .compare import compare
from .errors import UsageError
from .evaluate import dose_responses, positions
from .extract import TILE_SIZE, Extraction, extract, pixel_rule
from .files import claim, digest, read_json, whole, write_json
from .models import CnnSettings, device_name
from .models.settings import Device
from .plate import (
    Columns,
    Plate,
    find_platemap,
    open_plate,
    read_platemap,
    resolve_column,
    select_channels,
    store_stem,
)
from .predictions import write_table
from .progress import Progress
from .report import report
from .splits import Folds, choose_split, inner_splits, make_folds
from .tiles import tile_factor, tile_shape
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

_SAID_ELSEWHERE = {"platemap", "device"}
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
    channels: tuple[str, ...] = ()
    """Names for the plate's channels, in order; by default the plate's own."""
    use: tuple[str, ...] = ()
    """Channels to use, by name; by default all."""
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
    """The brightest value that the camera writes, for `features="tas"`; by default the type's."""
    tile_size: int = TILE_SIZE
    """Longest side of a tile in pixels, at the most."""
    cnn: CnnSettings = field(default_factory=CnnSettings)
    """How the CNN learns."""
    device: Device = "auto"
    """Where the CNN runs."""


def default_out(plate: Path) -> Path:
    """Return the folder beside a plate that its run goes to.

    Examples
    --------
    >>> default_out(Path("screen/plate.ome.zarr")).name
    'plate-hts'
    """
    return plate.resolve().parent / f"{store_stem(plate)}-hts"


def run(
    path: str | Path,
    settings: RunSettings,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Classify a plate both ways and leave a run directory.

    Parameters
    ----------
    path : path
        The plate.
    settings : RunSettings
        What is asked for.
    out : path, optional
        The run directory; by default `<plate>-hts` beside the plate. One that holds the same run
        is finished, and left as it is where it is finished already.
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
    path = Path(path)
    job = _prepare(path, settings, Path(out) if out else default_out(path))
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
    plate: Plate
    out: Path
    wells: pd.DataFrame
    target: str
    split: str
    factor: int
    timings: Timings
    notes: tuple[str, ...]


def _prepare(path: Path, settings: RunSettings, out: Path) -> _Job:
    """Look at everything that can be wrong before the first pixel is read."""
    plate = open_plate(path, channels=settings.channels or None)
    plate = select_channels(plate, settings.use or plate.channels)
    factor = tile_factor(plate.field_shape, settings.tile_size)
    tile_shape(plate.field_shape, factor)
    pixel_rule(plate, settings.features, settings.full_scale)
    platemap = settings.platemap or find_platemap(path)
    if platemap is None:
        raise UsageError(
            "no plate map", where=str(path), remedy="name one with --platemap platemap.csv"
        )
    wells = read_platemap(platemap, plate, columns=settings.columns, target=settings.target)
    target = resolve_column(wells, settings.target)
    split = choose_split(wells, settings.split)
    folds = _make_folds(wells, target, split, settings)
    for fold in range(folds.count):
        inner_splits(folds.wells[folds.training(fold)], seed=settings.seed)
    machine = device_name(settings.device)
    description = {
        "command": "run",
        "plate": {"name": plate.name, "channels": list(plate.channels)},
        "platemap": {"name": platemap.name, "sha256": digest(platemap)},
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
    timings.note(cost={"machine": machine, "plate": plate.path, "platemap": str(platemap)})
    chosen = "" if settings.split else " (chosen; --split names another)"
    notes = (
        f"{plate.name}: {len(plate.wells)} wells, {len(plate.fields)} fields,"
        f" channels {', '.join(plate.channels)}",
        f"{folds.count} folds by {split}{chosen}; the CNN runs on {machine}",
    )
    return _Job(settings, plate, out, wells, target, split, factor, timings, notes)


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
    """Read the plate, once."""
    with progress.stage("reading, features and tiles", len(job.plate.wells)) as advance:
        last = perf_counter()

        def on_well(well: str, cost: Mapping[str, float]) -> None:
            # The clock's time since the last well came back: over all wells it is the pass's.
            nonlocal last
            now = perf_counter()
            job.timings.note("wells", well, cost={**cost, "wall_s": now - last})
            job.timings.save(at_once=False)
            last = now
            advance(1)

        result = extract(
            job.plate,
            job.out,
            features=job.settings.features,
            full_scale=job.settings.full_scale,
            factor=job.factor,
            on_well=on_well,
        )
    job.timings.save()
    return result


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
        "plate": job.plate.name,
        "target": job.target.removeprefix(METADATA),
        "channels": list(job.plate.channels),
        "dtype": job.plate.dtype,
        "features": job.settings.features,
        "full_scale": job.settings.full_scale,
        "tile_factor": job.factor,
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
    lost = set(job.wells[WELL]) - set(folds.wells[WELL])
    comparison = compare(table).as_json() | {
        "lost": [
            [well, None if pd.isna(name) else str(name)]
            for well, name in zip(job.wells[WELL], job.wells[job.target], strict=True)
            if well in lost
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
