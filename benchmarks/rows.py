"""The lines of a benchmark's table: a median with its quartiles, beside what was aimed at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEAD", "Row", "spread"]

HEAD = "| case | measured (quartiles) | at least | aim | met |\n|---|---|---|---|---|"


def spread(values: NDArray[np.float64], unit: str, digits: int = 2) -> str:
    """Write a median with its quartiles; a single value alone."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    around = f" ({low:.{digits}f}–{high:.{digits}f})" if len(values) > 1 else ""
    return f"{middle:.{digits}f} {unit}{around}"


@dataclass(frozen=True)
class Row:
    """One line of the table; without figures to reach it is a report."""

    case: str
    values: NDArray[np.float64]
    at_least: float | None
    aim: float | None
    unit: str
    digits: int = 2
    less_is_better: bool = False

    @property
    def met(self) -> str:
        """Say which of the two figures the median reaches."""
        sign = -1 if self.less_is_better else 1
        value = sign * float(np.median(self.values))
        if self.at_least is None:
            return ""
        if self.aim is not None and value >= sign * self.aim:
            return "aim"
        return "at least" if value >= sign * self.at_least else "missed"

    def __str__(self) -> str:
        limits = [
            "" if value is None else f"{value:g} {self.unit}" for value in (self.at_least, self.aim)
        ]
        cells = [self.case, spread(self.values, self.unit, self.digits), *limits, self.met]
        return "| " + " | ".join(cells) + " |"
