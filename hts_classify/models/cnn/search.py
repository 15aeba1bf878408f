"""How long to learn, and at which rate: judged on a part of the training examples.

A fit has two parts. The search learns from the learning half of an inner split and watches the
loss on its judging half; it ends when that loss has not fallen for `patience` rounds. The refit
then learns anew from every example, for as many passes as were best. A plate has few independent
wells: leaving a third of twelve out of the model for good would cost more than the judged weights
are worth. With `refit=False` the best judged weights are the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...errors import DataError
from ..settings import CnnSettings
from .checkpoint import Checkpoint, Saved
from .inference import outputs
from .learning import Examples, Learner, Pace, class_weights, steps_in_a_pass
from .networks import Net

__all__ = ["ROUNDS", "Found", "Plan", "find", "planned", "refit", "refit_steps"]

ROUNDS: Final = 20
"""Times that a fit looks up, evenly over the steps planned: to be judged, and to be saved."""

_SHARE: Final = 3
"""A trial of a rate and a decay takes one step for so many of a search."""

_DECADES: Final = ((-1.0, 1.0), (-1.5, 0.5))
"""Powers of ten between which trials multiply the rate and the decay."""


@dataclass(frozen=True)
class Plan:
    """One fit: how its networks begin, and who is told."""

    settings: CnnSettings
    seed: int
    fresh: Callable[[], Net]
    """Makes the network as it is before the first step, always the same."""
    checkpoint: Checkpoint
    on_round: Callable[[int, int], None]
    """Told (done, planned) rounds of the whole fit."""
    say: Callable[[str], None]

    @property
    def rounds(self) -> int:
        """Rounds of the whole fit, at the most."""
        return ROUNDS * (1 + self.settings.learning.refit) + self.settings.learning.trials


@dataclass(frozen=True)
class Found:
    """What a search ended with, or has so far."""

    pace: Pace
    steps: int = 0
    """Steps after which the judged loss was lowest."""
    taken: int = 0
    """Steps taken in all."""
    loss: float = math.inf
    """The lowest judged loss: cross-entropy, each class counting alike."""
    parts: int = 1
    """Parts in which a batch went through the network."""
    curve: list[dict[str, float | None]] = field(default_factory=list)
    """One entry a round."""
    trials: list[dict[str, float | None]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    """The averaged weights at that step."""

    def notes(self) -> dict[str, Any]:
        """Return all but the weights, as JSON types."""
        return asdict(replace(self, weights={})) | {
            "loss": self.loss if math.isfinite(self.loss) else None
        }

    @classmethod
    def from_notes(cls, notes: dict[str, Any], weights: dict[str, Tensor]) -> Found:
        """Return what `notes` described, with its weights."""
        pace = Pace(**notes["pace"])
        loss = math.inf if notes["loss"] is None else notes["loss"]
        return cls(**notes | {"pace": pace, "loss": loss, "weights": weights})


def planned(examples: int, settings: CnnSettings) -> int:
    """Return the steps planned for so many examples.

    Examples
    --------
    >>> from hts_classify.models.settings import Learning
    >>> planned(12, CnnSettings(learning=Learning(steps=150, epochs=12)))
    150
    >>> planned(9_600, CnnSettings(learning=Learning(epochs=10)))
    3000
    """
    learning = settings.learning
    return max(learning.steps, learning.epochs * steps_in_a_pass(examples, learning.batch))


def refit_steps(best: int, learned: int, every: int, batch: int) -> int:
    """Return the steps that show every example as often as the search had shown its own.

    Examples
    --------
    >>> refit_steps(100, learned=64, every=96, batch=32)
    150
    """
    passes = best / steps_in_a_pass(learned, batch)
    return math.ceil(passes * steps_in_a_pass(every, batch))


def find(plan: Plan, examples: Examples, judged: Examples) -> Found:
    """Learn until the judged loss has not fallen for `patience` rounds, or to the plan's end.

    Raises
    ------
    DataError
        When the loss is no longer finite.
    """
    saved = plan.checkpoint.load()
    if saved and saved.notes["stage"] == "refit":
        return Found.from_notes(saved.notes["found"], _best(saved.tensors))
    trials = _trials(plan, examples, judged, saved)
    found = Found(_pace(plan, len(examples.index), trials), trials=trials)
    learner = _learner(plan, examples, found.pace)
    if saved and saved.notes["stage"] == "search":
        found = _resume(learner, saved)
    patience = plan.settings.learning.patience
    for number, until in enumerate(_looks(found.pace.steps), start=1):
        if sum((entry["step"] or 0) > found.steps for entry in found.curve) >= patience:
            break
        if until <= learner.step:
            continue
        seen = learner.run(until)
        loss, accuracy = _judge(learner.averaged, judged, plan.settings)
        entry: dict[str, float | None] = {
            **asdict(seen),
            "judged_loss": loss if math.isfinite(loss) else None,
            "judged_accuracy": accuracy,
        }
        found = replace(found, taken=until, parts=learner.parts, curve=[*found.curve, entry])
        if loss < found.loss:
            best = {key: value.clone() for key, value in learner.averaged.state_dict().items()}
            found = replace(found, steps=until, loss=loss, weights=best)
        _save(plan, "search", learner, found)
        plan.on_round(len(trials) + number, plan.rounds)
    if not found.weights:
        raise DataError("the judged loss was never finite", remedy="lower the learning rate")
    return found


def refit(plan: Plan, examples: Examples, steps: int, found: Found) -> Net:
    """Learn anew from every example, for so many steps; return the averaged network."""
    learner = _learner(plan, examples, replace(found.pace, steps=steps))
    learner.parts = found.parts
    saved = plan.checkpoint.load()
    if saved and saved.notes["stage"] == "refit":
        _resume(learner, saved)
    for number, until in enumerate(_looks(steps), start=1):
        if until > learner.step:
            learner.run(until)
            _save(plan, "refit", learner, found)
            plan.on_round(len(found.trials) + ROUNDS + number, plan.rounds)
    return learner.averaged


def _learner(plan: Plan, examples: Examples, pace: Pace) -> Learner:
    return Learner(plan.fresh(), examples, settings=plan.settings, pace=pace, say=plan.say)


def _looks(steps: int) -> list[int]:
    """Return the steps after which a fit looks up."""
    return sorted({*np.linspace(0, steps, ROUNDS + 1).round().astype(int).tolist()} - {0})


def _judge(net: Net, judged: Examples, settings: CnnSettings) -> tuple[float, float]:
    """Return the loss and the accuracy over examples, each class that they hold counting alike."""
    numbers = judged.numbers[judged.index]
    weights = class_weights(numbers, judged.classes)
    found = outputs(net, judged.source, judged.index, settings, every=False)
    truth = torch.from_numpy(numbers)
    loss = functional.cross_entropy(found, truth, weight=weights)
    right = (found.argmax(dim=1) == truth).float() * weights[truth]
    return float(loss), float(right.sum() / weights[truth].sum())


def _pace(plan: Plan, examples: int, trials: list[dict[str, float | None]]) -> Pace:
    pace = Pace(
        planned(examples, plan.settings),
        plan.settings.rate,
        plan.settings.learning.weight_decay,
        plan.seed,
    )
    tried = [(trial["judged_loss"], trial) for trial in trials]
    finite = [(loss, trial) for loss, trial in tried if loss is not None]
    if not finite:
        return pace
    _, best = min(finite, key=lambda one: one[0])
    return replace(pace, rate=best["learning_rate"] or pace.rate, decay=best["weight_decay"] or 0.0)


def _trials(
    plan: Plan, examples: Examples, judged: Examples, saved: Saved | None
) -> list[dict[str, float | None]]:
    """Try rates and decays that lie evenly around the settings'; the settings' own come first."""
    count = plan.settings.learning.trials
    done: list[dict[str, float | None]] = list(saved.notes["found"]["trials"]) if saved else []
    if len(done) == count:
        return done
    centre = _pace(plan, len(examples.index), [])
    engine = torch.quasirandom.SobolEngine(2, scramble=True, seed=plan.seed)  # type: ignore[no-untyped-call]
    points = engine.draw(count)
    for number in range(len(done), count):
        factors = [
            10 ** (low + (high - low) * float(share)) if number else 1.0
            for (low, high), share in zip(_DECADES, points[number], strict=True)
        ]
        pace = replace(
            centre,
            steps=max(ROUNDS, centre.steps // _SHARE),
            rate=centre.rate * factors[0],
            decay=centre.decay * factors[1],
        )
        done.append(
            {
                "learning_rate": pace.rate,
                "weight_decay": pace.decay,
                "judged_loss": _trial(plan, examples, judged, pace),
            }
        )
        notes = {"stage": "trials", "step": 0, "parts": 1}
        plan.checkpoint.save(notes | {"found": Found(centre, trials=done).notes()}, {})
        plan.on_round(len(done), plan.rounds)
    return done


def _trial(plan: Plan, examples: Examples, judged: Examples, pace: Pace) -> float | None:
    learner = _learner(plan, examples, pace)
    try:
        learner.run(pace.steps)
    except DataError:  # a rate that is too high is an answer
        return None
    loss, _ = _judge(learner.averaged, judged, plan.settings)
    return loss if math.isfinite(loss) else None


def _save(plan: Plan, stage: str, learner: Learner, found: Found) -> None:
    notes = {"stage": stage, "step": learner.step, "parts": learner.parts, "found": found.notes()}
    best = {f"best.{key}": value for key, value in found.weights.items()}
    plan.checkpoint.save(notes, learner.state() | best)


def _resume(learner: Learner, saved: Saved) -> Found:
    learner.restore(saved.tensors, step=saved.notes["step"], parts=saved.notes["parts"])
    return Found.from_notes(saved.notes["found"], _best(saved.tensors))


def _best(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
