"""One fit from tiles to a network: search, judge, refit; whole, or on what a frozen body makes."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..protocol import Split
from ..settings import CnnSettings
from .checkpoint import Checkpoint
from .inference import FrozenFeatures, TileViews, outputs
from .learning import Examples
from .networks import Net
from .search import Found, Plan, find, refit, refit_steps
from .tiles import Tiles

__all__ = ["Fit", "Trained", "train"]


@dataclass(frozen=True)
class Fit:
    """What one fit follows from, and who is told how far it is."""

    settings: CnnSettings
    seed: int
    classes: int
    fresh: Callable[[], Net]
    """Makes the network as it is before the first step, always the same."""
    checkpoint: Checkpoint
    on_round: Callable[[int, int], None]
    say: Callable[[str], None]
    keys: NDArray[Any] | None = None
    """What names each tile beyond this fit."""
    cache: MutableMapping[Any, Any] | None = None
    """Features of tiles by key, shared with other fits."""


class Trained(NamedTuple):
    """What a fit ends with."""

    net: Net
    found: Found
    refit_steps: int
    judged: NDArray[np.float64]
    """Logits of the judged half, by the weights that had not seen it."""


def train(fit: Fit, tiles: Tiles, numbers: NDArray[np.intp], halves: Split) -> Trained:
    """Find how long to learn from one half and judge on the other; then learn from every tile."""
    settings, frozen = fit.settings, fit.settings.tune == "head"
    whole = fit.fresh()
    views = TileViews(tiles, settings, whole.crop)
    source: FrozenFeatures | TileViews = views
    if frozen:
        source = FrozenFeatures(
            views, whole, settings, count=len(tiles), keys=fit.keys, cache=fit.cache
        )
    every, learning, judged = (
        Examples(source, numbers, np.asarray(index, dtype=np.intp), fit.classes)
        for index in (np.arange(len(tiles)), *halves)
    )

    def fresh() -> Net:
        return _head_of(fit.fresh()) if frozen else fit.fresh()

    plan = Plan(settings, fit.seed, fresh, fit.checkpoint, fit.on_round, fit.say)
    found = find(plan, learning, judged)
    net = fresh() if frozen else whole
    net.load_state_dict(found.weights)
    judged_logits = outputs(net, source, judged.index, settings, every=settings.views)
    steps = 0
    if settings.learning.refit:
        batch = settings.learning.batch
        steps = refit_steps(found.steps, len(learning.index), len(tiles), batch)
        net = refit(plan, every, steps, found)
    if frozen:
        whole.head.load_state_dict(net.head.state_dict())
        net = whole
    return Trained(net.eval(), found, steps, judged_logits.numpy().astype(np.float64))


def _head_of(net: Net) -> Net:
    """Return a network whose body hands on what a frozen one made."""
    net.body = nn.Identity()
    return net
