"""The pixels of the benchmark of the pass: what a 16-bit camera sees of cells, by a stated rule.

A field is a grid of about 150 cells. A cell is a Gaussian spot, multiplied by texture (smoothed
noise of 2 and of 8 pixels). The camera has an offset of 150 levels, 0.5 levels an electron, shot
noise and 4 levels of read noise, and clips at 16 bits. Channels differ in the cells' size, their
brightness and the background, so that the share of pixels near the background, the range of
levels and the noise at each level are those of Cell Painting fields of 1080 × 1080, whose
pixels shrink to 1/1.3 to 1/1.5 under bitshuffle and LZ4.

A few fields are rendered. The others are these rolled, flipped and transposed, which leaves
each pixel's neighbours as they were: no two are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["STAINS", "fields"]

RENDERED = 4
OFFSET, GAIN, READ_NOISE = 150, 0.5, 4
SPACING = 88  # pixels between cells


@dataclass(frozen=True)
class Stain:
    """What a channel shows; brightness in levels."""

    name: str
    radius: float
    """Standard deviation of a cell's spot, in pixels."""
    brightness: float
    background: float
    texture: float
    """Standard deviation of the texture, relative."""


STAINS = (
    Stain("DNA", 13, 8000, 240, 0.1),
    Stain("ER", 22, 6000, 350, 0.2),
    Stain("AGP", 22, 9000, 350, 0.2),
)


def render(stain: Stain, side: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Render one channel of one field: shape (side, side)."""
    light = np.zeros((side, side))
    centres = np.arange(SPACING // 2, side, SPACING)
    y, x = (axis.ravel() for axis in np.meshgrid(centres, centres))
    shift = rng.integers(-SPACING // 3, SPACING // 3, (2, len(y)))
    light[(y + shift[0]) % side, (x + shift[1]) % side] = rng.lognormal(0, 0.6, len(y))
    light = ndimage.gaussian_filter(light, stain.radius, mode="wrap") * 2 * np.pi * stain.radius**2
    texture = sum(
        sigma * ndimage.gaussian_filter(rng.normal(size=light.shape), sigma, mode="wrap")
        for sigma in (2, 8)
    )
    light *= (1 + stain.texture * 2.5 * texture).clip(0.1)  # 2.5: to a standard deviation of 1
    electrons = rng.poisson((stain.background + stain.brightness * light) / GAIN)
    grey = OFFSET + GAIN * electrons + rng.normal(0, READ_NOISE, light.shape)
    return np.rint(grey).clip(0, 65535).astype(np.uint16)


def fields(count: int, side: int) -> Iterator[NDArray[np.uint16]]:
    """Make this many different fields: shape (channels, side, side), always the same ones."""
    rng = np.random.default_rng(4)
    rendered = [np.stack([render(stain, side, rng) for stain in STAINS]) for _ in range(RENDERED)]
    for index in range(count):
        field = rendered[index % RENDERED]
        field = np.roll(field, rng.integers(0, side, 2), axis=(1, 2))
        turned = index // RENDERED % 8
        field = field[:, :: 1 - 2 * (turned & 1), :: 1 - (turned & 2)]
        yield np.ascontiguousarray(field.swapaxes(1, 2) if turned & 4 else field)
