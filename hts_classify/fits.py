"""One fit: train one path on one fold's wells, call the wells that it is for, keep the calls.

A fit is a step whose result is a shard, named after all that the fit follows from: a step is done
once. What it is made from can be pickled, so that another process may do it on another device.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .crop_calls import crop_calls
from .errors import DataError, DesignError
from .explain import explain
from .files import read_json, whole, write_json
from .importance import statistics_of
from .models import CnnSettings, make
from .models.normalise import Method, Normalisation, least_wells, offered
from .models.protocol import Inputs, Origin
from .plate import control_kinds
from .predictions import UNFOLDED, Aggregate, calls
from .seen import FieldCrops, Tiles
from .shards import CROP, TILE_ROW, feature_matrix
from .splits import Folds, inner_splits
from .vocabulary import (
    METADATA,
    PLATE,
    PROFILE,
    ROLE,
    SITE,
    TARGET,
    TIMEPOINT,
    TITLES,
    TRAINED,
    UNLABELLED,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = [
    "MODELS",
    "Fits",
    "Scored",
    "Step",
    "called",
    "controls_of",
    "negative_controls",
    "profiles",
    "scored",
    "seen",
    "usable_controls",
]

MODELS: Final = "models"
"""Folder of a run that holds the models trained on every labelled well."""

_CARD: Final = "inputs.json"
_TOGETHER: Final = 256 * 2**20
"""Bytes of tiles that are read, then scored."""


def seen(
    path: str, features: pd.DataFrame, tiles: Tiles, rows: NDArray[np.intp]
) -> tuple[Inputs, NDArray[np.intp]]:
    """Return what one path sees of some fields, and for each input the field that it is of.

    Parameters
    ----------
    path : str
        One of `vocabulary.PATHS`.
    features, tiles
        What the pass left.
    rows : ndarray of int
        Rows of `features`.

    Returns
    -------
    inputs : Inputs
        Features or tiles, one a field, or crops, of which a field may have several.
    rows : ndarray of int, shape (inputs,)
        Rows of `features`, in the order in which they were given.
    """
    if path != "cnn":
        return feature_matrix(features.iloc[rows]), rows
    held = features[TILE_ROW].to_numpy()[rows]
    of = np.repeat(rows, tiles.counts(held)) if isinstance(tiles, FieldCrops) else rows
    return tiles.view(held), of


def negative_controls(wells: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the wells that the plate map calls negative controls (`negcon`)."""
    return (control_kinds(wells) == "negcon").to_numpy(bool)


def control_rows(features: pd.DataFrame, wells: pd.DataFrame) -> dict[str, NDArray[np.intp]]:
    """Return the rows of `features` that are of these wells, by plate."""
    joined = features[[PLATE, WELL]].reset_index(names="_row").merge(wells[[PLATE, WELL]])
    return {
        str(plate): np.sort(rows.to_numpy(np.intp))
        for plate, rows in joined.groupby(PLATE, sort=True)["_row"]
    }


def controls_of(
    path: str, features: pd.DataFrame, tiles: Tiles, wells: pd.DataFrame
) -> dict[str, Inputs]:
    """Return of each plate what a path sees of these wells: controls that set its scale."""
    return {
        plate: seen(path, features, tiles, rows)[0]
        for plate, rows in control_rows(features, wells).items()
    }


class Scored(NamedTuple):
    """What a model says of some fields."""

    scores: NDArray[np.float64]
    """Shape (inputs, classes)."""
    points: NDArray[np.floating]
    """Shape (inputs, features): where the model sees them (`Classifier.embedded`)."""
    rows: NDArray[np.intp]
    """Row of `features` that each input is of."""
    seconds: float = 0.0
    """Time that the model took for inputs in memory."""


def scored(
    model: Classifier,
    features: pd.DataFrame,
    tiles: Tiles,
    rows: NDArray[np.intp],
    controls: Mapping[str, Inputs],
) -> Scored:
    """Score all that a trained model sees of some fields."""
    points, scores, fields, seconds = [], [], [], 0.0
    for batch, of, origin in _batches(model, features, tiles, rows, controls):
        begun = perf_counter()
        where = model.embedded(batch, origin=origin)
        scores.append(model.scores_of(where))
        seconds += perf_counter() - begun
        points.append(where.astype(np.float32))  # of these, means are made and no scores
        fields.append(of)
    if not fields:
        return Scored(np.empty((0, len(model.classes))), np.empty((0, 0)), rows[:0])
    return Scored(np.concatenate(scores), np.concatenate(points), np.concatenate(fields), seconds)


def _batches(
    model: Classifier,
    features: pd.DataFrame,
    tiles: Tiles,
    rows: NDArray[np.intp],
    controls: Mapping[str, Inputs],
) -> Iterator[tuple[NDArray[Any], NDArray[np.intp], Origin]]:
    """Read what a model sees of some fields, as much as is held at once.

    Yields inputs, the row of `features` that each is of, and where they come from.
    """
    inputs, of = seen(model.name, features, tiles, rows)
    plates = features[PLATE].to_numpy()[of]
    size = 4 * prod(tiles.shape[1:]) if model.name == "cnn" else 8 * features.shape[1]
    together = max(64, _TOGETHER // size)
    for start in range(0, len(of), together):
        part = np.arange(start, min(start + together, len(of)))
        yield inputs[part], of[part], Origin(plates[part], controls)


def profiles(features: pd.DataFrame, points: NDArray[Any], rows: NDArray[np.intp]) -> pd.DataFrame:
    """Return the mean point of each well, a row a well; `rows` are the points' in `features`."""
    import pandas as pd

    names = [f"{PROFILE}{k}" for k in range(points.shape[1])]
    wells = features[[PLATE, WELL]].iloc[rows].reset_index(drop=True)
    table = wells.join(pd.DataFrame(points.astype(np.float32), columns=names))
    means: pd.DataFrame = table.groupby([PLATE, WELL], sort=False).mean()
    return means.reset_index()


def called(model: Classifier, features: pd.DataFrame, found: Scored, **how: Any) -> pd.DataFrame:
    """Make the calls of fields and wells from a model's scores; see `predictions.calls`."""
    about = features[columns_with(METADATA, features)]
    return calls(
        about.iloc[found.rows],
        found.scores,
        classes=model.classes,
        path=model.name,
        **how,
    )


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
        controls = self._controls(step)
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
            origin=Origin(shown[PLATE].to_numpy(), controls, rows, *self._control_places(step)),
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
        for batch, own, origin in _batches(model, self.features, self.tiles, learn, controls):
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
                batches=partial(_batches, model, self.features, self.tiles, controls=controls),
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

    def _controls(self, step: Step) -> dict[str, Inputs]:
        """Return each plate's negative controls, but for those that this step's fold scores."""
        unused = (
            self.normalise == "none" if step.path == "tas_svm" else self.cnn.scaling != "controls"
        )
        if unused:
            return {}
        folds = self.dealt(step)
        wells = folds.wells[usable_controls(folds, step.fold)]
        return controls_of(step.path, self.features, self.tiles, wells)

    def _control_places(
        self, step: Step
    ) -> tuple[dict[str, NDArray[np.intp]], dict[str, NDArray[Any]]]:
        """Return the row of `features` that each of a plate's TAS controls is of, and its well."""
        if step.path != "tas_svm":
            return {}, {}
        folds = self.dealt(step)
        rows = control_rows(self.features, folds.wells[usable_controls(folds, step.fold)])
        wells = self.features[WELL].to_numpy()
        return rows, {plate: wells[own] for plate, own in rows.items()}

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
