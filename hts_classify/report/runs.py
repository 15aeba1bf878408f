"""The page that puts several runs side by side: one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .template import write_page

__all__ = ["runs_page"]

_WIDTH: Final = 180
"""Of a pair's picture; 0 is in its middle."""


def runs_page(content: Mapping[str, Any], target: Path) -> Path:
    """Draw a comparison of runs.

    Parameters
    ----------
    content : mapping
        What `hts_classify.runs.RunsComparison.as_json` returns.
    target : Path
        The HTML file to write.

    Returns
    -------
    Path
        The same file.
    """
    pictures = [_picture(pair, _reach(content)) for pair in content["pairs"]]
    names = {"found": content, "pictures": pictures, "width": _WIDTH}
    return write_page("runs.html.j2", target, names)


def _reach(content: Mapping[str, Any]) -> float:
    """Return the largest difference that a picture must hold, of all pairs: they share a scale."""
    ends = [abs(end) for pair in content["pairs"] for end in pair["interval"] or ()]
    return float(max([*ends, *(abs(pair["difference"]) for pair in content["pairs"]), 0.05]))


def _picture(pair: Mapping[str, Any], reach: float) -> dict[str, float | None]:
    """Place a pair's difference and interval on the picture."""

    def at(value: float) -> float:
        return round(_WIDTH / 2 + value / reach * (_WIDTH / 2 - 6), 1)

    low, high = pair["interval"] or (None, None)
    return {
        "middle": at(pair["difference"]),
        "low": None if low is None else at(low),
        "high": None if high is None else at(high),
    }
