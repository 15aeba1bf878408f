"""Which TAS statistics a model goes by: what it loses on held-out wells when they say nothing.

Permutation importance (Breiman, Machine Learning 2001, 45:5; as model reliance in Fisher et al.,
JMLR 2019, 20:177): one statistic of tested fields is given values of other wells, and their
log-loss rises by as much as the model went by it. The log-loss and not the accuracy, since a plate
tests few wells in a fold, of which most statistics turn no call by themselves.

The values come from training wells and not from other tested ones: a fold may test a single
class, among whose own wells there would be nothing to lose. They come a whole well at a time.

Neighbouring statistics say much the same, so that a model that loses one still has the others:
each looks weaker than it is. So whole groups, a channel's interval with its centre on or off, are
exchanged as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .models.calibrate import log_proba
from .models.protocol import Switch
from .vocabulary import METADATA

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Tabular

__all__ = [
    "GROUPS",
    "STATISTICS",
    "Fields",
    "channel_of",
    "group_of",
    "importances",
    "statistics_of",
    "summarised",
]

GROUPS: Final = "groups"
STATISTICS: Final = "statistics"
"""What a row is of."""

_FIELDS: Final = 300
"""Fields that are scored for each statistic, and its repeats: with 300 statistics and groups and a
dozen classes 2 seconds a fold on 2 cores."""

_REPEATS: Final = 10
_SHOWN: Final = 20
_COLUMNS: Final = ("Name", "Kind", "Rise", "Loss", "Fields")


class Fields(NamedTuple):
    """Features of some fields."""

    points: NDArray[np.float64]
    """Features as the model sees them, shape (fields, features)."""
    wells: NDArray[Any]
    """A number for each field that is its well's."""
    targets: NDArray[Any]
    """The well's class."""


def group_of(name: str) -> str:
    """Return the group of a statistic: its column's name without the number of neighbours.

    Examples
    --------
    >>> group_of("Image_PFTAS_DNA_Band_On_3")
    'Image_PFTAS_DNA_Band_On'
    """
    return name.rpartition("_")[0]


def channel_of(name: str) -> str:
    """Return the channel of a statistic or a group, as columns spell it.

    Examples
    --------
    >>> channel_of("Image_PFTAS_DNA_Band_On_3"), channel_of("Image_PFTAS_DNA_Band_On")
    ('DNA', 'DNA')
    """
    return name.split("_")[2]


def statistics_of(columns: Iterable[Any]) -> list[str]:
    """Return which of a features table's columns are statistics, as `feature_matrix` has them.

    Examples
    --------
    >>> statistics_of(["Metadata_Well", "Image_TAS_DNA_Mean_Off_8"])
    ['Image_TAS_DNA_Mean_Off_8']
    """
    return [str(name) for name in columns if not str(name).startswith(METADATA)]


def importances(
    model: Tabular,
    names: Sequence[str],
    *,
    tested: Fields,
    trained: Fields,
    seed: int,
) -> pd.DataFrame:
    """Measure how much the log-loss of held-out fields rises without each statistic and group.

    Parameters
    ----------
    model : Tabular
        Fitted.
    names : sequence of str
        Of the features, in their order.
    tested : Fields
        Fields that the model did not learn from; those of a class that it does not know are left
        out, and of many wells some are drawn, whole.
    trained : Fields
        Fields that it learned from, which give the values.
    seed : int
        Decides who gives what to whom.

    Returns
    -------
    DataFrame
        `Name`, `Kind` (`GROUPS`, `STATISTICS`), `Rise` of the mean log-loss in nats a field,
        `Loss` without an exchange, and the number of `Fields`. No rows where no class is known.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    drawn = _drawn(np.isin(tested.targets, model.classes), tested.wells, rng)
    if not len(drawn):
        return pd.DataFrame(columns=list(_COLUMNS))
    repeats = max(1, min(_REPEATS, _FIELDS // len(drawn)))
    rows = np.tile(drawn, repeats)
    # a well that is shown again takes from another one
    takers = tested.wells[rows] + np.repeat(np.arange(repeats), len(drawn)) * len(tested.wells)
    columns = _columns(names)
    switches = [Switch(own, _donors(takers, trained.wells, rng)) for _, _, own in columns]
    truth = np.asarray([model.classes.index(name) for name in tested.targets[rows]], np.intp)

    def loss(scores: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
        return -float(log_proba(scores, model.temperature)[np.arange(len(truth)), truth].mean())

    before = loss(model.scores_of(tested.points[drawn]), truth[: len(drawn)])
    after = model.switched(tested.points[rows], trained.points, switches)
    table = [
        (name, kind, loss(scores, truth) - before, before, len(drawn))
        for (name, kind, _), scores in zip(columns, after, strict=True)
    ]
    return pd.DataFrame(table, columns=list(_COLUMNS))


def _drawn(
    usable: NDArray[np.bool_], wells: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw whole wells until there are enough fields; return these in their order."""
    order = rng.permutation(np.unique(wells[usable]))
    held = [np.flatnonzero(usable & (wells == well)) for well in order]
    upto = np.cumsum([len(own) for own in held])
    enough = held[: max(1, int(np.searchsorted(upto, _FIELDS, "right")))]
    return np.sort(np.concatenate(enough)) if enough else np.empty(0, np.intp)


def _columns(names: Sequence[str]) -> list[tuple[str, str, NDArray[np.intp]]]:
    """List what is exchanged: every group, then every statistic, with their places."""
    own = np.asarray([group_of(name) for name in names], object)
    groups = [(name, GROUPS, np.flatnonzero(own == name)) for name in dict.fromkeys(own)]
    return groups + [(name, STATISTICS, np.array([k], np.intp)) for k, name in enumerate(names)]


def _donors(
    takers: NDArray[Any], givers: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw for each well another one; its fields take from those of the other in turn."""
    _, first, fields = np.unique(givers, return_index=True, return_counts=True)
    order = np.argsort(givers, kind="stable")
    starts = np.cumsum(fields) - fields
    _, taker = np.unique(takers, return_inverse=True)
    drawn = rng.integers(len(first), size=int(taker.max()) + 1)[taker]
    # which field of its own well each is
    sizes = np.bincount(taker)
    by_well = np.argsort(taker, kind="stable")
    nth = np.empty(len(taker), np.intp)
    nth[by_well] = np.arange(len(taker)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(order[starts[drawn] + nth % fields[drawn]], np.intp)


def summarised(tables: Sequence[pd.DataFrame]) -> dict[str, Any] | None:
    """Join what the folds' models go by, as JSON types.

    Parameters
    ----------
    tables : sequence of DataFrame
        A fold each, as `importances` gives them.

    Returns
    -------
    dict or None
        `folds`, `fields` that were scored, their mean `log_loss`, every group and the strongest
        single statistics, each with the mean rise over folds and their standard deviation (None
        of a single fold), the strongest first. None where no fold has any.
    """
    import pandas as pd

    held = [table for table in tables if len(table)]
    if not held:
        return None
    joined = pd.concat(held, ignore_index=True)
    means = joined.groupby(["Kind", "Name"])["Rise"].agg(["mean", "std"]).reset_index()
    means = means.sort_values(["mean", "Name"], ascending=[False, True], kind="stable")
    rows: dict[str, list[dict[str, Any]]] = {GROUPS: [], STATISTICS: []}
    for kind, name, mean, spread in means[["Kind", "Name", "mean", "std"]].itertuples(index=False):
        deviation = None if pd.isna(spread) else float(spread)
        rows[kind].append(_parts(name, kind) | {"mean": float(mean), "spread": deviation})
    firsts = [table.iloc[0] for table in held]
    return {
        "folds": len(held),
        "fields": int(sum(first["Fields"] for first in firsts)),
        "log_loss": float(np.mean([first["Loss"] for first in firsts])),
        GROUPS: rows[GROUPS],
        STATISTICS: rows[STATISTICS][:_SHOWN],
    }


def _parts(name: str, kind: str) -> dict[str, Any]:
    """Take a column's name apart."""
    group = name if kind == GROUPS else group_of(name)
    _, interval, centre = group.rsplit("_", 2)
    return {
        "name": name,
        "channel": channel_of(name),
        "interval": interval,
        "centre": centre,
        "neighbours": None if kind == GROUPS else int(name.rpartition("_")[2]),
    }
