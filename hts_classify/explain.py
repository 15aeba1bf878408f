"""Why each well was called so: what a fit keeps for it, and the run's table.

::

    a fit, its model in memory ─► TAS: what the held-out log-loss loses without each statistic
                                  CNN: where in the well's first field it sees each class
    the run's end ─► importance over the folds; of each well its nearest training wells, and the
                     statistic that speaks for its call
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .importance import Fields, importances, statistics_of
from .models.protocol import Origin, Pictorial, Tabular
from .nearest import nearest_wells, telling
from .vocabulary import (
    CALL,
    FOLD,
    LEVEL,
    PATH,
    PLATE,
    SCORE,
    TARGET,
    TRAINED,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = ["Batches", "explain", "explanations"]

Batches = Callable[[NDArray[np.intp]], Iterator[tuple[NDArray[Any], NDArray[np.intp], Origin]]]
"""What a model sees of rows of features: inputs, the row that each is of, where they come from."""

_FINEST: Final = 32
"""Rows or columns of a map that are kept at the most."""
_STRONGEST: Final = 10
"""Statistics among which the one is looked for that speaks for a call."""


def explain(
    model: Classifier,
    names: Sequence[str],
    *,
    trained: pd.DataFrame,
    tested: pd.DataFrame,
    batches: Batches,
    seed: int,
) -> pd.DataFrame:
    """Return what of a call can only be said while its model is in memory.

    Parameters
    ----------
    model : Classifier
        Fitted.
    names : sequence of str
        Of TAS statistics.
    trained, tested : DataFrame
        Fields that it learned from, and those that it calls, by their rows of the features: plate,
        well, class, and `_well`, a number for each well.
    batches : callable
        Gives what the model sees of some rows.
    seed : int
        Decides what is drawn.

    Returns
    -------
    DataFrame
        Of TAS as `importances`; of the CNN a row a well and class: its map of the well's first
        field (uint8, missing where nothing speaks for the class), of so many `Rows` and `Columns`
        over so much of the tile's height and width.
    """
    import pandas as pd

    if isinstance(model, Tabular):
        held, learned = (
            Fields(
                _points(model, batches, part),
                part["_well"].to_numpy(),
                part[TARGET].to_numpy(object),
            )
            for part in (tested, trained)
        )
        return importances(model, names, tested=held, trained=learned, seed=seed)
    if isinstance(model, Pictorial):
        return _class_maps(model, tested, batches)
    return pd.DataFrame()


def _points(model: Classifier, batches: Batches, fields: pd.DataFrame) -> NDArray[np.float64]:
    found = [
        model.embedded(inputs, origin=origin)
        for inputs, _, origin in batches(fields.index.to_numpy(np.intp))
    ]
    return np.concatenate(found) if found else np.empty((0, 0))


def _class_maps(model: Pictorial, tested: pd.DataFrame, batches: Batches) -> pd.DataFrame:
    """Return where a model sees each class in each well's first field, or its first crop."""
    import pandas as pd

    firsts = tested.drop_duplicates("_well")
    wells = firsts[[PLATE, WELL]]
    rows: list[tuple[Any, ...]] = []
    seen: set[int] = set()
    for inputs, of, origin in batches(firsts.index.to_numpy(np.intp)):
        fields, places = np.unique(of, return_index=True)
        new = [k for field, k in zip(fields, places, strict=True) if field not in seen]
        seen.update(fields.tolist())
        found = model.maps(inputs[new], origin=Origin(origin.plates[new], origin.controls))
        for field, maps in zip(of[new], found.values, strict=True):
            place = wells.loc[field]
            rows += [
                (place[PLATE], place[WELL], name, *_packed(one), *found.covered)
                for name, one in zip(model.classes, maps, strict=True)
            ]
    columns = [PLATE, WELL, CALL, "Rows", "Columns", "Map", "CoveredY", "CoveredX"]
    return pd.DataFrame(rows, columns=columns)


def _packed(values: NDArray[Any]) -> tuple[int, int, bytes | None]:
    """Return a map in 8 bits, no finer than it has to be."""
    step = -(-max(values.shape) // _FINEST)
    if step > 1:
        y, x = (-(-side // step) for side in values.shape)
        padded = np.zeros((y * step, x * step))
        padded[: values.shape[0], : values.shape[1]] = values
        values = padded.reshape(y, step, x, step).mean(axis=(1, 3))
    peak = float(values.max())
    bits = None if not peak > 0 else np.rint(255 * values / peak).astype(np.uint8).tobytes()
    return len(values), values.shape[1], bits


def explanations(
    calls: pd.DataFrame,
    profiles: Mapping[tuple[str, int], pd.DataFrame],
    features: pd.DataFrame,
    wells: pd.DataFrame,
    strongest: Sequence[str],
) -> pd.DataFrame:
    """Say of each well and path what it was called like, and by what.

    The rival is what the other path called the well; where both call it alike, the class that the
    path itself deems second.

    Parameters
    ----------
    calls : DataFrame
        A run's predictions.
    profiles : mapping
        How each path's model of each fold sees every well.
    features : DataFrame
        A row a field.
    wells : DataFrame
        Every well with its class.
    strongest : sequence of str
        Statistics that the TAS models go by, the strongest first.

    Returns
    -------
    DataFrame
        A row a well and path: plate, well, path, fold, `Class`, `Rival`, the nearest training
        wells (`nearest.nearest_wells`), and of TAS the statistic that speaks for the call
        (`nearest.telling`).
    """
    import pandas as pd

    names = statistics_of(features)
    strong = {name: names.index(name) for name in strongest[:_STRONGEST]}
    means = features.groupby([PLATE, WELL], sort=False)[list(strong)].mean()
    targets = dict(
        zip(wells[[PLATE, WELL]].itertuples(index=False, name=None), wells[TARGET], strict=True)
    )
    called = _rivals(calls[calls[LEVEL] == "well"])
    parts = []
    for (path, fold), seen in profiles.items():
        if seen[TRAINED].all():
            continue
        own = called[(called[PATH] == path) & (called[FOLD] == fold)]
        part = own.merge(nearest_wells(seen, path, targets), on=[PLATE, WELL])
        told = telling(seen, own, means, strong if path == "tas_svm" else {}, targets)
        parts.append(part.merge(told, on=[PLATE, WELL]))
    return pd.concat([part.astype(object) for part in parts], ignore_index=True).convert_dtypes()


def _rivals(calls: pd.DataFrame) -> pd.DataFrame:
    """Return well calls, each with the class that it is held against; missing without a second."""
    names = columns_with(SCORE, calls)
    scores = calls[names].to_numpy(np.float64)
    second = np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=1, kind="stable")[:, 1]
    rivals = np.asarray([name.removeprefix(SCORE) for name in names], object)[second]
    rivals[np.isnan(scores[np.arange(len(scores)), second])] = None
    table = calls[[PLATE, WELL, PATH, FOLD, CALL]].assign(Rival=rivals)
    other = table[[PLATE, WELL, PATH, CALL]].rename(columns={PATH: "_path", CALL: "_call"})
    pairs = table.merge(other, on=[PLATE, WELL])
    apart = pairs[(pairs[PATH] != pairs["_path"]) & (pairs[CALL] != pairs["_call"])]
    found = table.merge(apart[[PLATE, WELL, PATH, "_call"]], on=[PLATE, WELL, PATH], how="left")
    found["Rival"] = found["_call"].where(found["_call"].notna(), found["Rival"])
    return found.drop(columns="_call")
