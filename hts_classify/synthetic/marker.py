"""What tells the classes apart: where the marker is in the cell.

Stated, and fixed, before any classifier had seen a pixel. Nothing here may be tuned by how well
a classifier does; `tests/test_synthetic_matching.py` holds the mechanisms to pixel statistics.

phenotypes
    The same amount of marker in each cell, moved: *diffuse* all over the cell, *nuclear* three
    quarters in the nucleus, *punctate* in vesicles of the cytoplasm, *filamentous* in a network
    of fibres. The share that is moved rises with the dose. Number of cells falls by up to a
    quarter along the same curve, by an amount of each compound's own; inert compounds lose cells
    too, so that their number alone does not give the class away. Negative controls lose none.
texture
    A structure of 1 (*fine*), 1.75 (*medium*) or 3 pixels (*coarse*) of correlation length covers
    each cell. Matched: cells' number, size, place and brightness; mean, variance and histogram
    of the marker inside them (log-normal, σ 0.25, whatever the length); the nuclei.
arrangement
    Each cell has six spots, equally wide (σ 1 pixel) and bright, at least five pixels from each
    other and off the cell's edge: at one pole (*polar*), at equal angles on one circle (*ring*),
    or anywhere in the cytoplasm (*scattered*). Matched: all that `texture`
    matches, the texture itself (*medium*), and so what is seen in 3×3 pixels.
mixed
    *coarse* and *fine* as in `texture`, with scattered spots; *polar* and *ring* as in
    `arrangement`, with the medium texture. Matched: the rest.

Difficulty leaves, of every difference, the share `Recipe.distinctness`: of the amount that is
moved, of the logarithm of the length's ratio to the medium one, of the spots that follow their
class (the others are scattered).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from .cells import Cells
from .design import Treated
from .recipe import Recipe

__all__ = ["draw_marker", "grains"]

LEVEL: Final = 600.0
"""Photons a pixel of the marker where it is spread evenly over a cell."""

_MEDIUM: Final = 1.75
_CONTRAST: Final = 0.25  # standard deviation of the texture's logarithm
_SPOTS: Final = 6
_SPOT_WIDTH: Final = 1.0
_SPOT_PEAK: Final = 3.0  # in units of the cell's level
_APART: Final = 5.0
_VESICLES: Final = 24
_VESICLE_WIDTH: Final = 1.3

Place = Literal["polar", "ring", "scattered"]


@dataclass(frozen=True, slots=True)
class _Look:
    """What one class looks like in the settings with matched statistics."""

    length: float = _MEDIUM
    """Correlation length of the texture in pixels."""
    place: Place | None = None
    """Where the spots are; None for no spots."""


_LOOKS: Final[dict[str, dict[str, _Look]]] = {
    "texture": {"fine": _Look(1.0), "medium": _Look(), "coarse": _Look(3.0)},
    "arrangement": {
        "polar": _Look(place="polar"),
        "ring": _Look(place="ring"),
        "scattered": _Look(place="scattered"),
    },
    "mixed": {
        "fine": _Look(1.0, "scattered"),
        "coarse": _Look(3.0, "scattered"),
        "polar": _Look(place="polar"),
        "ring": _Look(place="ring"),
    },
}


def draw_marker(
    rng: np.random.Generator, cells: Cells, *, well: Treated, recipe: Recipe
) -> NDArray[np.float32]:
    """Draw the marker's photons in one field: float32, shape (y, x)."""
    if recipe.setting == "phenotypes":
        return _moved(rng, cells, well=well, distinctness=recipe.distinctness)
    look = _LOOKS[recipe.setting][well.phenotype]
    ratio = (look.length / _MEDIUM) ** recipe.distinctness * well.individuality
    texture = np.exp(_CONTRAST * grains(rng, cells.body.shape, _MEDIUM * ratio) - _CONTRAST**2 / 2)
    marker = cells.body * texture
    if look.place is not None:
        points = _spots(rng, cells, look.place, recipe.distinctness)
        marker += _SPOT_PEAK * _blobs(points, cells.body.shape, _SPOT_WIDTH)
    return np.asarray(LEVEL * cells.paint(cells.brightness) * marker, np.float32)


def grains(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> NDArray[np.float32]:
    """Draw Gaussian noise of mean 0 and variance 1, correlated as exp(−(d / length)²)."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    # What the blur leaves of white noise's standard deviation is the sum of squares of its
    # weights, √ of that for each of the two axes.
    left = (_kernel(length / 2) ** 2).sum()
    return np.asarray(gaussian_filter(noise, length / 2, mode="wrap") / left, np.float32)


def _kernel(sigma: float) -> NDArray[np.float64]:
    """Return the weights that `gaussian_filter` uses along each axis."""
    impulse = np.zeros(2 * int(5 * sigma + 2) + 1)
    impulse[len(impulse) // 2] = 1
    return np.asarray(gaussian_filter1d(impulse, sigma))


def _moved(
    rng: np.random.Generator, cells: Cells, *, well: Treated, distinctness: float
) -> NDArray[np.float32]:
    """Move a share of each cell's marker from everywhere to where the phenotype has it."""
    even = cells.shares(cells.body * (1 - 0.2 * cells.nucleus))
    cytoplasm = cells.body * (1 - cells.nucleus)
    if well.phenotype == "nuclear":
        to, most = cells.shares(cells.nucleus), 0.75
    elif well.phenotype == "punctate":
        points = _vesicles(rng, cells)
        to, most = cells.shares(_blobs(points, even.shape, _VESICLE_WIDTH) * cytoplasm), 0.6
    elif well.phenotype == "filamentous":
        to, most = cells.shares(_fibres(rng, even.shape, well.individuality) * cytoplasm), 0.65
    else:
        to, most = even, 0.0
    # Cells of one well do not all respond alike.
    share = most * distinctness * well.strength * rng.uniform(0.7, 1.0, len(cells.centres))
    # A cell that the border cuts before its nucleus has nowhere to move its marker to.
    moved = cells.paint(share) * (cells.paint(_sums(cells, to)) > 0.5)
    amount = cells.paint(cells.brightness * _sums(cells, cells.body))
    speckle = 1 + 0.08 * grains(rng, even.shape, _MEDIUM)
    return (LEVEL * amount * ((1 - moved) * even + moved * to) * speckle).astype(np.float32)


def _sums(cells: Cells, pattern: NDArray[np.float32]) -> NDArray[np.float64]:
    sums = np.bincount(cells.owner.ravel(), pattern.ravel(), minlength=len(cells.centres) + 1)
    return np.asarray(sums[1:], np.float64)


def _fibres(
    rng: np.random.Generator, shape: tuple[int, ...], individuality: float
) -> NDArray[np.float32]:
    """Draw a network of curved lines: where a smooth random surface crosses zero."""
    surface = grains(rng, shape, 7.0 * individuality)
    slope = np.hypot(*np.gradient(surface)) + 1e-3
    return np.asarray(np.exp(-0.5 * (surface / (0.8 * slope)) ** 2), np.float32)


def _vesicles(rng: np.random.Generator, cells: Cells) -> NDArray[np.int64]:
    """Draw vesicles all over the cytoplasm: rows and columns, shape (m, 2)."""
    count = rng.poisson(_VESICLES * cells.brightness)
    which = np.repeat(np.arange(len(cells.centres)), count)
    radius = np.sqrt(rng.uniform(0.15, 0.8, len(which)))
    return _at(cells, which, radius, rng.uniform(0, 2 * np.pi, len(which)))


def _spots(
    rng: np.random.Generator, cells: Cells, place: Place, distinctness: float
) -> NDArray[np.int64]:
    """Draw each cell's six spots, never nearer to each other than allowed: shape (6 n, 2)."""
    points = []
    for cell in range(len(cells.centres)):
        pole = rng.uniform(0, 2 * np.pi)
        follows = rng.random(_SPOTS) < distinctness
        # Scattered ones last: they find room among the rest, a ring's places are fixed.
        order = np.argsort(~follows, kind="stable").tolist()
        apart, chosen = _APART, np.empty((0, 2), np.int64)
        while len(chosen) < _SPOTS:
            for spot in order[len(chosen) :]:
                rule: Place = place if follows[spot] else "scattered"
                candidates = _candidates(rng, rule, pole, spot)
                at = _at(cells, np.full(len(candidates), cell), *candidates.T)
                gaps = np.hypot(*(at[:, None] - chosen[None]).transpose(2, 0, 1))
                free = np.flatnonzero((gaps >= apart).all(axis=1))
                if not len(free):
                    break
                chosen = np.vstack([chosen, at[free[0]]])
            apart *= 0.95  # six always fit in the end
        points.append(chosen)
    return np.concatenate(points)


def _candidates(
    rng: np.random.Generator, place: Place, pole: float, spot: int
) -> NDArray[np.float64]:
    """Draw places for one spot: radius (1 is the cell's edge) and angle, shape (48, 2)."""
    radius = np.sqrt(rng.uniform(0.46**2, 0.82**2, 48))
    turn = rng.uniform(-1, 1, 48)
    if place == "polar":
        return np.stack([radius, pole + turn * np.radians(70)], axis=1)
    if place == "ring":
        step = 2 * np.pi / _SPOTS
        return np.stack([np.full(48, 0.66), pole + step * (spot + 0.1 * turn)], axis=1)
    return np.stack([radius, np.pi * turn], axis=1)


def _at(
    cells: Cells,
    which: NDArray[np.int64],
    radius: NDArray[np.float64],
    angle: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the pixels at a radius (1 is the edge) and angle of the cells that are meant."""
    along = radius * np.cos(angle) * cells.radii[which, 0]
    across = radius * np.sin(angle) * cells.radii[which, 1]
    turn = cells.angles[which]
    offsets = np.stack(
        [
            along * np.sin(turn) + across * np.cos(turn),
            along * np.cos(turn) - across * np.sin(turn),
        ],
        axis=1,
    )
    return np.asarray(np.rint(cells.centres[which] + offsets), np.int64)


def _blobs(points: NDArray[np.int64], shape: tuple[int, ...], width: float) -> NDArray[np.float32]:
    """Draw a Gaussian of height 1 at each point that is inside the field."""
    inside = ((points >= 0) & (points < np.array(shape))).all(axis=1)
    image = np.zeros(shape, np.float32)
    np.add.at(image, tuple(points[inside].T), 1.0)
    height = _kernel(width).max() ** 2
    return np.asarray(gaussian_filter(image, width, mode="constant") / height, np.float32)
