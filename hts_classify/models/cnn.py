"""The networks, and nothing else: what each computes, not how it learns.

Notable about `small`:
- any number of channels, any tile of at least 16 × 16 pixels, square or not
- four strided convolutions, no pooling between them: every layer's cost falls with its size
- batch norm after every convolution, so no convolution has a bias
- the mean over all positions before one linear layer: what is in a tile counts, not where
- written for one or two CPU cores: 0.1 M weights, 17 M multiplications for two channels of 128²
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from torch import Tensor, nn

from ..errors import UsageError

__all__ = ["ARCHITECTURES", "LEAST_TILE", "Small", "build", "check_architecture"]

LEAST_TILE: Final = 16
"""Fewest pixels along a side: four halvings leave one position."""


class Small(nn.Module):
    """A network that twelve fields can train and a laptop can run over a plate.

    Parameters
    ----------
    channels, classes : int
        Planes of a tile; numbers it answers with.
    dropout : float
        Share of pooled filters left out in a training step.

    Examples
    --------
    >>> import torch
    >>> net = Small(channels=2, classes=3, dropout=0.0).eval()
    >>> tuple(net(torch.zeros(5, 2, 16, 40)).shape)
    (5, 3)
    """

    def __init__(self, *, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        # 5×5 first: after a stride of 2, a 3×3 would see too little of a nucleus to tell its edge
        layers = [_conv(channels, widths[0], size=5)]
        layers += [_conv(before, after, size=3) for before, after in pairwise(widths)]
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        # no opinion before the first step, so the first losses are comparable between seeds
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tiles: Tensor) -> Tensor:
        """Map tiles (n, channels, y, x) to logits (n, classes)."""
        found: Tensor = self.body(tiles)
        # a plain mean: AdaptiveAvgPool2d has no deterministic backward on CUDA
        logits: Tensor = self.head(self.dropout(found.mean(dim=(2, 3))))
        return logits


def _conv(before: int, after: int, *, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride=2, padding=size // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


ARCHITECTURES: Final[dict[str, Callable[..., nn.Module]]] = {"small": Small}
"""Networks by the name that settings and saved models carry."""


def check_architecture(name: str) -> None:
    """Refuse a name that no network has with `UsageError`."""
    if name not in ARCHITECTURES:
        raise UsageError(
            f"no architecture is called {name!r}", remedy=f"use {' or '.join(ARCHITECTURES)}"
        )


def build(name: str, *, channels: int, classes: int, dropout: float) -> nn.Module:
    """Make a network with fresh weights from PyTorch's global generator."""
    check_architecture(name)
    return ARCHITECTURES[name](channels=channels, classes=classes, dropout=dropout)
