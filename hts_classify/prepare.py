"""Before a run: what is asked for, and everything that can be wrong with it.

Nothing here reads a pixel, so that what is wrong is said in a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .enough import check_controls, choices, unused_controls
from .errors import DataError, UsageError
from .extract import PassSettings, Scheduler, adopt, plan
from .extract.engines import cores
from .extract.settings import CROP_SIZE, CROPS_PER_FIELD, Crops
from .files import claim, digest
from .models import CnnSettings, check_network, device_name
from .models.normalise import Normalisation, check_normalisation
from .models.settings import NETWORKS, check_device
from .plate import (
    Columns,
    Plate,
    View,
    contradictions,
    find_platemap,
    open_plates,
    read_platemap,
    resolve_column,
    split_choice,
)
from .predictions import Aggregate, check_aggregate
from .seen import check_crops
from .splits import Folds, choose_split, make_repeats
from .tiles import Scale
from .timings import Timings
from .vocabulary import METADATA, FeatureKind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Job", "RunSettings", "deal", "prepare"]

_EIGHTH: Final = (1, 8)
_SAID_ELSEWHERE: Final = {
    *("platemap", "device", "scheduler", "workers", "screen_plates", "raters"),
    "repeats",  # so that a finished run can be given more of them
}
_VERSIONED: Final = ("hts_classify", "numpy", "scikit-learn", "torch", "torchvision", "zarr")


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
    """Protocol: the unit that goes out together (by default compound where there is one, else
    well), or another that `protocols.PROTOCOLS` names."""
    raters: tuple[str, ...] = ()
    """Columns of the plate map with what people called the wells: agreement is reported."""
    unscored: tuple[str, ...] = ()
    """Classes that are trained on and not scored."""
    folds: int = 5
    """Folds at the most."""
    seed: int = 0
    """Seed of folds and training."""
    repeats: int = 1
    """How often folds are dealt and learned from, by `seed`, `seed + 1`, …: the first is the run,
    the others say how far the seed alone moves it. A finished run can be given more."""
    features: FeatureKind = "pftas"
    """How TAS thresholds are set."""
    full_scale: int | None = None
    """The brightest value that the camera writes; by default the type's largest."""
    tile_size: int | None = None
    """Longest side of a tile in pixels; by default the network's own."""
    crops: Crops = "none"
    """What the CNN sees instead of a tile a field: full-resolution crops on a grid, or one an
    object of the label image. A field without an object is left out of both paths."""
    crop_size: int = CROP_SIZE
    """Side of a crop in pixels."""
    crops_per_field: int = CROPS_PER_FIELD
    """Crops of a field: exactly (grid; a square number) or at the most (objects)."""
    labels: str = ""
    """Label image whose objects are cropped, and measured into `objects.parquet`."""
    exclude_flagged: bool = False
    """Leave out fields that are out of focus, saturated or without foreground."""
    normalise: Normalisation = "none"
    """How TAS features of each plate are brought to the scale of its negative controls: by
    `standard`, `robust` or `tvn` (`models.normalise`), not at all, or `auto`, as the inner splits
    of each fold choose. Models that were normalised need controls on every plate they call."""
    cnn: CnnSettings = field(default_factory=CnnSettings)
    """How the CNN is made and learns."""
    device: str = "auto"
    """Where the CNN runs: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`; several, with commas between,
    share the folds' fits."""
    aggregate: Aggregate = "mean"
    """How scores of fields make those of wells and treatments."""
    proba: bool = False
    """Whether predictions say what each model deems probable (`Proba_` columns)."""
    scheduler: Scheduler = "threads"
    """Where the pass runs; see `extract`."""
    workers: int | None = None
    """Threads or processes of the pass; by default one a core."""
    screen_plates: int = 2000
    """Plates of the screen that the report says the cost of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run whose input has been looked at."""

    settings: RunSettings
    asked: PassSettings
    """Of the pass."""
    scale: Scale
    plates: tuple[Plate, ...]
    out: Path
    wells: pd.DataFrame
    target: str
    raters: tuple[str, ...]
    """Their columns."""
    split: str
    devices: tuple[str, ...]
    timings: Timings
    notes: tuple[str, ...]


def prepare(paths: Sequence[str | Path], settings: RunSettings, out: Path) -> Job:
    """Look at everything that can be wrong before the first pixel is read."""
    check_aggregate(settings.aggregate)
    check_normalisation(settings.normalise)
    if settings.screen_plates < 1:
        raise UsageError(
            f"a screen of {settings.screen_plates} plates", remedy="give --screen-plates 1 or more"
        )
    devices = _devices(settings.device)
    weights = _weights(settings.cnn)
    plates = open_plates(paths, view=settings.view)
    asked = _asked(settings)
    _, shapes, pass_ = plan(plates, asked)
    check_crops(plates, asked, remedy="ask for others: --labels, --crop-size, --crops-per-field")
    _check_tiles(asked, shapes.tiles[0], settings.cnn)
    platemaps = [_platemap(path, settings) for path in paths]
    wells = _read_platemaps(platemaps, plates, settings)
    target = resolve_column(wells, settings.target)
    raters = tuple(resolve_column(wells, name) for name in settings.raters)
    if target in raters or len(set(raters)) < len(raters):
        raise UsageError(
            f"raters {', '.join(settings.raters)}",
            remedy="name each once, and not the target: paths are held against that anyway",
        )
    split = choose_split(wells, settings.split)
    folds, *repeats = deal(wells, target, split, settings)
    fewest = check_controls(
        (folds, *repeats), normalise=settings.normalise, scaling=settings.cnn.scaling
    )
    if settings.cnn.weights:
        classes = wells[target].nunique()
        check_network(settings.cnn, channels=len(plates[0].channels), classes=classes)
    machines = [device_name(device) for device in devices]
    chosen = {
        "target": target.removeprefix(METADATA),
        "split": split,
        "tile_size": shapes.names[0],
    }
    description = _description(settings, plates, platemaps, machines, weights, chosen)
    claim(out / "run.json", description, beside=adopt(out, pass_))
    machine = ", ".join(machines)
    timings = Timings(out / "timings.json")
    timings.note(
        cost={
            "machine": machine,
            "cores": cores(),
            "screen_plates": settings.screen_plates,
            "platemaps": [str(file) for file in dict.fromkeys(platemaps)],
        }
    )
    notes = [
        *_plates(plates),
        *_maps(paths, platemaps, plates, wells),
        *unused_controls(folds, settings.normalise),
        *choices(folds.wells, fewest),
        *_folds(folds, repeats, settings, machine),
    ]
    return Job(
        settings=settings,
        asked=asked,
        scale=shapes.scales[0],
        plates=plates,
        out=out,
        wells=wells,
        target=target,
        raters=raters,
        split=split,
        devices=devices,
        timings=timings,
        notes=tuple(notes),
    )


def _description(
    settings: RunSettings,
    plates: Sequence[Plate],
    platemaps: Sequence[Path],
    machines: Sequence[str],
    weights: Path | None,
    chosen: dict[str, Any],
) -> dict[str, Any]:
    """Say what the run follows from (JSON); what was chosen stands among its settings."""
    held = {k: v for k, v in asdict(settings).items() if k not in _SAID_ELSEWHERE}
    del held["cnn"]["cache_mib"]  # where tiles are kept says nothing
    description = {
        "command": "run",
        "plates": [plate.name for plate in plates],
        "channels": list(plates[0].channels),
        "platemaps": {file.name: digest(file) for file in dict.fromkeys(platemaps)},
        "settings": held | chosen,
        "device": ", ".join(sorted({machine.partition(" ")[0] for machine in machines})),
        "versions": {package: version(package) for package in _VERSIONED},
    }
    if corrected := _as_listed(plates):
        description["illumination"] = corrected
    if weights:
        held["cnn"]["weights"] = weights.name
        description["weights"] = digest(weights)
    return description


def _plates(plates: Sequence[Plate]) -> list[str]:
    """Say what the plates hold, and what was chosen of them."""
    return [
        *(
            f"{plate.name}: {len(plate.wells)} wells, {len(plate.fields)} fields,"
            f" channels {', '.join(plate.channels)}"
            for plate in plates
        ),
        *dict.fromkeys(note for plate in plates for note in plate.notes),
    ]


def _folds(
    folds: Folds, repeats: Sequence[Folds], settings: RunSettings, machine: str
) -> list[str]:
    """Say how wells were dealt, and where the CNN runs."""
    chosen = "" if settings.split else " (chosen; --split names another)"
    return [
        f"{folds.count} folds, {folds.protocol.title}{chosen}; the CNN runs on {machine}",
        *(
            f"{settings.repeats} repeats, by the seeds {folds.seed} to {last.seed}"
            for last in repeats[-1:]
        ),
        *folds.notes,
    ]


def _asked(settings: RunSettings) -> PassSettings:
    """Return what the pass is asked for; tiles are as large as the network usually takes.

    With crops they are the report's pictures alone, and of the usual size.
    """
    asked = PassSettings(
        features=settings.features,
        full_scale=settings.full_scale,
        exclude_flagged=settings.exclude_flagged,
        labels=settings.labels,
        crops=settings.crops,
        crop_size=settings.crop_size,
        crops_per_field=settings.crops_per_field,
    )
    if settings.tile_size is not None:
        return replace(asked, tile_sizes=(settings.tile_size,))
    if settings.crops != "none":
        return asked
    if settings.cnn.tile:
        return replace(asked, tile_sizes=(settings.cnn.tile,))
    return replace(asked, scale=_EIGHTH)


def _devices(names: str) -> tuple[str, ...]:
    """Take `cuda:0,cuda:1` apart."""
    devices = tuple(check_device(name.strip()) for name in names.split(","))
    if "auto" in devices and len(devices) > 1:
        raise UsageError(f"devices {names}", remedy="name each, or auto alone")
    return devices


def _weights(cnn: CnnSettings) -> Path | None:
    """Return the file that the network starts from, where there is one."""
    if cnn.weights in ("", "imagenet"):
        return None
    if not Path(cnn.weights).is_file():
        raise UsageError(
            "no such file of weights",
            where=cnn.weights,
            remedy="name one, or imagenet for those that are fetched",
        )
    return Path(cnn.weights)


def _check_tiles(asked: PassSettings, tile: tuple[int, int], cnn: CnnSettings) -> None:
    """Refuse tiles or crops that the network is too deep for."""
    what, flag, shape = "tiles", "--tile-size", tile
    if asked.crops != "none":
        what, flag, shape = "crops", "--crop-size", (asked.crop_size, asked.crop_size)
    least = NETWORKS[cnn.network].least
    if min(shape) * max(1.0, cnn.enlarge / max(shape)) < least:
        raise DataError(
            f"{what} of {shape[0]} × {shape[1]} pixels; {cnn.network} takes {least} or more",
            remedy=f"ask for a larger {flag}, or --enlarge what there is",
        )


def _platemap(plate: str | Path, settings: RunSettings) -> Path:
    platemap = settings.platemap or find_platemap(plate)
    if platemap is None:
        raise UsageError(
            "no plate map",
            where=str(plate),
            remedy="name one with --platemap platemap.csv; an image list with columns such as"
            f" Metadata_{settings.target} needs none",
        )
    return platemap


def _maps(
    paths: Sequence[str | Path],
    platemaps: Sequence[Path],
    plates: Sequence[Plate],
    wells: pd.DataFrame,
) -> list[str]:
    """Say which image lists are their own plate maps, and where a map does not agree with one."""
    said: list[str] = []
    for path, platemap, plate in zip(paths, platemaps, plates, strict=True):
        if split_choice(path)[0] == platemap:
            said.append(f"{platemap.name} is the plate map too, by its Metadata_ columns")
        else:
            said += contradictions(wells, plate)
    return list(dict.fromkeys(said))


def _as_listed(plates: Sequence[Plate]) -> dict[str, list[str]]:
    """Return the channels of each plate that its image list has illumination functions for."""
    return {
        plate.name: channels
        for plate in plates
        if (channels := [name for name, file in plate.view.illumination or () if not file])
    }


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


def deal(wells: pd.DataFrame, target: str, split: str, settings: RunSettings) -> list[Folds]:
    """Deal wells into folds as the settings say, once for each repeat."""
    return make_repeats(
        wells,
        repeats=settings.repeats,
        target=target,
        split=split,
        unscored=settings.unscored,
        folds=settings.folds,
        seed=settings.seed,
    )
