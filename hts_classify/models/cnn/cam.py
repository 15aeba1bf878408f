"""Where in a tile a network sees a class: gradient-weighted class activation maps.

Selvaraju et al., Grad-CAM (ICCV 2017; IJCV 2020, 128:336, doi 10.1007/s11263-019-01228-7): the
last feature map that still has places, its filters weighted by the mean gradient of the class's
logit, what speaks against the class left out. A map is as coarse as that feature map is; it says
where the network looked, not what it saw there, nor that the class is to be seen there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["class_maps", "last_map"]


class _Place(NamedTuple):
    """A module's output, by which of its calls."""

    module: nn.Module
    call: int


def class_maps(net: nn.Module, tiles: Tensor) -> Tensor:
    """Return each class's activation map of each tile, as the network sees it upright.

    The network is put into evaluation mode, as by scoring. Whether its parameters learn, and
    their gradients, are left as they are, and so are PyTorch's random generators.

    Parameters
    ----------
    net : Module
        Tiles, float32 (n, channels, y, x), to logits (n, classes). Give it as it was made: of one
        whose batch norms were folded the blocks are taken apart, and its last layer is a branch.
    tiles : Tensor
        Prepared tiles.

    Returns
    -------
    Tensor of float32, shape (n, classes, y, x)
        On the CPU, at the resolution of the feature map. The largest value of a map is 1; where
        nothing speaks for a class its map is zero everywhere.

    References
    ----------
    Selvaraju et al., IJCV 2020, 128:336, section 3.

    Examples
    --------
    >>> from hts_classify.models.cnn.networks import Net
    >>> from hts_classify.models.cnn.scratch import Compact
    >>> net = Net(Compact(channels=1), features=192, classes=2, dropout=0.0)
    >>> maps = class_maps(net, torch.rand(3, 1, 64, 32))
    >>> tuple(maps.shape), bool(maps.any())  # a head of zeros has no opinion
    ((3, 2, 4, 2), False)
    """
    net.eval()
    place, found = last_map(net, tiles[:1]), list[Tensor]()

    def cut(output: Tensor) -> Tensor:
        """Put a leaf in the output's place: what comes before it needs no gradient."""
        found.append(output.detach().clone().requires_grad_())
        torch.set_grad_enabled(True)  # until the block below ends
        return found[0].clone()  # the next layer may write into what it is given

    with torch.no_grad():
        with _hooked(place, cut):
            logits = net(tiles)
        maps = []
        for number in range(logits.shape[1]):
            (slopes,) = torch.autograd.grad(logits[:, number].sum(), found, retain_graph=True)
            weights = slopes.mean(dim=(2, 3), keepdim=True)
            maps.append((weights * found[0].detach()).sum(dim=1).relu())
    together = torch.stack(maps, dim=1).detach().float().cpu()
    peaks = together.amax(dim=(2, 3), keepdim=True)
    return together / torch.where(peaks > 0, peaks, 1.0)


def last_map(net: nn.Module, tiles: Tensor) -> _Place:
    """Find the last output of a module that has four dimensions and more than one place.

    It is the outermost such module's: a residual block's, with what goes past its convolutions.

    Raises
    ------
    LookupError
        When there is none: the tile is a single place from the first layer on.
    """
    calls: dict[nn.Module, int] = {}
    last: list[_Place] = []

    def look(module: nn.Module, _inputs: Any, output: Any) -> None:
        calls[module] = calls.get(module, -1) + 1
        if isinstance(output, Tensor) and output.dim() == 4 and output[0, 0].numel() > 1:
            last[:] = [_Place(module, calls[module])]

    hooks = [module.register_forward_hook(look) for module in net.modules()]
    try:
        with torch.no_grad():
            net(tiles)
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        raise LookupError("no layer of the network has more than one place of this tile")
    return last[0]


@contextmanager
def _hooked(place: _Place, cut: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let a function stand in for what a module returns, at one of its calls."""
    calls = count()

    def look(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        return cut(output) if next(calls) == place.call else None

    hook = place.module.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()
