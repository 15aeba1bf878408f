"""What a network sees and says: views of tiles, scores, and what a frozen body makes once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import UsageError
from ..settings import CnnSettings
from .augment import augment, crop, orientations, turned
from .device import autocast, is_memory_error
from .learning import Source
from .networks import Net
from .tiles import READ, Tiles, batched

__all__ = ["FrozenFeatures", "TileViews", "outputs"]


class TileViews:
    """Tiles as a network sees them: varied to learn from, in every orientation to be scored.

    Parameters
    ----------
    tiles : Tiles
        Prepared tiles.
    settings : CnnSettings
        How training batches are varied.
    side : int
        Side of the crop that the network takes always; 0: it takes whole tiles.
    """

    def __init__(self, tiles: Tiles, settings: CnnSettings, side: int = 0) -> None:
        self._tiles, self._augmentation, self._side = tiles, settings.augmentation, side
        self.together = tiles.together(side)
        self.shape = tiles.shape
        """Channels, rows and columns of a tile, before a crop is cut out."""
        self._learned = side or min(settings.crop, *tiles.shape[1:])

    def __getitem__(self, index: NDArray[np.intp]) -> Tensor:
        """Return some tiles as one batch."""
        return self._tiles[index]

    def batches(
        self, indices: Iterator[NDArray[np.intp]]
    ) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Yield (indices, batch) for each of many batches."""
        return self._tiles.batches(indices)

    def varied(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Return a training batch, every tile varied in its own way."""
        varied = augment(batch, self._augmentation, generator)
        return crop(varied, self._learned, generator) if self._learned else varied

    def views(self, batch: Tensor, *, every: bool) -> Iterator[Tensor]:
        """Yield the batch as it is, or in every orientation; a crop is the centre's."""
        batch = crop(batch, self._side) if self._side else batch
        for view in range(orientations(batch) if every else 1):
            yield turned(batch, view)


class FrozenFeatures:
    """What a network's body makes of each view of each tile, computed once.

    Parameters
    ----------
    views : TileViews
        The tiles.
    net : Net
        The network whose body does not learn.
    settings : CnnSettings
        Precision, and whether a tile has more than one view.
    count : int
        Number of tiles.
    keys : ndarray, optional
        What names each tile beyond this fit.
    cache : mutable mapping, optional
        Features by key, shared between fits with one body and one scale.
    """

    def __init__(
        self,
        views: TileViews,
        net: Net,
        settings: CnnSettings,
        *,
        count: int,
        keys: NDArray[Any] | None = None,
        cache: MutableMapping[Any, Tensor] | None = None,
    ) -> None:
        self._device, self.together = next(net.parameters()).device, READ
        shared = keys is not None and cache is not None
        held: MutableMapping[Any, Tensor] = cache if shared else {}  # type: ignore[assignment]
        names = keys.tolist() if shared else list(range(count))  # type: ignore[union-attr]
        lacking = np.array([k for k, name in enumerate(names) if name not in held], np.intp)
        for place, features in zip(lacking, _features(views, net, settings, lacking), strict=True):
            held[names[place]] = features
        rows = [held[name] for name in names]
        self._turns = settings.augmentation.turns
        self._kept = torch.stack(rows).to(self._device) if rows else torch.empty((0, 1, 0))

    def batches(
        self, indices: Iterator[NDArray[np.intp]]
    ) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Yield (indices, features (n, views, F)) for each of many batches."""
        for index in indices:
            yield index, self[index]

    def __getitem__(self, index: NDArray[np.intp]) -> Tensor:
        """Return the features of some tiles: (n, views, F)."""
        return self._kept[torch.from_numpy(index).to(self._device)]

    def varied(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Return one view of each tile, drawn at random."""
        views = batch.shape[1] if self._turns else 1
        drawn = torch.randint(views, (len(batch),), generator=generator)
        rows = torch.arange(len(batch), device=batch.device)
        return batch[rows, drawn.to(batch.device)]

    def views(self, batch: Tensor, *, every: bool) -> Iterator[Tensor]:
        """Yield the features of one view, or of every one."""
        yield from batch.unbind(dim=1)[: None if every else 1]


def outputs(
    net: nn.Module,
    source: Source,
    index: NDArray[np.intp],
    settings: CnnSettings,
    *,
    every: bool,
) -> Tensor:
    """Return what a network makes of each example, the mean over one or every view of it.

    Logits of a whole network, features of a body; float32, on the CPU.

    A well turned upside down shows the same; the mean says so whatever the network learned, and
    is steadier than any one view of the few tiles that a plate has.
    """
    size = source.together
    while True:
        try:
            parts = [*batched(index, size)]
            return _outputs(net, source, parts, settings, every=every)
        except RuntimeError as error:
            if not is_memory_error(error):
                raise
        if size == 1:
            raise UsageError(
                "memory does not hold the scoring of a tile",
                remedy="use a smaller network or tile size, or a device with more memory",
            )
        size //= 2


def _outputs(
    net: nn.Module,
    source: Source,
    parts: Sequence[NDArray[np.intp]],
    settings: CnnSettings,
    *,
    every: bool,
) -> Tensor:
    net.eval()

    def mean(batch: Tensor) -> Tensor:
        return _viewed(net, source, batch, settings, every=every).mean(dim=0)

    found = [*_each(mean, source, parts)]
    return torch.cat(found).cpu() if found else torch.empty(0)


def _features(
    views: TileViews, net: Net, settings: CnnSettings, index: NDArray[np.intp]
) -> Iterator[Tensor]:
    """Yield each tile's features, (views, F), on the CPU."""
    net.eval()
    # always as many together: how many decides the last bits, and which are lacking must not
    parts = [np.resize(own, views.together) for own in batched(index, views.together)]

    def body(batch: Tensor) -> Tensor:
        found = _viewed(net.body, views, batch, settings, every=settings.views)
        return found.transpose(0, 1).cpu()

    found = (tile for batch in _each(body, views, parts) for tile in batch)
    yield from islice(found, len(index))


def _viewed(
    call: nn.Module, source: Source, batch: Tensor, settings: CnnSettings, *, every: bool
) -> Tensor:
    """Return what a network makes of each view of a batch: float32, shape (views, n, …)."""
    seen = []
    for view in source.views(batch, every=every):
        with autocast(view.device, settings.precision):
            seen.append(call(view).float())
    return torch.stack(seen)


def _each(
    call: Callable[[Tensor], Tensor], source: Source, parts: Sequence[NDArray[np.intp]]
) -> Iterator[Tensor]:
    """Call for every batch, in order."""
    for _, batch in source.batches(iter(parts)):
        with torch.inference_mode():
            found = call(batch)
        yield found
