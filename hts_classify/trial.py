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

from .errors import DataError, DesignError
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

__all__ = ["MODELS", "Trial", "called", "inputs_of"]

_TOGETHER = 64
"""Fields that are scored together."""

MODELS = "models"
"""Folder of a run that holds the models trained on every labelled well."""
_CARD = "inputs.json"


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
    return feature_matrix(table.iloc[rows])


def called(
    model: Classifier, extraction: Extraction, rows: NDArray[Any], *, fold: int = UNFOLDED
) -> tuple[pd.DataFrame, float]:
    """Call some fields, and the wells that they are of, with a trained model.

    Returns
    -------
    table : DataFrame
        Calls of fields and of wells (`predictions.calls`).
    seconds : float
        Time that the model took for inputs in memory.
    """
    inputs = inputs_of(model.name, extraction, rows)
    scores, seconds = [np.empty((0, len(model.classes)))], 0.0
    for start in range(0, len(rows), _TOGETHER):
        batch = inputs[np.arange(start, min(start + _TOGETHER, len(rows)))]
        begun = perf_counter()
        scores.append(model.scores(batch))
        seconds += perf_counter() - begun
    fields = extraction.features.iloc[rows]
    table = calls(fields, np.concatenate(scores), classes=model.classes, path=model.name, fold=fold)
    return table, seconds


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
            self.extraction.stamp,
            self.out / "features.parquet",
            self.out / "folds.csv",
            read_json(self.out / "run.json"),
        )
        folder = self.out / "predictions"
        for stale in folder.glob("*.*"):
            if key not in stale.name:
                stale.unlink()
        steps = {
            f"{path}-{'all' if fold == UNFOLDED else f'fold{fold}'}": (path, fold)
            for path in PATHS
            for fold in (*range(self.folds.count), UNFOLDED)
        }
        self.timings.keep("fits", steps)
        shards = []
        for name, (path, fold) in steps.items():
            shard = folder / f"{name}-{key}.parquet"
            if not (_is_whole(shard) and (fold != UNFOLDED or self._is_saved(path))):
                self._fit(name, shard, path=path, fold=fold)
            shards.append(shard)
        return shards

    def _is_saved(self, path: str) -> bool:
        """Tell whether the files of a path's model of all wells are there."""
        folder = self.out / MODELS
        return (folder / _CARD).exists() and len(list(folder.glob(f"{path}.*"))) == 2

    def _fit(self, name: str, shard: Path, *, path: str, fold: int) -> None:
        """Train one path once and call the wells that it is for."""
        training, tested = self._wells(fold)
        unit, splits = inner_splits(self.folds.wells[training], seed=self.seed)
        learn, targets, inner = self._fields_of(training, splits)
        rows, _, _ = self._fields_of(tested, [])
        title = f"{TITLES[path]}, {'all wells' if fold == UNFOLDED else f'fold {fold + 1}'}"
        with self.progress.stage(title, 100) as advance:
            model = make(path, settings=self.cnn, device=self.device, on_epoch=_percent(advance))
            begun = perf_counter()
            chosen = model.fit(
                inputs_of(path, self.extraction, learn), targets, inner=inner, seed=self.seed
            )
            train_s = perf_counter() - begun
            table, score_s = called(model, self.extraction, rows, fold=fold)
        if fold == UNFOLDED:
            model.save(self.out / MODELS)
            write_json(self.out / MODELS / _CARD, dict(self.card))
        cost = {
            "train_s": train_s,
            "score_s": score_s,
            "trained_fields": len(learn),
            "scored_fields": len(rows),
        }
        self.timings.note("fits", name, cost=cost)
        self.timings.save()
        write_json(shard.with_suffix(".json"), {"inner_unit": unit, "training": chosen})
        with whole(shard) as part:
            table.to_parquet(part, index=False)

    def _wells(self, fold: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark the wells that a fit learns from, and those that it calls."""
        if fold != UNFOLDED:
            return self.folds.training(fold), self.folds.tested(fold)
        labelled = (self.folds.wells[ROLE] != UNLABELLED).to_numpy(bool)
        return labelled, ~labelled

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
