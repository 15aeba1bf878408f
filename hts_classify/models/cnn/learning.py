"""How a network learns, a step at a time: batches, loss, rate, averaged weights.

All that is random in a step follows from the seed and the step's number, so that a fit which was
stopped goes on to the same weights, and a checkpoint holds no generator's state.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...errors import DataError, UsageError
from ..settings import CnnSettings
from .device import autocast, is_memory_error
from .networks import Net, learned, train_mode

__all__ = ["Examples", "Learner", "Pace", "Round", "Source", "class_weights", "steps_in_a_pass"]

_LAST_RATE: Final = 0.01
"""Share of the peak rate that the cosine ends at."""

_PASS, _STEP = 1, 2  # what a seed is for


class Source(Protocol):
    """Batches of what a network sees: tiles, or what a frozen body made of them."""

    @property
    def together(self) -> int:
        """Examples that are best scored together."""
        ...

    def batches(
        self, indices: Iterator[NDArray[np.intp]]
    ) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Yield (indices, batch) for each of many batches."""
        ...

    def __getitem__(self, index: NDArray[np.intp]) -> Tensor:
        """Return one batch."""
        ...

    def varied(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Return a training batch, every example varied in its own way."""
        ...

    def views(self, batch: Tensor, *, every: bool) -> Iterator[Tensor]:
        """Yield the batch as it is scored: in one view, or in every one."""
        ...


@dataclass(frozen=True)
class Examples:
    """Some of the examples, to learn from or to judge on."""

    source: Source
    """All of them."""
    numbers: NDArray[np.intp]
    """Class of each of all the examples."""
    index: NDArray[np.intp]
    """Which of them are meant."""
    classes: int
    """Number of classes."""


@dataclass(frozen=True)
class Pace:
    """How far and how fast a fit goes."""

    steps: int
    """Steps planned: the schedule ends there."""
    rate: float
    """Peak learning rate."""
    decay: float
    """Weight decay."""
    seed: int


@dataclass(frozen=True)
class Round:
    """What some steps showed: means over their batches."""

    step: int
    rate: float
    loss: float
    accuracy: float


def steps_in_a_pass(examples: int, batch: int) -> int:
    """Return how many batches a pass has, none of which is a single tile.

    Batch norm has no spread to divide by when one tile gives one position.

    Examples
    --------
    >>> steps_in_a_pass(12, 32), steps_in_a_pass(33, 32), steps_in_a_pass(3, 2)
    (1, 2, 1)
    """
    return max(1, min(math.ceil(examples / batch), examples // 2))


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


class Learner:
    """A network, its optimiser and the average of its weights, all of a fit's state in one place.

    AdamW (Loshchilov and Hutter, ICLR 2019); the weights that are judged and kept are a moving
    average (Polyak and Juditsky, SIAM Journal on Control and Optimization 1992, 30:838).

    Parameters
    ----------
    net : Net
        It learns in place.
    examples : Examples
        What it learns from.
    settings : CnnSettings
        Everything but the pace.
    pace : Pace
        Steps, rate, decay and seed.
    say : callable
        Told when a batch had to be cut.

    Attributes
    ----------
    averaged : Net
        The network with averaged weights, in evaluation mode.
    step : int
        Steps taken.
    parts : int
        Parts in which a batch goes through the network; more than 1 after memory ran out.
    """

    def __init__(
        self,
        net: Net,
        examples: Examples,
        *,
        settings: CnnSettings,
        pace: Pace,
        say: Callable[[str], None],
    ) -> None:
        self.net, self._examples, self._settings, self.pace = net, examples, settings, pace
        self._say = say
        self.step, self.parts = 0, 1
        self._device = next(net.parameters()).device
        self._optimiser = _optimiser(learned(net, settings), pace)
        self.averaged = copy.deepcopy(net).eval().requires_grad_(False)
        self._call: Callable[[Tensor], Tensor] = _compiled(net, settings)
        own = examples.numbers[examples.index]
        weighted = settings.learning.balance == "weights"
        self._weights = class_weights(own, examples.classes).to(self._device) if weighted else None
        self._numbers = torch.from_numpy(examples.numbers).to(self._device)

    def run(self, until: int) -> Round:
        """Take steps up to this number.

        Raises
        ------
        DataError
            When the loss is no longer finite.
        UsageError
            When memory does not hold two tiles.
        """
        train_mode(self.net, self._settings)
        losses = torch.zeros((), device=self._device)
        hits, seen, first, rate = torch.zeros_like(losses), 0, self.step, 0.0
        for index, batch in self._examples.source.batches(self._indices(first, until)):
            rate = self.pace.rate * self._rate((self.step + 1) / self.pace.steps)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            loss, right = self._learn(batch, self._numbers[torch.from_numpy(index)])
            self._average()
            self.step += 1
            losses, hits, seen = losses + loss, hits + right, seen + len(index)
        mean = float(losses) / max(1, self.step - first)
        if not math.isfinite(mean):
            raise DataError(
                f"the loss is no longer finite after {self.step} steps at a rate of {rate:.2g}",
                remedy="lower the learning rate, or look for tiles with absurd grey levels",
            )
        return Round(self.step, rate, mean, float(hits) / max(1, seen))

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that the next step follows from."""
        tensors = {f"net.{key}": value for key, value in self.net.state_dict().items()}
        tensors |= {f"averaged.{key}": value for key, value in self.averaged.state_dict().items()}
        for number, held in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": value for key, value in held.items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], *, step: int, parts: int) -> None:
        """Go back to what `state` returned at this step."""
        self.net.load_state_dict(_under("net", tensors))
        self.averaged.load_state_dict(_under("averaged", tensors))
        groups = self._optimiser.state_dict()["param_groups"]
        weights = [value for group in self._optimiser.param_groups for value in group["params"]]
        held: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimiser", tensors).items():
            number, _, key = name.partition(".")
            own = weights[int(number)]
            if value.shape == own.shape:  # the fused optimiser takes it to lie in the same order
                value = torch.empty_like(own).copy_(value)
            held.setdefault(int(number), {})[key] = value
        self._optimiser.load_state_dict({"state": held, "param_groups": groups})
        self.step, self.parts = step, parts

    def _indices(self, first: int, until: int) -> Iterator[NDArray[np.intp]]:
        """Yield the batches of these steps; each pass is shuffled by itself."""
        index = self._examples.index
        count = steps_in_a_pass(len(index), self._settings.learning.batch)
        lap, parts = -1, []
        for step in range(first, until):
            if step // count != lap:
                lap = step // count
                parts = np.array_split(self._order(lap), count)
            yield parts[step % count]

    def _order(self, lap: int) -> NDArray[np.intp]:
        """Return the examples of a pass, in the order in which they are shown."""
        index, generator = self._examples.index, _generator(self.pace.seed, _PASS, lap)
        if self._settings.learning.balance == "sampling":
            own = self._examples.numbers[index]
            shares = class_weights(own, self._examples.classes)[torch.from_numpy(own)]
            drawn = torch.multinomial(shares, len(index), True, generator=generator)
        else:
            drawn = torch.randperm(len(index), generator=generator)
        shown: NDArray[np.intp] = index[drawn.numpy()]
        return shown

    def _learn(self, batch: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step; return the batch's mean loss and how many it called right."""
        generator = _generator(self.pace.seed, _STEP, self.step)
        batch = self._examples.source.varied(batch, generator)
        dropping = int(torch.randint(2**62, (), generator=generator))
        while True:
            torch.manual_seed(dropping)
            self._optimiser.zero_grad()
            try:
                found = self._backward(batch, numbers)
                self._optimiser.step()
                return found
            except RuntimeError as error:
                if not is_memory_error(error):
                    raise
            self._halve(len(batch), tuple(batch.shape[1:]))

    def _backward(self, batch: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        total, right = batch.new_zeros(()), batch.new_zeros(())
        for part, own in zip(
            batch.tensor_split(self.parts), numbers.tensor_split(self.parts), strict=True
        ):
            with autocast(self._device, self._settings.precision):
                logits = self._call(part)
            losses = functional.cross_entropy(
                logits.float(),
                own,
                weight=self._weights,
                reduction="none",
                label_smoothing=self._settings.learning.smoothing,
            )
            # the plain mean: dividing by a batch's weights would undo them where classes are rare
            loss = losses.sum() / len(batch)
            torch.autograd.backward(loss)
            total, right = total + loss.detach(), right + (logits.argmax(dim=1) == own).sum()
        return total, right

    def _halve(self, batch: int, shape: tuple[int, ...]) -> None:
        self._optimiser.zero_grad()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if batch // (2 * self.parts) < 2:
            raise UsageError(
                f"memory does not hold the training of two tiles of {shape}",
                remedy="use a smaller network or tile size, or a device with more memory",
            )
        self.parts *= 2
        self._say(
            f"memory ran out: batches of {batch} now go through the network in {self.parts} parts"
        )

    def _average(self) -> None:
        """Move the averaged weights towards the present ones; quickly while there are few."""
        decay = min(self._settings.learning.average, (1 + self.step) / (10 + self.step))
        mine, theirs = self.averaged.state_dict(), self.net.state_dict()
        real = [key for key, value in mine.items() if value.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([mine[k] for k in real], [theirs[k] for k in real], 1 - decay)
            for key in mine.keys() - set(real):
                mine[key].copy_(theirs[key])

    def _rate(self, progress: float) -> float:
        """Return the share of the peak rate after this share of the steps."""
        onecycle = self._settings.learning.schedule == "onecycle"
        rise, last = (0.3, 1e-4) if onecycle else (0.1, _LAST_RATE)
        if progress < rise:
            return progress / rise
        turn = math.cos(math.pi * (progress - rise) / (1 - rise))
        return last + (1 - last) * (1 + turn) / 2


def _generator(seed: int, *purpose: int) -> torch.Generator:
    mixed = np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


def _under(stem: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{stem}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}


def _compiled(net: nn.Module, settings: CnnSettings) -> Callable[[Tensor], Tensor]:
    if not settings.compile:
        return net
    on_gpu = next(net.parameters()).is_cuda
    call: Callable[[Tensor], Tensor] = torch.compile(
        net, mode="reduce-overhead" if on_gpu else None
    )
    return call


def _optimiser(parameters: list[nn.Parameter], pace: Pace) -> torch.optim.AdamW:
    groups: list[dict[str, Any]] = [
        {
            "params": [value for value in parameters if value.ndim > 1],
            "weight_decay": pace.decay,
        },
        # decaying the scale of a norm or a bias simplifies nothing
        {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
    ]
    # one pass over the weights instead of ten: a fifth of a ResNet-50's step on a CPU
    return torch.optim.AdamW(groups, lr=pace.rate, fused=True)
