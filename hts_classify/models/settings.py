"""How one CNN is trained. No PyTorch here: a command can read and check settings without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import UsageError

__all__ = ["Brightness", "CnnSettings", "Device"]

Brightness = Literal["relative", "absolute"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class CnnSettings:
    """What a fit of the CNN path depends on, beside its data and its seed.

    The defaults are meant for 12 to 10,000 training tiles.

    Examples
    --------
    >>> CnnSettings(dropout=1.5)
    Traceback (most recent call last):
    hts_classify.errors.UsageError: dropout is 1.5; give a number from 0 to below 1
    """

    architecture: str = "small"
    """A name in `hts_classify.models.cnn.ARCHITECTURES`."""
    brightness: Brightness = "relative"
    """`relative` scales every tile by itself, as gain and background change between batches;
    `absolute` keeps what is brighter brighter, where the stain's amount tells the classes apart
    (DNA content and cell cycle)."""
    steps: int = 150
    """Fewest optimiser steps planned, so that a handful of tiles is seen often enough."""
    epochs: int = 20
    """Fewest passes over the training tiles planned; the larger plan counts."""
    patience: int = 6
    """Rounds without a lower judged loss after which the search for the length stops."""
    batch: int = 32
    """Most tiles in a step."""
    learning_rate: float = 3e-3
    """Peak rate of AdamW, after the warm-up and before the cosine."""
    weight_decay: float = 0.05
    """Decay of the filters and of the last layer; norms and biases are left alone."""
    dropout: float = 0.2
    """Share of pooled filters left out in a training step."""
    refit: bool = True
    """Learn anew from every tile for the length found; else keep the best judged weights."""
    cache_mib: int = 2048
    """Training tiles are kept in memory up to this size, and read batch by batch above it."""

    def __post_init__(self) -> None:
        if self.brightness not in get_args(Brightness):
            raise _refuse("brightness", repr(self.brightness), "'relative' or 'absolute'")
        for name, least in (
            ("steps", 1),
            ("epochs", 1),
            ("patience", 1),
            ("batch", 2),
            ("cache_mib", 0),
        ):
            if getattr(self, name) < least:
                raise _refuse(name, getattr(self, name), f"a whole number of at least {least}")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise _refuse("learning_rate", self.learning_rate, "a number above 0")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise _refuse("weight_decay", self.weight_decay, "a number of at least 0")
        if not 0 <= self.dropout < 1:
            raise _refuse("dropout", self.dropout, "a number from 0 to below 1")


def _refuse(name: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"{name} is {value}", remedy=f"give {wanted}")
