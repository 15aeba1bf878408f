"""A run directory written by hand: what the page shows of it is known, and no network learns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hts_classify.compare import compare
from hts_classify.evaluate import positions
from hts_classify.models.diagnosis import diagnose
from hts_classify.models.settings import CnnSettings
from hts_classify.tiles import TileStore

_CLASSES = ("arrest", "nuclear")
_FOLDS = 3


def facts_of_a_fit(*, overfits: bool = False, fold: int = 0) -> dict[str, Any]:
    """Return facts as the CNN's fit leaves them, of a fit that went well or overfitted."""
    rounds = np.arange(1, 21)
    step = np.round(rounds * 7.5).astype(int).tolist()
    loss = 0.04 + 0.66 * np.exp(-rounds / 4)
    judged = 0.25 + 0.45 * np.exp(-rounds / 4)
    known, unknown = 1 - 0.5 * np.exp(-rounds / 3), 0.92 - 0.4 * np.exp(-rounds / 3)
    if overfits:
        judged = 0.5 + 0.02 * fold + 0.003 * (rounds - 6) ** 2
        unknown = np.full(20, 0.6)
    rate = 0.003 * np.minimum(rounds / 2, 0.5 + np.cos(math.pi * rounds / 20) / 2)
    wrong = 8 if overfits else 1 + fold
    best = int(judged.argmin())
    facts: dict[str, Any] = {
        "network": "compact",
        "weights_from": "",
        "tune": "all",
        "scaling": "tile",
        "parameters": 112_034,
        "learned_parameters": 112_034,
        "classes": {"arrest": 16, "nuclear": 16},
        "steps": {"planned": 150, "taken": 150, "best": step[best]},
        "refit_steps": 180,
        "batch": 32,
        "accumulate": 1,
        "learning_rate": 0.003,
        "weight_decay": 0.05,
        "temperature": 1.31,
        "judged_loss": round(float(judged.min()), 4),
        "judged_tiles": 20,
        "judged_confusion": [[10, 0], [wrong, 10 - wrong]],
        "trials": [],
        "curve": [
            {
                "step": step[k],
                "rate": float(rate[k]),
                "loss": float(loss[k]),
                "accuracy": float(known[k]),
                "judged_loss": float(judged[k]),
                "judged_accuracy": float(unknown[k]),
            }
            for k in range(20)
        ],
        "said": [],
        "dropped": [],
    }
    return facts | {"diagnosis": diagnose(facts)}


def write_run(
    folder: Path,
    training: Mapping[str, Mapping[str, Any]],
    *,
    cnn: Mapping[str, Any] | None = None,
    failures: pd.DataFrame | None = None,
    probable: bool = False,
    wells: pd.DataFrame | None = None,
    classes: tuple[str, ...] = _CLASSES,
    **settings: Any,
) -> Path:
    """Write a finished run without its report: 24 wells unless named, two classes, three folds."""
    wells = wells_of(["P1"], "BCD", range(2, 10)) if wells is None else wells.copy()
    number = np.arange(len(wells))
    wells["Target"] = np.asarray(classes, object)[(number + number // 8) % len(classes)]
    wells["Group"], wells["Fold"], wells["Role"] = number // 2 % 6, number // 2 % 3, "scored"
    table = _predictions(wells, classes)
    table.to_parquet(folder / "predictions.parquet", index=False)
    masks = [(wells["Fold"] != k, wells["Fold"] == k) for k in range(_FOLDS)]
    masks = [(learn.to_numpy(bool), test.to_numpy(bool)) for learn, test in masks]
    comparison = compare(_with_proba(table) if probable else table).as_json() | {
        "lost": [],
        "split": "compound",
        "protocol": "grouped k-fold by compound",
        "unit": "compound",
        "unseen": "compound",
        "fold_notes": [],
        "audit": {"findings": [], "contestants": [], "notes": []},
        "separations": [],
        "unlike": [],
        "raters": None,
        "folds": _FOLDS,
        "inner_units": ["compound"],
        "positions": [asdict(place) for place in positions(wells, "Target", masks)],
        "doses": [],
        "training": {
            name: {"inner_unit": "compound", "training": facts} for name, facts in training.items()
        },
    }
    asked = {"target": "moa", "features": "pftas", "tile_size": 32, "seed": 0, **settings}
    asked["cnn"] = CnnSettings().as_json() if cnn is None else cnn
    run = {
        "plates": [*wells["Metadata_Plate"].unique()],
        "channels": ["DNA", "GFP"],
        "settings": asked,
        "versions": {"hts_classify": "0.1.0"},
    }
    for name, content in {
        "comparison.json": comparison,
        "run.json": run,
        "timings.json": _timings([*wells["Metadata_Plate"].unique()]),
    }.items():
        (folder / name).write_text(json.dumps(content, sort_keys=True))
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Channel", "Reason"]
    lost = pd.DataFrame(columns=columns) if failures is None else failures
    lost.to_csv(folder / "failures.csv", index=False)
    _tiles(folder, wells)
    return folder


def wells_of(plates: Iterable[str], rows: str, columns: Iterable[int]) -> pd.DataFrame:
    """Return plate and well of every well of these rows and columns of these plates."""
    names = [f"{row}{column:02d}" for row in rows for column in columns]
    held = [(plate, name) for plate in plates for name in names]
    return pd.DataFrame(held, columns=["Metadata_Plate", "Metadata_Well"])


def _predictions(wells: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    parts = []
    for path, wrong in {"tas_svm": {3, 8}, "cnn": {3, 5, 12}}.items():
        part = wells.assign(Level="well", Path=path, Margin=np.linspace(0.1, 2, len(wells)))
        right = [classes.index(name) for name in wells["Target"]]
        part["Class"] = [
            classes[(one + (k in wrong)) % len(classes)] for k, one in enumerate(right)
        ]
        for name in classes:
            part[f"Score_{name}"] = (part["Class"] == name).astype(float)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _with_proba(table: pd.DataFrame) -> pd.DataFrame:
    """TAS is less sure where it is wrong; the CNN always is as sure."""
    sure = np.where(table["Class"] == table["Target"], 0.9, 0.6)
    sure[table["Path"] == "cnn"] = 0.8
    first = np.where(table["Class"] == _CLASSES[0], sure, 1 - sure)
    return table.assign(**{f"Proba_{_CLASSES[0]}": first, f"Proba_{_CLASSES[1]}": 1 - first})


def _timings(plates: list[str]) -> dict[str, Any]:
    well = {
        "fields": 1,
        "wall_s": 0.1,
        "read_s": 0.1,
        "features_s": 0.1,
        "tiles_s": 0.1,
        "keep_s": 0.1,
    }
    fit = {"train_s": 3.0, "score_s": 0.2, "scored_fields": 8, "trained_fields": 16}
    fits = {f"{path}-fold{k}": fit for path in ("tas_svm", "cnn") for k in range(_FOLDS)}
    return {
        "wells": {"P1/B02": well},
        "fits": fits,
        "machine": "cpu (2 threads)",
        "plates": [[name, "plate.zarr"] for name in plates],
    }


def _tiles(folder: Path, wells: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    store = TileStore.create(folder / "tiles.zarr", 32, (len(wells), 2, 32, 32))
    for row in range(len(wells)):
        store.write(row, rng.poisson(200, (2, 32, 32)).astype(np.float32))
    features = wells[["Metadata_Plate", "Metadata_Well"]].assign(Metadata_Tile=range(len(wells)))
    features.to_parquet(folder / "features.parquet", index=False)
