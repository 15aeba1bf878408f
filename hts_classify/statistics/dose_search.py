"""The search for a dose curve: two numbers, the midpoint and the slope, on a scale of its own.

Concentrations are logarithms about the middle of the doses, scores have no mean and length 1; the
asymptotes are a straight-line regression (`dose` says why).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SLOPES", "Wells", "bound", "grid_of", "rss_of", "rss_of_steps", "search", "share_of"]

_BEYOND: Final = 2.0
"""Decades beyond the tested doses in which the midpoint is searched."""
SLOPES: Final = (0.2, 50.0)
"""From 10% to 90% of the way over ten decades, and within a tenth of a dose. A curve flatter than
that is the same at all doses and differs from vehicle: it would put an EC50 anywhere."""
_GRID: Final = 48
_SLOPE_GRID: Final = 32
_STARTS: Final = 3
_FLOOR: Final = 1e-24
"""Least share of the sum of squares that rounding lets anyone tell from none."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wells:
    """The wells on scales of their own, so that no unit matters to the search."""

    x: Floats
    """log10 concentration about the middle of the doses; minus infinity for vehicle."""
    y: Floats
    """Scores about their mean, the sum of squares one."""
    half: float
    """Half the range of the doses, in decades."""

    @property
    def limit(self) -> float:
        """Farthest midpoint that is searched, from the middle of the doses."""
        return self.half + _BEYOND


def share_of(x: Floats, midpoint: float, slope: float) -> Floats:
    """Return how far from bottom to top the curve is; vehicle, at minus infinity, is at 0."""
    from scipy.special import expit

    return np.asarray(expit(slope * np.log(10) * (x - midpoint)), np.float64)


def _shape(wells: Wells, midpoint: ArrayLike, slope: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the curve's scaled share of the way, where its argument is, and its side.

    A midpoint far above the doses leaves a tiny share at each of them, far below a tiny rest. The
    one that is tiny is taken, and scaled: a regression does not mind, and no digits are lost.
    """
    from scipy.special import expit

    e, h = np.asarray(midpoint, float)[..., None], np.asarray(slope, float)[..., None]
    side = np.where(e > 0, 1.0, -1.0)
    z = side * h * np.log(10) * (wells.x - e)
    small = expit(z)
    return small / small.max(axis=-1, keepdims=True), z, side


def _residuals(wells: Wells, midpoint: ArrayLike, slope: ArrayLike) -> Floats:
    """Return what the best asymptotes leave of the scores; shape of the curves by wells."""
    shape, _, _ = _shape(wells, midpoint, slope)
    shape -= shape.mean(axis=-1, keepdims=True)
    factor = (shape @ wells.y) / np.einsum("...i,...i->...", shape, shape)
    return np.asarray(wells.y - factor[..., None] * shape, np.float64)


def rss_of(wells: Wells, midpoint: ArrayLike, slope: ArrayLike) -> Floats:
    """Return the sum of squares that the best asymptotes leave, of every midpoint and slope."""
    left = _residuals(wells, midpoint, slope)
    return np.asarray(np.einsum("...i,...i->...", left, left), np.float64)


def _jacobian(wells: Wells, midpoint: float, slope: float) -> Floats:
    """Return how `_residuals` change by the midpoint and by the logarithm of the slope."""
    from scipy.special import expit

    shape, z, side = _shape(wells, midpoint, slope)
    change = shape * expit(-z)
    # At vehicle the share stays 0 whatever the curve: nothing times infinity is nothing.
    by_slope = change * np.where(np.isfinite(z), z, 0.0)
    changes = np.stack([-side * slope * np.log(10) * change, by_slope])
    shape -= shape.mean()
    changes -= changes.mean(axis=-1, keepdims=True)
    square = shape @ shape
    factor = shape @ wells.y / square
    by_factor = (changes @ wells.y - 2 * factor * (changes @ shape)) / square
    return np.asarray(-(by_factor[:, None] * shape + factor * changes).T, np.float64)


def rss_of_steps(wells: Wells, midpoint: ArrayLike) -> Floats:
    """Return the sum of squares that steps leave: slopes without end, which no grid reaches.

    Where one dose does nothing and the next one all, any midpoint between the two is as good.
    """
    e = np.asarray(midpoint, float)[..., None]
    shape = np.heaviside(wells.x - e, 0.5)
    shape -= shape.mean(axis=-1, keepdims=True)
    square = np.sum(shape * shape, axis=-1)
    explained = (shape @ wells.y) ** 2 / np.where(square > 0, square, 1.0)
    return np.asarray(np.maximum(1 - explained, 0.0), np.float64)


def grid_of(wells: Wells) -> tuple[Floats, Floats]:
    """Return midpoints, fine within the doses with both ends among them, and log slopes."""
    beyond = np.linspace(0, _BEYOND, _GRID // 3 + 1)[1:] + wells.half
    inside = np.linspace(-wells.half, wells.half, _GRID + 1)
    midpoints = np.concatenate([-beyond[::-1], inside, beyond])
    return midpoints, np.linspace(np.log(SLOPES[0]), np.log(SLOPES[1]), _SLOPE_GRID)


def search(wells: Wells) -> tuple[float, float, float]:
    """Return midpoint, slope and sum of squares of the best curve: all valleys, then floors."""
    from scipy.ndimage import minimum_filter
    from scipy.optimize import least_squares

    midpoints, slopes = grid_of(wells)
    squares = rss_of(wells, midpoints[:, None], np.exp(slopes))
    valleys = np.argwhere(squares == minimum_filter(squares, 3, mode="nearest"))
    valleys = valleys[np.argsort(squares[tuple(valleys.T)], kind="stable")][:_STARTS]
    ends = np.array([[-wells.limit, slopes[0]], [wells.limit, slopes[-1]]])

    def left(at: Floats) -> Floats:
        return _residuals(wells, at[0], np.exp(at[1]))

    def change(at: Floats) -> Floats:
        return _jacobian(wells, float(at[0]), float(np.exp(at[1])))

    def descend(start: Floats, tolerance: float) -> tuple[float, Floats]:
        found = least_squares(
            left,
            np.clip(start, ends[0] + 1e-6, ends[1] - 1e-6),
            jac=change,
            bounds=(ends[0], ends[1]),
            xtol=tolerance,
            ftol=tolerance,
            gtol=tolerance,
            max_nfev=200,
        )
        return 2 * float(found.cost), np.asarray(found.x, np.float64)

    starts = [np.array([midpoints[row], slopes[column]]) for row, column in valleys]
    rough = min((descend(start, 1e-8) for start in starts), key=lambda found: found[0])
    rss, best = min(rough, descend(rough[1], 1e-15), key=lambda found: found[0])
    return float(best[0]), float(np.exp(best[1])), max(rss, _FLOOR)


def _profile(wells: Wells, midpoint: float) -> float:
    """Return the least sum of squares of curves with one midpoint."""
    from scipy.optimize import minimize_scalar

    _, slopes = grid_of(wells)
    squares = rss_of(wells, midpoint, np.exp(slopes))
    k = int(np.argmin(squares))
    found = minimize_scalar(
        lambda at: float(rss_of(wells, midpoint, np.exp(at))),
        bounds=(slopes[max(k - 1, 0)], slopes[min(k + 1, len(slopes) - 1)]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return min(float(found.fun), float(squares[k]), float(rss_of_steps(wells, midpoint)))


def bound(wells: Wells, midpoints: Floats, inner: float, most: float) -> float | None:
    """Return where the profile passes `most`, outward over the grid from a midpoint within.

    None where the search leaves the doses. An interval that lies wholly beyond the doses is
    extended to the nearest of them: what is known is that the EC50 lies beyond it.
    """
    sign = 1.0 if midpoints[-1] > midpoints[0] else -1.0
    edge = wells.half
    for outer in midpoints[sign * midpoints > sign * inner]:
        if sign * inner >= edge:
            return None
        if sign * outer <= -edge:
            continue
        if _profile(wells, float(outer)) > most:
            found = _crossing(wells, inner, float(outer), most)
            return sign * max(sign * found, -edge)
        inner = float(outer)
    return None


def _crossing(wells: Wells, inner: float, outer: float, most: float) -> float:
    from scipy.optimize import brentq

    def excess(midpoint: float) -> float:
        # That `inner` is within is known; its slope, searched again, may miss by a rounding.
        return _profile(wells, midpoint) - most if midpoint != inner else -most

    return float(brentq(excess, inner, outer, xtol=1e-10))
