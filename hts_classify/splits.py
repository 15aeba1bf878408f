"""Honest folds: whole groups go out together, and fields of a well never part.

The group is the unit whose next member the screener will meet: a compound, a batch, a plate,
or at the least a well. Inner splits, for everything that is chosen during training, see the
training folds only and use the coarsest unit that has at least three groups in every class.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import DesignError, UsageError
from .vocabulary import (
    BATCH,
    COMPOUND,
    FOLD,
    GROUP,
    PLATE,
    ROLE,
    SCORED,
    TARGET,
    UNLABELLED,
    UNSCORED,
    WELL,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SPLITS",
    "Folds",
    "choose_split",
    "inner_splits",
    "make_folds",
]

SPLITS: Final[dict[str, str]] = {
    "compound": COMPOUND,
    "batch": BATCH,
    "plate": PLATE,
    "well": WELL,
}
"""Units that a plate may be split by, coarsest first, and the column that names the groups."""

_INNER: Final = 3


@dataclass(frozen=True, slots=True)
class Folds:
    """Which wells are tested together."""

    split: str
    """The unit: a key of `SPLITS`."""
    wells: pd.DataFrame
    """The joined plate map with `Target`, `Group`, `Fold` (from 0, -1 for none) and `Role`."""

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.wells[FOLD].max()) + 1

    @property
    def groups(self) -> int:
        """Number of groups that are scored."""
        return int(self.wells.loc[self.wells[ROLE] == SCORED, GROUP].nunique())

    def tested(self, fold: int) -> NDArray[np.bool_]:
        """Mark the wells that a fold tests."""
        return (self.wells[FOLD] == fold).to_numpy(bool)

    def training(self, fold: int) -> NDArray[np.bool_]:
        """Mark the wells that a fold's models may see: labelled, and of no group under test."""
        tested = set(self.wells.loc[self.tested(fold), GROUP])
        labelled = (self.wells[ROLE] != UNLABELLED).to_numpy()
        return np.asarray(labelled & ~self.wells[GROUP].isin(tested).to_numpy(), bool)


def choose_split(wells: pd.DataFrame, split: str | None) -> str:
    """Check the unit that was asked for, or take the coarsest sensible one.

    Parameters
    ----------
    wells : DataFrame
        The joined plate map, one row a well.
    split : str or None
        A key of `SPLITS`; None takes `compound` where the plate map names compounds, else
        `well`.

    Raises
    ------
    UsageError
        When the unit is unknown, would part the fields of a well, or has no column.
    """
    if split is None:
        return "compound" if COMPOUND in wells else "well"
    if split in {"field", "tile", "site", "image", "random"}:
        raise UsageError(
            f"--split {split} would put fields of one well into training and test",
            remedy=f"split by {', '.join(SPLITS)}",
        )
    if split not in SPLITS:
        raise UsageError(f"--split {split!r}", remedy=f"split by {', '.join(SPLITS)}")
    if SPLITS[split] not in wells:
        raise UsageError(
            f"--split {split}, but the plate map has no {split} column",
            remedy=f"name it with --{split}-column, or split by another unit",
        )
    return split


def make_folds(
    wells: pd.DataFrame,
    *,
    target: str,
    split: str,
    unscored: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
) -> Folds:
    """Deal whole groups into folds, with the classes as even as the groups allow.

    Parameters
    ----------
    wells : DataFrame
        The joined plate map, one row a well.
    target : str
        Column of the classes; a well without a value is unlabelled.
    split : str
        A key of `SPLITS`.
    unscored : sequence of str, optional
        Classes that are trained on and not scored.
    folds : int, optional
        Folds at the most; with that many groups or fewer, each group is a fold.
    seed : int, optional
        Seed of the dealing.

    Returns
    -------
    Folds

    Raises
    ------
    DesignError
        When there are fewer than two classes, a labelled well without a group, or a class that
        a single group holds: after that group is left out nothing could learn the class.
    UsageError
        When an unscored class is not among the classes.
    """
    if folds < 2:
        raise UsageError(f"--folds {folds}", remedy="ask for 2 folds or more")
    column = SPLITS[split]
    if seed < 0 or seed >= 2**31:
        raise UsageError(f"--seed {seed}", remedy="use a whole number from 0 to 2147483647")
    # A class is a name: also where the column holds numbers.
    table = wells.assign(**{TARGET: wells[target].map(str, na_action="ignore")})
    # A well's name is unique only within its plate; a compound's or a batch's is not repeated.
    table[GROUP] = wells[PLATE] + "/" + wells[WELL] if split == "well" else wells[column]
    table[FOLD] = -1
    labelled = table[TARGET].notna()
    classes = sorted(table.loc[labelled, TARGET].unique())
    _check_classes(classes, target, unscored)
    table[ROLE] = UNLABELLED
    table.loc[labelled, ROLE] = SCORED
    table.loc[labelled & table[TARGET].isin(list(unscored)), ROLE] = UNSCORED
    scored = table[table[ROLE] == SCORED]
    _check_groups(scored, split)
    table.loc[scored.index, FOLD] = _deal(scored, folds, seed)
    return Folds(split, table)


def inner_splits(
    wells: pd.DataFrame, *, seed: int
) -> tuple[str, list[tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """Split the wells of some training folds again, for whatever training has to choose.

    Parameters
    ----------
    wells : DataFrame
        Training wells only, with `Target` and the columns of the plate map.
    seed : int
        Seed of the dealing.

    Returns
    -------
    unit : str
        The coarsest key of `SPLITS` with at least three groups in every class; `well` where
        none has them.
    splits : list of (learn, judge)
        Row positions in `wells`. A class that a single group holds is always learnt from.

    Raises
    ------
    DesignError
        When no class has two wells.
    """
    unit, groups = _inner_unit(wells)
    per_class = groups.groupby(wells[TARGET].to_numpy()).nunique()
    lone = per_class.index[per_class < 2]
    free = np.flatnonzero(~wells[TARGET].isin(lone).to_numpy())
    if not len(free):
        raise DesignError(
            f"every class has a single {unit} to train on, so nothing can be chosen on it",
            remedy="label more wells",
        )
    part = wells.iloc[free].assign(**{GROUP: groups.to_numpy()[free]})
    folds = _deal(part, min(_INNER, int(per_class[per_class >= 2].min())), seed)
    everything = np.arange(len(wells))
    judged = [free[folds == fold] for fold in range(int(folds.max()) + 1)]
    return unit, [(np.setdiff1d(everything, judge), judge) for judge in judged]


def _inner_unit(wells: pd.DataFrame) -> tuple[str, pd.Series[Any]]:
    """Find the coarsest unit with at least three groups in every class, else the well."""
    for unit in ("compound", "batch", "plate"):
        column = SPLITS[unit]
        if column not in wells or wells[column].isna().any():
            continue
        if wells.groupby(TARGET)[column].nunique().min() >= _INNER:
            return unit, wells[column]
    return "well", wells[PLATE] + "/" + wells[WELL]


def _check_classes(classes: list[str], target: str, unscored: Sequence[str]) -> None:
    unknown = sorted(set(unscored) - set(classes))
    if unknown:
        raise UsageError(
            f"--unscored-class {unknown[0]!r} is no class of {target}",
            remedy=f"the classes are {', '.join(classes)}",
        )
    if len(classes) < 2:
        held = f"has one class ({classes[0]})" if classes else "has no value in any well"
        raise DesignError(
            f"target {target} {held}", remedy="name a target with two classes or more"
        )
    if len(set(classes) - set(unscored)) < 2:
        raise UsageError(
            "fewer than two classes are left to score",
            remedy="name fewer classes with --unscored-class",
        )


def _check_groups(scored: pd.DataFrame, split: str) -> None:
    bare = scored[scored[GROUP].isna()]
    if len(bare):
        raise DesignError(
            f"well {bare[WELL].iloc[0]} ({bare[TARGET].iloc[0]}) has no {split}"
            + (f", and {len(bare) - 1} others" if len(bare) > 1 else ""),
            remedy=f"complete the {split} column, or split by another unit",
        )
    if scored[GROUP].nunique() < 2:
        raise DesignError(
            f"all labelled wells share one {split} ({scored[GROUP].iloc[0]})",
            remedy="split by a finer unit, or label more wells",
        )
    groups = scored.groupby(TARGET)[GROUP].agg(["nunique", "first"])
    lone = groups[groups["nunique"] < 2]
    if len(lone):
        names = ", ".join(f"{name!r} ({first})" for name, first in lone["first"].items())
        flags = " ".join(f"--unscored-class {name}" for name in lone.index)
        finer = "" if split == "well" else ", or split by a finer unit"
        raise DesignError(
            f"class {names} has a single {split}, so it cannot be scored",
            remedy=f"{flags} trains on it without scoring it{finer}",
        )


def _deal(scored: pd.DataFrame, folds: int, seed: int) -> NDArray[np.intp]:
    """Give each row a fold: whole groups, classes even, every class in two folds or more."""
    from sklearn.model_selection import StratifiedGroupKFold

    targets = scored[TARGET].to_numpy(str)
    groups = scored[GROUP].to_numpy(str)
    names, members = np.unique(groups, return_inverse=True)
    if len(names) <= folds:
        return np.asarray(members, np.intp)
    dealt = np.empty(len(scored), np.intp)
    # The library's greedy dealing may put a rare class into one fold: try again, then fewer folds.
    most = np.unique(targets, return_counts=True)[1].max()  # the library's bound on its folds
    for count in range(min(folds, int(most)), 1, -1):
        for attempt in range(10):
            dealer = StratifiedGroupKFold(count, shuffle=True, random_state=seed + attempt)
            with warnings.catch_warnings():  # that a class has fewer wells than folds is no news
                warnings.simplefilter("ignore", UserWarning)
                parts = list(dealer.split(targets, targets, groups))
            for fold, (_, tested) in enumerate(parts):
                dealt[tested] = fold
            if all(len(np.unique(dealt[targets == name])) > 1 for name in np.unique(targets)) and (
                all(len(tested) for _, tested in parts)
            ):
                return dealt
    raise DesignError(
        f"no dealing of {len(names)} groups leaves every class in training",
        remedy="split by a finer unit, or name the rarest class with --unscored-class",
    )
