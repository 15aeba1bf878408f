"""One fit: train one path on one fold's wells, call the wells that it is for, keep the calls.

A fit is a step whose result is a shard, named after all that the fit follows from: a step is done
once. What it is made from can be pickled, so that another process may do it on another device.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, DesignError
from .files import read_json, whole, write_json
from .models import CnnSettings, make
from .models.protocol import Inputs, Origin
from .predictions import UNFOLDED, Aggregate, calls
from .shards import TILE_ROW, feature_matrix
from .splits import Folds, inner_splits
from .tiles import TileStore
from .vocabulary import CONTROL, PLATE, ROLE, TARGET, TITLES, UNLABELLED, WELL

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = [
    "MODELS",
    "Fits",
    "Step",
    "controls_of",
    "inputs_of",
    "negative_controls",
    "scored",
    "usable_controls",
]

MODELS: Final = "models"
"""Folder of a run that holds the models trained on every labelled well."""

_CARD: Final = "inputs.json"
_TOGETHER: Final = 256 * 2**20
"""Bytes of tiles that are read, then scored."""


def inputs_of(path: str, features: pd.DataFrame, tiles: TileStore, rows: NDArray[Any]) -> Inputs:
    """Return what one path sees of some fields: their features, or their tiles.

    Parameters
    ----------
    path : str
        One of `vocabulary.PATHS`.
    features, tiles
        What the pass left.
    rows : ndarray of int
        Rows of `features`.
    """
    if path == "cnn":
        return tiles.view(features[TILE_ROW].to_numpy()[rows])
    return feature_matrix(features.iloc[rows])


def negative_controls(wells: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the wells that the plate map calls negative controls (`negcon`)."""
    if CONTROL not in wells:
        return np.zeros(len(wells), bool)
    kinds = wells[CONTROL].astype("string").str.strip().str.lower()
    return (kinds == "negcon").fillna(False).to_numpy(bool)


def controls_of(
    path: str, features: pd.DataFrame, tiles: TileStore, wells: pd.DataFrame
) -> dict[str, Inputs]:
    """Return of each plate what a path sees of these wells: controls that set its scale."""
    joined = features[[PLATE, WELL]].reset_index(names="_row").merge(wells[[PLATE, WELL]])
    return {
        str(plate): inputs_of(path, features, tiles, np.sort(part.to_numpy(np.intp)))
        for plate, part in joined.groupby(PLATE, sort=True)["_row"]
    }


def scored(
    model: Classifier,
    features: pd.DataFrame,
    tiles: TileStore,
    rows: NDArray[Any],
    controls: Mapping[str, Inputs],
) -> tuple[NDArray[np.float64], float]:
    """Score some fields with a trained model.

    Returns
    -------
    scores : ndarray of float64, shape (rows, classes)
    seconds : float
        Time that the model took for inputs in memory.
    """
    inputs, plates = inputs_of(model.name, features, tiles, rows), features[PLATE].to_numpy()[rows]
    found, seconds = [np.empty((0, len(model.classes)))], 0.0
    together = max(64, _TOGETHER // (4 * prod(tiles.shape[1:])))
    for start in range(0, len(rows), together):
        part = np.arange(start, min(start + together, len(rows)))
        batch, origin = inputs[part], Origin(plates[part], controls)
        begun = perf_counter()
        found.append(model.scores(batch, origin=origin))
        seconds += perf_counter() - begun
    return np.concatenate(found), seconds


@dataclass(frozen=True, slots=True)
class Step:
    """Which path is trained, and which fold it must not see."""

    path: str
    fold: int
    """From 0, or `UNFOLDED` for all labelled wells."""

    @property
    def name(self) -> str:
        """What its files and costs are called."""
        return f"{self.path}-{'all' if self.fold == UNFOLDED else f'fold{self.fold}'}"

    @property
    def title(self) -> str:
        """What people call it."""
        fold = "all wells" if self.fold == UNFOLDED else f"fold {self.fold + 1}"
        return f"{TITLES[self.path]}, {fold}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """Everything that the fits of a run follow from."""

    out: Path
    """The run directory."""
    features: pd.DataFrame
    tiles: TileStore
    """What the pass left."""
    folds: Folds
    seed: int
    cnn: CnnSettings
    aggregate: Aggregate
    card: Mapping[str, Any]
    """What a model has to know of its inputs to be used on another plate (JSON)."""
    key: str
    """A hash of all that the results follow from."""

    def shard(self, step: Step) -> Path:
        """Return where a step's calls are kept."""
        return self.out / "predictions" / f"{step.name}-{self.key}.parquet"

    def checkpoint(self, step: Step) -> Path:
        """Return the folder where a step that was stopped left its state."""
        return self.out / "checkpoints" / f"{step.name}-{self.key}"

    def is_done(self, step: Step) -> bool:
        """Tell whether a step's calls are there, and its model where that is kept."""
        return _is_whole(self.shard(step)) and (step.fold != UNFOLDED or self._is_saved(step.path))

    def do(
        self,
        step: Step,
        device: str,
        cache: dict[Any, Any],
        *,
        on_epoch: Callable[[int, int], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> dict[str, float]:
        """Train one path once and call the wells that it is for; return what it cost.

        Parameters
        ----------
        step : Step
        device : str
            Where the CNN computes.
        cache : dict
            What fits in one process share.
        on_epoch, say : callable, optional
            Told rounds, and what should be known.
        """
        training, tested = self._wells(step.fold)
        unit, splits = inner_splits(self.folds.wells[training], seed=self.seed)
        learn, targets, inner = self._fields_of(training, splits)
        rows, _, _ = self._fields_of(tested, [])
        controls = self._controls(step)
        plates = self.features[PLATE].to_numpy()[learn]
        model = make(
            step.path,
            settings=self.cnn,
            device=device,
            channels=self.card["channels"],
            checkpoint=self.checkpoint(step),
            cache=cache,
            on_epoch=on_epoch,
            say=say,
        )
        begun = perf_counter()
        chosen = model.fit(
            inputs_of(step.path, self.features, self.tiles, learn),
            targets,
            inner=inner,
            seed=self.seed,
            origin=Origin(plates, controls),
        )
        train_s = perf_counter() - begun
        scores, score_s = scored(model, self.features, self.tiles, rows, controls)
        table = calls(
            self.features.iloc[rows],
            scores,
            classes=model.classes,
            path=step.path,
            fold=step.fold,
            aggregate=self.aggregate,
            temperature=chosen["temperature"],
        )
        if step.fold == UNFOLDED:
            model.save(self.out / MODELS)
            write_json(self.out / MODELS / _CARD, dict(self.card))
        shard = self.shard(step)
        write_json(shard.with_suffix(".json"), {"inner_unit": unit, "training": chosen})
        with whole(shard) as part:
            table.to_parquet(part, index=False)
        shutil.rmtree(self.checkpoint(step), ignore_errors=True)
        return {
            "train_s": train_s,
            "score_s": score_s,
            "trained_fields": len(learn),
            "scored_fields": len(rows),
        }

    def _is_saved(self, path: str) -> bool:
        """Tell whether the files of a path's model of all wells are there."""
        folder = self.out / MODELS
        return (folder / _CARD).exists() and len(list(folder.glob(f"{path}.*"))) == 2

    def _wells(self, fold: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark the wells that a fit learns from, and those that it calls."""
        if fold != UNFOLDED:
            return self.folds.training(fold), self.folds.tested(fold)
        labelled = (self.folds.wells[ROLE] != UNLABELLED).to_numpy(bool)
        return labelled, ~labelled

    def _controls(self, step: Step) -> dict[str, Inputs]:
        """Return each plate's negative controls, but for those that this step's fold scores."""
        if step.path != "cnn":
            return {}
        wells = self.folds.wells[usable_controls(self.folds, step.fold)]
        return controls_of(step.path, self.features, self.tiles, wells)

    def _fields_of(
        self, wells: NDArray[np.bool_], splits: list[tuple[NDArray[Any], NDArray[Any]]]
    ) -> tuple[NDArray[np.intp], list[str], list[tuple[NDArray[np.intp], NDArray[np.intp]]]]:
        """Turn wells into rows of the features table, with their classes and inner splits."""
        part = self.folds.wells.loc[wells, [PLATE, WELL, TARGET]].reset_index(drop=True)
        part["_well"] = np.arange(len(part))
        fields = self.features[[PLATE, WELL]].reset_index(names="_row")
        joined = fields.merge(part, on=[PLATE, WELL], how="inner").sort_values("_row")
        well = joined["_well"].to_numpy()
        inner = [
            (np.flatnonzero(np.isin(well, learn)), np.flatnonzero(np.isin(well, judge)))
            for learn, judge in splits
        ]
        if splits and part[TARGET].nunique() < 2:
            raise DesignError(
                f"class {part[TARGET].iloc[0]!r} alone is left to train on in one fold",
                remedy="failures.csv lists the fields that were lost",
            )
        return joined["_row"].to_numpy(np.intp), list(joined[TARGET]), inner


def usable_controls(folds: Folds, fold: int) -> NDArray[np.bool_]:
    """Mark the negative controls that a fold does not score: they may set a plate's scale."""
    controls = negative_controls(folds.wells)
    return controls if fold == UNFOLDED else controls & ~folds.tested(fold)


def _is_whole(shard: Path) -> bool:
    """Tell whether a step's calls and what was chosen for them can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.ParquetFile(shard).read()
        read_json(shard.with_suffix(".json"))
    except (OSError, pa.ArrowException, DataError):
        return False
    return True
