"""The bare network that `cnn_vs_bare` compares with: no more than its calls, on tensors ready on
the device, in the layout that is faster; and the tiles, seeded, made in NumPy.

Everything here needs PyTorch, torchvision and NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hts_classify.models.cnn.device import autocast
from hts_classify.models.cnn.networks import make_network
from hts_classify.models.settings import CnnSettings

__all__ = ["CLASSES", "Bare", "made", "named", "seconds", "turns"]

CLASSES = 4
LAYOUTS = {torch.channels_last: "channels last", torch.contiguous_format: "channels first"}


def made(numbers: NDArray[np.intp], channels: int, side: int) -> NDArray[np.uint16]:
    """Make raw tiles of these classes: noise over stripes whose spacing tells them apart."""
    rng = np.random.default_rng(0)
    tiles = rng.integers(80, 180, (len(numbers), channels, side, side), dtype=np.uint16)
    for number in np.unique(numbers):
        tiles[numbers == number, :, :: int(number) + 3] += np.uint16(60)
    return tiles


def named(numbers: NDArray[np.intp]) -> list[str]:
    """Name each tile's class."""
    return [f"class {number}" for number in numbers]


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Time one call, until the device has done what it was asked."""
    wait(device)
    start = perf_counter()
    call()
    wait(device)
    return perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def turns(
    calls: Sequence[Callable[[], Any]], rounds: int, device: torch.device
) -> NDArray[np.float64]:
    """Time calls in turn, A B A B, after a round that is not counted: shape (calls, rounds)."""
    timed = [[seconds(call, device) for call in calls] for _ in range(rounds + 1)]
    return np.array(timed[1:]).T


@dataclass(frozen=True)
class Bare:
    """One network on tiles that are ready."""

    settings: CnnSettings
    tiles: NDArray[Any]
    device: torch.device

    def network(self, layout: torch.memory_format = torch.channels_last) -> nn.Module:
        """Make it, with the weights that the settings name or fresh ones."""
        torch.manual_seed(0)
        net = make_network(
            self.settings, channels=self.tiles.shape[1], classes=CLASSES, say=lambda text: None
        )
        return net.to(self.device, memory_format=layout)

    def ready(self, layout: torch.memory_format = torch.channels_last) -> Tensor:
        """Return the tiles as the network takes them."""
        tiles = torch.from_numpy(self.tiles.astype(np.float32)).to(self.device)
        return ((tiles - tiles.mean()) / tiles.std()).contiguous(memory_format=layout)

    def inference(
        self, batches: Sequence[int], *, times: int = 1
    ) -> tuple[Callable[[], Tensor], str]:
        """Return the fastest of some ways to call it on all tiles, `times` over, and its name.

        The ways differ in the size of a batch, in the layout and, on a GPU, in what computes in
        bfloat16: the operations (autocast) or the whole network.
        """
        ways = {}
        for layout, word in LAYOUTS.items():
            net, ready = self.network(layout).eval(), self.ready(layout)
            for batch in batches:
                parts = ready.split(batch) * times
                ways[f"batches of {batch}, {word}"] = partial(self._call, net, parts)
        if self.device.type == "cuda":
            whole, half = self.network().eval().bfloat16(), self.ready().bfloat16()
            for batch in batches:
                parts = half.split(batch) * times
                ways[f"batches of {batch}, bfloat16 weights"] = partial(self._call, whole, parts)
        return self._fastest(ways)

    def training(self, batch: int, steps: int) -> tuple[Callable[[], None], str]:
        """Return so many steps of forward, backward and AdamW, in the faster layout."""
        few, ways = {}, {}
        for layout, word in LAYOUTS.items():
            net, ready = self.network(layout).train(), self.ready(layout)
            numbers = torch.arange(len(ready), device=self.device) % CLASSES
            optimiser = torch.optim.AdamW(net.parameters(), fused=True)
            parts = list(zip(ready.split(batch), numbers.split(batch), strict=True))
            ways[word] = partial(self._learn, net, optimiser, parts, steps)
            few[word] = partial(self._learn, net, optimiser, parts, min(steps, 5))
        _, best = self._fastest(few)
        return ways[best], best

    def _fastest(self, ways: dict[str, Callable[[], Any]]) -> tuple[Callable[[], Any], str]:
        timed = [{name: seconds(call, self.device) for name, call in ways.items()} for _ in "123"]
        best = min(ways, key=lambda name: min(one[name] for one in timed[1:]))
        return ways[best], best

    def _call(self, net: nn.Module, parts: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode(), autocast(self.device, "auto"):
            return torch.cat([net(part) for part in parts]).cpu()

    def _learn(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        parts: Sequence[tuple[Tensor, Tensor]],
        steps: int,
    ) -> None:
        for step in range(steps):
            tiles, truth = parts[step % len(parts)]
            with autocast(self.device, "auto"):
                loss = functional.cross_entropy(net(tiles), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
