"""How sure a share of right calls is, over the groups that are independent.

Wells of one compound are not independent looks at a class, so what counts is how many groups
there are and how much they differ. Which interval is used was chosen by simulation
(`benchmarks/interval_coverage.py`), and `stated_coverage` repeats what that measured:

- each well its own group: the exact interval of Clopper and Pearson (Biometrika 1934, 26:404),
  and from 40 wells up its mid-p variant (Berry and Armitage, The Statistician 1995, 44:417).
  Resampling wells resamples a binomial, so a bootstrap would only add noise and its collapse
  at the ends.
- groups of several wells, fewer than 40, or nearly all of them right (or wrong), or no more
  different than chance makes them: the score interval of Wilson at an effective number of wells
  (Korn and Graubard, Survey Methodology 1998, 24:193) with a t quantile over groups, "score
  cluster-t".
- otherwise BCa over groups (Efron, JASA 1987, 82:171).

Groups of unequal size count as fewer, (Σn)²/Σn² of them (Kish, Survey Sampling, 1965). No
interval says more for a path than that many groups all right would, so it is never [1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["Interval", "accuracy_interval", "stated_coverage"]

_TAIL: Final = 0.025
_MANY: Final = 40
"""Groups from which on a bootstrap may be trusted."""
_VARIED: Final = 10
"""Fewest groups with a wrong well, and with a right one, for a bootstrap to have enough to draw."""
_RESAMPLES: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95% interval for a share of wells."""

    low: float
    high: float
    method: str
    """How it was found, in words."""
    groups: int
    """Independent groups that the wells come in."""
    effective: float
    """Number of independent wells that all of them are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Right calls and wells of each group, and what follows from them."""

    right: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def share(self) -> float:
        return float(self.right.sum() / self.sizes.sum())

    @property
    def kish(self) -> float:
        """Number of groups of equal size that these are worth."""
        return float(self.sizes.sum()) ** 2 / float(np.sum(self.sizes**2))

    @property
    def variance(self) -> float:
        """Of the share, as a ratio over groups; its residuals sum to zero by construction."""
        count, residuals = len(self.sizes), self.right - self.share * self.sizes
        spread = count / (count - 1) * float(np.sum(residuals**2))
        return spread / float(self.sizes.sum()) ** 2

    @property
    def effective(self) -> float:
        if int(self.sizes.max()) == 1:
            return float(len(self.sizes))
        if self.share in (0.0, 1.0):  # nothing is known of how groups differ
            return float(len(self.sizes))
        worth = self.share * (1 - self.share) / max(self.variance, 1e-12)
        # Wells that agree wholly within their groups are still worth one each a group.
        return float(np.clip(worth, self.kish, self.sizes.sum()))


def accuracy_interval(
    correct: NDArray[np.bool_], groups: Sequence[Any], *, seed: int = 0
) -> Interval | None:
    """Return a 95% interval for the share of right calls among wells that come in groups.

    Parameters
    ----------
    correct : ndarray of bool, shape (wells,)
        Whether each well was called right.
    groups : sequence, length wells
        Its split group.
    seed : int, optional
        Of the bootstrap; the order of wells and groups does not matter.

    Returns
    -------
    Interval or None
        None for fewer than two groups. See the module for the methods and their papers.

    Raises
    ------
    DataError
        When there are not as many groups named as wells.

    Examples
    --------
    >>> wells = np.ones(24, bool)
    >>> interval = accuracy_interval(wells, ["wortmannin"] * 12 + ["LY294002"] * 12)
    >>> round(interval.low, 2), interval.high, interval.effective
    (0.16, 1.0, 2.0)
    >>> interval = accuracy_interval(wells, range(24))
    >>> round(interval.low, 2), interval.method
    (0.86, 'Clopper–Pearson over wells')
    """
    if len(correct) != len(groups):
        raise DataError(
            f"{len(correct)} calls, but {len(groups)} groups",
            where="accuracy_interval",
            remedy="name one group a well",
        )
    _, members = np.unique(np.asarray(groups, str), return_inverse=True)
    sizes = np.bincount(members)
    if len(sizes) < 2:
        return None
    hits = np.bincount(members[np.asarray(correct, bool)], minlength=len(sizes))
    # Sorted, so that sums of floats are the same whatever the groups are called.
    order = np.lexsort((hits, sizes))
    counts = _Counts(right=hits[order], sizes=sizes[order])
    method, low, high = _ends(counts, seed)
    # Nothing says more for a path than all groups right, nor more against it than all wrong.
    bound = _TAIL ** (1 / len(sizes))
    return Interval(
        low=min(low, bound),
        high=max(high, 1 - bound),
        method=method,
        groups=len(sizes),
        effective=counts.effective,
    )


def _ends(counts: _Counts, seed: int) -> tuple[str, float, float]:
    """Choose the method by how the wells are grouped, and apply it."""
    if int(counts.sizes.max()) == 1:
        if len(counts.sizes) < _MANY:
            return "Clopper–Pearson over wells", *_exact(counts)
        return "mid-p Clopper–Pearson over wells", *_mid_p(counts)
    if counts.share in (0.0, 1.0):
        return "Clopper–Pearson over groups that are all alike", counts.share, counts.share
    varied = min(int(np.sum(counts.right > 0)), int(np.sum(counts.right < counts.sizes)))
    # A bootstrap of groups that are more alike than independent wells would be believes them.
    alike = counts.effective >= int(counts.sizes.sum())
    # Rounded, because Kish's number of 40 equal groups may come out a bit below 40.
    if round(counts.kish, 6) < _MANY or varied < _VARIED or alike:
        return "score cluster-t over groups", *_score_t(counts)
    return "BCa bootstrap over groups", *_bca(counts, seed)


def _exact(counts: _Counts) -> tuple[float, float]:
    from scipy import special

    right, wells = int(counts.right.sum()), len(counts.sizes)
    wrong = wells - right
    low = special.betaincinv(right, wrong + 1, _TAIL) if right else 0.0
    high = special.betaincinv(right + 1, wrong, 1 - _TAIL) if wrong else 1.0
    return float(low), float(high)


def _mid_p(counts: _Counts) -> tuple[float, float]:
    """Count half of the chance of what was seen, so that coverage is 95% and not at least 95%."""
    right, wells = int(counts.right.sum()), len(counts.sizes)
    return _mid_p_low(right, wells), 1 - _mid_p_low(wells - right, wells)


def _mid_p_low(right: int, wells: int) -> float:
    from scipy import optimize, special

    if right == 0:
        return 0.0
    if right == wells:
        return float((2 * _TAIL) ** (1 / wells))

    def excess(share: float) -> float:
        at_least = special.betainc(right, wells - right + 1, share)
        more = special.betainc(right + 1, wells - right, share)
        return float((at_least + more) / 2 - _TAIL)

    return float(optimize.brentq(excess, 0.0, 1.0, xtol=1e-13))


def _score_t(counts: _Counts) -> tuple[float, float]:
    from scipy import special

    share, effective = counts.share, counts.effective
    t = float(special.stdtrit(max(counts.kish - 1, 1.0), 1 - _TAIL))
    centre = share + t**2 / (2 * effective)
    half = t * float(np.sqrt(share * (1 - share) / effective + (t / (2 * effective)) ** 2))
    scale = 1 + t**2 / effective
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def _bca(counts: _Counts, seed: int) -> tuple[float, float]:
    """Draw groups with replacement; groups with the same counts are drawn as one kind."""
    from scipy import special

    kinds, many = np.unique(
        np.stack([counts.right, counts.sizes], axis=1), axis=0, return_counts=True
    )
    right, sizes = kinds.T
    rng, groups = np.random.default_rng(seed), int(many.sum())
    drawn = rng.multinomial(groups, many / groups, size=_RESAMPLES)
    shares = (drawn @ right) / (drawn @ sizes)
    below = float(np.mean(shares < counts.share) + np.mean(shares <= counts.share)) / 2
    bias = float(special.ndtri(np.clip(below, 1 / _RESAMPLES, 1 - 1 / _RESAMPLES)))
    # A group left out at a time says how skewed the share is.
    left_out = (counts.right.sum() - right) / (counts.sizes.sum() - sizes)
    pull = np.average(left_out, weights=many) - left_out
    skew = float(many @ pull**3) / (6 * float(many @ pull**2) ** 1.5)
    z = bias + special.ndtri([_TAIL, 1 - _TAIL])
    low, high = np.quantile(shares, special.ndtr(bias + z / (1 - skew * z)))
    return float(low), float(high)


def stated_coverage(groups: int, accuracy: float, *, clustered: bool) -> float:
    """Return how often `accuracy_interval` held the true share in simulation.

    Parameters
    ----------
    groups : int
        Split groups, at least two.
    accuracy : float
        Share of wells called right, from 0 to 1.
    clustered : bool
        Whether groups hold several wells.

    Returns
    -------
    float
        Of the nearest design that was simulated: in groups by their ratio, in accuracy by its
        distance, where a share counts like its complement. Clusters are of four wells with an
        intra-class correlation of 0.3.

    Raises
    ------
    DataError
        For fewer than two groups, or an accuracy that is no share.

    Examples
    --------
    >>> stated_coverage(24, 0.9, clustered=False) >= 0.9
    True
    """
    if groups < 2 or not 0 <= accuracy <= 1:
        raise DataError(
            f"{groups} groups, accuracy {accuracy}",
            where="stated_coverage",
            remedy="give at least two groups, and an accuracy from 0 to 1",
        )
    table = _STATED_CLUSTERED if clustered else _STATED_SINGLE
    near = min(table, key=lambda simulated: abs(np.log(simulated / groups)))
    better = max(accuracy, 1 - accuracy)
    column = min(range(len(_ACCURACIES)), key=lambda k: abs(_ACCURACIES[k] - better))
    return table[near][column]


# Measured by `python benchmarks/interval_coverage.py`, 2,000 repetitions a figure (± 0.01); the
# benchmark fails where they are no longer what it measures.
_ACCURACIES: Final = (0.5, 0.7, 0.9, 0.97)
_STATED_SINGLE: Final[dict[int, tuple[float, ...]]] = {
    3: (1.0, 1.0, 1.0, 0.998),
    6: (0.971, 0.988, 0.986, 0.988),
    12: (0.962, 0.977, 0.996, 0.995),
    24: (0.978, 0.978, 0.993, 0.997),
    38: (0.964, 0.964, 0.977, 0.995),
    40: (0.958, 0.953, 0.97, 0.963),
    100: (0.944, 0.946, 0.957, 0.971),
    384: (0.959, 0.951, 0.946, 0.945),
}
_STATED_CLUSTERED: Final[dict[int, tuple[float, ...]]] = {
    3: (1.0, 1.0, 0.997, 0.997),
    6: (0.975, 0.989, 0.988, 0.981),
    12: (0.967, 0.957, 0.98, 0.966),
    24: (0.954, 0.952, 0.973, 0.961),
    38: (0.954, 0.955, 0.949, 0.97),
    40: (0.945, 0.952, 0.949, 0.972),
    100: (0.945, 0.953, 0.944, 0.976),
    384: (0.956, 0.957, 0.948, 0.941),
}
