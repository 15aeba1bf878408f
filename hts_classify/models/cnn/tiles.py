"""Batches of prepared tiles: kept on the device where they fit, else read ahead by a thread."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...errors import DataError
from ..protocol import Inputs
from .device import is_memory_error, room

__all__ = ["READ", "Prepare", "Tiles", "batched", "read"]

Prepare = Callable[[Tensor, NDArray[np.intp]], Tensor]
"""Raw tiles on the device and their places among the inputs to what a network sees."""

READ: Final = 64
"""Tiles read at a time: far below what any machine holds, enough to keep its cores busy."""

_AT_ONCE: Final = 2**22
"""Values of the largest layer for a batch that is scored on a CPU: with more, what a layer leaves
is out of the caches before the next one reads it (a ResNet-50 scores 64 tiles of 3 × 224² at half
the speed of 6), and with fewer, cores wait for each other (`compact`, 256²: 5 tiles against 16)."""

_ON_GPU: Final = 256

_AHEAD: Final = 3
"""Batches read before they are asked for."""


class Tiles:
    """Tiles by index, on a device.

    Parameters
    ----------
    inputs : Inputs
        Raw tiles, shape (n, c, y, x), any real type.
    device : torch.device
        Where batches go.
    prepare : callable, optional
        What brings them to one scale; without it they stay raw.
    enlarge : int, optional
        Longer side to which they are enlarged; 0: are not.
    learned : int, optional
        Longer side of the tiles that a model learned from: `enlarge` is meant for those, and
        others are enlarged as much.
    widest : int, optional
        Values of the network's largest layer for each pixel of a tile.

    Raises
    ------
    DataError
        For inputs that are not (n, c, y, x), or hold values that are not finite.
    """

    def __init__(
        self,
        inputs: Inputs,
        *,
        device: torch.device,
        prepare: Prepare | None = None,
        enlarge: int = 0,
        learned: int = 0,
        widest: int = 16,
    ) -> None:
        self._inputs, self._device, self._widest = inputs, device, widest
        self._prepare = prepare or (lambda tiles, index: tiles)
        self._kept: Tensor | None = None
        channels, *side = _tile_shape(inputs)
        self.longest = max(side)
        """Longer side of a raw tile."""
        self._side = _enlarged(
            (side[0], side[1]), round(enlarge * self.longest / (learned or self.longest))
        )
        self.shape = channels, *self._side
        """Channels, rows and columns of a tile as it is handed out."""
        # Those in memory are ready in no time, and a reading thread takes a core from the network.
        at_hand = isinstance(inputs, np.ndarray) and not isinstance(inputs, np.memmap)
        self._in_line = device.type == "cpu" and at_hand

    def prepared(self, prepare: Prepare) -> Self:
        """Return the same tiles, brought to one scale."""
        tiles = copy.copy(self)
        tiles._prepare = prepare
        return tiles

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self._inputs)

    def sample(self) -> bytes:
        """Return a few raw tiles, from all over them: what tells these inputs from others."""
        some = np.unique(np.linspace(0, len(self) - 1, min(READ, len(self))).astype(np.intp))
        return np.ascontiguousarray(self._inputs[some]).tobytes()

    def together(self, side: int = 0) -> int:
        """Return how many tiles, or squares of them with this side, are best scored together."""
        if self._device.type != "cpu":
            return _ON_GPU
        pixels = side**2 or math.prod(self._side)
        return max(1, min(READ, _AT_ONCE // (self._widest * pixels)))

    def keep(self, most_mib: int | None) -> bool:
        """Keep every prepared tile on the device if they take no more than this, and fit.

        Returns
        -------
        bool
            Whether they are kept; or none was to be, by a `most_mib` of 0.
        """
        try:
            self._keep(room(self._device) if most_mib is None else most_mib * 2**20)
        except RuntimeError as error:
            if not is_memory_error(error):
                raise
        return self._kept is not None or most_mib == 0

    def _keep(self, most: int) -> None:
        if 0 < len(self) * math.prod(self.shape) * 4 <= most:
            kept = torch.empty(
                (len(self), *self.shape),
                device=self._device,
                memory_format=torch.channels_last,
            )
            for index, tiles in self._read_ahead(batched(np.arange(len(self)), READ)):
                kept[index[0] : index[-1] + 1] = tiles
            self._kept = kept

    def __getitem__(self, index: NDArray[np.intp]) -> Tensor:
        """Return these tiles as one float32 batch."""
        if self._kept is None:
            return self._ready(self._raw(index), index)
        return self._kept[torch.from_numpy(index).to(self._device)]

    def batches(
        self, indices: Iterable[NDArray[np.intp]]
    ) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Yield (indices, tiles) for each of many batches, the next ones read meanwhile."""
        if self._kept is None:
            yield from self._read_ahead(indices)
            return
        for index in indices:
            yield index, self[index]

    def _read_ahead(
        self, indices: Iterable[NDArray[np.intp]]
    ) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        if self._in_line:
            for index in indices:
                yield index, self._ready(self._raw(index), index)
            return
        waiting: list[tuple[NDArray[np.intp], Future[Tensor]]] = []
        with ThreadPoolExecutor(1, thread_name_prefix="tiles") as reader:
            try:
                for index in indices:
                    waiting.append((index, reader.submit(self._raw, index)))
                    if len(waiting) > _AHEAD:
                        first, raw = waiting.pop(0)
                        yield first, self._ready(raw.result(), first)
                while waiting:
                    first, raw = waiting.pop(0)
                    yield first, self._ready(raw.result(), first)
            finally:
                reader.shutdown(cancel_futures=True)

    def _raw(self, index: NDArray[np.intp]) -> Tensor:
        """Read tiles as float32, in memory from which a GPU can copy by itself."""
        tiles = read(self._inputs, index)
        return tiles.pin_memory() if self._device.type == "cuda" else tiles

    def _ready(self, raw: Tensor, index: NDArray[np.intp]) -> Tensor:
        tiles = self._prepare(raw.to(self._device, non_blocking=True), index)
        if tiles.shape[2:] != self._side:
            tiles = functional.interpolate(tiles, self._side, mode="bilinear", align_corners=False)
        return tiles.contiguous(memory_format=torch.channels_last)


def read(inputs: Inputs, index: NDArray[np.intp], what: str = "example") -> Tensor:
    """Read raw tiles as float32.

    Raises
    ------
    DataError
        For values that are not finite; it names the first such tile.
    """
    raw = np.array(inputs[index], dtype=np.float32, order="C")
    if not (finite := np.isfinite(raw).all(axis=(1, 2, 3))).all():
        raise DataError(
            "the tile holds values that are not finite",
            where=f"{what} {int(index[~finite][0])}",
            remedy="leave it out",
        )
    return torch.from_numpy(raw)


def batched(index: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Cut indices into runs of at most `size`."""
    for start in range(0, len(index), size):
        yield index[start : start + size]


def _tile_shape(inputs: Inputs) -> tuple[int, int, int]:
    """Return one tile's channels, rows and columns; `DataError` where there are none."""
    shape = np.shape(inputs[np.arange(min(1, len(inputs)))])
    if len(shape) != 4 or not all(shape[1:]):
        raise DataError(f"tiles of shape {shape[1:]}", remedy="give (channels, y, x)")
    return int(shape[1]), int(shape[2]), int(shape[3])


def _enlarged(side: tuple[int, int], longest: int) -> tuple[int, int]:
    if longest <= max(side):
        return side
    return round(side[0] * longest / max(side)), round(side[1] * longest / max(side))
