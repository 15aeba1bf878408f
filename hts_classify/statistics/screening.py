"""What an assay can separate: the class score of control wells, summed up in five figures.

All of them set the distance between the two kinds of control against their spread. Take scores
that wells have in common: out of fold and calibrated. Scores of different folds on different
scales spread for no reason of the assay's.

With means m, standard deviations s (over n - 1), medians d and M = 1.4826 times the median
absolute deviation from the median, of positive (p) and negative (n) controls:

=============  ===============================================  ===============================
Z′             1 - 3 (s_p + s_n) / abs(m_p - m_n)               Zhang, Chung and Oldenburg,
                                                                J Biomol Screen 1999, 4:67
robust Z′      1 - 3 (M_p + M_n) / abs(d_p - d_n)               the same, of medians
SSMD           (m_p - m_n) / sqrt(s_p² + s_n²)                  Zhang, Genomics 2007, 89:552
robust SSMD    (d_p - d_n) / sqrt(M_p² + M_n²)                  the same, of medians
signal window  (abs(m_p - m_n) - 3 (s_p + s_n)) / s_p           Sittampalam, Iversen and others,
                                                                J Biomol Screen 1997, 2:159
=============  ===============================================  ===============================

1.4826 is 1 / Φ⁻¹(3/4), in full precision: M estimates the standard deviation of a normal sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

__all__ = ["AssayQuality", "PlateQuality", "assay_quality", "by_plate"]

_FEWEST: Final = 2
_NORMAL_MAD: Final = 1.482602218505602


@dataclass(frozen=True, slots=True, kw_only=True)
class AssayQuality:
    """How far apart two kinds of control wells score; None is a figure that is not defined.

    With fewer than two wells of a kind nothing is known of their spread, and every figure is
    None. Fewer than about eight of each leave all of them rough.
    """

    negative: int
    """Negative-control wells."""
    positive: int
    """Positive-control wells."""
    z_prime: float | None
    """At most 1, 0.5 and more is called excellent; None where the means are equal."""
    robust_z_prime: float | None
    """None where the medians are equal. Where more than half of each kind's wells score the same
    it is 1 whatever the others do."""
    ssmd: float | None
    """Above 0 where positive controls score higher; None where neither kind has any spread."""
    robust_ssmd: float | None
    """None where more than half of each kind's wells score the same."""
    signal_window: float | None
    """In standard deviations of the positive controls, 2 and more is called acceptable; None where
    these have no spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateQuality:
    """One plate's assay quality, or why it has none."""

    quality: AssayQuality | None
    reason: str
    """Why there is no quality; empty where there is."""


@dataclass(frozen=True, slots=True)
class _Centre:
    """Where one kind's wells lie, by moments or by ranks."""

    middle: float
    spread: float


def assay_quality(negative: ArrayLike, positive: ArrayLike) -> AssayQuality:
    """Return what the scores of the control wells say of the assay.

    Parameters
    ----------
    negative, positive : array_like of float, shape (wells,)
        The class score of negative and of positive controls, one a well, in either direction.

    Returns
    -------
    AssayQuality

    Raises
    ------
    DataError
        When the scores are not in one dimension, or one of them is not finite.

    Notes
    -----
    The module's docstring has the formulas and their sources.

    Examples
    --------
    >>> quality = assay_quality([-1, 0, 1], [19, 20, 21])
    >>> quality.z_prime, round(quality.ssmd, 3), quality.signal_window
    (0.7, 14.142, 14.0)
    >>> assay_quality([0, 0, 0], [20]).z_prime is None
    True
    """
    low, high = _scores(negative, "negative"), _scores(positive, "positive")
    z_prime = robust_z_prime = ssmd = robust_ssmd = window = None
    if min(len(low), len(high)) >= _FEWEST:
        means, medians = (_moments(low), _moments(high)), (_ranks(low), _ranks(high))
        noise = 8 * np.finfo(float).eps * float(max(np.abs(low).max(), np.abs(high).max()))
        z_prime, robust_z_prime = _z_prime(*means, noise), _z_prime(*medians, noise)
        ssmd, robust_ssmd = _ssmd(*means), _ssmd(*medians)
        window = _signal_window(*means)
    return AssayQuality(
        negative=len(low),
        positive=len(high),
        z_prime=z_prime,
        robust_z_prime=robust_z_prime,
        ssmd=ssmd,
        robust_ssmd=robust_ssmd,
        signal_window=window,
    )


def by_plate(
    scores: ArrayLike,
    plates: Sequence[Any],
    kinds: Sequence[Any],
    *,
    negative: str = "negcon",
    positive: str = "poscon",
) -> dict[str, PlateQuality]:
    """Return each plate's assay quality from its own control wells.

    Parameters
    ----------
    scores : array_like of float, shape (wells,)
        The class score, one a well. Those of wells that are no control are not looked at.
    plates : sequence, length wells
        The plate of each well.
    kinds : sequence, length wells
        What each well is; anything but the two words below is no control.
    negative, positive : str, optional
        The words for the two kinds of control.

    Returns
    -------
    dict of str to PlateQuality
        Every plate, in order of its name. One without either kind has no quality, but a reason.

    Raises
    ------
    DataError
        When lengths differ, or the score of a control is not finite.

    Examples
    --------
    >>> kinds = ["negcon", "negcon", "poscon", "poscon", "negcon", "treatment"]
    >>> plates = by_plate([0, 2, 19, 21, 0, 9], ["P1"] * 4 + ["P2"] * 2, kinds)
    >>> round(plates["P1"].quality.z_prime, 3), plates["P2"].reason
    (0.553, 'no positive control (poscon)')
    """
    values = np.asarray(scores, float)
    if values.ndim != 1 or not len(values) == len(plates) == len(kinds):
        raise DataError(
            f"scores of shape {values.shape}, {len(plates)} plates and {len(kinds)} kinds",
            where="control wells",
            remedy="give one of each for every well",
        )
    plate_of = np.asarray([str(plate) for plate in plates], object)
    kind_of = np.asarray([str(kind) for kind in kinds], object)
    found = {}
    for plate in sorted(set(plate_of)):
        here = plate_of == plate
        wells = {word: values[here & (kind_of == word)] for word in (negative, positive)}
        lacking = [
            f"no {name} control ({word})"
            for name, word in (("negative", negative), ("positive", positive))
            if not len(wells[word])
        ]
        try:
            quality = None if lacking else assay_quality(wells[negative], wells[positive])
        except DataError as error:
            raise DataError(
                error.what, where=f"plate {plate}, {error.where}", remedy=error.remedy
            ) from None
        found[plate] = PlateQuality(quality=quality, reason=" and ".join(lacking))
    return found


def _scores(values: ArrayLike, kind: str) -> NDArray[np.float64]:
    scores = np.asarray(values, float)
    where = f"{kind} controls"
    if scores.ndim != 1:
        raise DataError(
            f"scores of shape {scores.shape}", where=where, remedy="give one score a well"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise DataError(
            f"score {scores[bad[0]]} at position {bad[0]}",
            where=where,
            remedy="leave out wells without a score",
        )
    return scores


def _moments(scores: NDArray[np.float64]) -> _Centre:
    # Equal scores can differ from their own rounded mean, and a spread of 1e-17 is no spread.
    spread = float(np.std(scores, ddof=1)) if np.ptp(scores) else 0.0
    return _Centre(float(np.mean(scores)), spread)


def _ranks(scores: NDArray[np.float64]) -> _Centre:
    middle = float(np.median(scores))
    return _Centre(middle, _NORMAL_MAD * float(np.median(np.abs(scores - middle))))


def _z_prime(low: _Centre, high: _Centre, noise: float) -> float | None:
    distance = abs(high.middle - low.middle)
    # Means that differ only by their rounding would give a figure of any size.
    return None if distance <= noise else 1 - 3 * (high.spread + low.spread) / distance


def _ssmd(low: _Centre, high: _Centre) -> float | None:
    spread = math.hypot(high.spread, low.spread)
    return (high.middle - low.middle) / spread if spread else None


def _signal_window(low: _Centre, high: _Centre) -> float | None:
    distance = abs(high.middle - low.middle)
    return (distance - 3 * (high.spread + low.spread)) / high.spread if high.spread else None
