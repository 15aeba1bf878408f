"""The two networks of our own, which learn from scratch.

`jackal`: the small net that first re-did Hamilton's task (BMC Bioinformatics 2007, 8:110) on
fields downscaled 8×. Its layers are those of TensorFlow's CIFAR-10 tutorial, after Krizhevsky's
cuda-convnet. That first version turned every image of a batch alike, drew its 50 test images with
repetition, and took the step that was best on the test set. Ours turns each tile by itself, scores
every tile once, and chooses on an inner split of the training folds; the layers start by He's rule.

`compact`: our own, the default from scratch. Notable:
- any number of channels, any tile of at least 16 × 16 pixels, square or not
- a 5×5 stem of stride 2: a 3×3 would see too little of a nucleus to tell its edge
- separable convolutions (Chollet, CVPR 2017) in residual pairs (He et al., CVPR 2016) that start
  as nothing, so that depth costs no warm-up
- the mean over all positions before the head: what is in a tile counts, not where
- written for two CPU cores: 0.13 M weights, 19 M multiplications for two channels of 128²
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Compact", "Jackal", "start"]


class Compact(nn.Module):
    """The body of `compact`: a stem, then stages at half the resolution of the one before.

    Parameters
    ----------
    channels : int
        Planes of a tile.
    widths : sequence of int, optional
        Filters of the stem and of each stage.
    pairs : int, optional
        Residual pairs of separable convolutions in a stage.

    Examples
    --------
    >>> import torch
    >>> tuple(Compact(channels=1, widths=(8, 16))(torch.zeros(2, 1, 32, 20)).shape)
    (2, 16)
    """

    def __init__(
        self, *, channels: int, widths: Sequence[int] = (16, 32, 96, 192), pairs: int = 1
    ) -> None:
        super().__init__()
        self.features = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        *stages, self.last = (
            nn.Sequential(
                *_separable(before, after, stride=2),
                nn.ReLU(inplace=True),
                *(_Residual(after) for _ in range(pairs)),
            )
            for before, after in pairwise(widths)
        )
        self.stages = nn.Sequential(*stages)
        start(self)

    def forward(self, tiles: Tensor) -> Tensor:
        """Map tiles (n, channels, y, x) to features (n, widths[-1])."""
        found: Tensor = self.last(self.stages(self.stem(tiles)))
        return found.mean(dim=(2, 3))


class _Residual(nn.Module):
    """What comes in, plus two separable convolutions of it: at first nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pair = nn.Sequential(
            *_separable(width, width), nn.ReLU(inplace=True), *_separable(width, width)
        )
        nn.init.zeros_(self.pair.get_parameter("6.weight"))

    def forward(self, found: Tensor) -> Tensor:
        return functional.relu(found + self.pair(found), inplace=True)


def _separable(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(before, before, 3, stride=stride, padding=1, groups=before, bias=False),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
    ]


class Jackal(nn.Module):
    """The body of `jackal`, for crops of 64 × 64 pixels.

    5×5 convolution of 64 filters, 3×3 maximum of stride 2, local response normalisation;
    convolution, normalisation and maximum again; 384 and 192 hidden units.

    Parameters
    ----------
    channels : int
        Planes of a tile.

    Examples
    --------
    >>> import torch
    >>> tuple(Jackal(channels=1)(torch.zeros(2, 1, 64, 64)).shape)
    (2, 192)
    """

    side: Final = 64
    features: Final = 192

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        filters = 64
        self.conv1 = nn.Conv2d(channels, filters, 5, padding=2)
        self.conv2 = nn.Conv2d(filters, filters, 5, padding=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.norm = _ResponseNorm(filters)
        self.hidden = nn.Sequential(
            nn.Linear(filters * (self.side // 4) ** 2, 384),
            nn.ReLU(inplace=True),
            nn.Linear(384, self.features),
            nn.ReLU(inplace=True),
        )
        start(self)

    def forward(self, tiles: Tensor) -> Tensor:
        """Map tiles (n, channels, 64, 64) to features (n, 192)."""
        found = self.norm(self.pool(functional.relu(self.conv1(tiles))))
        found = self.pool(self.norm(functional.relu(self.conv2(found))))
        features: Tensor = self.hidden(found.flatten(1))
        return features


class _ResponseNorm(nn.Module):
    """Local response normalisation over nine filters (Krizhevsky et al., NeurIPS 2012).

    A 1×1 convolution with a band of ones sums the squares: the pooling in 3-D of PyTorch's own
    has no deterministic backward on CUDA.
    """

    band: Tensor

    def __init__(self, filters: int) -> None:
        super().__init__()
        place = torch.arange(filters)
        near = (place[:, None] - place[None]).abs() <= 4
        self.register_buffer("band", near.float()[:, :, None, None], persistent=False)

    def forward(self, found: Tensor) -> Tensor:
        energy = functional.conv2d(found.square(), self.band)
        return found * (1 + 0.001 / 9 * energy).pow(-0.75)


def start(module: nn.Module) -> None:
    """Draw filters by He's rule for ReLU (ICCV 2015); biases start at zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
