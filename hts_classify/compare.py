"""The head-to-head: both paths on the same wells, and what the difference can bear.

The test is paired and at the unit that is independent. Where wells are the groups it is
McNemar's, exact (Psychometrika 1947, 12:153), with the interval of Bonett and Price for a
paired difference (Journal of Educational and Behavioral Statistics 2012, 37:479). Where groups
hold several wells it is a sign-flip test over the groups, with a t interval over them. With
fewer than six groups no p-value could come below 0.06, and none is given: counts speak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .evaluate import Evaluation, evaluate
from .vocabulary import CALL, FOLD, GROUP, LEVEL, PATH, PATHS, PLATE, TARGET, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Difference", "compare", "scored_wells"]

_FEWEST_GROUPS = 6
_EXACT_GROUPS = 14
_FLIPS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first path's right calls against the second's, well by well."""

    both: int
    """Wells that both paths call right."""
    first_only: int
    second_only: int
    neither: int
    groups: int
    difference: float
    """Accuracy of the first path minus accuracy of the second."""
    interval: tuple[float, float] | None
    """95%, at the unit of the groups; None with fewer than six."""
    test: str
    p: float | None
    verdict: str
    """One sentence in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Each path's evaluation over the same wells, and the difference between them."""

    paths: dict[str, Evaluation]
    difference: Difference

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types, rates written out beside the counts."""
        paths = {
            path: asdict(result)
            | {
                "accuracy": result.accuracy,
                "balanced_accuracy": result.balanced_accuracy,
                "recalls": result.recalls,
            }
            for path, result in self.paths.items()
        }
        return {"paths": paths, "difference": asdict(self.difference)}


def scored_wells(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the wells that were tested in a fold: one row a well, each path's call a column.

    Parameters
    ----------
    predictions : DataFrame
        `predictions.parquet` of a run, or a table with its columns.

    Raises
    ------
    DataError
        When the paths were not tested on the same wells.
    """
    absent = {LEVEL, FOLD, PLATE, WELL, TARGET, GROUP, PATH, CALL} - set(predictions)
    if absent:
        raise DataError(
            f"no column {', '.join(sorted(absent))}",
            where="predictions",
            remedy="give a run's predictions.parquet",
        )
    part = predictions[(predictions[LEVEL] == "well") & (predictions[FOLD] >= 0)]
    keys = [PLATE, WELL, TARGET, GROUP, FOLD]
    wells = part.pivot(index=keys, columns=PATH, values=CALL).reset_index()
    lone = [path for path in PATHS if path not in wells or wells[path].isna().any()]
    if lone:
        raise DataError(
            f"path {lone[0]} was not tested on every scored well",
            where="predictions",
            remedy="run again, so that both paths finish",
        )
    return wells


def compare(predictions: pd.DataFrame) -> Comparison:
    """Hold the two paths against each other, over the wells that both were tested on.

    Parameters
    ----------
    predictions : DataFrame
        `predictions.parquet` of a run: field and well rows of both paths.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        When the paths were not tested on the same wells.

    Examples
    --------
    >>> import pandas as pd
    >>> calls = {"tas_svm": "aabb", "cnn": "aabc"}
    >>> rows = [
    ...     {"Metadata_Plate": "P", "Metadata_Well": f"A0{i + 1}", "Target": "aabb"[i],
    ...      "Group": i, "Fold": i % 2, "Level": "well", "Path": path, "Class": call[i]}
    ...     for path, call in calls.items() for i in range(4)
    ... ]
    >>> result = compare(pd.DataFrame(rows))
    >>> result.paths["cnn"].correct, result.difference.first_only
    (3, 1)
    """
    wells = scored_wells(predictions)
    classes = sorted({*wells[TARGET], *(call for path in PATHS for call in wells[path])})
    paths = {
        path: evaluate(
            list(wells[TARGET]), list(wells[path]), groups=list(wells[GROUP]), classes=classes
        )
        for path in PATHS
    }
    right = {path: (wells[path] == wells[TARGET]).to_numpy(bool) for path in PATHS}
    return Comparison(paths=paths, difference=_difference(right, list(wells[GROUP])))


def _difference(right: Mapping[str, NDArray[np.bool_]], groups: Sequence[Any]) -> Difference:
    first, second = (right[path] for path in PATHS)
    _, members = np.unique(np.asarray(groups, str), return_inverse=True)
    sizes = np.bincount(members)
    net = first.astype(float) - second
    difference = float(net.mean())
    discordant = int((first & ~second).sum()), int((second & ~first).sum())
    interval, p = None, None
    if len(sizes) < _FEWEST_GROUPS:
        test = f"none: {len(sizes)} groups are fewer than six"
    elif len(sizes) == len(net):
        test = "McNemar, exact, over wells"
        interval, p = _paired_interval(*discordant, len(net)), _mcnemar(*discordant)
    else:
        test = "sign-flip over groups"
        by_group = np.bincount(members, weights=net)
        interval, p = _group_interval(by_group, sizes), _sign_flip(by_group)
    return Difference(
        both=int((first & second).sum()),
        first_only=discordant[0],
        second_only=discordant[1],
        neither=int((~first & ~second).sum()),
        groups=len(sizes),
        difference=difference,
        interval=interval,
        test=test,
        p=p,
        verdict=_verdict(discordant, (len(net), len(sizes)), interval, p),
    )


def _mcnemar(first_only: int, second_only: int) -> float:
    from scipy import stats

    if first_only + second_only == 0:
        return 1.0
    return float(stats.binomtest(first_only, first_only + second_only).pvalue)


def _paired_interval(first_only: int, second_only: int, wells: int) -> tuple[float, float]:
    """Bonett and Price: one more in each discordant cell keeps the interval from vanishing."""
    a, b = (first_only + 1) / (wells + 2), (second_only + 1) / (wells + 2)
    half = 1.959964 * np.sqrt((a + b - (a - b) ** 2) / (wells + 2))
    return float(max(-1.0, a - b - half)), float(min(1.0, a - b + half))


def _group_interval(by_group: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """Cluster-t: the ratio estimator's variance over groups.

    Groups that all agree would give an interval of no width, and few that differ one that is far
    too narrow. One more group of mean size on which the paths disagree wholly keeps it open, as
    one more in each cell does in `_paired_interval`.
    """
    from scipy import stats

    count, total = len(sizes), int(sizes.sum())
    difference = float(by_group.sum()) / total
    residuals = by_group - difference * sizes
    spread = count / (count - 1) * float(np.sum(residuals**2)) + (total / count) ** 2
    variance = spread / total**2
    half = float(stats.t.ppf(0.975, count - 1)) * float(np.sqrt(variance))
    return max(-1.0, difference - half), min(1.0, difference + half)


def _sign_flip(by_group: NDArray[Any]) -> float:
    """Share of sign patterns over groups at least as far from zero: all of them, or a sample."""
    count = len(by_group)
    if count <= _EXACT_GROUPS:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        patterns = np.random.default_rng(0).integers(0, 2, (_FLIPS, count))
        patterns[0] = 1  # the pattern that was seen counts among them
    sums = np.abs((2 * patterns - 1) @ by_group)
    return float(np.mean(sums >= abs(by_group.sum()) - 1e-9))


def _verdict(
    discordant: tuple[int, int],
    counts: tuple[int, int],
    interval: tuple[float, float] | None,
    p: float | None,
) -> str:
    """Say it in words; a difference has to leave both its interval and its test."""
    wells, groups = counts
    first, second = "TAS + SVM", "the CNN"
    seen = (
        f"of {wells} wells, {discordant[0]} were called right only by {first}"
        f" and {discordant[1]} only by {second}"
        if any(discordant)
        else f"{first} and {second} were right on the same of {wells} wells"
    )
    if interval is None or p is None:
        return (
            f"{seen}: {groups} groups are too few for a test, so no difference"
            " that this plate can show"
        )
    if interval[0] <= 0 <= interval[1] or p >= 0.05:
        return f"{seen}: no difference that this plate can show"
    better, worse = (first, second) if interval[0] > 0 else (second, first)
    return f"{seen}: {better} is better here than {worse}"
