"""What a trained model says of fields: its scores, where it sees them, and the calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .models.protocol import Inputs, Origin
from .predictions import calls
from .seen import Tiles, seen
from .vocabulary import METADATA, PLATE, PROFILE, WELL, columns_with

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = ["Scored", "batches", "called", "profiles", "scored"]

_TOGETHER: Final = 256 * 2**20
"""Bytes of tiles that are read, then scored."""


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
    for batch, of, origin in batches(model, features, tiles, rows, controls):
        begun = perf_counter()
        where = model.embedded(batch, origin=origin)
        scores.append(model.scores_of(where))
        seconds += perf_counter() - begun
        points.append(where.astype(np.float32))  # of these, means are made and no scores
        fields.append(of)
    if not fields:
        return Scored(np.empty((0, len(model.classes))), np.empty((0, 0)), rows[:0])
    return Scored(np.concatenate(scores), np.concatenate(points), np.concatenate(fields), seconds)


def batches(
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
