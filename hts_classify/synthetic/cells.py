"""Where the cells of a field are, and what shape they have. No stain yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BODY", "Cells", "draw_cells"]

BODY: Final = 24.0
"""Mean radius of a cell in pixels."""

_NUCLEUS: Final = 9.0
_DENSITY: Final = 16 / 256**2  # cells a pixel
_DISTANCE: Final = 46.0  # between centres: bodies touch, and rarely overlap
_TRIES: Final = 40
_EDGE: Final = 1.2  # pixels over which a cell fades, as its thickness does


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one field; n of them, some cut by the border."""

    centres: NDArray[np.float64]
    """Row and column of each centre: shape (n, 2)."""
    radii: NDArray[np.float64]
    """Long and short half-axis of each body: shape (n, 2)."""
    angles: NDArray[np.float64]
    """Direction of the long axis in radians: shape (n,)."""
    brightness: NDArray[np.float64]
    """How much stain each takes up, about 1: shape (n,)."""
    owner: NDArray[np.int32]
    """Number of the cell that each pixel belongs to, from 1; 0 between cells."""
    body: NDArray[np.float32]
    """How much of each pixel is cell: 0 to 1."""
    nucleus: NDArray[np.float32]
    """How much of each pixel is nucleus: 0 to 1."""

    def shares(self, pattern: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale a pattern so that it adds up to 1 in every cell that has any of it."""
        sums = np.bincount(self.owner.ravel(), pattern.ravel(), minlength=len(self.centres) + 1)
        sums[0] = np.inf  # nothing between cells
        return (pattern / np.maximum(sums, 1e-6)[self.owner]).astype(np.float32)

    def paint(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Give every pixel its cell's value, 0 between cells."""
        return np.concatenate([[0.0], values]).astype(np.float32)[self.owner]


def draw_cells(rng: np.random.Generator, shape: tuple[int, int], *, crowd: float = 1.0) -> Cells:
    """Draw the cells of one field.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where positions and shapes come from.
    shape : tuple of int
        Rows and columns of pixels.
    crowd : float, optional
        Number of cells, as a share of the usual density.
    """
    centres = _scatter(rng, shape, crowd)
    n = len(centres)
    stretch = np.exp(rng.normal(0, 0.1, n))
    size = np.exp(rng.normal(0, 0.06, n))
    radii = BODY * size[:, None] * np.stack([stretch, 1 / stretch], axis=1)
    angles = rng.uniform(0, 2 * np.pi, n)
    waves = rng.normal(0, 0.03, (n, 3)) + 1j * rng.normal(0, 0.03, (n, 3))
    offsets = rng.normal(0, 1.5, (n, 2))
    nuclei = _NUCLEUS * np.exp(rng.normal(0, 0.08, (n, 2)))
    brightness = np.exp(rng.normal(0, 0.15, n))

    owner = np.zeros(shape, np.int32)
    body = np.zeros(shape, np.float32)
    nucleus = np.zeros(shape, np.float32)
    reach = int(BODY * 1.8)
    # Single precision draws twice as fast.
    bodies, cores, shifts = (a.astype(np.float32) for a in (radii, nuclei, offsets))
    edges = waves.astype(np.complex64)
    for i, (y, x) in enumerate(centres):
        rows = slice(max(int(y) - reach, 0), max(int(y) + reach, 0))
        columns = slice(max(int(x) - reach, 0), max(int(x) + reach, 0))
        patch = body[rows, columns]
        dy = np.arange(patch.shape[0], dtype=np.float32)[:, None] + np.float32(rows.start - y)
        dx = np.arange(patch.shape[1], dtype=np.float32) + np.float32(columns.start - x)
        here = _disc(dy, dx, bodies[i], angle=float(angles[i]), waves=edges[i])
        core = _disc(dy - shifts[i, 0], dx - shifts[i, 1], cores[i], angle=float(angles[i]))
        mine = here > np.maximum(patch, 0.02)
        owner[rows, columns][mine] = i + 1
        body[rows, columns] = np.where(mine, here, patch)
        nucleus[rows, columns] = np.where(mine, core, nucleus[rows, columns])
    return Cells(centres, radii, angles, brightness, owner, body, nucleus)


def _scatter(rng: np.random.Generator, shape: tuple[int, int], crowd: float) -> NDArray[np.float64]:
    """Draw centres one by one, each at a distance from those before; some lie outside."""
    low, high = np.array([-BODY, -BODY]), np.array(shape) + BODY
    wanted = max(int(rng.poisson(_DENSITY * crowd * np.prod(high - low))), 3)
    placed = np.empty((wanted, 2))
    n = 0
    for centre in rng.uniform(low, high, (wanted * _TRIES, 2)):
        if n == wanted:
            break
        if n == 0 or ((placed[:n] - centre) ** 2).sum(axis=1).min() >= _DISTANCE**2:
            placed[n] = centre
            n += 1
    return placed[:n]


def _disc(
    dy: NDArray[np.float32],
    dx: NDArray[np.float32],
    radii: NDArray[np.float32],
    *,
    angle: float,
    waves: NDArray[np.complex64] | None = None,
) -> NDArray[np.float32]:
    """Draw an ellipse with a soft and, where there are waves, uneven edge."""
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    rho = np.hypot(along / radii[0], across / radii[1])
    if waves is not None:
        turn = along + 1j * across
        turn /= np.maximum(np.abs(turn), 1e-6)
        # Two, three and four bumps round the edge: powers of the angle's unit vector.
        rho /= 1 + (turn**2 * (waves[0] + turn * (waves[1] + turn * waves[2]))).real
    inside = (1 - rho) * float(np.sqrt(radii.prod())) / _EDGE
    return np.asarray(np.clip(0.5 + inside / 2, 0, 1), np.float32)
