"""Saved models on a plate that they never saw: one pass, both paths' calls while it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .cascade import CASCADE
from .cascading import Unsure, with_cascade
from .controls import controls_of, negative_controls
from .errors import DesignError, ModelError, PlateError, UsageError
from .extract import Extraction, PassSettings, adopt, extract, plan
from .extract.parts import part_of
from .files import claim, digest
from .models import device_name, load
from .models.card import damaged, read_card
from .plate import (
    Columns,
    ImageSets,
    Plate,
    View,
    find_platemap,
    listed_wells,
    open_plate,
    read_platemap,
    select_channels,
)
from .predictions import UNFOLDED, Aggregate, check_aggregate, with_proba, with_wells, write_table
from .progress import Progress
from .scoring import Scored, called, profiles, scored
from .seen import Tiles, check_crops, keep_seen
from .stream import Stream
from .unlike import UNLIKE_CARD, joined, judged, known_wells, measured
from .vocabulary import (
    CONTROL,
    LEVEL,
    PATH,
    PATHS,
    PLATE,
    PROBA,
    PROFILE,
    TITLES,
    UNLIKE,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier, Inputs

__all__ = ["PredictSettings", "as_learned", "predict"]

_KEYS = (
    "aggregate",
    "channels",
    "crop_size",
    "crops",
    "crops_per_field",
    "dtype",
    "features",
    "full_scale",
    "labels",
    "normalise",
    "scaling",
    "tile_scale",
    "view",
    "volumes",
)
_MANY = 0.25
"""Share of a plate's wells beyond which flags say more of the plate than of its wells."""
_MEASURED = ("features", "full_scale", "labels", "crops", "crop_size", "crops_per_field")
"""What of a card the pass is asked for, by the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSettings:
    """What is asked of saved models; how they measure and scale, they know themselves."""

    view: View = View()  # noqa: RUF009  (frozen)
    """Which part of the plate is looked at. The models take their channels by name."""
    device: str = "auto"
    """Where the CNN runs: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    aggregate: Aggregate | None = None
    """How scores of fields make a well's; by default as in the models' own run."""
    proba: bool = False
    """Whether predictions say what each model deems probable (`Proba_` columns)."""
    platemap: Path | None = None
    """Where the negative controls are, for models that scale plates by them; by default the map
    beside or inside the plate."""
    control_column: str | None = None
    """Its column of control types, where that has an unusual name."""
    cascade: bool = False
    """Have the CNN look only at wells of which TAS + SVM is unsure, by the threshold that the
    models' run chose; rows of the path `cascade` are what is then called."""
    image_sets: ImageSets | None = None
    """Call only what these image sets show; all by default. The folder is then a part that `merge`
    joins with others, for a call of the whole plate to go on from without reading it."""


def predict(
    models: str | Path,
    path: str | Path,
    settings: PredictSettings = PredictSettings(),
    *,
    out: str | Path,
    progress: Progress | None = None,
) -> Extraction:
    """Call every well of a plate with the models of an earlier run.

    Fields are scored while others are read.

    Parameters
    ----------
    models : path
        `models/` of a run directory.
    path : path or URL
        The plate to call.
    settings : PredictSettings, optional
        What is asked for.
    out : path
        Folder for `predictions.parquet`, `predictions.csv`, `failures.csv` and what the pass
        leaves.
    progress : Progress, optional
        Who is told how far it is.

    Returns
    -------
    Extraction
        The plate's features, tiles and failures.

    Raises
    ------
    ModelError
        When a model is missing or damaged, or the plate lacks a channel or has another type of
        pixels than the models were trained on.
    UsageError
        When the folder holds other calls.
    DesignError
        When the models scale plates by their negative controls, and this one has too few.
    """
    progress, models, out = progress or Progress(), Path(models), Path(out)
    plate, card = open_plate(path, view=settings.view), _card(models)
    _check(plate, card, models)
    plate = select_channels(plate, card["channels"])
    trained = [load(name, models, device=settings.device) for name in PATHS]
    _check_channels(trained, card, models)
    familiar = _familiar(trained, models)
    aggregate = settings.aggregate or card["aggregate"]
    check_aggregate(aggregate)
    unsure = None
    if settings.cascade:
        unsure = Unsure(trained[0], aggregate, _threshold(models, aggregate))
    waiting = [model for model in trained if model.needs_controls]
    platemap = _platemap(path, settings) if waiting else None
    wells = _controls(platemap, plate, settings, waiting) if platemap else None
    asked = _asked(card)
    check_crops([plate], asked, remedy="the models learned from such crops; train on this plate")
    for note in plate.notes:
        progress.note(note)
    for what, own in plate.view.summary().items():
        if own != (learned := card["view"].get(what)):
            progress.note(f"{plate.name} is read with {what} {own}, the models learned {learned}")
    progress.note(f"the CNN runs on {device_name(settings.device)}")
    part = part_of(out, [plate], settings.image_sets, retry_failed=False)
    held = adopt(out, plan([plate], asked)[2], is_part=part is not None)
    _claim(out, plate, card, models, settings, aggregate, platemap, held)
    # A scale that controls set is known when all of them are read; what TAS is unsure of, later.
    streamed = [model for model in trained if model not in waiting]
    if unsure and trained[0] in waiting:
        streamed = []
    stream = Stream(streamed, plate, out, asked, device=settings.device, gate=unsure)
    fields = len(part.rows) if part else len(plate.fields)
    with progress.stage("reading and calling", fields, "fields") as advance:

        def on_well(_plate: str, well: str, cost: dict[str, float]) -> None:
            advance(int(cost["fields"]), int(cost["bytes"]))
            stream.done(well)

        with stream.scoring():
            extraction = extract(
                plate,
                out,
                asked,
                image_sets=settings.image_sets,
                on_well=on_well,
                say=progress.note,
            )
            if not len(extraction.features):
                raise PlateError(
                    f"none of the fields of {settings.image_sets} can be used",
                    where=plate.path,
                    remedy=f"{out / 'failures.csv'} says why for each",
                )
    extraction, tiles = keep_seen(out, asked, extraction)
    names = [model.name for model in streamed]
    found = dict(zip(names, stream.scores(extraction.features, tiles), strict=True))
    for model in trained:
        if model.name not in found:
            rows = np.arange(len(extraction.features))
            if unsure and model is not trained[0]:
                rows = np.flatnonzero(unsure(extraction.features, found[trained[0].name]))
            found[model.name] = _scaled(model, extraction.features, tiles, rows, wells, plate)
    table = _calls(trained, extraction, found, aggregate=aggregate)
    table = _judged(table, trained, extraction, found, familiar)
    far = table[table[UNLIKE].fillna(False)].groupby(PATH).size()
    if len(far):
        progress.note(
            "wells unlike every class that was learned (Unlike): "
            + ", ".join(f"{TITLES[str(path)]} {count}" for path, count in far.items())
        )
        if far.max() > _MANY * (table[LEVEL] == "well").sum() / len(PATHS):
            progress.note(
                "these are so many that the plate as a whole is unlike those that were learned"
                " from: heed the flags less, and hold plates apart (--split plate) to see what"
                " calls on another plate are worth"
            )
    if unsure:
        sent = table.loc[(table[PATH] == "cnn") & (table[LEVEL] == "well")]
        every = table.loc[(table[PATH] == "tas_svm") & (table[LEVEL] == "well")]
        progress.note(
            f"{len(sent)} of {len(every)} wells went to the CNN: TAS + SVM was less sure of them"
            f" than {unsure.threshold:.2f}"
            if unsure.threshold
            else "no well went to the CNN: in the models' run it gained nothing over TAS + SVM"
        )
    about = listed_wells(plate)
    _write(out, table, trained, about, proba=settings.proba, cascaded=unsure is not None)
    return extraction


def _calls(
    trained: list[Classifier],
    extraction: Extraction,
    found: dict[str, Scored],
    *,
    aggregate: Aggregate,
) -> pd.DataFrame:
    """Make the table of calls."""
    import pandas as pd

    tables: list[pd.DataFrame] = [
        called(
            model,
            extraction.features,
            found[model.name],
            aggregate=aggregate,
            temperature=model.temperature,
        )
        for model in trained
        if len(found[model.name].rows)
    ]
    return pd.concat(tables, ignore_index=True)


def _judged(
    table: pd.DataFrame,
    trained: list[Classifier],
    extraction: Extraction,
    found: dict[str, Scored],
    familiar: dict[str, tuple[pd.DataFrame, float | None]],
) -> pd.DataFrame:
    """Add how far each well is from those that the models learned from, and whether too far."""
    import pandas as pd

    parts = []
    for model in trained:
        if len((said := found[model.name]).rows):
            known, most = familiar[model.name]
            seen = profiles(extraction.features, said.points, said.rows)
            parts.append(judged(measured(seen, known, path=model.name), most))
    return joined(table, pd.concat(parts, ignore_index=True))


def _familiar(
    trained: Sequence[Classifier], models: Path
) -> dict[str, tuple[pd.DataFrame, float | None]]:
    """Read for each path how its model sees the wells that it learned from, and how far is too far.

    Raises
    ------
    ModelError
        When these are absent, damaged, or of other models.
    """
    import pyarrow.parquet as pq

    files = {model.name: known_wells(models, model.name) for model in trained}
    for file in (models / UNLIKE_CARD, *files.values()):
        if not file.exists():
            raise ModelError(
                f"holds nothing to tell wells that are none of the classes by ({file.name} is"
                " absent)",
                where=str(models),
                remedy="name the models/ folder of a finished run of this version",
            )
    limits = read_card(models / UNLIKE_CARD, tuple(files))
    found = {}
    for model in trained:
        try:
            with (file := files[model.name]).open("rb") as source:
                # Arrow's threads, where the next line refuses, can abort the process at its end.
                known = pq.read_table(source, use_threads=False).to_pandas()
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise damaged(file, f"cannot be read ({str(error).splitlines()[0]})") from error
        if len(columns_with(PROFILE, known)) != model.features:
            raise damaged(file, f"is of another model than {model.name}")
        found[model.name] = known, limits[model.name]
    return found


def _write(
    out: Path,
    table: pd.DataFrame,
    trained: list[Classifier],
    about: pd.DataFrame | None,
    *,
    proba: bool,
    cascaded: bool,
) -> None:
    """Write the calls, with what an image list says of their wells."""
    warmth = {(model.name, UNFOLDED): model.temperature for model in trained}
    probable = with_proba(table, warmth)
    if cascaded:
        probable = with_cascade(probable)
    if about is not None:
        probable = with_wells(probable, about)
    asked = [name for name in probable if proba or not str(name).startswith(PROBA)]
    write_table(out / "predictions", probable[asked])


def _threshold(models: Path, aggregate: str) -> float:
    """Return how sure TAS + SVM has to be of a well, as the models' run chose it."""
    file = models / CASCADE
    if not file.exists():
        raise ModelError(
            "holds no threshold for a cascade (cascade.json is absent)",
            where=str(models),
            remedy="name the models/ folder of a finished run, or leave --cascade out",
        )
    card = read_card(file, ("aggregate", "threshold"))
    if card["aggregate"] != aggregate:
        raise UsageError(
            f"--cascade with --aggregate {aggregate}, and its threshold is for {card['aggregate']}",
            where=str(file),
            remedy="leave --aggregate out",
        )
    return float(card["threshold"])


def _claim(
    out: Path,
    plate: Plate,
    card: dict[str, Any],
    models: Path,
    settings: PredictSettings,
    aggregate: str,
    platemap: Path | None,
    held: frozenset[str],
) -> None:
    """Write down what the folder is for, or check that it is for that."""
    used = (".json", ".parquet", ".safetensors", ".skops")  # not what is written for people
    weights = [file for file in sorted(models.iterdir()) if file.suffix in used]
    claim(
        out / "run.json",
        {
            "command": "predict",
            "plates": [plate.name],
            "channels": list(plate.channels),
            "models": digest(*weights),
            "inputs": card,
            "aggregate": aggregate,
            "proba": settings.proba,
            "cascade": settings.cascade,
            "platemap": digest(platemap) if platemap else "",
        },
        beside=held,
    )


def _platemap(path: str | Path, settings: PredictSettings) -> Path:
    """Return the plate map, which says where the controls are."""
    platemap = settings.platemap or find_platemap(path)
    if platemap is None:
        raise UsageError(
            "the models scale plates by their negative controls, and there is no plate map",
            where=str(path),
            remedy="name one with --platemap platemap.csv",
        )
    return platemap


def _controls(
    platemap: Path, plate: Plate, settings: PredictSettings, models: Sequence[Classifier]
) -> pd.DataFrame:
    """Return the wells with negative controls, at least as many as the models take."""
    wells = read_platemap(platemap, plate, columns=Columns(control=settings.control_column))
    controls = wells[negative_controls(wells)]
    least = max(model.least_controls for model in models)
    if len(controls) < least:
        raise DesignError(
            f"the models scale plates by {least} or more wells of negative controls, and"
            f" {len(controls) or 'none'} {'is' if len(controls) < 2 else 'are'} there"
            + ("" if CONTROL in wells else " (there is no column of control types)"),
            where=str(platemap),
            remedy="write negcon in the column control_type, or name it with --control-column",
        )
    return controls


def _scaled(
    model: Classifier,
    features: pd.DataFrame,
    tiles: Tiles,
    rows: NDArray[np.intp],
    wells: pd.DataFrame | None,
    plate: Plate,
) -> Scored:
    """Score some fields, the plate brought to the scale of its controls where a model has it so."""
    controls: dict[str, Inputs] = {}
    if model.needs_controls and wells is not None:
        read = features[[PLATE, WELL]].merge(wells[[PLATE, WELL]]).drop_duplicates()
        if len(read) < model.least_controls:
            raise DesignError(
                f"fields of {len(read)} wells with negative controls are left,"
                f" {model.least_controls} or more set the plate's scale",
                where=plate.path,
                remedy="failures.csv says why; models trained without controls need none",
            )
        controls = controls_of(model.name, features, tiles, wells)
    return scored(model, features, tiles, rows, controls)


def as_learned(
    models: str | Path, plates: Sequence[Plate], *, exclude_flagged: bool = False
) -> tuple[tuple[Plate, ...], PassSettings]:
    """Return plates as models see them, and what a pass is asked for that `predict` goes on from.

    Parameters
    ----------
    models : path
        `models/` of a run directory.
    plates : sequence of Plate
    exclude_flagged : bool, optional
        Leave out flagged fields.

    Raises
    ------
    ModelError
        When a plate lacks a channel of theirs or has other pixels.
    """
    folder = Path(models)
    card = _card(folder)
    for plate in plates:
        _check(plate, card, folder)
    shown = tuple(select_channels(plate, card["channels"]) for plate in plates)
    return shown, replace(_asked(card), exclude_flagged=exclude_flagged)


def _asked(card: dict[str, Any]) -> PassSettings:
    """Say what the pass is asked for, so that models see what they learned from."""
    return PassSettings(
        scale=(card["tile_scale"][0], card["tile_scale"][1]),
        **{name: card[name] for name in _MEASURED},
    )


def _card(models: Path) -> dict[str, Any]:
    """Read what models must be given."""
    file = models / "inputs.json"
    if not file.exists():
        raise ModelError(
            "holds no models (inputs.json is absent)",
            where=str(models),
            remedy="name the models/ folder of a finished run",
        )
    return read_card(file, _KEYS)


def _check_channels(trained: list[Classifier], card: dict[str, Any], models: Path) -> None:
    """Refuse a CNN that was trained on other channels than its folder says."""
    for model in trained:
        own = getattr(model, "channels", None)
        if own is not None and list(own) != card["channels"]:
            raise ModelError(
                f"{model.name} was trained on {', '.join(own) or 'unnamed channels'},"
                f" inputs.json says {', '.join(card['channels'])}",
                where=str(models),
                remedy="name the models/ folder of one run, as the run left it",
            )


def _check(plate: Plate, card: dict[str, Any], models: Path) -> None:
    """Refuse a plate whose pixels do not mean what the models learnt."""
    if not set(card["channels"]) <= set(plate.channels):
        raise ModelError(
            f"channels are {', '.join(plate.channels)}, the models in {models} were trained on"
            f" {', '.join(card['channels'])}",
            where=plate.path,
            remedy="name the plate's channels, in order, with --channels",
        )
    if plate.dtype != card["dtype"]:
        raise ModelError(
            f"pixels are {plate.dtype}, the models in {models} were trained on {card['dtype']}",
            where=plate.path,
            remedy="train on a plate of this type",
        )
    if plate.volumes != card["volumes"]:
        kinds = {True: "volumes", False: "single planes"}
        raise ModelError(
            f"fields are {kinds[plate.volumes]}, the models in {models} were trained on"
            f" {kinds[card['volumes']]}",
            where=plate.path,
            remedy="choose the planes as then, with --z",
        )
