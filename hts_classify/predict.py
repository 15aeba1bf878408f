"""Saved models on a plate that they never saw: one pass, both paths' calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelError
from .extract import Extraction, PassSettings, extract
from .files import claim, digest
from .models import device_name, load
from .models.card import read_card
from .models.settings import Device
from .plate import Plate, View, open_plate, select_channels
from .predictions import write_table
from .progress import Progress
from .trial import called
from .vocabulary import PATHS

__all__ = ["predict"]


def predict(
    models: str | Path,
    path: str | Path,
    *,
    out: str | Path,
    view: View = View(),  # noqa: B008  (frozen)
    device: Device = "auto",
    progress: Progress | None = None,
) -> Extraction:
    """Call every well of a plate with the models of an earlier run.

    Parameters
    ----------
    models : path
        `models/` of a run directory.
    path : path or URL
        The plate to call.
    out : path
        Folder for `predictions.parquet`, `predictions.csv`, `failures.csv` and what the pass
        leaves.
    view : View, optional
        Which part of the plate is looked at. The models take their channels by name.
    device : {"auto", "cpu", "cuda"}, optional
        Where the CNN runs.
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
    """
    import pandas as pd

    progress, models, out = progress or Progress(), Path(models), Path(out)
    plate, card = open_plate(path, view=view), _card(models)
    _check(plate, card, models)
    plate = select_channels(plate, card["channels"])
    trained = [load(name, models, device=device) for name in PATHS]
    progress.note(f"the CNN runs on {device_name(device)}")
    weights = [file for file in sorted(models.iterdir()) if not file.name.startswith(".")]
    claim(
        out / "run.json",
        {
            "command": "predict",
            "plates": [plate.name],
            "channels": list(plate.channels),
            "models": digest(*weights),
            "inputs": card,
        },
    )
    asked = PassSettings(
        features=card["features"],
        full_scale=card["full_scale"],
        scale=(card["tile_scale"][0], card["tile_scale"][1]),
    )
    with progress.stage("reading, features and tiles", len(plate.fields), "fields") as advance:
        extraction = extract(
            plate,
            out,
            asked,
            on_well=lambda _plate, _well, cost: advance(int(cost["fields"]), int(cost["bytes"])),
            say=progress.note,
        )
    rows = np.arange(len(extraction.features))
    tables = []
    for model in trained:
        with progress.stage(f"calling, {model.name}", 1) as advance:
            table, _ = called(model, extraction, rows)
            tables.append(table)
            advance(1)
    write_table(out / "predictions", pd.concat(tables, ignore_index=True))
    return extraction


def _card(models: Path) -> dict[str, Any]:
    """Read what models must be given."""
    file = models / "inputs.json"
    if not file.exists():
        raise ModelError(
            "holds no models (inputs.json is absent)",
            where=str(models),
            remedy="name the models/ folder of a finished run",
        )
    return read_card(file, ("channels", "dtype", "features", "full_scale", "tile_scale", "volumes"))


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
