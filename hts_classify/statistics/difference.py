"""Two paths on the same wells: what the difference between them can bear.

The test is paired and at the unit that is independent. Where wells are the groups it is
McNemar's, exact (Psychometrika 1947, 12:153), with its mid-p variant beside it (Fagerland,
Lydersen and Laake, BMC Med Res Methodol 2013, 13:91) and the interval of Bonett and Price for a
paired difference (Journal of Educational and Behavioral Statistics 2012, 37:479). Where groups
hold several wells it is a sign-flip test over the groups (Fisher, The Design of Experiments,
1935, section 21), with a t interval over them. With fewer than six groups no p-value could come
below 0.06, and none is given: counts speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError

__all__ = ["Difference", "compare_calls", "mcnemar", "sign_flip", "smallest_detectable"]

_FEWEST_GROUPS: Final = 6
_ALPHA: Final = 0.05
_POWER: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first path's right calls against the second's, well by well."""

    both: int
    """Wells that both paths call right."""
    first_only: int
    second_only: int
    neither: int
    wells: int
    groups: int
    """Split groups among the wells."""
    difference: float
    """Accuracy of the first path minus accuracy of the second."""
    interval: tuple[float, float] | None
    """95%, at the unit of the groups; None with fewer than six."""
    test: str
    """Which test, in words; or why there is none."""
    p: float | None
    """Two-sided and exact; None with fewer than six groups."""
    p_midp: float | None
    """Of McNemar's test alone; None where groups hold several wells."""
    discordance: float
    """Share of units that favour a path: wells, or groups where they hold several wells."""
    detectable: float | None
    """Smallest lead, as a share of the units, that would be found with a power of 80% at this
    discordance; None where even units that all favour one path would not reach it."""
    verdict: str
    """One sentence in plain words."""
    resolution: str
    """What this many units can show, in one sentence."""


def mcnemar(first_only: int, second_only: int) -> tuple[float, float]:
    """Return the two-sided p-values of McNemar's test, exact and mid-p.

    Parameters
    ----------
    first_only, second_only : int
        Wells that only the one path, and only the other, called right.

    Returns
    -------
    tuple of float
        Exact, which never rejects too often; and mid-p, which counts results as extreme as this
        one by half and rejects about as often as it says. Both are 1 where the paths agree.

    Raises
    ------
    DataError
        For a negative count.

    Examples
    --------
    >>> [round(p, 4) for p in mcnemar(1, 7)]  # Fagerland and others, table 1
    [0.0703, 0.0391]
    """
    from scipy import stats

    if min(first_only, second_only) < 0:
        raise DataError(
            f"{first_only} and {second_only} wells", where="mcnemar", remedy="give counts"
        )
    wells, fewer = first_only + second_only, min(first_only, second_only)
    if wells == 0:
        return 1.0, 1.0
    seen = float(stats.binom.pmf(fewer, wells, 0.5))
    if first_only == second_only:
        return 1.0, 1 - seen / 2
    exact = 2 * float(stats.binom.cdf(fewer, wells, 0.5))
    return exact, exact - seen


def sign_flip(net_by_group: NDArray[np.integer[Any]] | Sequence[int]) -> float | None:
    """Return the p-value of a sign-flip test over groups: had each favoured the other path as well.

    The sum over groups is a sum of whole numbers, so that its distribution over all sign
    patterns is found by adding one group after the other: exact for any number of groups.

    Parameters
    ----------
    net_by_group : array of int, shape (groups,)
        In each group, wells that only the first path called right less those that only the
        second did.

    Returns
    -------
    float or None
        Two-sided: share of sign patterns whose sum is at least as far from zero. None for fewer
        than six groups.

    Raises
    ------
    DataError
        When the differences are not whole numbers.

    Examples
    --------
    >>> sign_flip([1, 2, 2, 1, 3, 1]), sign_flip([1, 1, 1, 1, 1])
    (0.03125, None)
    """
    net = np.asarray(net_by_group)
    if not np.issubdtype(net.dtype, np.integer):
        raise DataError(
            f"differences of type {net.dtype}",
            where="sign_flip",
            remedy="give whole numbers of wells",
        )
    if len(net) < _FEWEST_GROUPS:
        return None
    reach = int(np.abs(net).sum())
    chance = np.zeros(2 * reach + 1)  # of each sum from -reach to reach
    chance[reach] = 1.0
    for step in np.abs(net[net != 0]):
        # np.roll wraps nothing: no sum has gone as far as the ends until the last group.
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(net.sum()))
    return min(1.0, float(chance[far].sum()))


def smallest_detectable(
    units: int, discordance: float, *, power: float = _POWER, alpha: float = _ALPHA
) -> float | None:
    """Return the smallest difference that McNemar's exact test would find, at a stated power.

    The number of units that favour a path is binomial, and given it so is the number that
    favours the first; the power sums over both (Duffy, Biometrics 1984, 40:1005, the exact one).
    Only a rejection in the right direction counts. For groups of several wells it stands in for
    the sign-flip test, which has no power of its own without saying how far each group leans.

    Parameters
    ----------
    units : int
        Independent pairs of calls: wells, or groups where they hold several wells.
    discordance : float
        Share of units that favour one path or the other.
    power, alpha : float, optional
        Chance of finding the difference, and level of the two-sided test.

    Returns
    -------
    float or None
        Share of units, at most `discordance`; None where even that is not found with `power`.

    Raises
    ------
    UsageError
        For a share that is none.

    Examples
    --------
    >>> round(smallest_detectable(100, 0.2), 3), smallest_detectable(24, 0.1)
    (0.128, None)
    """
    from scipy import stats

    if units < 0 or not (0 <= discordance <= 1 and 0 < power < 1 and 0 < alpha < 1):
        raise UsageError(
            f"{units} units, discordance {discordance}, power {power}, alpha {alpha}",
            where="smallest_detectable",
            remedy="give a count, and shares from 0 to 1",
        )
    if units == 0 or discordance == 0:
        return None
    pairs = np.arange(units + 1)
    chance = stats.binom.pmf(pairs, units, discordance)
    # The quantile is the least count whose tail is not below alpha / 2: one fewer still rejects.
    most = stats.binom.ppf(alpha / 2, pairs, 0.5) - 1

    def found(difference: float) -> float:
        against = (1 - difference / discordance) / 2
        return float(chance @ stats.binom.cdf(most, pairs, against))

    low, high = 0.0, discordance
    if found(high) < power:
        return None
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high


def compare_calls(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    groups: Sequence[Any],
    names: tuple[str, str] = ("TAS + SVM", "the CNN"),
) -> Difference:
    """Hold the calls of two paths against each other.

    A difference counts as shown only if it leaves both its interval and its test.

    Parameters
    ----------
    right_a, right_b : ndarray of bool, shape (wells,)
        Whether each path called each well right.
    groups : sequence, length wells
        The split group of each well.
    names : tuple of str, optional
        What sentences call the paths.

    Returns
    -------
    Difference

    Raises
    ------
    DataError
        When there are no wells, or the three are not of one length.

    Examples
    --------
    >>> first, second = np.ones(24, bool), np.arange(24) < 12
    >>> result = compare_calls(first, second, range(24))
    >>> result.difference, result.test, round(result.p, 5)
    (0.5, 'McNemar, exact, over wells', 0.00049)
    >>> print(result.verdict)
    of 24 wells, 12 were called right only by TAS + SVM and 0 only by the CNN: TAS + SVM is better \
here than the CNN
    """
    first, second = np.asarray(right_a, bool), np.asarray(right_b, bool)
    if not len(first) == len(second) == len(groups) or not len(first):
        raise DataError(
            f"{len(first)} and {len(second)} calls of {len(groups)} wells",
            where="compare_calls",
            remedy="give both paths' calls of the same wells, at least one",
        )
    _, members = np.unique(np.asarray(groups, str), return_inverse=True)
    sizes = np.bincount(members)
    net = np.zeros(len(sizes), int)
    np.add.at(net, members, first.astype(int) - second)
    lone = int((first & ~second).sum()), int((second & ~first).sum())
    test, interval, p, p_midp = _judge(net, sizes, lone)
    discordance = float(np.mean(net != 0))
    enough = len(sizes) >= _FEWEST_GROUPS
    detectable = smallest_detectable(len(sizes), discordance) if enough else None
    return Difference(
        both=int((first & second).sum()),
        first_only=lone[0],
        second_only=lone[1],
        neither=int((~first & ~second).sum()),
        wells=len(first),
        groups=len(sizes),
        difference=(lone[0] - lone[1]) / len(first),
        interval=interval,
        test=test,
        p=p,
        p_midp=p_midp,
        discordance=discordance,
        detectable=detectable,
        verdict=_verdict(lone, (len(first), len(sizes)), names, interval, p),
        resolution=_resolution(len(sizes), len(sizes) == len(first), discordance, detectable),
    )


def _judge(
    net: NDArray[Any], sizes: NDArray[Any], lone: tuple[int, int]
) -> tuple[str, tuple[float, float] | None, float | None, float | None]:
    """Return the test in words, the interval, the p-value, and the mid-p one."""
    if len(sizes) < _FEWEST_GROUPS:
        return f"none: {len(sizes)} groups are fewer than six", None, None, None
    if int(sizes.max()) == 1:
        exact, midp = mcnemar(*lone)
        return "McNemar, exact, over wells", _paired_interval(*lone, len(sizes)), exact, midp
    return "sign-flip over groups", _group_interval(net, sizes), sign_flip(net), None


def _paired_interval(first_only: int, second_only: int, wells: int) -> tuple[float, float]:
    """Bonett and Price: one more in each discordant cell keeps the interval from vanishing."""
    from scipy import special

    a, b = (first_only + 1) / (wells + 2), (second_only + 1) / (wells + 2)
    half = float(special.ndtri(1 - _ALPHA / 2)) * float(
        np.sqrt((a + b - (a - b) ** 2) / (wells + 2))
    )
    return max(-1.0, a - b - half), min(1.0, a - b + half)


def _group_interval(net: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """Cluster-t: the ratio estimator's variance over groups.

    Groups that all agree would give an interval of no width, and few that differ one that is far
    too narrow. One more group of mean size on which the paths disagree wholly keeps it open, as
    one more in each cell does in `_paired_interval`.
    """
    from scipy import special

    count, total = len(sizes), int(sizes.sum())
    difference = float(net.sum()) / total
    residuals = net - difference * sizes
    spread = count / (count - 1) * float(np.sum(residuals**2)) + (total / count) ** 2
    half = float(special.stdtrit(count - 1, 1 - _ALPHA / 2)) * float(np.sqrt(spread)) / total
    return max(-1.0, difference - half), min(1.0, difference + half)


def _verdict(
    lone: tuple[int, int],
    counts: tuple[int, int],
    names: tuple[str, str],
    interval: tuple[float, float] | None,
    p: float | None,
) -> str:
    wells, groups = counts
    first, second = names
    seen = (
        f"of {wells} wells, {lone[0]} were called right only by {first}"
        f" and {lone[1]} only by {second}"
        if any(lone)
        else f"{first} and {second} were right on the same of {wells} wells"
    )
    if interval is None or p is None:
        return (
            f"{seen}: {groups} groups are too few for a test, so no difference"
            " that this plate can show"
        )
    if interval[0] <= 0 <= interval[1] or p >= _ALPHA:
        return f"{seen}: no difference that this plate can show"
    better, worse = (first, second) if interval[0] > 0 else (second, first)
    return f"{seen}: {better} is better here than {worse}"


def _resolution(units: int, single: bool, discordance: float, detectable: float | None) -> str:
    if units < _FEWEST_GROUPS:
        return f"with {units} groups no difference could be shown, however large"
    share = f"{100 * discordance:.0f}%"
    of, lead, whole = (
        (
            f"{units} wells of which {share} are called right by one path alone",
            "a difference below {} points",
            "even a difference in all of these",
        )
        if single
        else (
            f"{units} groups of which {share} favour one path",
            "a lead below {}% of the groups",
            "even a lead in all of these",
        )
    )
    missed = "would be missed more often than one time in five"
    if discordance == 0:
        unit = "wells" if single else "groups"
        return f"with {units} {unit} on which the paths do equally well there is nothing to test"
    if detectable is None:
        return f"with {of}, {whole} {missed}"
    return f"with {of}, {lead.format(f'{100 * detectable:.2g}')} {missed}"
