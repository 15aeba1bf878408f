"""What is amiss with one fit of the CNN, in plain sentences.

::

    facts of a fit ─► rules, the most serious first ─► "Overfits: what is seen. What to try."

A fit's `curve` has a row a round, a twentieth of the steps planned: loss and accuracy over the
training batches of the round, then over the judged half with the averaged weights, each class
counting alike. The limits below are set by judgement; a sentence says what was seen, so that the
reader can judge too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FINDINGS", "balanced_accuracy", "confused_pairs", "diagnose"]

FINDINGS: Final = (
    "Went astray",
    "Calls one class",
    "Is no better than chance",
    "Underfits",
    "Overfits",
    "Stopped while it still improved",
    "Saw few tiles of a class",
    "Cut its batches",
)
"""What a sentence of `diagnose` begins with, up to its colon; the most serious first."""

ASTRAY: Final = 3.0
"""A training loss of so many times that of equal scores is of a network that is thrown about."""

COLLAPSED: Final = 0.95
"""Least share of the judged tiles called one class, where most tiles of the others are too."""

LAST: Final = 3
"""Rounds at the end of the curve that are averaged: one round alone is noisy."""

LEAST_ROUNDS: Final = 6
"""Fewest rounds that say something of how a fit went: two halves of `LAST`."""

BETTER: Final = 0.05
"""A fit has learned when its training accuracy is above the commonest class's share by this, or
by half of what is left above that share."""

BALANCED: Final = 0.10
"""… or when the judged half's balanced accuracy is above chance by this."""

FALLEN: Final = 0.95
"""Share of the first round's training loss below which the last ones have fallen."""

HIGH: Final = 0.90
"""Training accuracy from which a fit may be called overfitted by the gap."""

GAP: Final = 0.20
"""Least difference between training and judged accuracy at the end that is called overfitting."""

RISEN: Final = 1.5
"""The judged loss has risen when it ends at so many times its lowest …"""

RISEN_BY: Final = 0.1
"""… and by at least so much (nats): 0.02 after 0.01 is no harm."""

STILL: Final = 5
"""Rounds at the plan's end, a quarter of it, over which the judged loss may still be falling."""

FALLING: Final = 0.95
"""It was, when its lowest in these rounds is below this share of its lowest before them …"""

FALLING_BY: Final = 0.02
"""… and lower by at least so much (nats)."""

RARE: Final = 0.1
"""A class is rare below this share of the commonest one's training tiles …"""

FEW: Final = 5
"""… or with fewer training tiles than this."""


def diagnose(facts: Mapping[str, Any]) -> list[str]:
    """Say what is amiss with a fit: what is seen, with its figures, and what to try.

    Parameters
    ----------
    facts : mapping
        What `fit` returned (JSON types). A rule whose facts are absent says nothing, so that the
        facts of another path give nothing at all.

    Returns
    -------
    list of str
        `<what>: <what is seen>. <What to try>.`, the most serious first, `<what>` one of
        `FINDINGS`; empty when nothing is amiss. Of the first four the first that holds is
        said: the others follow from it. What underfits is not said to overfit, too. Where facts
        have `crops`, several inputs a field, they are spoken of instead of tiles.

    Examples
    --------
    >>> facts = {"classes": {"a": 40, "b": 3}, "judged_confusion": [[8, 0], [1, 0]]}
    >>> for sentence in diagnose(facts):
    ...     print(sentence)
    Calls one class: all 9 judged tiles are called a, 8 are; balanced accuracy 50%. Try \
more --epochs and another --learning-rate, or let --trials 8 choose one.
    Saw few tiles of a class: 3 of b, beside 40 of a. Image more wells of it, or leave the \
class out of the plate map.
    >>> diagnose({"C": 10.0, "gamma": 0.1})
    []
    """
    idle = next((said for rule in _IDLE if (said := rule(facts))), "")
    over = "" if idle.startswith(FINDINGS[3]) else _overfits(facts)
    rest = [rule(facts) for rule in (_still_falling, _imbalanced, _cut)]
    found = [said for said in (idle, over, *rest) if said]
    return [_of_crops(said) for said in found] if facts.get("crops") else found


def _of_crops(said: str) -> str:
    """Say of crops what was said of tiles; what a sentence begins with is its name."""
    name, colon, rest = said.partition(":")
    return name + colon + rest.replace("tiles", "crops").replace("--tile-size", "--crop-size")


def balanced_accuracy(confusion: ArrayLike) -> float | None:
    """Return the mean recall of the classes that have tiles; None without any.

    Parameters
    ----------
    confusion : array-like of int, shape (classes, classes)
        Rows: what the tiles are; columns: what they were called.

    Examples
    --------
    >>> balanced_accuracy([[9, 1], [2, 2]])
    0.7
    """
    counts = np.asarray(confusion, dtype=np.float64)
    totals = counts.sum(axis=1) if counts.ndim == 2 else np.zeros(0)
    held = totals > 0
    return float((counts.diagonal()[held] / totals[held]).mean()) if held.any() else None


def confused_pairs(
    confusion: ArrayLike, classes: Sequence[str], most: int = 3
) -> list[tuple[str, str, int, int]]:
    """Return the pairs of classes that are taken for each other most often.

    Parameters
    ----------
    confusion : array-like of int, shape (classes, classes)
        Rows: what the tiles are; columns: what they were called.
    classes : sequence of str
        Class of each row and column.
    most : int, optional
        Pairs returned at the most.

    Returns
    -------
    list of (str, str, int, int)
        What they are, what they were called, how many, of how many; the most first, then the
        largest share, then by name.

    Examples
    --------
    >>> confused_pairs([[7, 2, 1], [0, 9, 0], [2, 0, 3]], ["a", "b", "c"], most=2)
    [('c', 'a', 2, 5), ('a', 'b', 2, 10)]
    """
    counts = np.asarray(confusion, dtype=np.int64)
    pairs = [
        (truth, called, int(counts[i, j]), int(counts[i].sum()))
        for i, truth in enumerate(classes)
        for j, called in enumerate(classes)
        if i != j and counts[i, j]
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[3], pair[:2]))[:most]


def _astray(facts: Mapping[str, Any]) -> str:
    loss, classes = _column(facts, "loss"), len(facts.get("classes", ()))
    if classes < 2 or not len(loss) or loss.max() < ASTRAY * math.log(classes):
        return ""
    return (
        f"{FINDINGS[0]}: the training loss rose to {loss.max():.3g}, and equal scores for {classes}"
        f" classes give {math.log(classes):.2f}. Try a lower --learning-rate"
        f"{_used(facts)}, a tenth of it say, or let --trials 8 choose one."
    )


def _collapsed(facts: Mapping[str, Any]) -> str:
    counts = np.asarray(facts.get("judged_confusion", []))
    names = sorted(facts.get("classes", ()))
    if counts.ndim != 2 or len(names) != len(counts) or not counts.sum():
        return ""
    column, total = int(counts.sum(axis=0).argmax()), int(counts.sum())
    called, held = int(counts[:, column].sum()), int(counts[column].sum())
    others, taken = total - held, called - int(counts[column, column])
    if called < COLLAPSED * total or taken * 2 <= others:
        return ""
    many = f"all {total}" if called == total else f"{called} of {total}"
    return (
        f"{FINDINGS[1]}: {many} judged tiles are called {names[column]}, {held or 'none'}"
        f" {'is' if held == 1 else 'are'}; balanced accuracy {balanced_accuracy(counts):.0%}."
        f" Try more --epochs and another --learning-rate{_used(facts)}, or let --trials 8 choose"
        " one."
    )


def _chance(facts: Mapping[str, Any]) -> str:
    classes, loss = len(facts.get("classes", ())), facts.get("judged_loss")
    if classes < 2 or loss is None or loss < math.log(classes):
        return ""
    bright = ", --scaling training if in brightness, which is taken out of every tile"
    return (
        f"{FINDINGS[2]}: the judged loss is never below {loss:.2f}, and equal scores for"
        f" {classes} classes give {math.log(classes):.2f}. Try a larger --tile-size if they differ"
        f" in fine detail{bright if facts.get('scaling') == 'tile' else ''}; or"
        f" {_pretrained(facts)}."
    )


def _underfits(facts: Mapping[str, Any]) -> str:
    loss, accuracy = _column(facts, "loss"), _column(facts, "accuracy")
    tiles = list(facts.get("classes", {}).values())
    if len(tiles) < 2 or not sum(tiles):
        return ""
    seen = ""
    commonest = max(tiles) / sum(tiles)
    if len(accuracy) >= LEAST_ROUNDS:
        reached = float(accuracy[-LAST:].mean())
        judged = balanced_accuracy(facts.get("judged_confusion", []))
        poor = judged is None or judged <= 1 / len(tiles) + BALANCED
        if poor and reached <= commonest + min(BETTER, (1 - commonest) / 2):
            seen = (
                f"in the last {LAST} rounds {reached:.0%} of the training tiles are called right,"
                f" and the commonest class alone is {commonest:.0%} of them"
            )
    if not seen and len(loss) >= LEAST_ROUNDS:
        first, last = float(loss[0]), float(loss[-LAST:].mean())
        if last >= FALLEN * first and last >= math.log(len(tiles)) / 2:
            seen = (
                f"the training loss has not fallen: {first:.2f} in the first round,"
                f" {last:.2f} in the last {LAST}"
            )
    if not seen:
        return ""
    return (
        f"{FINDINGS[3]}: {seen}. Try more --epochs, another --learning-rate{_used(facts)} or"
        " --trials 8, and a larger --tile-size."
    )


def _overfits(facts: Mapping[str, Any]) -> str:
    seen = _gap(facts) or _risen(facts)
    if not seen:
        return ""
    return (
        f"{FINDINGS[4]}: {seen}. More wells help most; else try {_pretrained(facts)},"
        " more --augment, and --trials 8 for the weight decay."
    )


def _gap(facts: Mapping[str, Any]) -> str:
    own, judged = _column(facts, "accuracy"), _column(facts, "judged_accuracy")
    if min(len(own), len(judged)) < LEAST_ROUNDS:
        return ""
    known, unknown = float(own[-LAST:].mean()), float(judged[-LAST:].mean())
    if known < HIGH or known - unknown < GAP:
        return ""
    tiles = facts.get("judged_tiles")
    return (
        f"in the last {LAST} rounds {known:.0%} of the training tiles are called right, and"
        f" {unknown:.0%} of the {f'{tiles} ' if tiles else ''}judged ones, each class counting"
        " alike"
    )


def _risen(facts: Mapping[str, Any]) -> str:
    judged = _column(facts, "judged_loss")
    if len(judged) < LEAST_ROUNDS:
        return ""
    low, end = float(judged.min()), float(judged[-LAST:].mean())
    if end < max(RISEN * low, low + RISEN_BY):
        return ""
    step = facts["curve"][int(judged.argmin())].get("step")
    when = f" after step {step}" if step else ""
    return f"the judged loss was lowest{when}, {low:.2f}, and ended at {end:.2f}"


def _still_falling(facts: Mapping[str, Any]) -> str:
    judged, steps = _column(facts, "judged_loss"), facts.get("steps", {})
    planned = steps.get("planned", math.inf)
    if len(judged) < 2 * STILL or steps.get("taken", 0) < planned:
        return ""
    before, end = float(judged[:-STILL].min()), float(judged[-STILL:].min())
    if end > min(FALLING * before, before - FALLING_BY):
        return ""
    return (
        f"{FINDINGS[5]}: over the last {STILL} rounds of the {planned} steps planned the judged"
        f" loss fell from {before:.2f} to {end:.2f}. Train longer: --steps {2 * planned}."
    )


def _imbalanced(facts: Mapping[str, Any]) -> str:
    tiles: Mapping[str, int] = facts.get("classes", {})
    if not tiles:
        return ""
    common = max(tiles, key=lambda name: tiles[name])
    rare = [
        name
        for name in sorted(tiles, key=lambda name: (tiles[name], name))
        if tiles[name] < FEW or tiles[name] < RARE * tiles[common]
    ]
    if not rare:
        return ""
    listed = ", ".join(f"{tiles[name]} of {name}" for name in rare[:3])
    more = f" and {len(rare) - 3} classes more" if len(rare) > 3 else ""
    beside = f", beside {tiles[common]} of {common}" if common not in rare else ""
    what = "the class" if len(rare) == 1 else "the classes"
    return (
        f"{FINDINGS[6]}: {listed}{more}{beside}. Image more wells of"
        f" {'it' if len(rare) == 1 else 'them'}, or leave {what} out of the plate map."
    )


def _cut(facts: Mapping[str, Any]) -> str:
    parts = facts.get("accumulate", 1)
    if parts <= 1:
        return ""
    batch = f"of {facts['batch']} " if "batch" in facts else ""
    return (
        f"{FINDINGS[7]}: memory did not hold a batch {batch}in one; each went through the network"
        f" in {parts} parts, which is slower and leaves batch norms less to go by. Try a smaller"
        " --tile-size, --batch or --cnn."
    )


_IDLE: Final[tuple[Callable[[Mapping[str, Any]], str], ...]] = (
    _astray,
    _collapsed,
    _chance,
    _underfits,
)


def _column(facts: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    """Return one column of the curve; empty unless every round has it."""
    values = [row.get(name) for row in facts.get("curve", ())]
    return np.array([] if None in values else values, dtype=np.float64)


def _used(facts: Mapping[str, Any]) -> str:
    rate = facts.get("learning_rate")
    return f" than {rate:.2g}" if rate else ""


def _pretrained(facts: Mapping[str, Any]) -> str:
    """Say how weights could help that are not used yet, or are learned as a whole."""
    if not facts.get("weights_from"):
        return "a network with --weights, as --cnn mobilenet_v2 --weights imagenet"
    if facts.get("tune") == "all":
        return "--tune last or --tune head, which learn less of the network"
    return "another --cnn"
