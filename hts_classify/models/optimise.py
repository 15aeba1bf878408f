"""How a network learns: batches, steps, schedule, and when to stop.

Everything random is drawn from a generator of its own or, for dropout, from PyTorch's global
one, which the caller has seeded; so a seed and a thread count decide every weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..errors import DataError, UsageError
from .cnn import LEAST_TILE
from .preprocess import orient, orientations, standardise
from .protocol import Inputs
from .settings import CnnSettings

__all__ = ["Examples", "Found", "Tiles", "class_weights", "learn", "logits", "planned", "search"]

ROUNDS: Final = 20
"""Times that a search looks at its judging half, evenly over the steps planned."""

_WARM_UP: Final = 0.1
"""Share of the steps over which the rate rises; batch norm's statistics settle meanwhile."""

_LAST_RATE: Final = 0.01
"""Share of the peak rate that the cosine ends at."""

_READ: Final = 64
"""Tiles read at a time: far below what any machine holds, enough to keep its cores busy."""


class Tiles:
    """Prepared tiles by index, read when asked for unless they are kept.

    Parameters
    ----------
    inputs : Inputs
        Raw tiles, shape (n, c, y, x), any real type.
    device : torch.device
        Where batches go.
    prepare : callable
        Raw tiles to what the network sees.

    Raises
    ------
    DataError
        For tiles that are not (n, c, y, x), too small, or hold values that are not finite.
    """

    def __init__(
        self,
        inputs: Inputs,
        *,
        device: torch.device,
        prepare: Callable[[Tensor], Tensor] = standardise,
    ) -> None:
        self._inputs, self._device, self._prepare = inputs, device, prepare
        self._kept: Tensor | None = None
        self.shape = tile_shape(inputs)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self._inputs)

    def __getitem__(self, index: NDArray[np.intp]) -> Tensor:
        """Return these tiles as one float32 batch on the device."""
        if self._kept is None:
            batch = self._prepare(_read(self._inputs, index))
        else:
            batch = self._kept[torch.from_numpy(index)]
        return batch.to(self._device, memory_format=torch.channels_last)

    def keep(self, most_mib: int) -> None:
        """Keep every prepared tile in memory if they take no more than this."""
        if 0 < len(self) * math.prod(self.shape) * 4 <= most_mib * 2**20:
            self._kept = torch.cat([self._prepare(tiles) for tiles in raw_batches(self._inputs)])


def tile_shape(inputs: Inputs) -> tuple[int, int, int]:
    """Return one tile's channels, rows and columns; `DataError` if no network takes them."""
    shape = np.shape(inputs[np.arange(min(1, len(inputs)))])
    if len(shape) != 4 or not shape[1] or min(shape[2:]) < LEAST_TILE:
        raise DataError(
            f"tiles of shape {shape[1:]}",
            remedy=f"give (channels, y, x) with at least {LEAST_TILE} pixels along y and x",
        )
    return int(shape[1]), int(shape[2]), int(shape[3])


def raw_batches(inputs: Inputs) -> Iterator[Tensor]:
    """Read every tile once, a batch at a time, as float32."""
    for part in batched(np.arange(len(inputs)), _READ):
        yield _read(inputs, part)


def _read(inputs: Inputs, index: NDArray[np.intp]) -> Tensor:
    raw = np.array(inputs[index], dtype=np.float32, order="C")
    if not (finite := np.isfinite(raw).all(axis=(1, 2, 3))).all():
        raise DataError(
            "the tile holds values that are not finite",
            where=f"example {int(index[~finite][0])}",
            remedy="leave the example out",
        )
    return torch.from_numpy(raw)


@dataclass(frozen=True)
class Examples:
    """Some of the tiles, to learn from or to judge on."""

    tiles: Tiles
    """All of them."""
    numbers: NDArray[np.intp]
    """Class of each of all the tiles."""
    index: NDArray[np.intp]
    """Which of them are meant."""
    classes: int
    """Number of classes."""


@dataclass(frozen=True)
class Found:
    """What a search ended with."""

    steps: int
    """Steps after which the judged loss was lowest."""
    taken: int
    """Steps taken in all."""
    loss: float
    """The lowest judged loss: cross-entropy, each class counting alike."""
    weights: dict[str, Tensor]
    """The network's state at that step."""


def steps_in_a_pass(examples: int, batch: int) -> int:
    """Return how many batches a pass has, none of which is a single tile.

    Batch norm has no spread to divide by when one tile gives one position.

    Examples
    --------
    >>> steps_in_a_pass(12, 32), steps_in_a_pass(33, 32), steps_in_a_pass(3, 2)
    (1, 2, 1)
    """
    return max(1, min(math.ceil(examples / batch), examples // 2))


def planned(examples: int, settings: CnnSettings) -> int:
    """Return the steps planned for so many examples.

    Examples
    --------
    >>> planned(12, CnnSettings(steps=150, epochs=12)), planned(9_600, CnnSettings(epochs=10))
    (150, 3000)
    """
    return max(settings.steps, settings.epochs * steps_in_a_pass(examples, settings.batch))


def class_weights(numbers: NDArray[np.intp], classes: int) -> Tensor:
    """Return a weight for each class with which all count alike; their mean over examples is 1.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]), 2).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.bincount(numbers, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(numbers) / (present * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def learn(
    net: nn.Module, examples: Examples, *, steps: int, settings: CnnSettings, seed: int
) -> Iterator[int]:
    """Take one optimiser step for each item that is asked for; yields the steps done.

    AdamW (Loshchilov and Hutter, ICLR 2019) with a linear warm-up and a cosine to the end.
    """
    device = next(net.parameters()).device
    weights = class_weights(examples.numbers[examples.index], examples.classes).to(device)
    optimiser = _optimiser(net, settings)
    batches = _batches(examples, batch=settings.batch, seed=seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _rate((step + 1) / steps)
        tiles, numbers = next(batches)
        net.train()
        losses = functional.cross_entropy(
            net(tiles), numbers.to(device), weight=weights, reduction="none"
        )
        optimiser.zero_grad()
        # the plain mean: dividing by a batch's weights would undo them where classes are rare
        torch.autograd.backward(losses.mean())
        optimiser.step()
        yield step + 1


def search(
    net: nn.Module,
    examples: Examples,
    judged: Examples,
    *,
    settings: CnnSettings,
    seed: int,
    on_round: Callable[[int, int], None],
) -> Found:
    """Learn until the judged loss has not fallen for `patience` rounds, or to the plan's end.

    The network is left as it was after the last step; `Found` holds the best state.
    """
    steps = planned(len(examples.index), settings)
    looks = set(np.linspace(0, steps, ROUNDS + 1).round().astype(int).tolist())
    best, since, rounds = Found(0, 0, math.inf, {}), 0, 0
    for done in learn(net, examples, steps=steps, settings=settings, seed=seed):
        if done not in looks:
            continue
        rounds += 1
        on_round(rounds, len(looks) - 1)
        since += 1
        if (loss := judged_loss(net, judged)) < best.loss:
            state = {key: value.clone() for key, value in net.state_dict().items()}
            best, since = Found(done, done, loss, state), 0
        if since >= settings.patience:
            break
    if not best.weights:
        raise UsageError("the judged loss was never finite", remedy="lower the learning rate")
    return replace(best, taken=done)


def judged_loss(net: nn.Module, examples: Examples) -> float:
    """Return the cross-entropy over examples, each class that they hold counting alike."""
    numbers = examples.numbers[examples.index]
    return float(
        functional.cross_entropy(
            logits(net, examples.tiles, examples.index),
            torch.from_numpy(numbers),
            weight=class_weights(numbers, examples.classes),
        )
    )


def logits(net: nn.Module, tiles: Tiles, index: NDArray[np.intp]) -> Tensor:
    """Return the mean logits over every orientation of each tile, on the CPU.

    A well turned upside down shows the same; the mean says so whatever the network learned, and
    is steadier than any one view of the few tiles that a plate has.
    """
    net.eval()
    found = [torch.empty(0)]
    with torch.inference_mode():
        for part in batched(index, _READ):
            batch = tiles[part]
            views, ones = orientations(batch), torch.ones(len(part), dtype=torch.long)
            ones = ones.to(batch.device)
            total = sum(net(orient(batch, ones * view)) for view in range(views))
            found.append((total / views).cpu())
    return torch.cat(found[1:]) if len(found) > 1 else found[0]


def batched(index: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Cut indices into runs of at most `size`."""
    for start in range(0, len(index), size):
        yield index[start : start + size]


def _batches(examples: Examples, *, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end: each pass shuffled, each tile in an orientation of its own."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.from_numpy(examples.numbers)
    while True:
        order = examples.index[torch.randperm(len(examples.index), generator=generator).numpy()]
        for part in np.array_split(order, steps_in_a_pass(len(order), batch)):
            tiles = examples.tiles[part]
            turns = torch.randint(orientations(tiles), (len(part),), generator=generator)
            yield orient(tiles, turns.to(tiles.device)), numbers[torch.from_numpy(part)]


def _optimiser(net: nn.Module, settings: CnnSettings) -> torch.optim.AdamW:
    parameters = list(net.parameters())
    groups: list[dict[str, Any]] = [
        {
            "params": [value for value in parameters if value.ndim > 1],
            "weight_decay": settings.weight_decay,
        },
        # decaying the scale of a norm or a bias simplifies nothing
        {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _rate(progress: float) -> float:
    if progress < _WARM_UP:
        return progress / _WARM_UP
    turn = math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))
    return _LAST_RATE + (1 - _LAST_RATE) * (1 + turn) / 2
