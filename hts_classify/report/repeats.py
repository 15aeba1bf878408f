"""Repeats with other seeds, as plain data: a table, and where each seed's figures stand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..vocabulary import PATHS, TITLES
from .trust import share

if TYPE_CHECKING:
    from .record import Record

__all__ = ["repeats", "repeats_line"]

_MOST_ROWS: Final = 20


def repeats(record: Record) -> dict[str, Any] | None:
    """Return what the page shows of a run's repeats; None where there is one."""
    found = record.comparison.get("repeats")
    if not found:
        return None
    interval = found["repeats"][0]["difference"]["interval"]
    shown = found["repeats"][:_MOST_ROWS]
    accuracies = [one["paths"][path]["accuracy"] for one in shown for path in PATHS]
    differences = [one["difference"]["difference"] for one in shown]
    fits, seconds = record.repeats_cost
    return {
        "said": found["said"],
        "count": len(found["repeats"]),
        "same_folds": found["same_folds"],
        "rows": [_row(one) for one in shown],
        "spreads": [
            {"path": TITLES[path]}
            | {name: share(found["accuracy"][path][name]) for name in ("least", "mean", "most")}
            | {"ahead": found["ahead"][path]}
            | {"steady": f"{found['steady'][path]}/{found['wells']}"}
            for path in PATHS
        ],
        "accuracy": _axis(accuracies, shown),
        "difference": _axis([*differences, 0.0, *(interval or ())], shown),
        "interval": interval,
        "fits": fits,
        "seconds": seconds,
    }


def repeats_line(record: Record) -> list[str]:
    """Say what the repeats come to, for the terminal; nothing where there is one."""
    found = record.comparison.get("repeats")
    if not found:
        return []
    fits, seconds = record.repeats_cost
    return [
        found["said"],
        f"what stands above is of the first seed; the others' {fits} fits took {seconds:.1f} s",
    ]


def _row(one: Mapping[str, Any]) -> dict[str, str]:
    difference = one["difference"]
    right = {path: f"{held['correct']}/{held['total']}" for path, held in one["paths"].items()}
    return right | {
        "seed": str(one["seed"]),
        "first_only": str(difference["first_only"]),
        "second_only": str(difference["second_only"]),
        "difference": f"{100 * difference['difference']:+.1f}",
        "p": "–" if difference["p"] is None else f"{difference['p']:.2g}",
        "folds": "the first's" if one["same_folds"] else "its own",
    }


def _axis(values: Sequence[float], shown: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an axis in whole steps of points that holds these values, and each seed's place."""
    low, high = 100 * min(values), 100 * max(values)
    step = next((size for size in (1, 2, 5, 10, 20, 50) if high - low <= 4 * size), 50)
    least = step * math.floor(low / step + 1e-9)
    most = max(step * math.ceil(high / step - 1e-9), least + step)
    return {
        "least": least / 100,
        "span": (most - least) / 100,
        "ticks": [tick / 100 for tick in range(least, most + 1, step)],
        "along": [(k + 0.5) / len(shown) for k in range(len(shown))],
    }
