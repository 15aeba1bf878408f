"""How far each path is to be trusted: figures by level and class, calibration, the cascade."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..vocabulary import LEVELS, METADATA, TILE, TITLES

if TYPE_CHECKING:
    from .record import Record

__all__ = ["levels", "number", "tiles", "trust"]

_NONE: Final = "–"


def trust(record: Record) -> dict[str, Any]:
    """Return what the page shows of how good calls and probabilities are."""
    comparison = record.comparison
    return {
        "levels": levels(comparison),
        "tiles": tiles(comparison),
        "classes": {path: _classes(result) for path, result in comparison["paths"].items()},
        "curves": {
            path: comparison["paths"][path]["probable"]["calibration"]
            for path in TITLES
            if comparison["paths"][path]["probable"]
        },
        "cascade": _cascade(comparison["cascade"]),
        "separations": [
            {"path": TITLES[one["path"]], "plate": one["plate"], "target": one["target"]}
            | _separation(one["found"])
            for one in comparison["separations"]
        ],
        "unlike": [_unlike(path) for path in comparison.get("unlike", [])],
        "raters": _raters(comparison["raters"]),
        "notes": comparison["audit"]["notes"],
        "contestants": comparison["audit"]["contestants"],
    }


def levels(comparison: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the table of levels: a row for each level, and each path that was judged there."""
    held = comparison["levels"]
    return [
        _level(level, path, held[level][path])
        for level in (TILE, *LEVELS)
        if level in held
        for path in TITLES
        if held[level][path]
    ]


def tiles(comparison: Mapping[str, Any]) -> str:
    """Say what the level of tiles is, or why there is none; nothing of a run of long ago."""
    return str(comparison.get("tiles", {}).get("note", ""))


def _level(level: str, path: str, result: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the table of levels."""
    interval, rates, probable = result["interval"], result["rates"], result["probable"]
    return {
        "level": f"{level}s",
        "path": TITLES[path],
        "right": f"{result['correct']}/{result['total']}",
        "accuracy": share(result["accuracy"]),
        "interval": f"{interval['low']:.0%} to {interval['high']:.0%}" if interval else _NONE,
        "coverage": share(result["coverage"]),
        "balanced": share(result["balanced_accuracy"]),
        "f1": number(rates["macro_f1"]),
        "kappa": number(rates["kappa"]),
        "auc": number(probable["ranking"]["macro"]) if probable else _NONE,
        "log_loss": number(probable["log_loss"]) if probable else _NONE,
        "ece": share(probable["calibration"]["ece"]) if probable else _NONE,
    }


def _classes(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row for each class that some well is or was called."""
    rates, probable = result["rates"], result["probable"]
    areas = probable["ranking"]["auc"] if probable else [None] * len(result["classes"])
    return [
        {
            "name": name,
            "wells": str(sum(result["confusion"][k])),
            "auc": number(areas[k]),
            **{rate: number(rates[rate][k]) for rate in ("precision", "recall", "f1", "jaccard")},
        }
        for k, name in enumerate(result["classes"])
        if rates["f1"][k] is not None
    ]


def _cascade(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the cascade with what it comes to, in words."""
    if found is None:
        return None
    total, first, last = found["total"], found["curve"][0], found["curve"][-1]
    best = max(found["curve"], key=lambda point: (point["correct"], -point["sent"]))
    if last["correct"] <= first["correct"]:
        said = (
            f"The CNN alone is not better than TAS + SVM on these {total} wells"
            f" ({last['correct']} right, and {first['correct']}), so that none are sent; the curve"
            f" is highest, {best['correct']}, with {best['sent']} sent."
        )
    elif found["sent"] is None:
        said = (
            f"TAS + SVM alone calls {first['correct']} of {total} wells right, the CNN alone"
            f" {last['correct']}. There is one fold, so that no other could choose its threshold;"
            f" on its own wells it would be {found['threshold']:.2f}."
        )
    else:
        said = (
            f"Sending the {found['sent']} of {total} wells of which TAS + SVM is least sure to the"
            f" CNN calls {found['correct']} right; TAS + SVM alone {first['correct']}, the CNN"
            f" alone {last['correct']}. Each fold's wells go by the threshold that the other folds"
            f" chose; all folds together choose {found['threshold']:.2f}."
        )
    both = f" The mean of both paths' log-probabilities calls {found['together']} right."
    return {**found, "said": said + both}


def _unlike(found: Mapping[str, Any]) -> dict[str, str]:
    """Return how many wells a path flags as none of the classes."""
    kept = found["known"] - found["known_flagged"]
    right = found["correct"] - found["correct_flagged"]
    return {
        "path": TITLES[found["path"]],
        "limit": number(found["limit"]),
        "known": f"{found['known_flagged']}/{found['known']}",
        "kept": f"{right}/{kept}",
        "unlabelled": f"{found['unlabelled_flagged']}/{found['unlabelled']}",
    }


def _raters(found: Mapping[str, Any] | None) -> dict[str, list[dict[str, str]]] | None:
    """Return how paths and people agree."""
    if found is None:
        return None
    return {
        "pairs": [
            {
                "first": _name(pair["first"]),
                "second": _name(pair["second"]),
                "kappa": number(pair["found"]["kappa"]),
                "agreed": f"{pair['found']['agreed']}/{pair['found']['n']}",
            }
            for pair in found["pairs"]
        ],
        "consensus": [
            {"path": TITLES[one["path"]], "right": f"{one['correct']}/{one['total']}"}
            for one in found["consensus"]
        ],
    }


def _name(one: str) -> str:
    return TITLES.get(one, one.removeprefix(METADATA))


def _separation(found: Mapping[str, Any]) -> dict[str, str]:
    quality = found["quality"]
    if quality is None:
        return {"reason": found["reason"]}
    names = ("z_prime", "robust_z_prime", "ssmd", "robust_ssmd", "signal_window")
    wells = {"wells": f"{quality['negative']} and {quality['positive']}", "reason": ""}
    return wells | {name: number(quality[name]) for name in names}


def number(value: float | None) -> str:
    """Write a figure with two decimals, or a dash where it is not defined.

    Examples
    --------
    >>> number(0.8249), number(None)
    ('0.82', '–')
    """
    return _NONE if value is None else f"{value:.2f}"


def share(value: float | None) -> str:
    """Write a share as a percentage, or a dash where it is not defined.

    Examples
    --------
    >>> share(0.8249), share(None)
    ('82.5%', '–')
    """
    return _NONE if value is None else f"{value:.1%}"
