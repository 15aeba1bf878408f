"""Repeats with other seeds: how far the seed alone moves what a run says.

A repeat deals the folds and trains by a seed of its own, over the same wells. What separates two
repeats is therefore luck: a well that is called right by one seed and wrong by the next says
nothing of the paths (Bouthillier and others, Accounting for Variance in Machine Learning
Benchmarks, MLSys 2021).

Repeats are no further wells. They share training wells and test wells, so that neither their
number nor their spread makes an interval or a p-value (Nadeau and Bengio, Machine Learning 2003,
52:239): those of the run are the first repeat's, and nothing is pooled. Nor is the best seed a
result: it was chosen by the wells that it is judged on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .compare import scored_wells
from .errors import DataError
from .statistics.difference import Difference, compare_calls
from .vocabulary import FOLD, GROUP, PATHS, PLATE, TARGET, TITLES, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Repeat", "Repeats", "Right", "Spread", "compare_repeats"]

_ALPHA: Final = 0.05
_NAMES: Final = {path: f"the {TITLES[path]}" if path == "cnn" else TITLES[path] for path in PATHS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Wells that a path called right in one repeat."""

    correct: int
    total: int
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where a figure was over the repeats: no interval of it."""

    least: float
    most: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Both paths by one seed."""

    seed: int
    folds: int
    same_folds: bool
    """Whether the same wells went out together as in the first repeat."""
    paths: dict[str, Right]
    difference: Difference
    """Of this repeat alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What the repeats of a run come to."""

    repeats: tuple[Repeat, ...]
    """The first is the run itself."""
    wells: int
    """Wells that each repeat scores: the same ones."""
    accuracy: dict[str, Spread]
    """By path."""
    difference: Spread
    """Of the first path's accuracy less the second's."""
    ahead: dict[str, int]
    """Repeats in which each path called more wells right than the other."""
    low_p: dict[str, int] | None
    """Those among them with p below 0.05, each taken alone; None where groups are too few for a
    test."""
    steady: dict[str, int]
    """Wells that a path called alike in every repeat, right or wrong."""
    same_folds: bool
    """Whether every repeat has the first one's folds, so that training's seed alone differs."""
    said: str
    """All of it in a sentence."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def compare_repeats(tables: Sequence[pd.DataFrame], seeds: Sequence[int]) -> Repeats:
    """Hold the repeats of a run beside each other; nothing is pooled over them.

    Parameters
    ----------
    tables : sequence of DataFrame
        The calls of each repeat, two at least, with the columns of `predictions.parquet`; the
        run's own first. Only wells that were tested in a fold are looked at.
    seeds : sequence of int
        The seed of each.

    Returns
    -------
    Repeats

    Raises
    ------
    DataError
        When there are fewer than two, or they do not score the same wells.

    Examples
    --------
    >>> import pandas as pd
    >>> def by_seed(tas, cnn):
    ...     return pd.DataFrame([
    ...         {"Metadata_Plate": "P", "Metadata_Well": f"A0{k + 1}", "Target": "a", "Group": k,
    ...          "Fold": k % 2, "Level": "well", "Path": path, "Class": call}
    ...         for path, calls in {"tas_svm": tas, "cnn": cnn}.items()
    ...         for k, call in enumerate(calls)
    ...     ])
    >>> found = compare_repeats([by_seed("aabb", "aaaa"), by_seed("aaaa", "aaab")], [7, 8])
    >>> found.ahead, found.steady
    ({'tas_svm': 1, 'cnn': 1}, {'tas_svm': 2, 'cnn': 3})
    >>> found.difference
    Spread(least=-0.5, most=0.25, mean=-0.125)
    """
    if len(tables) < 2 or len(tables) != len(seeds):
        raise DataError(
            f"{len(tables)} tables of {len(seeds)} seeds",
            where="compare_repeats",
            remedy="give the calls of two repeats or more, and the seed of each",
        )
    wells = [scored_wells(table).sort_values([PLATE, WELL], ignore_index=True) for table in tables]
    _check_alike(wells, seeds)
    parts = [_parts(one) for one in wells]
    repeats = tuple(
        _repeat(one, seed, same_folds=part == parts[0])
        for one, seed, part in zip(wells, seeds, parts, strict=True)
    )
    differences = [one.difference.difference for one in repeats]
    ahead = {path: sum(_leads(one, path) for one in repeats) for path in PATHS}
    low_p = None
    if repeats[0].difference.p is not None:
        low_p = {path: sum(_leads(one, path) and _is_low(one) for one in repeats) for path in PATHS}
    spread, same_folds = _spread(differences), all(one.same_folds for one in repeats)
    return Repeats(
        repeats=repeats,
        wells=len(wells[0]),
        accuracy={path: _spread([one.paths[path].accuracy for one in repeats]) for path in PATHS},
        difference=spread,
        ahead=ahead,
        low_p=low_p,
        steady={path: _steady([one[path] for one in wells]) for path in PATHS},
        same_folds=same_folds,
        said=_said(
            len(repeats),
            ahead,
            low_p,
            spread,
            repeats[0].difference.interval,
            same_folds=same_folds,
        ),
    )


def _check_alike(wells: Sequence[pd.DataFrame], seeds: Sequence[int]) -> None:
    columns = [PLATE, WELL, TARGET]
    for one, seed in zip(wells, seeds, strict=True):
        if not one[columns].equals(wells[0][columns]):
            raise DataError(
                f"the repeat by seed {seed} scores other wells than the first",
                where="compare_repeats",
                remedy="delete the run's folder and run again",
            )


def _parts(wells: pd.DataFrame) -> list[int]:
    """Return each well's fold, folds numbered as they come: what they are called is no matter."""
    import pandas as pd

    return pd.factorize(wells[FOLD])[0].tolist()


def _repeat(wells: pd.DataFrame, seed: int, *, same_folds: bool) -> Repeat:
    first, second = ((wells[path] == wells[TARGET]).to_numpy(bool) for path in PATHS)
    return Repeat(
        seed=int(seed),
        folds=int(wells[FOLD].nunique()),
        same_folds=same_folds,
        paths={
            path: Right(correct=int(own.sum()), total=len(own), accuracy=float(own.mean()))
            for path, own in zip(PATHS, (first, second), strict=True)
        },
        difference=compare_calls(first, second, list(wells[GROUP])),
    )


def _leads(repeat: Repeat, path: str) -> bool:
    lead = repeat.difference.difference
    return lead > 0 if path == PATHS[0] else lead < 0


def _is_low(repeat: Repeat) -> bool:
    return repeat.difference.p is not None and repeat.difference.p < _ALPHA


def _spread(values: Sequence[float]) -> Spread:
    return Spread(least=min(values), most=max(values), mean=float(np.mean(values)))


def _steady(calls: Sequence[pd.Series[Any]]) -> int:
    alike = np.ones(len(calls[0]), bool)
    for other in calls[1:]:
        alike &= (other == calls[0]).to_numpy(bool)
    return int(alike.sum())


def _said(
    count: int,
    ahead: Mapping[str, int],
    low_p: Mapping[str, int] | None,
    spread: Spread,
    interval: tuple[float, float] | None,
    *,
    same_folds: bool,
) -> str:
    low = "" if low_p is None else f" (p below 0.05 in {sum(low_p.values())} of {count})"
    first, second = (_NAMES[path] for path in PATHS)
    lead = f"{first} less {second}"
    if spread.least == spread.most:
        moved = f"the difference ({lead}) was {_points(spread.least)} points by each of them"
    else:
        width = 100 * (spread.most - spread.least)
        moved = (
            f"the difference ({lead}) went from {_points(spread.least)} to"
            f" {_points(spread.most)} points: the seed alone moves it by {width:.1f} points,"
            f" {_held_against(width, interval)}"
        )
    of = " of training, with the folds the same," if same_folds else ""
    return f"Over {count} seeds{of} {_order(count, ahead)}{low}; {moved}"


def _order(count: int, ahead: Mapping[str, int]) -> str:
    """Say who was ahead, the one that was so more often first."""
    level = count - sum(ahead.values())
    if level == count:
        return "the paths called as many wells right by each"
    leaders = [(path, n) for path, n in sorted(ahead.items(), key=lambda one: -one[1]) if n]
    (path, most), *others = leaders
    said = f"{_NAMES[path]} was ahead in {'all' if most == count else most}"
    said += "".join(f" and {_NAMES[path]} in {n}" for path, n in others)
    return f"{said}, with {level} level" if level else said


def _held_against(width: float, interval: tuple[float, float] | None) -> str:
    """Say how far the seed's range reaches beside the interval of the run."""
    if interval is None:
        return "and there are too few groups for an interval to hold that against"
    held = 100 * (interval[1] - interval[0])
    more = "more" if width > held else "not more"
    return f"{more} than the 95% interval of the first is wide ({held:.1f})"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
