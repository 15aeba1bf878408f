"""What the page shows of nearest neighbours and replicates; older runs have neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..vocabulary import TITLES
from .trust import number, share

__all__ = ["matching"]

_OF: Final = {"features": "TAS features", **TITLES}
_PAIRS: Final = {"replicates": "replicates of a treatment", "class": "compounds of a class"}


def matching(comparison: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the tables of neighbours and of replicates, or None for a run without them.

    Parameters
    ----------
    comparison : mapping
        What `comparison.json` says.

    Examples
    --------
    >>> matching({}) is None
    True
    """
    if "neighbours" not in comparison or "reproducibility" not in comparison:
        return None
    return {
        "neighbours": [_neighbours(one) for one in comparison["neighbours"]],
        "reproducibility": [_reproducibility(one) for one in comparison["reproducibility"]],
    }


def _neighbours(one: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the table of nearest neighbours."""
    row = {
        "level": f"{one['level']}s",
        "path": TITLES[one["path"]],
        "rule": one["rule"],
        "reason": one["reason"],
    }
    found = one["found"]
    if found is None:
        return row
    interval = found["interval"]
    return row | {
        "right": f"{found['correct']}/{found['total']}",
        "share": share(found["correct"] / found["total"]),
        "interval": f"{interval['low']:.0%} to {interval['high']:.0%}" if interval else "–",
        "classes": ", ".join(f"{name} {right}/{of}" for name, right, of in found["classes"]),
        "left_out": str(found["left_out"]),
    }


def _reproducibility(one: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the table of replicates and classes."""
    row = {"of": _OF[one["of"]], "pairs": _PAIRS[one["pairs"]], "reason": one["reason"]}
    found = one["found"]
    if found is None:
        return row
    return row | {
        "others": one["others"],
        "scale": one["scale"],
        "map": number(found["precision"]),
        "chance": number(found["chance"]),
        "significant": f"{found['significant']}/{found['ranked']}",
        "above": f"{found['above']}/{found['compared']}",
    }
