"""One fit: train one path on one fold's wells, call the wells that it is for, keep the calls.

A fit is a step whose result is a shard, named after all that the fit follows from: a step is done
once. What it is made from can be pickled, so that another process may do it on another device.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .controls import control_rows, controls_of, usable_controls
from .crop_calls import crop_calls
from .errors import DataError, DesignError
from .explain import explain
from .files import read_json, whole, write_json
from .importance import statistics_of
from .models import CnnSettings, make
from .models.normalise import Method, Normalisation, least_wells, offered
from .models.protocol import Inputs, Origin
from .predictions import UNFOLDED, Aggregate
from .scoring import Scored, batches, called, profiles, scored
from .seen import FieldCrops, Tiles, seen
from .shards import CROP, TILE_ROW
from .splits import Folds, inner_splits
from .vocabulary import (
    PLATE,
    ROLE,
    SITE,
    TARGET,
    TIMEPOINT,
    TITLES,
    TRAINED,
    UNLABELLED,
    WELL,
)

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = ["MODELS", "Fits", "Step"]

MODELS: Final = "models"
"""Folder of a run that holds the models trained on every labelled well."""

_CARD: Final = "inputs.json"


@dataclass(frozen=True, slots=True)
class Step:
    """Which path is trained, and which fold it must not see."""

    path: str
    fold: int
    """From 0, or `UNFOLDED` for all labelled wells."""
    repeat: int = 1
    """Which dealing of the folds, counted from 1."""

    @property
    def name(self) -> str:
        """What its files and costs are called."""
        again = f"-repeat{self.repeat}" if self.repeat > 1 else ""
        return f"{self.path}-{'all' if self.fold == UNFOLDED else f'fold{self.fold}'}{again}"

    @property
    def title(self) -> str:
        """What people call it."""
        fold = "all wells" if self.fold == UNFOLDED else f"fold {self.fold + 1}"
        again = f", repeat {self.repeat}" if self.repeat > 1 else ""
        return f"{TITLES[self.path]}, {fold}{again}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """Everything that the fits of a run follow from."""

    out: Path
    """The run directory."""
    features: pd.DataFrame
    tiles: Tiles
    """What the pass left."""
    folds: Folds
    seed: int
    """These two of the first repeat, which is the run."""
    normalise: Normalisation
    """How TAS features of each plate are brought to the scale of its controls."""
    cnn: CnnSettings
    aggregate: Aggregate
    card: Mapping[str, Any]
    """What a model has to know of its inputs to be used on another plate (JSON)."""
    key: str
    """A hash of all that the results follow from, but for how many repeats there are."""
    repeats: tuple[Folds, ...] = ()
    """Folds of the second repeat and of those after it. They follow from what `key` hashes, so
    that repeats can be added to a run, or left out, and no fit is done twice."""

    def dealt(self, step: Step) -> Folds:
        """Return the folds of a step's repeat."""
        return (self.folds, *self.repeats)[step.repeat - 1]

    def shard(self, step: Step) -> Path:
        """Return where a step's calls are kept."""
        return self.out / "predictions" / f"{step.name}-{self.key}.parquet"

    def profiles(self, step: Step) -> Path:
        """Return where a step of the first repeat keeps how its model sees each well: a row a well.

        Columns are the plate, the well, whether the model was trained on it (`TRAINED`), and
        `PROFILE` with a number each: the mean over the well's inputs of `Classifier.embedded`; of
        wells that it learned from, of one look at each input, which is all that they cost.
        """
        return self.out / "predictions" / f"profiles-{step.name}-{self.key}.parquet"

    def explained(self, step: Step) -> Path:
        """Return where a step keeps what only its model can say of its calls (`explain`)."""
        return self.out / "predictions" / f"explained-{step.name}-{self.key}.parquet"

    def crops(self, step: Step) -> Path | None:
        """Return where a step keeps its calls of single crops; None where it sees none.

        Repeats are of wells: they keep none.
        """
        if step.path != "cnn" or step.repeat > 1 or not isinstance(self.tiles, FieldCrops):
            return None
        return self.out / "predictions" / f"crops-{step.name}-{self.key}.parquet"

    def checkpoint(self, step: Step) -> Path:
        """Return the folder where a step that was stopped left its state."""
        return self.out / "checkpoints" / f"{step.name}-{self.key}"

    def is_done(self, step: Step) -> bool:
        """Tell whether a step's calls are there, and its model where that is kept."""
        return (
            _is_whole(self.shard(step))
            and (
                step.repeat > 1 or (self.profiles(step).exists() and self.explained(step).exists())
            )
            and ((crops := self.crops(step)) is None or crops.exists())
            and (step.fold != UNFOLDED or self._is_saved(step.path))
        )

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
        training, tested = self._wells(step)
        folds = self.dealt(step)
        unit, splits = inner_splits(folds.wells[training], seed=folds.seed)
        learn, called_for = self._fields_of(training), self._fields_of(tested)
        score = called_for.index.to_numpy(np.intp)
        if learn[TARGET].nunique() < 2:
            raise DesignError(
                f"class {learn[TARGET].iloc[0]!r} alone is left to train on in one fold",
                remedy="failures.csv lists the fields that were lost",
            )
        inputs, rows = seen(step.path, self.features, self.tiles, learn.index.to_numpy(np.intp))
        shown = learn.loc[rows]
        well = shown["_well"].to_numpy()
        inner = [
            (np.flatnonzero(np.isin(well, half)), np.flatnonzero(np.isin(well, judges)))
            for half, judges in splits
        ]
        setting = self._control_wells(step)
        controls = controls_of(step.path, self.features, self.tiles, setting)
        model = make(
            step.path,
            normalise=self._normalisations(step),
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
            inputs,
            list(shown[TARGET]),
            inner=inner,
            seed=folds.seed,
            origin=self._origin(step, shown[PLATE].to_numpy(), rows, controls, setting),
        )
        train_s = perf_counter() - begun
        found = scored(model, self.features, self.tiles, score, controls)
        table = called(
            model,
            self.features,
            found,
            fold=step.fold,
            aggregate=self.aggregate,
            temperature=chosen["temperature"],
        )
        if step.fold == UNFOLDED:
            model.save(self.out / MODELS)
            write_json(self.out / MODELS / _CARD, dict(self.card))
        explain_s = 0.0
        if step.repeat == 1:
            explain_s = self._explain(step, model, learn, called_for, found, controls)
        if crops := self.crops(step):
            self._keep_crops(crops, model, score, found, step.fold, chosen["temperature"])
        shard = self.shard(step)
        write_json(shard.with_suffix(".json"), {"inner_unit": unit, "training": chosen})
        with whole(shard) as part:
            table.to_parquet(part, index=False)
        shutil.rmtree(self.checkpoint(step), ignore_errors=True)
        return {
            "train_s": train_s,
            "score_s": found.seconds,
            "explain_s": explain_s,
            "trained_fields": len(learn),
            "scored_fields": len(score),
        }

    def _keep_crops(
        self,
        shard: Path,
        model: Classifier,
        fields: NDArray[np.intp],
        found: Scored,
        fold: int,
        temperature: float,
    ) -> None:
        """Keep what a model says of each crop, before the crops of a field are joined."""
        assert isinstance(self.tiles, FieldCrops)
        where = [PLATE, WELL, SITE, *([TIMEPOINT] if TIMEPOINT in self.features else [])]
        places = self.tiles.places(self.features[TILE_ROW].to_numpy()[fields])
        table = crop_calls(
            self.features[where].iloc[found.rows].assign(**{CROP: places}),
            found.scores,
            classes=model.classes,
            fold=fold,
            aggregate=self.aggregate,
            temperature=temperature,
        )
        with whole(shard) as part:
            table.to_parquet(part, index=False, compression="zstd")

    def _profiles(
        self,
        model: Classifier,
        learn: NDArray[np.intp],
        called: Scored,
        controls: Mapping[str, Inputs],
    ) -> pd.DataFrame:
        """Return how a model sees the wells that it learned from, and those that it calls."""
        import pandas as pd

        points, of = [], []
        for batch, own, origin in batches(model, self.features, self.tiles, learn, controls):
            points.append(model.embedded(batch, origin=origin, briefly=True).astype(np.float32))
            of.append(own)
        known = profiles(self.features, np.concatenate(points), np.concatenate(of))
        asked = profiles(self.features, called.points, called.rows)
        return pd.concat([known.assign(**{TRAINED: True}), asked.assign(**{TRAINED: False})])

    def _explain(
        self,
        step: Step,
        model: Classifier,
        learn: pd.DataFrame,
        tested: pd.DataFrame,
        called: Scored,
        controls: Mapping[str, Inputs],
    ) -> float:
        """Keep how a model sees wells and what it goes by; return the seconds that this took."""
        begun = perf_counter()
        with whole(self.profiles(step)) as part:
            sights = self._profiles(model, learn.index.to_numpy(np.intp), called, controls)
            sights.to_parquet(part, index=False)
        with whole(self.explained(step)) as part:
            explain(
                model,
                statistics_of(self.features),
                trained=learn,
                tested=tested,
                batches=partial(batches, model, self.features, self.tiles, controls=controls),
                seed=self.seed,
            ).to_parquet(part, index=False)
        return perf_counter() - begun

    def _is_saved(self, path: str) -> bool:
        """Tell whether the files of a path's model of all wells are there."""
        folder = self.out / MODELS
        return (folder / _CARD).exists() and len(list(folder.glob(f"{path}.*"))) == 2

    def _wells(self, step: Step) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark the wells that a fit learns from, and those that it calls."""
        folds = self.dealt(step)
        if step.fold != UNFOLDED:
            return folds.training(step.fold), folds.tested(step.fold)
        labelled = (folds.wells[ROLE] != UNLABELLED).to_numpy(bool)
        return labelled, ~labelled

    def _control_wells(self, step: Step) -> pd.DataFrame:
        """Return the wells that set each plate's scale; none where a path needs no such scale."""
        used = (
            self.normalise != "none" if step.path == "tas_svm" else self.cnn.scaling == "controls"
        )
        folds = self.dealt(step)
        return folds.wells[usable_controls(folds, step.fold) & used]

    def _origin(
        self,
        step: Step,
        plates: NDArray[Any],
        rows: NDArray[np.intp],
        controls: Mapping[str, Inputs],
        setting: pd.DataFrame,
    ) -> Origin:
        """Say where examples come from, and for TAS of which field each control is."""
        places = control_rows(self.features, setting) if step.path == "tas_svm" else {}
        wells = self.features[WELL].to_numpy()
        return Origin(plates, controls, rows, places, {p: wells[r] for p, r in places.items()})

    def _normalisations(self, step: Step) -> tuple[Method, ...]:
        """Return what a fit of TAS chooses from: what was asked for, or all that is possible."""
        if self.normalise != "auto":
            return (self.normalise,)
        folds = self.dealt(step)
        wells = folds.wells
        of = wells.loc[usable_controls(folds, step.fold), PLATE].value_counts()
        fewest = int(of.reindex(wells[PLATE].unique(), fill_value=0).min())
        every = offered(wells[PLATE].nunique())
        return tuple(method for method in every if least_wells(method) <= fewest)

    def _fields_of(self, wells: NDArray[np.bool_]) -> pd.DataFrame:
        """Return the fields of some wells by their rows: plate, class, and which well it is."""
        part = self.folds.wells.loc[wells, [PLATE, WELL, TARGET]].reset_index(drop=True)
        part["_well"] = np.arange(len(part))
        fields = self.features[[PLATE, WELL]].reset_index(names="_row")
        return fields.merge(part, on=[PLATE, WELL], how="inner").set_index("_row").sort_index()


def _is_whole(shard: Path) -> bool:
    """Tell whether a step's calls and what was chosen for them can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.ParquetFile(shard).read()
        read_json(shard.with_suffix(".json"))
    except (OSError, pa.ArrowException, UnicodeDecodeError, DataError):
        return False
    return True
