"""Training tiles varied on their device, every tile of a batch in its own way.

::

    tiles ─► turns ─► rotation, zoom, shift ─► gain ─► blur ─► noise ─► cutout
             exact    one resampling

Every part's random numbers are drawn whether it is on or not, so that switching one off changes
nothing of the others. Nothing here waits for the device: what is drawn on the CPU goes there in one
copy, and no result comes back.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import DataError
from ..settings import Augmentation

__all__ = ["augment", "crop", "orient", "orientations", "turned"]

_EIGHT: Final = 8
_FOUR: Final = 4
_PARTS: Final = 10
"""Numbers drawn for a tile, beside one for each of its channels."""

_TAIL: Final = 3
"""Deviations of a Gaussian at which its filter ends."""


def augment(tiles: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Vary every tile of a batch in its own way.

    Parameters
    ----------
    tiles : Tensor of float32, shape (n, c, y, x)
        Scaled tiles, on any device; they are left as they are.
    settings : Augmentation
        What is varied, and by how much at most.
    generator : torch.Generator
        On the CPU. It gives (10 + c)·n uniform numbers and a seed for the noise, whatever the
        settings; the noise itself is drawn on the tiles' device.

    Returns
    -------
    Tensor of float32, shape (n, c, y, x)
        In the memory format of `tiles`; `tiles` themselves when all is off.

    Examples
    --------
    >>> tiles = torch.arange(8.0).view(2, 1, 2, 2)
    >>> varied = augment(tiles, Augmentation(), torch.Generator().manual_seed(1))
    >>> sorted(varied.flatten().tolist()) == tiles.flatten().tolist()
    True
    """
    count, channels = tiles.shape[:2]
    drawn = torch.rand(count, _PARTS + channels, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    if settings == Augmentation(turns=False):
        return tiles
    drawn = drawn.to(tiles.device, non_blocking=True)
    turn, angle, zoom, down, right, sigma, noise, side, top, left = drawn[:, :_PARTS].unbind(1)
    given, tiles = tiles, tiles.contiguous()  # in this order resampling is several times faster
    if settings.turns:
        tiles = orient(tiles, (turn * orientations(tiles)).long())
    if settings.rotation or settings.zoom or settings.shift:
        tiles = _moved(
            tiles,
            angle=_either_way(angle) * math.radians(settings.rotation),
            scale=1 / (1 + _either_way(zoom) * settings.zoom),
            down=_either_way(down) * 2 * settings.shift,
            right=_either_way(right) * 2 * settings.shift,
        )
    if settings.gain:
        gains = 1 + _either_way(drawn[:, _PARTS:]) * settings.gain
        tiles = tiles * gains[:, :, None, None]
    if settings.blur:
        tiles = _blurred(tiles, sigma * settings.blur, settings.blur)
    if settings.noise:
        tiles = _noisy(tiles, noise * settings.noise, seed)
    if settings.cutout:
        tiles = _cut_out(tiles, settings.cutout, side, top, left)
    return _as(given, tiles)


def orientations(tiles: Tensor) -> int:
    """Return how many flips and right-angle turns keep the tiles' shape: 8 if square, else 4."""
    return _EIGHT if tiles.shape[-2] == tiles.shape[-1] else _FOUR


def turned(tiles: Tensor, turn: int) -> Tensor:
    """Flip and turn all tiles of a batch alike.

    Parameters
    ----------
    tiles : Tensor, shape (…, y, x)
        A batch.
    turn : int
        One of `orientations`: bit 0 mirrors left and right, bit 1 up and down, then bit 2 swaps
        the axes (square tiles only); 0 leaves them as they are.

    Returns
    -------
    Tensor, shape (…, y, x)
        For turns 0 and 4, a view.

    Examples
    --------
    >>> turned(torch.tensor([[1, 2], [3, 4]]), 5).tolist()
    [[2, 4], [1, 3]]
    """
    mirrored = [axis for bit, axis in ((1, -1), (2, -2)) if turn & bit]
    if mirrored:
        tiles = tiles.flip(mirrored)
    return tiles.transpose(-2, -1) if turn & 4 else tiles


def orient(tiles: Tensor, turns: Tensor) -> Tensor:
    """Flip and turn every tile of a batch in its own way.

    Under a microscope no direction is up, so all eight are equally true examples.

    Parameters
    ----------
    tiles : Tensor, shape (n, c, y, x)
        A batch.
    turns : Tensor of int64, shape (n,)
        A turn as `turned` takes it for each tile, on the tiles' device.

    Returns
    -------
    Tensor, shape (n, c, y, x)
        A new batch in the memory format of `tiles`.

    Examples
    --------
    >>> tile = torch.tensor([[[[1, 2], [3, 4]]]])
    >>> orient(tile.repeat(3, 1, 1, 1), torch.tensor([0, 1, 4])).flatten(1).tolist()
    [[1, 2, 3, 4], [2, 1, 4, 3], [1, 3, 2, 4]]
    """
    y, x = tiles.shape[2:]
    places = _places(y, x, tiles.device)[turns][:, None].expand(-1, tiles.shape[1], -1)
    return _as(tiles, tiles.flatten(2).gather(2, places).view(tiles.shape))


def crop(tiles: Tensor, size: int, generator: torch.Generator | None = None) -> Tensor:
    """Cut a square out of every tile: each at a random place of its own, or all at the centre.

    Parameters
    ----------
    tiles : Tensor, shape (n, c, y, x)
        A batch.
    size : int
        Side of the square in pixels.
    generator : torch.Generator, optional
        On the CPU; it gives 2·n numbers. Without one the centre is cut out.

    Returns
    -------
    Tensor, shape (n, c, size, size)
        In the memory format of `tiles`; at the centre, a view.

    Raises
    ------
    DataError
        For tiles that are smaller.

    Examples
    --------
    >>> crop(torch.arange(16).view(1, 1, 4, 4), 2).flatten().tolist()
    [5, 6, 9, 10]
    """
    y, x = tiles.shape[2:]
    if min(y, x) < size:
        raise DataError(
            f"a crop of {size} pixels from tiles of {y} × {x}", remedy="use larger tiles"
        )
    if generator is None:
        top, left = (y - size) // 2, (x - size) // 2
        return tiles[:, :, top : top + size, left : left + size]
    drawn = torch.rand(2, len(tiles), generator=generator)
    free = torch.tensor([[y - size + 1], [x - size + 1]])
    tops, lefts = (drawn * free).long().to(tiles.device, non_blocking=True)
    one = torch.arange(len(tiles), device=tiles.device)
    windows = tiles.unfold(2, size, 1).unfold(3, size, 1)  # a view: (n, c, tops, lefts, size, size)
    return _as(tiles, windows[one, :, tops, lefts])


def _moved(tiles: Tensor, *, angle: Tensor, scale: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Resample by where each pixel comes from; what lies outside is mirrored in.

    `scale` is the source's pixels to one of the result, `down` and `right` are in half sides.
    """
    y, x = tiles.shape[2:]
    # in pixels from the centre, lest a tile that is not square be sheared
    rows = (torch.arange(y, device=tiles.device) - (y - 1) / 2)[:, None]
    columns = (torch.arange(x, device=tiles.device) - (x - 1) / 2)[None, :]
    along, across = ((scale * turn)[:, None, None] for turn in (angle.cos(), angle.sin()))
    sources = torch.stack(
        [
            (along * columns - across * rows) * (2 / x) - right[:, None, None],
            (across * columns + along * rows) * (2 / y) - down[:, None, None],
        ],
        dim=-1,
    )
    return functional.grid_sample(tiles, sources, padding_mode="reflection", align_corners=False)


def _blurred(tiles: Tensor, sigmas: Tensor, most: float) -> Tensor:
    """Blur each tile by a Gaussian of its own; the filter is as long as the widest needs."""
    count, channels, y, x = tiles.shape
    reach = min(math.ceil(_TAIL * most), min(y, x) - 1)
    away = torch.arange(-reach, reach + 1, device=tiles.device)
    weights = (-0.5 * (away / sigmas.clamp(min=1e-3)[:, None]).square()).exp()
    weights = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = functional.pad(tiles.reshape(1, -1, y, x), [reach] * 4, mode="reflect")
    planes = functional.conv2d(planes, weights[:, None, :, None], groups=count * channels)
    planes = functional.conv2d(planes, weights[:, None, None, :], groups=count * channels)
    return planes.view(tiles.shape)


def _noisy(tiles: Tensor, deviations: Tensor, seed: int) -> Tensor:
    own = torch.Generator(tiles.device).manual_seed(seed)
    noise = torch.randn(tiles.shape, generator=own, device=tiles.device)
    return noise.mul_(deviations[:, None, None, None]).add_(tiles)


def _cut_out(tiles: Tensor, share: float, side: Tensor, top: Tensor, left: Tensor) -> Tensor:
    y, x = tiles.shape[2:]
    side = (side * (int(share * min(y, x)) + 1)).floor()[:, None]
    inside = []
    for length, place in ((y, top), (x, left)):
        first = (place[:, None] * (length - side + 1)).floor()
        pixels = torch.arange(length, device=tiles.device)
        inside.append((pixels >= first) & (pixels < first + side))
    return tiles.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)


def _either_way(drawn: Tensor) -> Tensor:
    """Return uniform numbers from -1 to 1 for those from 0 to 1."""
    return 2 * drawn - 1


@lru_cache(maxsize=8)
def _places(y: int, x: int, device: torch.device) -> Tensor:
    """Return where each pixel of a turned tile comes from, shape (turns, y·x)."""
    plane = torch.arange(y * x, device=device).view(y, x)
    return torch.stack([turned(plane, turn).flatten() for turn in range(orientations(plane))])


def _as(given: Tensor, tiles: Tensor) -> Tensor:
    """Return tiles in the memory format of those given."""
    last = given.is_contiguous(memory_format=torch.channels_last) and not given.is_contiguous()
    return tiles.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
