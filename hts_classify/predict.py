"""Saved models on a plate that they never saw: one pass, both paths' calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelError
from .extract import Extraction, extract
from .files import claim, digest
from .models import device_name, load
from .models.card import read_card
from .models.settings import Device
from .plate import Plate, open_plate, select_channels
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
    channels: tuple[str, ...] = (),
    device: Device = "auto",
    progress: Progress | None = None,
) -> Extraction:
    """Call every well of a plate with the models of an earlier run.

    Parameters
    ----------
    models : path
        `models/` of a run directory.
    path : path
        The plate to call.
    out : path
        Folder for `predictions.parquet`, `predictions.csv`, `failures.csv` and what the pass
        leaves.
    channels : tuple of str, optional
        Names for the plate's channels, in order. The models take theirs by name.
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
    plate, card = open_plate(path, channels=channels or None), _card(models)
    _check(plate, card, models)
    plate = select_channels(plate, card["channels"])
    trained = [load(name, models, device=device) for name in PATHS]
    progress.note(f"the CNN runs on {device_name(device)}")
    weights = [file for file in sorted(models.iterdir()) if not file.name.startswith(".")]
    claim(
        out / "run.json",
        {
            "command": "predict",
            "plate": {"name": plate.name, "channels": list(plate.channels)},
            "models": digest(*weights),
            "inputs": card,
        },
    )
    with progress.stage("reading, features and tiles", len(plate.wells)) as advance:
        extraction = extract(
            plate,
            out,
            features=card["features"],
            full_scale=card["full_scale"],
            factor=card["tile_factor"],
            on_well=lambda *_well: advance(1),
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
    return read_card(file, ("channels", "dtype", "features", "full_scale", "tile_factor"))


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
