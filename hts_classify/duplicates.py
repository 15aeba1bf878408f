"""Images that are in training and test at once: copies, also shifted, mirrored or rescaled ones.

Copies are found by a hash of their pixels. Near-duplicates are alike in a coarse signature, far
beyond what fields of different wells usually are: how far is set from the plates themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from .splits import Folds
from .vocabulary import FOLD, PLATE, ROLE, TARGET, UNLABELLED, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Copies", "Thumbnails", "find_copies"]

_CHANCE: Final = 0.001  # of an audit that takes unlike fields for copies
_BLOCK: Final = 4_000_000  # numbers that are held at once
_GRID: Final = 16  # blocks along a thumbnail's side
_LEAST_ALIKE: Final = 0.8
_TOO_ALIKE: Final = 0.99
_MOST: Final = 20_000  # fields that are compared, each with each: of more, copies alone are found
_SAMPLE: Final = 1500  # fields that the usual likeness is taken from


class Thumbnails(Protocol):
    """Small images by index: a NumPy array, or a store of tiles (`TileView`)."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: NDArray[Any], /) -> NDArray[Any]:
        """Return the images at these indices: shape (n, channels, y, x)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Pairs of fields of two wells, one trained on where the other is tested."""

    exact: NDArray[np.intp]
    """Shape (pairs, 2): rows of the table of fields whose images are the same."""
    near: NDArray[np.intp]
    """The same of images that are nearly so."""
    likeness: float
    """From which on images counted as nearly the same."""

    @property
    def comparable(self) -> bool:
        """Whether fields differ enough for near-duplicates to stand out."""
        return self.likeness < _TOO_ALIKE


def find_copies(
    folds: Folds, fields: pd.DataFrame, thumbnails: Thumbnails, *, seed: int = 0
) -> Copies:
    """Find fields of two wells, one trained on where the other is tested, with one image.

    Parameters
    ----------
    folds : Folds
    fields : DataFrame
        One row a field, with its plate and well.
    thumbnails : Thumbnails
        An image for each row.
    seed : int, optional
        Of the fields that the usual likeness is taken from, where they are many.
    """
    labelled = (folds.wells[ROLE] != UNLABELLED).to_numpy(bool)
    wells = folds.wells[labelled]
    # A column a fold, and one of no fold, which is where wells that none tests belong.
    trained = [folds.training(fold)[labelled] for fold in range(folds.count)]
    learned = np.stack([*trained, np.zeros(len(wells), bool)], axis=1)
    place = {key: k for k, key in enumerate(zip(wells[PLATE], wells[WELL], strict=True))}
    of = np.array([place.get(key, -1) for key in zip(fields[PLATE], fields[WELL], strict=True)])
    rows = np.flatnonzero(of >= 0)
    of = of[rows]
    fold = wells[FOLD].to_numpy()[of]
    image, signatures = _signatures(
        thumbnails, rows, fields[PLATE].to_numpy(str)[rows], coarsely=len(rows) <= _MOST
    )
    least = 1.0
    if len(rows) <= _MOST:
        least = _alike(signatures[0], of, wells[TARGET].to_numpy(str)[of], seed)
    none = np.empty((0, 2), np.intp)
    exact, close = [none], [none]
    step = max(1, _BLOCK // max(len(rows), 1))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        leaks = learned[of[None, :], fold[part, None]] | learned[of[part, None], fold[None, :]]
        leaks &= np.arange(start, start + len(fold[part]))[:, None] < np.arange(len(rows))
        same = (image[part, None] == image) & (image[part, None] >= 0)
        near = np.zeros_like(same)
        for turned in signatures if least < _TOO_ALIKE else ():
            near |= signatures[0][part] @ turned.T > least
        for pairs, hits in ((exact, same), (close, near & ~same)):
            pairs.append(rows[np.argwhere(leaks & hits) + np.array([start, 0], np.intp)])
    return Copies(exact=np.concatenate(exact), near=np.concatenate(close), likeness=least)


def _signatures(
    thumbnails: Thumbnails, rows: NDArray[np.intp], plates: NDArray[Any], *, coarsely: bool
) -> tuple[NDArray[np.intp], list[NDArray[np.float32]]]:
    """Return each image's number (-1 for one without content) and what it looks like.

    A signature is a coarse, smoothed image without its illumination, and without what all fields
    of its plate share; signatures have length 1, and come in all eight turns and reflections.
    """
    from hashlib import blake2b

    numbers: dict[bytes, int] = {}
    image = np.full(len(rows), -1, np.intp)
    coarse = []
    for start in range(0, len(rows), 256):
        tiles = np.asarray(thumbnails[rows[start : start + 256]])
        for k, tile in enumerate(tiles):
            if np.ptp(tile, axis=(1, 2)).any():  # blank fields are alike and no copies
                key = blake2b(np.ascontiguousarray(tile).tobytes(), digest_size=16).digest()
                image[start + k] = numbers.setdefault(key, len(numbers))
        if coarsely:
            coarse.append(_coarse(tiles))
    if not coarse:
        return image, [np.zeros((0, 1), np.float32)]
    held = np.concatenate(coarse)
    for plate in np.unique(plates):
        member = plates == plate
        if member.sum() >= 12:  # of fewer, the mean is their own images
            held[member] -= held[member].mean(axis=0)
    held = held.reshape(len(held), -1)
    held /= np.maximum(np.linalg.norm(held, axis=1, keepdims=True), 1e-6)
    square = held.reshape(len(held), -1, *coarse[0].shape[2:])
    turns = [np.rot90(part, k, (2, 3)) for part in (square, square[..., ::-1]) for k in range(4)]
    return image, [np.ascontiguousarray(turn, np.float32).reshape(len(held), -1) for turn in turns]


def _coarse(tiles: NDArray[Any]) -> NDArray[np.float64]:
    """Shrink to 16 by 16, take slow gradients off, smooth, and bring channels to one scale."""
    count, channels, height, width = tiles.shape
    side = min(_GRID, height, width)
    small = tiles.astype(float)
    for axis, length in ((2, height), (3, width)):
        edges = np.arange(side + 1) * length // side
        sums = np.add.reduceat(small, edges[:-1], axis=axis)
        shape = [-1 if k == axis else 1 for k in range(4)]
        small = sums / np.diff(edges).reshape(shape)
    for axis in (2, 3):  # a shift by half a block is still the same image
        ends = [(1, 1) if k == axis else (0, 0) for k in range(4)]
        wide = np.moveaxis(np.pad(small, ends, mode="edge"), axis, 0)
        small = np.moveaxis((wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4, 0, axis)
    y, x = np.meshgrid(*[np.linspace(-1, 1, side)] * 2, indexing="ij")
    slow = np.linalg.qr(np.stack([y**0, y, x, y * y, x * x, x * y], -1).reshape(-1, 6))[0]
    flat = small.reshape(count, channels, -1)
    scale = np.abs(flat).max(axis=2, keepdims=True)
    flat = flat - flat @ slow @ slow.T
    norm = np.linalg.norm(flat, axis=2, keepdims=True)
    # What is left of a blank channel is rounding.
    flat = np.where(norm > 1e-6 * scale, flat / np.maximum(norm, 1e-30), 0.0)
    return np.asarray(flat.reshape(small.shape))


def _alike(
    signatures: NDArray[np.float32], wells: NDArray[np.intp], target: NDArray[Any], seed: int
) -> float:
    """Return how alike fields of different wells must be to be copies.

    Wells of one class may be rather alike. So it is far beyond the usual likeness of fields of
    different wells, of one class and of two: were likeness normal after Fisher's transformation,
    with a spread half as wide again as what is seen, chance would reach it in one of a thousand
    audits.
    """
    from scipy import stats

    if len(wells) < 3:
        return _LEAST_ALIKE
    chosen = np.arange(len(wells))
    if len(wells) > _SAMPLE:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(len(wells), _SAMPLE, replace=False))
    likeness = signatures[chosen] @ signatures[chosen].T
    above = np.triu(wells[chosen][:, None] != wells[chosen], 1)
    pairs = 8 * len(wells) * (len(wells) - 1) / 2
    far = 1.5 * stats.norm.isf(_CHANCE / pairs)
    least = _LEAST_ALIKE
    same = target[chosen][:, None] == target[chosen]
    for which in (above & same, above & ~same):
        if which.sum() < 20:
            continue
        fisher = np.arctanh(np.clip(likeness[which].astype(float), -0.999999, 0.999999))
        # A few percent of copies do not move these two.
        middle, upper = np.quantile(fisher, [0.5, 0.95])
        least = max(least, float(np.tanh(middle + far * (upper - middle) / stats.norm.isf(0.05))))
    return least
