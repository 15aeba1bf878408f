"""How the CNN learned, as plain data: curves, a table of fits, confused pairs, what is amiss.

It reads `comparison.json` alone, where each fit left its facts under `training`. A run of an
earlier version has fewer of them, or none: what is absent is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..extract.tables import REASON
from ..models.diagnosis import FINDINGS, confused_pairs

if TYPE_CHECKING:
    from .record import Record

__all__ = ["Finding", "findings", "fits", "learned"]

_MOST_PANELS = 12
_MOST_REASONS = 5
_MOST_COUNTS = 4
_MOST_PAIRS = 5
_MOST_TRIALS = 10
_ALL: Final = "all wells"
_FLAG: Final = re.compile(r"(--[a-z][a-z-]*)")
_STEP: Final = re.compile(r"cnn-(?:fold(\d+)|all)")


class Finding(NamedTuple):
    """One thing that is amiss, in all the fits that it was seen in."""

    what: str
    """Overfits."""
    where: str
    """In 4 of 5 folds."""
    seen: str
    """The rest of the sentence."""
    example: str
    """The fit whose figures `seen` has, where those of the others differ."""

    @property
    def words(self) -> list[tuple[str, bool]]:
        """What is seen, cut at the flags that it names: (text, is a flag)."""
        return [(part, part.startswith("--")) for part in _FLAG.split(self.seen) if part]

    @property
    def line(self) -> str:
        """The whole as a sentence about the CNN."""
        figures = f" (figures: {self.example})" if self.example else ""
        return f"the CNN {self.what[:1].lower()}{self.what[1:]} {self.where}{figures}: {self.seen}"


def fits(comparison: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the facts of every fit of the CNN by its name, folds in order and all wells last.

    Examples
    --------
    >>> facts = {"training": {"steps": {}}}
    >>> list(fits({"training": {"cnn-all": facts, "cnn-fold10": facts, "cnn-fold9": facts}}))
    ['fold 10', 'fold 11', 'all wells']
    """
    found: list[tuple[float, str, Mapping[str, Any]]] = []
    for step, card in comparison.get("training", {}).items():
        if match := _STEP.fullmatch(step):
            fold = math.inf if match[1] is None else int(match[1])
            name = _ALL if match[1] is None else f"fold {int(match[1]) + 1}"
            found.append((fold, name, card["training"]))
    return {name: facts for _, name, facts in sorted(found, key=lambda one: one[0])}


def findings(comparison: Mapping[str, Any]) -> list[Finding]:
    """Return what is amiss with the CNN's fits, the most serious first.

    Sentences that begin alike are one finding. Each fit has figures of its own, so that where
    they differ those of the first are shown.

    Examples
    --------
    >>> def fit(said: str) -> dict:
    ...     return {"training": {"diagnosis": [f"Overfits: {said}"]}}
    >>> training = {"cnn-fold0": fit("99% and 61%."), "cnn-fold1": fit("97% and 70%.")}
    >>> for found in findings({"training": training}):
    ...     print(found.line)
    the CNN overfits in every fold (figures: fold 1): 99% and 61%.
    """
    every = fits(comparison)
    seen: dict[str, dict[str, str]] = {}
    for name, facts in every.items():
        for sentence in facts.get("diagnosis", ()):
            what, _, rest = sentence.partition(": ")
            seen.setdefault(what, {})[name] = rest
    order = {what: rank for rank, what in enumerate(FINDINGS)}
    return [
        Finding(
            what,
            _where(list(own), list(every)),
            next(iter(own.values())),
            next(iter(own)) if len(set(own.values())) > 1 else "",
        )
        for what, own in sorted(seen.items(), key=lambda one: order.get(one[0], len(order)))
    ]


def learned(record: Record) -> dict[str, Any] | None:
    """Return what the page shows of the CNN's fits; None where the run kept nothing of them."""
    every = fits(record.comparison)
    if not every:
        return None
    curved = {name: facts for name, facts in every.items() if _curve(facts)}
    return {
        "findings": findings(record.comparison),
        "diagnosed": any("diagnosis" in facts for facts in every.values()),
        "sort": _sort(every),
        "unit": " and ".join(_units(record.comparison)),
        "axes": _axes(curved),
        "panels": [panel(name, facts) for name, facts in [*curved.items()][:_MOST_PANELS]],
        "curves": len(curved),
        "rows": [row(name, facts) for name, facts in every.items()],
        "trials": {name: tried(facts) for name, facts in every.items() if facts.get("trials")},
        "most_trials": _MOST_TRIALS,
        "tried": max((len(facts.get("trials", ())) for facts in every.values()), default=0),
        "pairs": pairs(every),
        "said": _said(every),
        "reasons": _reasons(record),
    }


def panel(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return one fit's curves: (step, loss) of the training and the judged half, and the rate."""
    curve, best = _curve(facts), _kept(facts)
    judged = [(point["step"], point["judged_loss"]) for point in curve]
    return {
        "name": name,
        "training": [(point["step"], point["loss"]) for point in curve],
        "judged": judged,
        "rate": [(point["step"], point["rate"]) for point in curve],
        "peak": max(point["rate"] for point in curve),
        "kept": (best["step"], best["judged_loss"]),
        "says": (
            f"training loss from {curve[0]['loss']:.2f} to {curve[-1]['loss']:.2f};"
            f" judged loss from {judged[0][1]:.2f} to {judged[-1][1]:.2f},"
            f" lowest {best['judged_loss']:.2f} at step {best['step']}"
        ),
    }


def row(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return one fit's line of the table; an empty cell where the run does not say."""
    own, judged = _accuracies(facts)
    steps = facts.get("steps", {})
    apart = f"{100 * (own - judged):+.0f}" if own is not None and judged is not None else ""
    return {
        "fit": name,
        "tiles": _tiles(facts.get("classes", {})),
        "rate": _number(facts.get("learning_rate"), ".2g"),
        "decay": _number(facts.get("weight_decay"), ".2g"),
        "planned": steps.get("planned", ""),
        "taken": steps.get("taken", ""),
        "best": steps.get("best", ""),
        "refit": facts.get("refit_steps") or "none",
        "training": _number(own, ".0%"),
        "judged": _judged(facts, judged),
        "gap": apart,
        "loss": _number(facts.get("judged_loss"), ".2f"),
        "temperature": _number(facts.get("temperature"), ".2f"),
    }


def tried(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rates and decays that one fit tried, the lowest judged loss first.

    The one with the rate and the decay that the fit learned with is marked: the first, or where
    no loss was a number the settings' own.
    """
    trials = [(number, trial) for number, trial in enumerate(facts["trials"], start=1)]
    trials.sort(key=lambda one: (one[1]["judged_loss"] is None, one[1]["judged_loss"] or 0.0))
    keys = ("learning_rate", "weight_decay")
    rows = [
        {
            "number": number,
            "rate": _number(trial["learning_rate"], ".2g"),
            "decay": _number(trial["weight_decay"], ".2g"),
            "loss": _number(trial["judged_loss"], ".3f") or "not a number",
            "taken": all(trial[key] == facts.get(key) for key in keys),
        }
        for number, trial in trials
    ]
    return [row for at, row in enumerate(rows) if at < _MOST_TRIALS or row["taken"]]


def pairs(every: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, int, int]]:
    """Return the most confused pairs over the judged halves of all folds.

    The model of all wells is left out: its judged tiles are the folds' once more.
    """
    kept = {
        name: facts
        for name, facts in every.items()
        if name != _ALL and len(_confusion(facts)) == len(facts.get("classes", ()))
    }
    classes = sorted({label for facts in kept.values() for label in facts["classes"]})
    total = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for facts in kept.values():
        at = [classes.index(label) for label in sorted(facts["classes"])]
        total[np.ix_(at, at)] += _confusion(facts)
    return confused_pairs(total, classes, _MOST_PAIRS)


def _where(names: Sequence[str], every: Iterable[str]) -> str:
    """Say in which of the fits something was seen."""
    folds = [name for name in names if name != _ALL]
    count = sum(name != _ALL for name in every)
    parts = []
    if folds:
        some = f"in {folds[0]}" if len(folds) == 1 else f"in {len(folds)} of {count} folds"
        parts.append("in every fold" if len(folds) == count > 1 else some)
    if _ALL in names:
        parts.append("when trained on all wells")
    return " and ".join(parts)


def _sort(every: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say which networks learned: their names, weights and sizes."""
    found = []
    for facts in every.values():
        if "network" not in facts:
            continue
        start = f"from {facts['weights_from']}" if facts.get("weights_from") else "from scratch"
        sizes = ""
        if "parameters" in facts:
            learns = facts.get("learned_parameters", facts["parameters"])
            some = f"{learns:,} of " if learns != facts["parameters"] else ""
            sizes = f"; {some}{facts['parameters']:,} weights learn"
        found.append(f"{facts['network']} {start}{sizes}")
    return list(dict.fromkeys(found))


def _units(comparison: Mapping[str, Any]) -> list[str]:
    cards = comparison.get("training", {})
    return sorted({card["inner_unit"] for step, card in cards.items() if _STEP.fullmatch(step)})


def _axes(curved: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the ends of the axes that all panels share, so that fits can be compared by eye.

    The loss ends at twice that of equal scores at the most: a start that went astray
    would flatten all the rest.
    """
    points = [point for facts in curved.values() for point in _curve(facts)]
    if not points:
        return None
    classes = max(len(facts.get("classes", ())) for facts in curved.values())
    chance = math.log(classes) if classes > 1 else None
    high = max(max(point["loss"], point["judged_loss"]) for point in points)
    top = min(high, 2 * chance) if chance else high
    return {
        "steps": max(point["step"] for point in points),
        "loss": max(0.5, math.ceil(2 * top) / 2),
        "cut": high > max(0.5, math.ceil(2 * top) / 2),
        "chance": chance,
        "classes": classes,
    }


def _curve(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rounds that can be drawn: a loss that is not finite is no number in JSON."""
    return [point for point in facts.get("curve", ()) if None not in point.values()]


def _kept(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the round whose length or weights the fit took: the lowest judged loss."""
    best: Mapping[str, Any] = min(_curve(facts), key=lambda point: point["judged_loss"])
    return best


def _accuracies(facts: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the training and judged accuracy at the round that was kept."""
    counts = _confusion(facts)
    judged = float(counts.trace() / counts.sum()) if counts.sum() else None
    if not _curve(facts):
        return None, judged
    best = _kept(facts)
    return best["accuracy"], best["judged_accuracy"] if judged is None else judged


def _confusion(facts: Mapping[str, Any]) -> NDArray[np.int64]:
    return np.asarray(facts.get("judged_confusion", [[0]]), dtype=np.int64)


def _judged(facts: Mapping[str, Any], accuracy: float | None) -> str:
    """Say the judged accuracy, with its counts where they are known."""
    counts = _confusion(facts)
    if counts.sum():
        return f"{counts.trace()}/{counts.sum()} ({accuracy:.0%})"
    of = f" of {facts['judged_tiles']}" if "judged_tiles" in facts else ""
    return f"{accuracy:.0%}{of}" if accuracy is not None else of.strip()


def _tiles(classes: Mapping[str, int]) -> str:
    """Say how many training tiles each class has.

    Examples
    --------
    >>> _tiles({"a": 40, "b": 3})
    '40 a, 3 b'
    >>> _tiles(dict.fromkeys("abcdef", 12) | {"g": 2})
    '2 (g) to 12 (a) in 7 classes'
    """
    if len(classes) <= _MOST_COUNTS:
        return ", ".join(f"{count} {name}" for name, count in classes.items())
    least, most = (choose(classes, key=lambda name: classes[name]) for choose in (min, max))
    if classes[least] == classes[most]:
        return f"{classes[most]} in each of {len(classes)} classes"
    span = f"{classes[least]} ({least}) to {classes[most]} ({most})"
    return f"{span} in {len(classes)} classes"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _said(every: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what fits said and which tiles they dropped, each once, with where it was so."""
    seen: dict[str, list[str]] = {}
    for name, facts in every.items():
        for line in (*facts.get("dropped", ()), *facts.get("said", ())):
            seen.setdefault(line, []).append(name)
    return [f"{line} ({_where(names, every)})" for line, names in seen.items()]


def _reasons(record: Record) -> list[tuple[str, int]]:
    """Count the fields that neither path saw by reason, the commonest first."""
    if not len(record.failures):
        return []
    counts = record.failures[REASON].value_counts()
    ordered = sorted(((str(why), int(n)) for why, n in counts.items()), key=lambda r: (-r[1], r[0]))
    shown, rest = ordered[:_MOST_REASONS], ordered[_MOST_REASONS:]
    return shown + ([("other reasons", sum(n for _, n in rest))] if rest else [])
