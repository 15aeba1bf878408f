"""The class of the nearest neighbour, by which the profiling literature judges profiles.

A profile takes the class of the profile that is most like it by cosine similarity, where those
that share its compound are not asked (NSC, not same compound: Ljosa et al., J Biomol Screen 2013,
18:1321), or those that share its compound or its batch (NSCB: Ando, McLean and Berndl, bioRxiv
2017, 161422). Here a fold's profiles are those of the model that did not see it, and neighbours
are looked for among the wells that this model was trained on: the outer folds hold as well.

As in those papers, a profile is not judged where no neighbour that may be asked is of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..statistics.intervals import Interval, accuracy_interval
from ..vocabulary import (
    BATCH,
    COMPOUND,
    CONCENTRATION,
    FOLD,
    GROUP,
    PATHS,
    PLATE,
    PROFILE,
    ROLE,
    SCORED,
    TARGET,
    TRAINED,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Matches", "Neighbours", "neighbours"]

_APART: Final = {"NSC": (COMPOUND,), "NSCB": (COMPOUND, BATCH)}
_WORDS: Final = {COMPOUND: "compound", BATCH: "batch"}
_LEVELS: Final = ("well", "treatment")
_TOGETHER: Final = 1_000
"""Profiles whose similarities to all others are held at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """How many profiles have a nearest neighbour of their own class."""

    correct: int
    total: int
    interval: Interval | None
    """95%, of the share, over split groups; none for a single group."""
    classes: tuple[tuple[str, int, int], ...]
    """Class, its profiles that are right, its profiles."""
    left_out: int
    """Profiles that are not judged: without a compound or batch of their own, or without a
    neighbour of their class that may be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The nearest neighbours that one path sees, by one rule."""

    path: str
    rule: str
    """`NSC` or `NSCB`."""
    level: str
    """`well`; or `treatment`, whose profile is the mean of its wells in a fold (under NSCB of those
    in one batch)."""
    found: Matches | None
    reason: str
    """Why nothing is found; empty otherwise."""


class _Points(NamedTuple):
    """Profiles, and what is known of each."""

    values: NDArray[np.float64]
    """Shape (profiles, features), of length 1, or 0 for a profile without direction."""
    target: NDArray[Any]
    group: NDArray[Any]
    apart: tuple[NDArray[Any], ...]
    """What neighbours may not share: the compound, and the batch; None where there is none."""


class _Judged(NamedTuple):
    """Profiles of one fold and whether their neighbours are right."""

    target: NDArray[Any]
    group: NDArray[Any]
    correct: NDArray[np.bool_]
    counts: NDArray[np.bool_]


def neighbours(profiles: Mapping[tuple[str, int], Path], wells: pd.DataFrame) -> list[Neighbours]:
    """Find each scored well's and treatment's nearest neighbour, as each path sees them.

    Parameters
    ----------
    profiles : mapping
        By path and fold, a Parquet file with a row a well: plate, well, whether the model was
        trained on it, and its `Profile_` columns.
    wells : DataFrame
        The joined plate map with `Target`, `Group`, `Fold` and `Role`. A well without a compound
        or batch shares it with none, and is not itself judged where the rule asks after it.

    Returns
    -------
    list of Neighbours
        One a path, rule and level. Of profiles that are equally near the first counts, by plate
        and well.
    """
    plan = {(rule, level): _undefined(wells, rule, level) for rule in _APART for level in _LEVELS}
    defined = [one for one, reason in plan.items() if not reason]
    found = []
    for path in PATHS:
        held: dict[tuple[str, str], list[_Judged]] = {one: [] for one in plan}
        for fold in sorted(fold for own, fold in profiles if own == path and defined):
            asked, known = _wells_of(profiles[path, fold], wells, fold)
            if asked.empty or known.empty:
                continue
            for rule, level in defined:
                unit = _unit(wells, rule, level)
                points = [_points(some, unit, _APART[rule]) for some in (asked, known)]
                held[rule, level].append(_judge(*points))
        found += [_told(path, *one, reason, held[one]) for one, reason in plan.items()]
    return found


def _undefined(wells: pd.DataFrame, rule: str, level: str) -> str:
    """Say why a rule cannot be applied to these wells at all; empty where it can."""
    for column in _APART[rule]:
        if column not in wells or wells[column].isna().all():
            return f"the plate map names no {_WORDS[column]}"
        if wells[column].nunique(dropna=False) == 1:
            return f"all wells share one {_WORDS[column]}"
    scored = wells[wells[ROLE] == SCORED]
    profiles = scored.groupby([*_unit(wells, rule, level), FOLD], dropna=False)
    if (profiles[GROUP].nunique() > 1).any():
        return "treatments have wells in several split groups"
    return ""


def _unit(wells: pd.DataFrame, rule: str, level: str) -> list[str]:
    """Return the columns whose values the wells of one profile share.

    Controls that have no compound are told apart by their class.
    """
    if level == "well":
        return [PLATE, WELL]
    batch = [BATCH] if rule == "NSCB" else []
    return [name for name in (COMPOUND, CONCENTRATION, TARGET, *batch) if name in wells]


def _wells_of(file: Path, wells: pd.DataFrame, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the wells that a fold asks of, and those that may be their neighbours."""
    import pandas as pd

    table = pd.read_parquet(file).merge(wells, on=[PLATE, WELL], how="inner")
    table = table.sort_values([PLATE, WELL], kind="stable").reset_index(drop=True)
    asked = ~table[TRAINED] & (table[FOLD] == fold) & (table[ROLE] == SCORED)
    return table[asked], table[table[TRAINED] & table[TARGET].notna()]


def _points(wells: pd.DataFrame, unit: list[str], apart: tuple[str, ...]) -> _Points:
    """Average wells to profiles."""
    groups = wells.groupby(unit, sort=False, dropna=False)
    values = groups[columns_with(PROFILE, wells)].mean().to_numpy(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    about = groups[[TARGET, GROUP, *apart]].first().astype(object)
    about = about.where(about.notna(), None)
    return _Points(
        values=values / np.where(length > 0, length, 1),
        target=about[TARGET].to_numpy(object),
        group=about[GROUP].to_numpy(object),
        apart=tuple(about[column].to_numpy(object) for column in apart),
    )


def _judge(asked: _Points, known: _Points) -> _Judged:
    """Name each profile by its nearest neighbour among those that may be asked."""
    target, others = _codes(asked.target, known.target)
    apart = [_codes(*pair) for pair in zip(asked.apart, known.apart, strict=True)]
    correct = np.zeros(len(target), bool)
    counts = np.all([own >= 0 for own, _ in apart], axis=0)
    for start in range(0, len(correct), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        barred = np.any([own[part, None] == theirs for own, theirs in apart], axis=0)
        alike = target[part, None] == others
        # Rounded, so that profiles that are the same are equally near on every machine.
        near = np.where(barred, -np.inf, np.round(asked.values[part] @ known.values.T, 12))
        correct[part] = alike[np.arange(len(near)), near.argmax(axis=1)]
        counts[part] &= (alike & ~barred).any(axis=1)
    return _Judged(asked.target, asked.group, correct, counts)


def _codes(some: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give equal values of both one number; -1 where there is none."""
    import pandas as pd

    codes = pd.factorize(np.concatenate([some, others]))[0]
    return codes[: len(some)], codes[len(some) :]


def _told(path: str, rule: str, level: str, reason: str, held: list[_Judged]) -> Neighbours:
    """Count what was found over all folds."""
    counts = np.concatenate([one.counts for one in held]) if held else np.zeros(0, bool)
    if not reason and not counts.any():
        shared = " nor ".join(_WORDS[column] for column in _APART[rule])
        word = "neither " if rule == "NSCB" else "not "
        reason = f"no {level} has a neighbour of its class that shares {word}its {shared}"
    if reason:
        return Neighbours(path=path, rule=rule, level=level, found=None, reason=reason)
    correct, target, group = (
        np.concatenate([getattr(one, name) for one in held])[counts]
        for name in ("correct", "target", "group")
    )
    names = sorted({str(name) for name in target})
    found = Matches(
        correct=int(correct.sum()),
        total=len(correct),
        interval=accuracy_interval(correct, list(group)),
        classes=tuple(
            (name, int(correct[target == name].sum()), int((target == name).sum()))
            for name in names
        ),
        left_out=int((~counts).sum()),
    )
    return Neighbours(path=path, rule=rule, level=level, found=found, reason="")
