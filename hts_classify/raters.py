"""Agreement with people: each path with each rater, and raters among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from .statistics.metrics import Agreement, kappa
from .vocabulary import CALL, FOLD, LEVEL, PATH, PATHS, PLATE, ROLE, UNLABELLED, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Consensus", "Pair", "Raters", "with_raters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How two of them agree, people or paths."""

    first: str
    second: str
    found: Agreement
    """Cohen's kappa over the wells that both named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """One path on the wells that all raters name alike."""

    path: str
    correct: int
    """Wells that it calls as they do."""
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Raters:
    """Paths and people beside each other."""

    pairs: tuple[Pair, ...]
    """Every path with every rater, then every two raters."""
    consensus: tuple[Consensus, ...]
    """None with fewer than two raters."""


def with_raters(table: pd.DataFrame, raters: Sequence[str]) -> Raters | None:
    """Hold the paths' calls of wells against what people called them.

    Parameters
    ----------
    table : DataFrame
        Predictions with the plate map's columns. Wells count that a model called which had not
        seen them.
    raters : sequence of str
        Columns with a class a well; a rater may leave wells out.

    Returns
    -------
    Raters or None
        None without raters.
    """
    if not raters:
        return None
    unseen = (table[FOLD] >= 0) | (table[ROLE] == UNLABELLED)
    wells = table[(table[LEVEL] == "well") & unseen]
    calls = wells.pivot(index=[PLATE, WELL], columns=PATH, values=CALL)
    named = wells.drop_duplicates([PLATE, WELL]).set_index([PLATE, WELL]).loc[calls.index]
    words = {rater: [_word(value) for value in named[rater]] for rater in raters}
    said = {path: [_word(call) for call in calls[path]] for path in PATHS}
    pairs = [(path, rater) for path in PATHS for rater in raters] + [*combinations(raters, 2)]
    every = said | words
    alike = [
        k for k, row in enumerate(zip(*words.values(), strict=True)) if row[0] and len({*row}) == 1
    ]
    return Raters(
        pairs=tuple(
            Pair(first=one, second=other, found=kappa(every[one], every[other]))
            for one, other in pairs
        ),
        consensus=tuple(
            Consensus(
                path=path,
                correct=sum(said[path][k] == words[raters[0]][k] for k in alike),
                total=len(alike),
            )
            for path in PATHS
            if len(raters) > 1
        ),
    )


def _word(value: object) -> str | None:
    """Return a class as text; None for what nobody named."""
    return None if value is None or value != value or not str(value).strip() else str(value)
