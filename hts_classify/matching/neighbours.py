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
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..protocols import Protocol
from ..statistics.intervals import Interval, accuracy_interval
from ..vocabulary import (
    BATCH,
    COMPOUND,
    CONCENTRATION,
    FOLD,
    GROUP,
    PATHS,
    PLATE,
    ROLE,
    SCORED,
    TARGET,
    WELL,
)
from .profiles import Seen, read_seen

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


class _Plan(NamedTuple):
    """What a rule and a level make of the wells, in numbers that are equal where names are."""

    profile: NDArray[np.intp]
    """Shape (wells,): the wells of one profile share it."""
    target: NDArray[np.intp]
    """Shape (wells,): the class, -1 for none."""
    apart: tuple[NDArray[np.intp], ...]
    """Each of shape (wells,): what neighbours may not share, -1 for none."""


class _Judged(NamedTuple):
    """Profiles of one fold and whether their neighbours are right."""

    wells: NDArray[np.intp]
    """The first well of each profile."""
    correct: NDArray[np.bool_]
    counts: NDArray[np.bool_]


def neighbours(
    profiles: Mapping[tuple[str, int], Path], wells: pd.DataFrame, protocol: Protocol
) -> list[Neighbours]:
    """Find each scored well's and treatment's nearest neighbour, as each path sees them.

    Parameters
    ----------
    profiles : mapping
        By path and fold, a Parquet file with a row a well: plate, well, whether the model was
        trained on it, and its `Profile_` columns.
    wells : DataFrame
        The joined plate map with `Target`, `Group`, `Fold` and `Role`. A well without a compound
        or batch shares it with none, and is not itself judged where the rule asks after it.
    protocol : Protocol
        What models were kept from. A network that was trained on a well's compound, or batch,
        has seen what the rule keeps apart, whoever the neighbours are.

    Returns
    -------
    list of Neighbours
        One a path, rule and level. Of profiles that are equally near the first counts, by plate
        and well.
    """
    wells = wells.sort_values([PLATE, WELL], kind="stable").reset_index(drop=True)
    asked_after = [(rule, level) for rule in _APART for level in _LEVELS]
    reasons = {one: _undefined(wells, *one) for one in asked_after}
    plans = {one: _plan(wells, *one) for one, reason in reasons.items() if not reason}
    scored, labelled = (wells[ROLE] == SCORED).to_numpy(), wells[TARGET].notna().to_numpy()
    found = []
    for path in PATHS:
        held: dict[tuple[str, str], list[_Judged]] = {one: [] for one in asked_after}
        own = {
            one: reason or _trained_on(path, one[0], protocol) for one, reason in reasons.items()
        }
        for fold in sorted(fold for name, fold in profiles if name == path and plans):
            seen = read_seen(profiles[path, fold], wells)
            tested = scored & (wells[FOLD] == fold).to_numpy()
            asked = seen.part(~seen.trained & tested[seen.wells])
            known = seen.part(seen.trained & labelled[seen.wells])
            if len(asked.wells) and len(known.wells):
                for one, plan in plans.items():
                    if not own[one]:
                        held[one].append(_judge(plan, asked, known))
        found += [_told(path, *one, reason, wells, held[one]) for one, reason in own.items()]
    return found


def _trained_on(path: str, rule: str, protocol: Protocol) -> str:
    """Say why a path's profiles are not what a rule asks for; TAS is of features, not trained."""
    lacking = [_WORDS[column] for column in _APART[rule] if _WORDS[column] not in protocol.apart]
    if path != "cnn" or not (lacking or (protocol.joined and len(_APART[rule]) > 1)):
        return ""
    remedy = "--split nscb" if rule == "NSCB" else "--split compound or nsc"
    what = " and ".join(lacking) or "compound and batch"
    return f"the network was trained on wells of the same {what} ({remedy} holds them apart)"


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


def _plan(wells: pd.DataFrame, rule: str, level: str) -> _Plan:
    import pandas as pd

    profile = wells.groupby(_unit(wells, rule, level), sort=False, dropna=False).ngroup()
    target, *apart = (
        np.asarray(pd.factorize(wells[column])[0], np.intp) for column in (TARGET, *_APART[rule])
    )
    return _Plan(np.asarray(profile, np.intp), target, tuple(apart))


def _points(plan: _Plan, seen: Seen) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Average wells to profiles of length 1; return the first well of each, and its profile."""
    _, first, of = np.unique(plan.profile[seen.wells], return_index=True, return_inverse=True)
    order = np.argsort(of, kind="stable")
    sums = np.add.reduceat(seen.values[order], np.searchsorted(of[order], np.arange(len(first))))
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return seen.wells[first], sums / np.where(length > 0, length, 1)


def _judge(plan: _Plan, asked: Seen, known: Seen) -> _Judged:
    """Name each profile by its nearest neighbour among those that may be asked."""
    (own, points), (other, others) = _points(plan, asked), _points(plan, known)
    correct = np.zeros(len(own), bool)
    counts = np.all([apart[own] >= 0 for apart in plan.apart], axis=0)
    for start in range(0, len(own), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        barred = np.any([apart[own[part], None] == apart[other] for apart in plan.apart], axis=0)
        alike = plan.target[own[part], None] == plan.target[other]
        # Rounded, so that profiles that are the same are equally near on every machine.
        near = np.where(barred, -np.inf, np.round(points[part] @ others.T, 12))
        correct[part] = alike[np.arange(len(near)), near.argmax(axis=1)]
        counts[part] &= (alike & ~barred).any(axis=1)
    return _Judged(own, correct, counts)


def _told(
    path: str, rule: str, level: str, reason: str, wells: pd.DataFrame, held: list[_Judged]
) -> Neighbours:
    """Count what was found over all folds."""
    counts = np.concatenate([one.counts for one in held]) if held else np.zeros(0, bool)
    if not reason and not counts.any():
        other = " and ".join(f"another {_WORDS[column]}" for column in _APART[rule])
        reason = f"no {level} has a neighbour of its class with {other}"
    if reason:
        return Neighbours(path=path, rule=rule, level=level, found=None, reason=reason)
    correct = np.concatenate([one.correct for one in held])[counts]
    rows = np.concatenate([one.wells for one in held])[counts]
    target = np.asarray(wells[TARGET].iloc[rows].tolist(), str)
    found = Matches(
        correct=int(correct.sum()),
        total=len(correct),
        interval=accuracy_interval(correct, list(wells[GROUP].iloc[rows])),
        classes=tuple(
            (str(name), int(correct[target == name].sum()), int((target == name).sum()))
            for name in np.unique(target)
        ),
        left_out=int((~counts).sum()),
    )
    return Neighbours(path=path, rule=rule, level=level, found=found, reason="")
