"""The networks: what each computes, and which part of it learns; not how.

Every one is a body that pools a tile into features, dropout, and a linear head.

`compact` and `jackal` are our own (`scratch`). The others are torchvision's, without auxiliary
heads: ResNet-50 (He et al., CVPR 2016), Inception v3 (Szegedy et al., CVPR 2016), DenseNet-121
(Huang et al., CVPR 2017), MobileNetV2 (Sandler et al., CVPR 2018), SqueezeNet 1.1 (Iandola et al.,
arXiv:1602.07360), EfficientNet-B0 (Tan and Le, ICML 2019), ConvNeXt-T (Liu et al., CVPR 2022);
and timm's Inception-ResNet v2 (Szegedy et al., AAAI 2017), the third of Kensert et al., SLAS
Discovery 2019. SqueezeNet's linear layer comes after the pooling, as in the rest, not before it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node, symbolic_trace
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...errors import DataError
from ..settings import NETWORKS, CnnSettings
from .scratch import Compact, Jackal, start
from .weights import imagenet, read_weights, start_from, timm

__all__ = [
    "PARTS",
    "Net",
    "Parts",
    "check_tile",
    "folded",
    "learned",
    "make_network",
    "train_mode",
]


class Parts(NamedTuple):
    """Where in a body, by its own names, the parts are that are replaced or learned."""

    first: str
    """The convolution that sees the channels."""
    last: tuple[str, ...]
    """The last block: all that computes from the last downsampling on."""
    head: str = ""
    """What gave the classes of ImageNet, and now gives the features."""
    features: int = 0
    """How many."""


PARTS: Final[dict[str, Parts]] = {
    "compact": Parts("stem.0", ("last",)),
    "jackal": Parts("conv1", ("hidden",)),
    "resnet50": Parts("conv1", ("layer4",), "fc", 2048),
    "inception_v3": Parts("Conv2d_1a_3x3.conv", ("Mixed_7a", "Mixed_7b", "Mixed_7c"), "fc", 2048),
    "densenet121": Parts(
        "features.conv0", ("features.denseblock4", "features.norm5"), "classifier", 1024
    ),
    "mobilenet_v2": Parts(
        "features.0.0", tuple(f"features.{i}" for i in range(14, 19)), "classifier", 1280
    ),
    "squeezenet1_1": Parts(
        "features.0", tuple(f"features.{i}" for i in range(9, 13)), "classifier", 512
    ),
    "efficientnet_b0": Parts(
        "features.0.0", ("features.6", "features.7", "features.8"), "classifier", 1280
    ),
    "convnext_tiny": Parts(
        "features.0.0", ("features.6", "features.7", "classifier.0"), "classifier.2", 768
    ),
    "inception_resnet_v2": Parts(
        "conv2d_1a.conv", ("mixed_7a", "repeat_2", "block8", "conv2d_7b"), "classif", 1536
    ),
}
"""Of every network, what `tune` and weights from elsewhere need to know."""


class Net(nn.Module):
    """A body, dropout and a linear head.

    The head starts at zero: no opinion before the first step, so that the first losses are
    comparable between seeds, and the first step leaves the body as it was.

    Parameters
    ----------
    body : Module
        Tiles, float32 (n, channels, y, x), to features (n, features).
    features, classes : int
        Numbers that go into the head, and come out of it.
    dropout : float
        Share of features left out in a training step.
    crop : int, optional
        Side in pixels of the square crops of a tile that it takes; 0: it takes whole tiles.

    Examples
    --------
    >>> import torch
    >>> net = Net(Compact(channels=2), features=192, classes=3, dropout=0.1)
    >>> tuple(net(torch.zeros(5, 2, 16, 40)).shape)
    (5, 3)
    """

    def __init__(
        self, body: nn.Module, *, features: int, classes: int, dropout: float, crop: int = 0
    ) -> None:
        super().__init__()
        self.body, self.crop = body, crop
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tiles: Tensor) -> Tensor:
        """Map tiles (n, channels, y, x) to logits (n, classes)."""
        logits: Tensor = self.head(self.dropout(self.body(tiles)))
        return logits


def make_network(
    settings: CnnSettings, *, channels: int, classes: int, say: Callable[[str], None]
) -> Net:
    """Make a network with fresh weights from PyTorch's global generator, or with those asked for.

    Parameters
    ----------
    settings : CnnSettings
        Its name, dropout and weights.
    channels, classes : int
        Planes of a tile; numbers it answers with.
    say : callable
        Told in a sentence which weights were taken and what of them was left out.

    Raises
    ------
    ModelError
        For weights that cannot be had, are damaged, or do not fit.
    UsageError
        For a network whose package is absent.

    Examples
    --------
    >>> import torch
    >>> net = make_network(CnnSettings(network="jackal"), channels=1, classes=2, say=print)
    >>> net.crop, tuple(net(torch.zeros(3, 1, 64, 64)).shape)
    (64, (3, 2))
    """
    name, dropout = settings.network, settings.learning.dropout
    body, features = _body(name, channels)
    crop = Jackal.side if name == "jackal" else 0
    net = Net(body, features=features, classes=classes, dropout=dropout, crop=crop)
    if settings.weights:
        fetched = settings.weights == "imagenet"
        tensors = imagenet(name) if fetched else read_weights(Path(settings.weights))
        parts = PARTS[name]
        start_from(
            net, tensors, first=parts.first, head=parts.head, where=settings.weights, say=say
        )
    return net


def learned(net: Net, settings: CnnSettings) -> list[nn.Parameter]:
    """Return the parameters that `settings.tune` lets learn, and freeze the others.

    Examples
    --------
    >>> net = Net(Compact(channels=1), features=192, classes=2, dropout=0.0)
    >>> head = CnnSettings(weights="screen.safetensors", tune="head")
    >>> [tuple(value.shape) for value in learned(net, head)]
    [(2, 192), (2,)]
    """
    net.requires_grad_(False)
    for module in _learning(net, settings):
        module.requires_grad_(True)
    return [value for value in net.parameters() if value.requires_grad]


def train_mode(net: Net, settings: CnnSettings) -> None:
    """Put a network into training mode, but what is frozen, and batch norms that came with weights.

    The few and like tiles of a plate would move their means and deviations away from what the
    filters were made for; and where they are folded into the filters, there is nothing to move.
    """
    net.eval()
    for module in _learning(net, settings):
        module.train()
    net.dropout.train()
    if settings.weights:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def folded(net: nn.Module) -> nn.Module:
    """Return a network or a body that answers alike, its batch norms folded into the filters.

    Without them a batch goes through the caches once less for each: on a CPU `compact` scores
    a third faster. Those that follow no convolution stay as they are, and timm's, which are more
    than a batch norm. While it is made, no other thread may call a network: torch.fx records what
    modules are called.

    Examples
    --------
    >>> import torch
    >>> net = Net(Compact(channels=1), features=192, classes=2, dropout=0.5)
    >>> sum(isinstance(part, nn.BatchNorm2d) for part in folded(net).modules())
    0
    """
    made = symbolic_trace(copy.deepcopy(net).eval())
    for norm in made.graph.nodes:
        conv = norm.args[0] if norm.args else None
        module, before = _module(made, norm), _module(made, conv)
        # a batch norm that does more, as timm's with their ReLU, is another type
        if type(module) is nn.BatchNorm2d and isinstance(before, nn.Conv2d):
            assert isinstance(conv, Node)
            if len(conv.users) == 1:
                _put(made, str(conv.target), fuse_conv_bn_eval(before, module))
                norm.replace_all_uses_with(conv)
                made.graph.erase_node(norm)
    made.delete_all_unused_submodules()
    made.recompile()
    made.graph.owning_module = None  # a circle, which would hold the weights after their time
    return made.requires_grad_(False).to(memory_format=torch.channels_last)


def _module(traced: GraphModule, node: object) -> nn.Module | None:
    """Return the module that a node of a traced network calls; None where it calls none."""
    if isinstance(node, Node) and node.op == "call_module":
        return traced.get_submodule(str(node.target))
    return None


def _learning(net: Net, settings: CnnSettings) -> list[nn.Module]:
    if settings.tune == "all":
        return [net]
    last = PARTS[settings.network].last if settings.tune == "last" else ()
    return [*(net.body.get_submodule(path) for path in last), net.head]


def check_tile(name: str, shape: Sequence[int]) -> None:
    """Refuse tiles of a shape (channels, y, x) that a network cannot take with `DataError`.

    Examples
    --------
    >>> check_tile("jackal", (2, 64, 40))
    Traceback (most recent call last):
    hts_classify.errors.DataError: tiles of 64 × 40 pixels are too small for jackal; give at least \
64 along each side, enlarge them, or choose another net
    """
    if len(shape) != 3 or not shape[0]:
        raise DataError(f"tiles of shape {tuple(shape)}", remedy="give (channels, y, x)")
    if min(shape[1:]) < (least := NETWORKS[name].least):
        raise DataError(
            f"tiles of {shape[1]} × {shape[2]} pixels are too small for {name}",
            remedy=f"give at least {least} along each side, enlarge them, or choose another net",
        )


def _body(name: str, channels: int) -> tuple[nn.Module, int]:
    """Make a body with fresh weights, and say how many features it gives."""
    if name == "compact":
        compact = Compact(channels=channels)
        return compact, compact.features
    if name == "jackal":
        return Jackal(channels=channels), Jackal.features
    return _foreign(name, channels), PARTS[name].features


def _foreign(name: str, channels: int) -> nn.Module:
    """Make a body of torchvision or timm with fresh weights."""
    if name == "inception_resnet_v2":
        body = timm().create_model(name, pretrained=False)
    else:
        options = {
            "inception_v3": {"aux_logits": False, "transform_input": False, "init_weights": True}
        }
        models = import_module("torchvision.models")
        body = models.get_model(name, weights=None, **options.get(name, {}))
    parts = PARTS[name]
    # SqueezeNet pools in its classifier
    _put(body, parts.head, _Mean() if name == "squeezenet1_1" else nn.Identity())
    if name == "inception_v3":
        body.dropout = nn.Identity()  # ours comes before the head
    if channels != 3:
        first = body.get_submodule(parts.first)
        assert isinstance(first, nn.Conv2d)
        _put(body, parts.first, _first(first, channels))
    assert isinstance(body, nn.Module)
    return body


def _first(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Make a first layer like this one, for another number of channels."""
    made = nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    start(made)
    return made


def _put(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)


class _Mean(nn.Module):
    """The mean over positions: (n, filters, y, x) to (n, filters)."""

    def forward(self, found: Tensor) -> Tensor:
        return found.mean(dim=(2, 3))
