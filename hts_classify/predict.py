"""Saved models on a plate that they never saw: one pass, both paths' calls while it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .cascading import Unsure, with_cascade
from .controls import controls_of, negative_controls
from .errors import DesignError, PlateError, UsageError
from .extract import Extraction, adopt, extract, plan
from .extract.parts import part_of
from .files import claim, digest
from .models import device_name
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
from .saved import Saved, check_plate, pass_for, read_inputs
from .scoring import Scored, called, profiles, scored
from .seen import Tiles, check_crops, keep_seen
from .stream import Stream
from .unlike import joined, judged, measured
from .vocabulary import (
    CONTROL,
    LEVEL,
    PATH,
    PATHS,
    PLATE,
    PROBA,
    TITLES,
    UNLIKE,
    WELL,
)

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier, Inputs

__all__ = ["PredictSettings", "predict"]

_MANY = 0.25
"""Share of a plate's wells beyond which flags say more of the plate than of its wells."""


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
    plate, inputs = open_plate(path, view=settings.view), read_inputs(models)
    check_plate(plate, inputs, models)
    plate = select_channels(plate, inputs["channels"])
    saved = Saved.read(models, inputs, settings.device)
    aggregate = settings.aggregate or inputs["aggregate"]
    check_aggregate(aggregate)
    unsure = None
    if settings.cascade:
        unsure = Unsure(saved.models[0], aggregate, saved.threshold(aggregate))
    waiting = [model for model in saved.models if model.needs_controls]
    platemap = _platemap(path, settings) if waiting else None
    wells = _controls(platemap, plate, settings, waiting) if platemap else None
    asked = pass_for(inputs)
    check_crops([plate], asked, remedy="the models learned from such crops; train on this plate")
    _say_how(plate, inputs, settings.device, progress)
    part = part_of(out, [plate], settings.image_sets, retry_failed=False)
    held = adopt(out, plan([plate], asked)[2], is_part=part is not None)
    _claim(out, plate, saved, settings, aggregate, platemap, held)
    # A scale that controls set is known when all of them are read; what TAS is unsure of, later.
    streamed = [model for model in saved.models if model not in waiting]
    if unsure and saved.models[0] in waiting:
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
    for model in saved.models:
        if model.name not in found:
            rows = np.arange(len(extraction.features))
            if unsure and model is not saved.models[0]:
                rows = np.flatnonzero(unsure(extraction.features, found[saved.models[0].name]))
            found[model.name] = _scaled(model, extraction.features, tiles, rows, wells, plate)
    table = _judged(_calls(saved, extraction, found, aggregate=aggregate), saved, extraction, found)
    _say_unlike(table, progress)
    if unsure:
        _say_sent(table, unsure, progress)
    about = listed_wells(plate)
    _write(out, table, saved, about, proba=settings.proba, cascaded=unsure is not None)
    return extraction


def _say_how(plate: Plate, inputs: Mapping[str, Any], device: str, progress: Progress) -> None:
    """Say what is looked at, and in what that differs from what the models learned from."""
    for note in plate.notes:
        progress.note(note)
    for what, own in plate.view.summary().items():
        if own != (learned := inputs["view"].get(what)):
            progress.note(f"{plate.name} is read with {what} {own}, the models learned {learned}")
    progress.note(f"the CNN runs on {device_name(device)}")


def _say_unlike(table: pd.DataFrame, progress: Progress) -> None:
    """Say how many wells are none of the classes; of very many, that they say more of the plate."""
    far = table[table[UNLIKE].fillna(False)].groupby(PATH).size()
    if not len(far):
        return
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


def _say_sent(table: pd.DataFrame, unsure: Unsure, progress: Progress) -> None:
    """Say how many wells the CNN looked at."""
    sent = table.loc[(table[PATH] == "cnn") & (table[LEVEL] == "well")]
    every = table.loc[(table[PATH] == "tas_svm") & (table[LEVEL] == "well")]
    progress.note(
        f"{len(sent)} of {len(every)} wells went to the CNN: TAS + SVM was less sure of them"
        f" than {unsure.threshold:.2f}"
        if unsure.threshold
        else "no well went to the CNN: in the models' run it gained nothing over TAS + SVM"
    )


def _calls(
    saved: Saved,
    extraction: Extraction,
    found: Mapping[str, Scored],
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
        for model in saved.models
        if len(found[model.name].rows)
    ]
    return pd.concat(tables, ignore_index=True)


def _judged(
    table: pd.DataFrame, saved: Saved, extraction: Extraction, found: Mapping[str, Scored]
) -> pd.DataFrame:
    """Add how far each well is from those that the models learned from, and whether too far."""
    import pandas as pd

    parts = []
    for model in saved.models:
        if len((said := found[model.name]).rows):
            known, most = saved.familiar[model.name]
            seen = profiles(extraction.features, said.points, said.rows)
            parts.append(judged(measured(seen, known, path=model.name), most))
    return joined(table, pd.concat(parts, ignore_index=True))


def _write(
    out: Path,
    table: pd.DataFrame,
    saved: Saved,
    about: pd.DataFrame | None,
    *,
    proba: bool,
    cascaded: bool,
) -> None:
    """Write the calls, with what an image list says of their wells."""
    warmth = {(model.name, UNFOLDED): model.temperature for model in saved.models}
    probable = with_proba(table, warmth)
    if cascaded:
        probable = with_cascade(probable)
    if about is not None:
        probable = with_wells(probable, about)
    asked = [name for name in probable if proba or not str(name).startswith(PROBA)]
    write_table(out / "predictions", probable[asked])


def _claim(
    out: Path,
    plate: Plate,
    saved: Saved,
    settings: PredictSettings,
    aggregate: str,
    platemap: Path | None,
    held: frozenset[str],
) -> None:
    """Write down what the folder is for, or check that it is for that."""
    used = (".json", ".parquet", ".safetensors", ".skops")  # not what is written for people
    weights = [file for file in sorted(saved.folder.iterdir()) if file.suffix in used]
    claim(
        out / "run.json",
        {
            "command": "predict",
            "plates": [plate.name],
            "channels": list(plate.channels),
            "models": digest(*weights),
            "inputs": dict(saved.inputs),
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
