"""Both paths on the same folds: train, call the wells that were left out, keep the calls.

One fit is one step. Its calls go into a shard named after everything that the fit follows
from, so that a step is done once and a stopped run goes on with the next. The models trained
on all labelled wells are saved; they call the wells that have no class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DesignError
from .extract import Extraction
from .files import digest, read_json, whole, write_json
from .models import CnnSettings, make
from .models.settings import Device
from .predictions import UNFOLDED, calls
from .progress import Advance, Progress
from .shards import TILE_ROW, feature_matrix
from .splits import Folds, inner_splits
from .timings import Timings
from .vocabulary import PATHS, PLATE, ROLE, TARGET, TITLES, UNLABELLED, WELL

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier, Inputs

__all__ = ["MODELS", "Trial", "inputs_of", "scored"]

MODELS = "models"
"""Folder of a run that holds the models trained on every labelled well."""


def inputs_of(path: str, extraction: Extraction, rows: NDArray[Any]) -> Inputs:
    """Return what one path sees of some fields: their features, or their tiles.

    Parameters
    ----------
    path : str
        One of `vocabulary.PATHS`.
    extraction : Extraction
        What the pass left.
    rows : ndarray of int
        Rows of `extraction.features`.
    """
    table = extraction.features
    if path == "cnn":
        return extraction.tiles.view(table[TILE_ROW].to_numpy()[rows])
    features: NDArray[np.float64] = feature_matrix(table)[rows]
    return features


def scored(
    model: Classifier, extraction: Extraction, rows: NDArray[Any], *, fold: int = UNFOLDED
) -> pd.DataFrame:
    """Call some fields, and the wells that they are of, with a trained model."""
    scores = (
        model.scores(inputs_of(model.name, extraction, rows))
        if len(rows)
        else np.empty((0, len(model.classes)))
    )
    fields = extraction.features.iloc[rows]
    return calls(fields, scores, classes=model.classes, path=model.name, fold=fold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Everything that both paths' fits follow from, and who is told about them."""

    out: Path
    """The run directory."""
    extraction: Extraction
    folds: Folds
    seed: int
    cnn: CnnSettings
    device: Device
    card: Mapping[str, Any]
    """What a model has to know of its inputs to be used on another plate (JSON)."""
    timings: Timings
    progress: Progress

    def shards(self) -> list[Path]:
        """Do what is not done yet; return the shards of all calls."""
        key = digest(
            self.out / "features.parquet", self.out / "folds.csv", read_json(self.out / "run.json")
        )
        folder = self.out / "predictions"
        for stale in folder.glob("*.*"):
            if key not in stale.name:
                stale.unlink()
        done = []
        for path in PATHS:
            for fold in (*range(self.folds.count), UNFOLDED):
                name = "all" if fold == UNFOLDED else f"fold{fold}"
                shard = folder / f"{path}-{name}-{key}.parquet"
                if not shard.exists():
                    self._fit(path, fold, name, shard)
                done.append(shard)
        return done

    def _fit(self, path: str, fold: int, name: str, shard: Path) -> None:
        """Train one path once and call the wells that it is for."""
        wells = self.folds.wells
        if fold == UNFOLDED:
            training = (wells[ROLE] != UNLABELLED).to_numpy(bool)
            called = ~training
        else:
            training, called = self.folds.training(fold), self.folds.tested(fold)
        unit, splits = inner_splits(wells[training], seed=self.seed)
        learn, targets, inner = self._fields_of(training, splits)
        title = f"{TITLES[path]}, {'all wells' if fold == UNFOLDED else f'fold {fold + 1}'}"
        with self.progress.stage(title, 100) as advance:
            model = make(path, settings=self.cnn, device=self.device, on_epoch=_percent(advance))
            start = perf_counter()
            chosen = model.fit(
                inputs_of(path, self.extraction, learn), targets, inner=inner, seed=self.seed
            )
            trained = perf_counter()
            rows, _, _ = self._fields_of(called, [])
            table = scored(model, self.extraction, rows, fold=fold)
            finished = perf_counter()
            advance(100)
        if fold == UNFOLDED:
            model.save(self.out / MODELS)
            write_json(self.out / MODELS / "inputs.json", dict(self.card))
        cost = {
            "train_s": trained - start,
            "score_s": finished - trained,
            "trained_fields": len(learn),
            "scored_fields": len(rows),
        }
        self.timings.note(path, name, cost=cost)
        self.timings.save()
        write_json(shard.with_suffix(".json"), {"inner_unit": unit, "training": chosen})
        with whole(shard) as part:
            table.to_parquet(part, index=False)

    def _fields_of(
        self, wells: NDArray[np.bool_], splits: list[tuple[NDArray[Any], NDArray[Any]]]
    ) -> tuple[NDArray[np.intp], list[str], list[tuple[NDArray[np.intp], NDArray[np.intp]]]]:
        """Turn wells into rows of the features table, with their classes and inner splits."""
        part = self.folds.wells.loc[wells, [PLATE, WELL, TARGET]].reset_index(drop=True)
        part["_well"] = np.arange(len(part))
        fields = self.extraction.features[[PLATE, WELL]].reset_index(names="_row")
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


def _percent(advance: Advance) -> Callable[[int, int], None]:
    """Turn a fit's (done, planned) rounds into steps of a hundred."""
    shown = 0

    def on_epoch(done: int, planned: int) -> None:
        nonlocal shown
        now = min(99, 100 * done // max(planned, 1))
        if now > shown:
            advance(now - shown)
            shown = now

    return on_epoch
