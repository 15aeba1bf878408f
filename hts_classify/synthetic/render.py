"""From a cell's stains to a camera's pixels.

Photons = (stain + background) × illumination × the well's gain; the camera adds an offset, shot
noise and read noise. Wells at the plate's edge have dried a little: less signal, more background.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, draw_cells
from .design import Treated, grid_of
from .marker import draw_marker, grains
from .recipe import Recipe

__all__ = ["render_field"]

_NUCLEI: Final = 1500.0  # photons a pixel
_BODIES: Final = 500.0
_BACKGROUND: Final = 120.0
_OFFSET: Final = 100.0  # counts
_READ_NOISE: Final = 4.0  # counts, standard deviation
_VIGNETTE: Final = 0.15  # what the corners lose
_EDGE_GAIN: Final = 0.93
_EDGE_BACKGROUND: Final = 1.15
_COUNTS_8_BIT: Final = 16.0  # a 12-bit camera's counts in one step of 8 bits


def render_field(recipe: Recipe, well: Treated, site: int) -> NDArray[Any]:
    """Make one field of view.

    Parameters
    ----------
    recipe : Recipe
        The plate.
    well : Treated
        One of `lay_out(recipe)`.
    site : int
        Field of view, from 1.

    Returns
    -------
    ndarray of uint8 or uint16, shape (channels, y, x)
        The same whatever else is made, and in whatever order.

    Examples
    --------
    >>> from hts_classify.synthetic import Recipe, lay_out
    >>> recipe = Recipe(shape=(64, 64))
    >>> render_field(recipe, lay_out(recipe)[0], 1).shape
    (2, 64, 64)
    """
    rng = recipe.rng(4, well.row, well.column, site)
    cells = draw_cells(rng, recipe.shape, crowd=well.viability)
    stains = [_stain(rng, cells, channel, well=well, recipe=recipe) for channel in _order(recipe)]
    photons = np.stack([stains[_order(recipe).index(c)] for c in range(len(recipe.channels))])
    return _expose(rng, photons, well=well, recipe=recipe)


def _order(recipe: Recipe) -> list[int]:
    """Draw the marker last, so that all else is alike in every class."""
    others = [c for c in range(len(recipe.channels)) if c != recipe.marker]
    return [*others, recipe.marker]


def _stain(
    rng: np.random.Generator, cells: Cells, channel: int, *, well: Treated, recipe: Recipe
) -> NDArray[np.float32]:
    """Draw one channel's photons without background."""
    if channel == recipe.marker:
        return draw_marker(rng, cells, well=well, recipe=recipe)
    uptake = cells.paint(cells.brightness)
    if channel == 0:
        chromatin = 1 + 0.15 * grains(rng, recipe.shape, 4.0)
        return np.asarray(_NUCLEI * uptake * cells.nucleus * chromatin, np.float32)
    organelles = 1 + 0.25 * grains(rng, recipe.shape, 1.0 + channel)
    cytoplasm = cells.body * (1 - 0.5 * cells.nucleus)
    return np.asarray(_BODIES * uptake * cytoplasm * organelles, np.float32)


def _expose(
    rng: np.random.Generator, photons: NDArray[np.float32], *, well: Treated, recipe: Recipe
) -> NDArray[Any]:
    """Turn photons into counts."""
    gain, background = _conditions(well, recipe)
    height, width = recipe.shape
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    illumination = 1 - _VIGNETTE * (x**2 + y**2) / 2
    tilt = 1 + 0.1 * (rng.normal() * y + rng.normal() * x)
    light = (photons + background * np.clip(tilt, 0.2, None)) * illumination * gain
    efficiency = 1 / (1 + 3 * recipe.difficulty)
    counts = rng.poisson(np.maximum(light, 0) * efficiency) / efficiency
    counts += rng.normal(_OFFSET, _READ_NOISE, counts.shape)
    dtype = np.dtype(recipe.dtype)
    if dtype == np.uint8:
        counts /= _COUNTS_8_BIT
    return np.asarray(np.clip(np.rint(counts), 0, np.iinfo(dtype).max), dtype)


def _conditions(well: Treated, recipe: Recipe) -> tuple[float, float]:
    """Return gain and background of a well: its batch's, its place's, its own."""
    batch, own = recipe.rng(5, well.batch), recipe.rng(6, well.row, well.column)
    gain = float(np.exp(batch.normal(0, 0.1) + own.normal(0, 0.04)))
    background = float(_BACKGROUND * np.exp(batch.normal(0, 0.15) + own.normal(0, 0.05)))
    total = len(recipe.classes) * recipe.compounds * len(recipe.doses) * recipe.replicates
    rows, columns = grid_of(total)
    if well.row in (0, rows - 1) or well.column in (0, columns - 1):
        return gain * _EDGE_GAIN, background * _EDGE_BACKGROUND
    return gain, background
