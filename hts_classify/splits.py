"""Honest folds: whole groups go out together, and fields of a well never part.

The group is the unit whose next member the screener will meet: a compound, a batch, a plate,
or at the least a well; `protocols` says what each `--split` holds apart. Inner splits, for
everything that is chosen during training, see the training folds only and use the coarsest unit
that has at least three groups in every class.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import DesignError, UsageError
from .protocols import (
    SPLITS,
    Protocol,
    check_named,
    deal_fixed,
    protocol_of,
    train_test_split,
    unit_keys,
)
from .vocabulary import (
    COMPOUND,
    FOLD,
    GROUP,
    ROLE,
    SCORED,
    TARGET,
    UNLABELLED,
    UNSCORED,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SPLITS",
    "Folds",
    "choose_split",
    "inner_splits",
    "make_folds",
    "make_repeats",
]

_INNER: Final = 3
_MOST_SEED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Folds:
    """Which wells are tested together."""

    split: str
    """The protocol, as `protocols.protocol_of` takes it."""
    wells: pd.DataFrame
    """The joined plate map with `Target`, `Group`, `Fold` (from 0, -1 for none) and `Role`."""
    seed: int = 0
    """Seed that the folds were dealt by, and that training takes."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know of these folds."""

    @property
    def protocol(self) -> Protocol:
        """What is held apart."""
        return protocol_of(self.split)

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
        """Mark the wells that a fold's models may see.

        They are labelled, and share with no well under test what the protocol holds apart:
        under NSCB neither its compound nor its batch, controls included.
        """
        labelled = (self.wells[ROLE] != UNLABELLED).to_numpy()
        barred = self.protocol.barred(self.wells, self.tested(fold))
        return np.asarray(labelled & ~barred, bool)


def choose_split(wells: pd.DataFrame, split: str | None) -> str:
    """Check the protocol that was asked for, or take the coarsest sensible one.

    Parameters
    ----------
    wells : DataFrame
        The joined plate map, one row a well.
    split : str or None
        A protocol, as `protocols.protocol_of` takes it; None takes `compound` where the plate
        map names compounds, else `well`.

    Returns
    -------
    str
        The protocol's own name.

    Raises
    ------
    UsageError
        When the protocol is unknown, would part the fields of a well, or has no column.
    """
    if split is None:
        return "compound" if COMPOUND in wells else "well"
    protocol = protocol_of(split)
    for unit in protocol.apart:
        if SPLITS[unit] not in wells:
            raise UsageError(
                f"--split {split}, but the plate map has no {unit} column",
                remedy=f"name it with --{unit}-column, or split by another unit",
            )
    return protocol.name


def make_folds(
    wells: pd.DataFrame,
    *,
    target: str,
    split: str,
    unscored: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
    train_plates: Sequence[str] = (),
    test_plates: Sequence[str] = (),
) -> Folds:
    """Deal whole groups into folds, with the classes as even as the groups allow.

    Leave-one-out protocols make each group a fold, and NSCB each compound in each batch: a
    compound that is in every batch could not be tested as a whole. There a class can be lost
    with the batch. Wells that no training set is left for are trained on but not scored
    (`Unscored`, and a note says which) as long as others of their class are scored; a class
    that is never left is an error.

    Parameters
    ----------
    wells : DataFrame
        The joined plate map, one row a well.
    target : str
        Column of the classes; a well without a value is unlabelled.
    split : str
        A protocol, as `protocols.protocol_of` takes it, or `train-test` with the two below.
    unscored : sequence of str, optional
        Classes that are trained on and not scored.
    folds : int, optional
        Folds at the most, of grouped k-fold; with that many groups or fewer, each is a fold.
    seed : int, optional
        Seed of the dealing.
    train_plates, test_plates : sequence of str, optional
        Plates to train on and to test on, where names are not in `split`; plates that neither
        names take no part.

    Returns
    -------
    Folds

    Raises
    ------
    DesignError
        When there are fewer than two classes, a labelled well without a group, or a class that
        a single group holds: after that group is left out nothing could learn the class.
    UsageError
        When an unscored class is not among the classes, a column is absent, or plates are named
        that are not there, or twice.

    Examples
    --------
    >>> import pandas as pd
    >>> wells = pd.DataFrame({
    ...     "Metadata_Plate": "P1", "Metadata_Well": ["A01", "A02", "A03", "A04"],
    ...     "Metadata_Compound": ["a1", "a2", "b1", "b2"], "moa": ["a", "a", "b", "b"],
    ... })
    >>> dealt = make_folds(wells, target="moa", split="nsc")
    >>> dealt.count, dealt.training(0).tolist()
    (4, [False, True, True, True])
    """
    if folds < 2:
        raise UsageError(f"--folds {folds}", remedy="ask for 2 folds or more")
    if seed < 0 or seed > _MOST_SEED:
        raise UsageError(f"--seed {seed}", remedy=f"use a whole number from 0 to {_MOST_SEED}")
    if train_plates or test_plates:
        if split != "train-test":
            raise UsageError(
                f"--split {split}, but plates to train on or to test on are named",
                remedy="split by train-test, or name no plates",
            )
        split = train_test_split(train_plates, test_plates)
    split = choose_split(wells, split)
    protocol = protocol_of(split)
    table = _labelled(wells, target, protocol.unit, unscored)
    scored = table[table[ROLE] == SCORED]
    notes: tuple[str, ...] = ()
    if protocol.train or len(protocol.apart) > 1:
        notes = deal_fixed(table, protocol)
    else:
        check_named(scored, protocol.unit)
        _check_groups(scored, protocol.unit)
        most = folds if protocol.chance else len(scored)
        table.loc[scored.index, FOLD] = _deal(scored, most, seed)
    return Folds(split, table, seed, notes)


def make_repeats(wells: pd.DataFrame, *, repeats: int, seed: int = 0, **how: Any) -> list[Folds]:
    """Deal the folds several times, by `seed`, `seed + 1`, ….

    Parameters
    ----------
    wells : DataFrame
        The joined plate map, one row a well.
    repeats : int
        How often.
    seed : int, optional
        Seed of the first repeat; `Folds.seed` carries each repeat's own to its training.
    **how
        The other arguments of `make_folds`.

    Returns
    -------
    list of Folds
        Where chance has no part in the dealing (leave-one-out, named plates, fewer groups than
        folds) all have the same folds, and say so in their notes.

    Raises
    ------
    UsageError
        When there are no repeats, or their seeds are out of range.
    DesignError
        As `make_folds`.
    """
    if repeats < 1:
        raise UsageError(f"--repeats {repeats}", remedy="ask for 1 repeat or more")
    if seed + repeats - 1 > _MOST_SEED:
        raise UsageError(
            f"--seed {seed} with {repeats} repeats ends beyond {_MOST_SEED}",
            remedy="use a smaller seed",
        )
    found = [make_folds(wells, seed=seed + k, **how) for k in range(repeats)]
    first = found[0].wells[FOLD]
    if repeats > 1 and all(first.equals(other.wells[FOLD]) for other in found[1:]):
        note = (
            f"all {repeats} repeats have the same folds ({found[0].protocol.title}): they differ"
            " in the seed of training only"
        )
        return [replace(folds, notes=(*folds.notes, note)) for folds in found]
    return found


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
    return "well", unit_keys(wells, "well")


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


def _labelled(wells: pd.DataFrame, target: str, unit: str, unscored: Sequence[str]) -> pd.DataFrame:
    """Add each well's class, group and role; no fold is dealt yet."""
    # A class is a name: also where the column holds numbers.
    table = wells.assign(**{TARGET: wells[target].map(str, na_action="ignore")})
    table[GROUP] = unit_keys(wells, unit)
    table[FOLD] = -1
    labelled = table[TARGET].notna()
    _check_classes(sorted(table.loc[labelled, TARGET].unique()), target, unscored)
    table[ROLE] = UNLABELLED
    table.loc[labelled, ROLE] = SCORED
    table.loc[labelled & table[TARGET].isin(list(unscored)), ROLE] = UNSCORED
    return table


def _check_groups(scored: pd.DataFrame, split: str) -> None:
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
