"""From raw grey levels to what a network sees: one scale for every plate, every orientation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

__all__ = ["Levels", "orient", "orientations", "standardise"]

_EIGHT: Final = 8
_FOUR: Final = 4


def standardise(tiles: Tensor) -> Tensor:
    """Bring each channel of each tile to mean 0 and standard deviation 1 after a square root.

    Gain and background change between batches and plates, and 8 and 16 bits differ by 257.
    The least grey level is subtracted before the square root and the scale divided out after
    it, so the result is the same for a·x + b with any a > 0 and b. The square root makes shot
    noise alike in dark and bright pixels, and keeps a few bright cells from drowning the rest.
    What is lost is the absolute brightness of a tile; it says more about the batch than about
    the cells.

    Parameters
    ----------
    tiles : Tensor of float32, shape (n, c, y, x)
        Raw grey levels.

    Returns
    -------
    Tensor of float32, shape (n, c, y, x)
        A constant channel gives zeros.

    Examples
    --------
    >>> tile = torch.tensor([[[[0.0, 4.0], [4.0, 0.0]]]])
    >>> standardise(tile).flatten().tolist() == standardise(257 * tile + 9).flatten().tolist()
    True
    """
    rooted = (tiles - tiles.amin(dim=(2, 3), keepdim=True)).sqrt()
    centred = rooted - rooted.mean(dim=(2, 3), keepdim=True)
    spread = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return centred / torch.where(spread > 0, spread, 1.0)


@dataclass(frozen=True)
class Levels:
    """The square-rooted grey levels of the training tiles: one scale for all, brightness kept.

    Examples
    --------
    >>> dim, bright = torch.full((1, 1, 2, 2), 4.0), torch.full((1, 1, 2, 2), 16.0)
    >>> levels = Levels.of([dim, bright])
    >>> levels, levels.standardise(bright).mean().item()
    (Levels(means=(3.0,), spreads=(1.0,)), 1.0)
    """

    means: tuple[float, ...]
    """Mean of each channel."""
    spreads: tuple[float, ...]
    """Standard deviation of each channel; 1 where it is constant."""

    @classmethod
    def of(cls, batches: Iterable[Tensor]) -> Levels:
        """Measure batches of raw tiles, shape (n, c, y, x), at least one."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for tiles in batches:
            rooted = tiles.clamp(min=0).sqrt().double()
            count += rooted[:, 0].numel()
            total = total + rooted.sum(dim=(0, 2, 3))
            squares = squares + rooted.square().sum(dim=(0, 2, 3))
        means = total / count
        spreads = (squares / count - means.square()).clamp(min=0).sqrt()
        spreads = torch.where(spreads > 0, spreads, 1.0)
        return cls(tuple(means.tolist()), tuple(spreads.tolist()))

    def standardise(self, tiles: Tensor) -> Tensor:
        """Bring raw tiles to the scale on which the measured ones have mean 0 and deviation 1."""
        means, spreads = (
            torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
            for values in (self.means, self.spreads)
        )
        return (tiles.clamp(min=0).sqrt() - means) / spreads


def orientations(tiles: Tensor) -> int:
    """Return how many flips and right-angle turns keep the tiles' shape: 8 if square, else 4."""
    return _EIGHT if tiles.shape[2] == tiles.shape[3] else _FOUR


def orient(tiles: Tensor, turns: Tensor) -> Tensor:
    """Flip and turn every tile of a batch in its own way.

    Under a microscope no direction is up, so all eight are equally true examples.

    Parameters
    ----------
    tiles : Tensor, shape (n, c, y, x)
        A batch.
    turns : Tensor of int64, shape (n,)
        One of `orientations` for each tile: bit 0 mirrors left and right, bit 1 up and down,
        bit 2 swaps the axes (square tiles only); 0 leaves the tile as it is.

    Returns
    -------
    Tensor, shape (n, c, y, x)
        A new batch.

    Examples
    --------
    >>> tile = torch.tensor([[[[1, 2], [3, 4]]]])
    >>> orient(tile.repeat(3, 1, 1, 1), torch.tensor([0, 1, 4])).flatten(1).tolist()
    [[1, 2, 3, 4], [2, 1, 4, 3], [1, 3, 2, 4]]
    """
    turned = tiles.clone()
    for bit, axes in ((1, (3,)), (2, (2,))):
        some = (turns & bit) > 0
        turned[some] = turned[some].flip(axes)
    some = (turns & 4) > 0
    if some.any():
        turned[some] = turned[some].transpose(2, 3)
    return turned
