"""How one CNN is made and trained. No PyTorch here: a command reads and checks settings without it.

::

    CnnSettings ── network, weights, tune, scaling, enlarge, …
       ├── Augmentation   how training tiles are varied
       └── Learning       steps, rate, regularising, when to stop
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, NamedTuple, get_args

from ..errors import UsageError

__all__ = [
    "NETWORKS",
    "Augmentation",
    "CnnSettings",
    "Learning",
    "Network",
    "Precision",
    "Scaling",
    "Tune",
    "check_device",
]

Scaling = Literal["tile", "training", "percentile", "controls"]
Tune = Literal["all", "last", "head"]
Precision = Literal["auto", "float32", "bfloat16"]


class Network(NamedTuple):
    """What has to be known of a network before PyTorch is imported."""

    least: int
    """Fewest pixels along a side of a tile."""
    tile: int
    """Longest side of a tile in pixels, unless asked otherwise; 0: an eighth of the field's."""
    widest: int = 16
    """Values of its largest layer for each pixel of a tile."""
    pretrained: bool = True
    """There are ImageNet weights for it."""
    crop: int = 0
    """Side in pixels of the squares that training tiles are cut to, unless asked otherwise; 0:
    whole tiles."""


NETWORKS: Final[dict[str, Network]] = {
    "compact": Network(16, 256, widest=4, pretrained=False, crop=64),
    "jackal": Network(64, 0, widest=64, pretrained=False, crop=64),
    "resnet50": Network(32, 224),
    "inception_v3": Network(75, 299),
    "densenet121": Network(32, 224),
    "mobilenet_v2": Network(32, 224, widest=24),
    "squeezenet1_1": Network(32, 224),
    "efficientnet_b0": Network(32, 224, widest=24),
    "convnext_tiny": Network(32, 224, widest=24),
    "inception_resnet_v2": Network(75, 299),
}
"""Networks by the name that `--cnn`, settings and saved models carry."""


def _number(default: float | None, least: float, below: float = math.inf) -> Any:
    """Declare a finite number from `least` to below `below`; None only where it is the default."""
    return field(default=default, metadata={"range": (least, below)})


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How a batch of training tiles is varied, every tile in its own way; 0 switches a part off.

    Examples
    --------
    >>> Augmentation(zoom=2.0)
    Traceback (most recent call last):
    hts_classify.errors.UsageError: zoom is 2.0; give a number from 0 to below 0.9
    """

    turns: bool = True
    """The eight flips and right-angle turns: under a microscope no direction is up."""
    rotation: float = _number(0.0, 0, 181)
    """Free rotation by up to so many degrees either way."""
    zoom: float = _number(0.0, 0, 0.9)
    """Magnified or shrunk by up to this share."""
    shift: float = _number(0.0, 0, 0.9)
    """Moved along both axes by up to this share of a side."""
    gain: float = _number(0.0, 0, 0.9)
    """Every channel multiplied by 1 ± up to this."""
    blur: float = _number(0.0, 0, 10)
    """Blurred by a Gaussian of up to so many pixels."""
    noise: float = _number(0.0, 0, 10)
    """Gaussian noise of up to this standard deviation, in the units of the scaled tile."""
    cutout: float = _number(0.0, 0, 0.9)
    """A square of up to this share of the shorter side set to 0."""
    crop: int | None = None
    """Cut to a square of at most so many pixels a side at a random place: from a few fields, what
    their cells have in common is learned rather than each field by heart. 0: whole tiles; by
    default the network's (compact: 64, others: 0)."""

    def __post_init__(self) -> None:
        _check(self)
        if self.crop is not None and (type(self.crop) is not int or self.crop < 0):
            raise _refuse("crop", self.crop, "a whole number of pixels, or 0 for whole tiles")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How one fit goes. The defaults are meant for 12 to 100,000 training tiles.

    Examples
    --------
    >>> Learning(dropout=1.5)
    Traceback (most recent call last):
    hts_classify.errors.UsageError: dropout is 1.5; give a number from 0 to below 1
    """

    steps: int = _number(300, 1)
    """Fewest optimiser steps planned, so that a handful of tiles is seen often enough."""
    epochs: int = _number(20, 1)
    """Fewest passes over the training tiles planned; the larger plan counts."""
    patience: int = _number(20, 1)
    """Rounds (twentieths of the plan) without a lower judged loss after which the search for the
    length stops; 20 never does: with few tiles the loss may rise for half the plan and fall when
    the rate does."""
    batch: int = _number(32, 2)
    """Most tiles in a step."""
    learning_rate: float | None = None
    """Peak rate of AdamW; by default 0.003 from scratch and for a head, 0.0003 for tuning."""
    weight_decay: float = _number(0.05, 0)
    """Decay of filters and of the last layer; norms and biases are left alone."""
    schedule: Literal["cosine", "onecycle"] = "cosine"
    """After a warm-up over a tenth of the steps down a cosine, or up and down one (one-cycle:
    three tenths up, then down to a ten-thousandth)."""
    dropout: float = _number(0.2, 0, 1)
    """Share of pooled filters left out in a training step."""
    smoothing: float = _number(0.0, 0, 1)
    """Share of a target spread over all classes (label smoothing)."""
    balance: Literal["weights", "sampling", "none"] = "weights"
    """Rare classes count alike by their weight in the loss, by how often they are drawn, or do
    not."""
    average: float = _number(0.95, 0, 1)
    """Decay of the moving average of the weights, which is what is judged and kept; 0: none."""
    refit: bool = True
    """Learn anew from every tile for the length found; else keep the best judged weights."""
    trials: int = _number(0, 0, 1000)
    """Pairs of rate and decay tried on the inner split before; 0: those above are taken."""

    def __post_init__(self) -> None:
        _check(self)
        if self.trials == 1:
            raise _refuse("trials", 1, "0, or 2 and more: the first are the settings' own")
        if self.learning_rate is not None and not (
            self.learning_rate > 0 and math.isfinite(self.learning_rate)
        ):
            raise _refuse("learning_rate", self.learning_rate, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class CnnSettings:
    """What a fit of the CNN path depends on, beside its data and its seed.

    Examples
    --------
    >>> CnnSettings(network="lenet")
    Traceback (most recent call last):
    hts_classify.errors.UsageError: network is 'lenet'; give compact, jackal, resnet50, …
    >>> CnnSettings(network="resnet50", weights="imagenet").rate
    0.0003
    """

    network: str = "compact"
    """A name in `NETWORKS`."""
    weights: str = ""
    """What it starts from: nothing, `imagenet` (fetched by torchvision or timm), or a file."""
    tune: Tune = "all"
    """What of a network with weights is learned: all of it, its last block, or its head alone."""
    scaling: Scaling = "tile"
    """Grey levels to one scale: every tile by itself (gain and background change between batches),
    by the training tiles' mean and deviation or their percentiles (brightness is kept), or each
    plate by its negative controls (Kensert et al. 2019)."""
    enlarge: int = _number(0, 0, 4097)
    """Tiles are enlarged to this many pixels along the longer side; 0: they are not."""
    views: bool = True
    """Scores are means over a tile's flips and turns."""
    augmentation: Augmentation = field(default_factory=lambda: Augmentation())
    learning: Learning = field(default_factory=lambda: Learning())
    precision: Precision = "auto"
    """`auto` is bfloat16 under autocast on CUDA, and float32 elsewhere."""
    compile: bool = False
    """Compile the network (`torch.compile`); with CUDA graphs on CUDA."""
    cache_mib: int | None = _number(None, 0)
    """Training tiles are kept on the device up to this size, and read batch by batch above it; by
    default 2,048, on a CUDA device half of what is free there."""

    def __post_init__(self) -> None:
        _check(self)
        if self.network not in NETWORKS:
            raise _refuse("network", repr(self.network), ", ".join([*NETWORKS][:3]) + ", …")
        if self.weights and not NETWORKS[self.network].pretrained and self.weights == "imagenet":
            raise UsageError(
                f"there are no ImageNet weights for {self.network}",
                remedy="train it from scratch, or name a file of its weights",
            )
        known = NETWORKS[self.network]
        if self.network == "jackal" and self.augmentation.crop not in (None, known.crop):
            raise _refuse("crop", self.augmentation.crop, f"{known.crop}: jackal takes no other")
        if 0 < self.crop < known.least:
            raise _refuse("crop", self.crop, f"{known.least} or more: {self.network} needs them")
        varied = replace(self.augmentation, turns=True, crop=None)
        if self.tune == "head" and varied != Augmentation():
            raise UsageError(
                "a head learns from features that are computed once, in flips and turns alone",
                remedy="augment with turns or none, or tune the last block",
            )
        if self.tune != "all" and not self.weights:
            raise UsageError(
                f"tune {self.tune!r} without weights: the rest would stay random",
                remedy="name weights too, or tune all",
            )

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        if self.learning.learning_rate is not None:
            return self.learning.learning_rate
        return 3e-4 if self.weights and self.tune != "head" else 3e-3

    @property
    def crop(self) -> int:
        """Side of the squares that training tiles are cut to; 0: whole tiles."""
        own = self.augmentation.crop
        if self.tune == "head":
            return 0
        return NETWORKS[self.network].crop if own is None else own

    @property
    def tile(self) -> int:
        """Longest side of a tile in pixels; 0: an eighth of the field's."""
        return NETWORKS[self.network].tile

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CnnSettings:
        """Make settings of what `as_json` gave.

        Examples
        --------
        >>> CnnSettings.from_json(CnnSettings(cache_mib=9).as_json()).cache_mib
        9
        """
        held = dict(content)
        return cls(
            **held
            | {
                "augmentation": Augmentation(**held["augmentation"]),
                "learning": Learning(**held["learning"]),
            }
        )


def check_device(name: str) -> str:
    """Return a device's name if it is one: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Whether this machine has it shows when it is used.

    Examples
    --------
    >>> check_device("gpu")
    Traceback (most recent call last):
    hts_classify.errors.UsageError: no device is called 'gpu'; use auto, cpu, cuda, cuda:1 or mps
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise UsageError(
            f"no device is called {name!r}", remedy="use auto, cpu, cuda, cuda:1 or mps"
        )
    return name


def _check(settings: Any) -> None:
    """Hold every field against its declaration."""
    for declared in fields(settings):
        value = getattr(settings, declared.name)
        if value is None and declared.default is None:
            continue
        if "range" in declared.metadata:
            _check_number(declared.name, value, declared.type, *declared.metadata["range"])
        elif (choices := _CHOICES.get(declared.name)) and value not in choices:
            raise _refuse(declared.name, repr(value), " or ".join(map(repr, choices)))


def _check_number(name: str, value: Any, kind: Any, least: float, below: float) -> None:
    whole = kind in ("int", "int | None")
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not (good and math.isfinite(value) and least <= value < below):
        top = f"from {least:g} to below {below:g}" if below < math.inf else f"of at least {least:g}"
        raise _refuse(name, value, f"a {'whole ' if whole else ''}number {top}")


_CHOICES: Final = {
    "scaling": get_args(Scaling),
    "tune": get_args(Tune),
    "precision": get_args(Precision),
    "schedule": ("cosine", "onecycle"),
    "balance": ("weights", "sampling", "none"),
}


def _refuse(name: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"{name} is {value}", remedy=f"give {wanted}")
