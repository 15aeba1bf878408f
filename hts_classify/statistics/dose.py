"""What a class score does over concentrations: four parameters, and an EC50 that is earned.

The curve is the log-logistic one (Ritz and others, PLoS ONE 2015, 10:e0146021)::

    score(x) = bottom + (top - bottom) / (1 + (EC50 / x) ** hill),    hill > 0

`bottom` is the score without compound and `top` the one at doses without end, so a falling curve
has its top below its bottom, and a vehicle well (concentration 0) stands exactly at the bottom.
Wells count one each; replicates are not averaged first.

For a given EC50 and slope the two asymptotes are a straight-line regression, so least squares
need to search only two numbers: a grid finds the valleys, and `scipy.optimize.least_squares`
their floors (variable projection; Golub and Pereyra, SIAM J Numer Anal 1973, 10:413). The same
reduction gives the profile likelihood of the EC50 (Venzon and Moolgavkar, J R Stat Soc C 1988,
37:87): the 95% interval holds every EC50 for which the best curve's sum of squares is at most
1 + F(0.95; 1, n - 4) / (n - 4) times the least one. Symmetric intervals from standard errors
would hide that a plate often bounds an EC50 on one side only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, DesignError
from .dose_search import SLOPES, Wells, bound, grid_of, rss_of, rss_of_steps, search, share_of

__all__ = ["NOT_BOUNDED", "NO_DEPENDENCE", "Curve", "CurveErrors", "DoseFit", "fit_dose_response"]

NOT_BOUNDED: Final = "not bounded by these doses"
NO_DEPENDENCE: Final = "no dependence on dose that these wells can show"

_PARAMETERS: Final = 4
_FEWEST_DOSES: Final = 4
_LEVEL: Final = 0.95
_ALPHA: Final = 0.05
_MOST_CONDITION: Final = 1e8
"""Of the scaled Jacobian: beyond it some parameters stand in for each other."""
_PROFILE_FLOOR: Final = 1e-13
"""The same of a profile, whose slopes are searched to about half the digits."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The curve that least squares chose, whether or not the doses bound it.

    To be drawn. Where the EC50 is not bounded, asymptotes can be of any size.
    """

    bottom: float
    """Score without compound."""
    top: float
    """Score at doses without end."""
    ec50: float
    """Concentration halfway between them. Not a finding: `DoseFit.ec50` is."""
    hill: float
    """Steepness, above 0 also where the curve falls."""

    def at(self, concentration: ArrayLike) -> Floats:
        """Return the score that the curve has at concentrations.

        Parameters
        ----------
        concentration : array_like of float
            From 0 up, in the unit of the fit.

        Returns
        -------
        ndarray of float64
            Of the same shape.
        """
        x, midpoint = _logarithm(concentration), np.log10(self.ec50)
        share, rest = share_of(x, midpoint, self.hill), share_of(-x, -midpoint, self.hill)
        # From the nearer asymptote: the other one may be so far off that all digits are lost.
        way = self.top - self.bottom
        return np.where(share < rest, self.bottom + way * share, self.top - way * rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveErrors:
    """Standard errors of a curve's parameters, from the linearised fit with n - 4."""

    bottom: float
    top: float
    log10_ec50: float
    """In decades."""
    hill: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseFit:
    """What the wells of one compound say of its EC50."""

    ec50: float | None = None
    """None where there is no dependence on dose, or its best value lies outside the doses."""
    interval: tuple[float | None, float | None] = (None, None)
    """95%, by profile likelihood; a side is None where the tested doses do not bound it."""
    said: str = NO_DEPENDENCE
    """`NO_DEPENDENCE`, `NOT_BOUNDED` (EC50 or a side of its interval is), or the figures."""
    curve: Curve | None = None
    """None only where all wells score the same."""
    errors: CurveErrors | None = None
    """None where the curve is not pinned down: slope or midpoint at the end of its search, or
    parameters that stand in for each other."""
    p: float | None = None
    """F test of the curve against a constant, with 3 and n - 4 degrees of freedom; None where all
    wells score the same."""
    residual: float = 0.0
    """Standard deviation of the wells about the curve, over n - 4."""
    wells: int
    doses: int
    """Different concentrations above 0."""


def fit_dose_response(concentration: ArrayLike, score: ArrayLike) -> DoseFit:
    """Fit a four-parameter curve to the scores of one compound's wells.

    Parameters
    ----------
    concentration : array_like of float, shape (wells,)
        In any unit; 0 for vehicle.
    score : array_like of float, shape (wells,)
        The class score of one final model, in either direction.

    Returns
    -------
    DoseFit
        The EC50 is the concentration halfway between the fitted asymptotes.

    Raises
    ------
    DataError
        When the lengths differ, or a value is not finite or a concentration is negative.
    DesignError
        When there are fewer than four different doses above 0, or fewer than five wells.

    Notes
    -----
    Model: Ritz and others, PLoS ONE 2015, 10:e0146021; interval: Venzon and Moolgavkar, J R Stat
    Soc C 1988, 37:87. Wells are taken as independent, with one spread at all doses.

    Examples
    --------
    >>> dose = np.array([0, 1, 2, 4, 8, 16, 32, 64])
    >>> noise = np.array([0.3, -0.2, 0.1, -0.1, 0.2, -0.3, 0.1, -0.1])
    >>> fit = fit_dose_response(dose, 10 * dose**2 / (dose**2 + 36) + noise)
    >>> fit.said
    'EC50 5.98 (95% interval 5.16 to 6.98)'
    >>> fit_dose_response(dose, dose + noise).said
    'not bounded by these doses'
    """
    dose, values = _checked(concentration, score)
    positive = dose[dose > 0]
    count, doses = len(dose), len(np.unique(positive))
    spread = values - values.mean()
    scale = float(np.sqrt(spread @ spread))
    if not np.ptp(values):
        return DoseFit(wells=count, doses=doses)
    logs = np.log10(positive)
    middle = float(logs.min() + logs.max()) / 2
    wells = Wells(_logarithm(dose) - middle, spread / scale, float(np.ptp(logs)) / 2)
    midpoint, slope, rss = search(wells)
    curve = _curve(dose, values, middle + midpoint, slope)
    p = _against_constant(rss, count)
    residual = scale * float(np.sqrt(rss / (count - _PARAMETERS)))
    errors = _errors(wells, midpoint, slope, curve, residual)
    fit = DoseFit(curve=curve, errors=errors, p=p, residual=residual, wells=count, doses=doses)
    if p >= _ALPHA:
        return fit
    ec50, interval, said = _finding(wells, midpoint, rss, middle)
    return replace(fit, ec50=ec50, interval=interval, said=said)


def _checked(concentration: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    dose, values = np.asarray(concentration, float), np.asarray(score, float)
    if dose.ndim != 1 or dose.shape != values.shape:
        raise DataError(
            f"concentrations of shape {dose.shape} and scores of shape {values.shape}",
            where="dose wells",
            remedy="give one of each for every well",
        )
    for name, column, allowed, remedy in (
        ("concentration", dose, np.isfinite(dose) & (dose >= 0), "0 is vehicle, others above it"),
        ("score", values, np.isfinite(values), "leave out wells without a score"),
    ):
        bad = np.flatnonzero(~allowed)
        if len(bad):
            raise DataError(
                f"{name} {column[bad[0]]} at position {bad[0]}", where="dose wells", remedy=remedy
            )
    doses = len(np.unique(dose[dose > 0]))
    if doses < _FEWEST_DOSES or len(dose) <= _PARAMETERS:
        raise DesignError(
            f"{len(dose)} wells at {doses} different concentrations above 0",
            where="dose wells",
            remedy=f"four parameters need {_FEWEST_DOSES} doses and {_PARAMETERS + 1} wells",
        )
    return dose, values


def _logarithm(concentration: ArrayLike) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(np.asarray(concentration, float)), np.float64)


def _finding(
    wells: Wells, midpoint: float, rss: float, middle: float
) -> tuple[float | None, tuple[float | None, float | None], str]:
    """Return EC50, interval and sentence, as far as the tested doses bound them."""
    from scipy import stats

    spare = len(wells.y) - _PARAMETERS
    most = max(rss, _PROFILE_FLOOR) * (1 + float(stats.f.ppf(_LEVEL, 1, spare)) / spare)
    midpoints, slopes = grid_of(wells)
    squares = rss_of(wells, midpoints[:, None], np.exp(slopes))
    squares = np.minimum(squares.min(axis=1), rss_of_steps(wells, midpoints))
    within = np.sort([*midpoints[squares <= most], midpoint])
    low = bound(wells, midpoints[::-1], float(within[0]), most)
    high = bound(wells, midpoints, float(within[-1]), most)
    sides = tuple(None if side is None else float(10 ** (middle + side)) for side in (low, high))
    interval = (sides[0], sides[1])
    ec50 = float(10 ** (middle + midpoint)) if abs(midpoint) <= wells.half else None
    if ec50 is None or interval[0] is None or interval[1] is None:
        return ec50, interval, NOT_BOUNDED
    figures = f"EC50 {ec50:.3g} (95% interval {interval[0]:.3g} to {interval[1]:.3g})"
    return ec50, interval, figures


def _curve(dose: Floats, values: Floats, midpoint: float, slope: float) -> Curve:
    """Return the curve in the units of the call: its asymptotes are a regression."""
    share = share_of(_logarithm(dose), midpoint, slope)
    rest = share_of(-_logarithm(dose), -midpoint, slope)
    part = share if share.max() < rest.max() else rest
    centred = part / part.max() - np.mean(part / part.max())
    factor = float(centred @ (values - values.mean()) / (centred @ centred) / part.max())
    start = float(values.mean() - factor * part.mean())
    bottom, top = (start, start + factor) if part is share else (start + factor, start)
    return Curve(bottom=bottom, top=top, ec50=float(10**midpoint), hill=slope)


def _errors(
    wells: Wells, midpoint: float, slope: float, curve: Curve, residual: float
) -> CurveErrors | None:
    if abs(midpoint) > wells.limit - 0.01 or not 1.01 * SLOPES[0] < slope < 0.99 * SLOPES[1]:
        return None
    share, rest = share_of(wells.x, midpoint, slope), share_of(-wells.x, -midpoint, slope)
    change = np.log(10) * (curve.top - curve.bottom) * share * rest
    distance = np.where(np.isfinite(wells.x), wells.x - midpoint, 0.0)
    J = np.column_stack([rest, share, -slope * change, change * distance])
    sizes = np.sqrt(np.sum(J**2, axis=0))
    if not sizes.all() or not np.isfinite(sizes).all():
        return None
    _, singular, turned = np.linalg.svd(J / sizes, full_matrices=False)
    if singular[0] > _MOST_CONDITION * singular[-1]:
        return None
    variances = np.sum((turned / singular[:, None]) ** 2, axis=0)
    bottom, top, log10_ec50, hill = (residual * np.sqrt(variances) / sizes).tolist()
    return CurveErrors(bottom=bottom, top=top, log10_ec50=log10_ec50, hill=hill)


def _against_constant(rss: float, count: int) -> float:
    from scipy import stats

    more, spare = _PARAMETERS - 1, count - _PARAMETERS
    return float(stats.f.sf((1 - rss) / more / (rss / spare), more, spare))
