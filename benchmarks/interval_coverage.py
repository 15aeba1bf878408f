"""Print how often the interval of an accuracy holds the truth, for each design that we state.

    python benchmarks/interval_coverage.py [repetitions]

Wells are right with the stated accuracy: each well its own group, or groups of four wells whose
shares are beta distributed with an intra-class correlation of 0.3. Each row has a seed of its own,
so the table is the same wherever it is made. "Met" asks for 93–97 % from 40 groups up where the
accuracy is 0.9 at most, and for at least 90 % elsewhere. It ends with 1 where a constant in
`hts_classify.statistics.intervals` is not what was measured with 2,000 repetitions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from hts_classify.statistics.intervals import Interval, accuracy_interval, stated_coverage

GROUPS = (3, 6, 12, 24, 38, 40, 100, 384)
ACCURACIES = (0.5, 0.7, 0.9, 0.97)
WELLS = 4
CORRELATION = 0.3
REPETITIONS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Wells in groups, and how often one is right."""

    groups: int
    accuracy: float
    clustered: bool

    @property
    def wells(self) -> int:
        """Wells a group."""
        return WELLS if self.clustered else 1

    @property
    def asked(self) -> tuple[float, float]:
        """Coverage that the issue asks for."""
        return (0.93, 0.97) if self.groups >= 40 and self.accuracy <= 0.9 else (0.9, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a design gave."""

    design: Design
    coverage: float
    width: float
    methods: str

    @property
    def met(self) -> bool:
        """Whether coverage is what was asked for."""
        low, high = self.design.asked
        return low <= self.coverage <= high

    def __str__(self) -> str:
        low, high = self.design.asked
        cells = (
            f"{self.design.groups} × {self.design.wells}",
            f"{self.design.accuracy:g}",
            f"{100 * self.coverage:.2f}",
            f"{self.width:.3f}",
            f"{100 * low:.0f}–{100 * high:.0f}",
            "yes" if self.met else "no",
            self.methods,
        )
        return f"| {' | '.join(cells)} |"


def simulate(design: Design, repetitions: int) -> Row:
    """Draw plates of one design, and count the intervals that hold its accuracy."""
    rng = np.random.default_rng([design.groups, round(1000 * design.accuracy), design.wells])
    shape = repetitions, design.groups
    # The order of groups does not matter to the interval, so that many plates are the same.
    right = np.sort(rng.binomial(design.wells, shares(design, rng, shape)), axis=1)
    plates, times = np.unique(right, axis=0, return_counts=True)
    found = [interval(plate, design.wells) for plate in plates]
    held = np.array([one.low <= design.accuracy <= one.high for one in found])
    widths = np.array([one.high - one.low for one in found])
    methods = dict.fromkeys(sorted({one.method for one in found}), 0)
    for one, count in zip(found, times, strict=True):
        methods[one.method] += int(count)
    return Row(
        design=design,
        coverage=float(times @ held) / repetitions,
        width=float(times @ widths) / repetitions,
        methods=", ".join(
            f"{name} {100 * count / repetitions:.0f} %" for name, count in methods.items()
        ),
    )


def shares(design: Design, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray | float:
    """Return the chance of each group's wells to be right."""
    if not design.clustered:
        return np.full(shape, design.accuracy)
    spread = (1 - CORRELATION) / CORRELATION
    return rng.beta(design.accuracy * spread, (1 - design.accuracy) * spread, shape)


def interval(right: np.ndarray, wells: int) -> Interval:
    correct = (np.arange(wells) < right[:, None]).ravel()
    found = accuracy_interval(correct, np.repeat(np.arange(len(right)), wells))
    assert found is not None
    return found


def main(repetitions: int = REPETITIONS) -> int:
    """Print the table, row by row."""
    print("| groups × wells | accuracy | coverage, % | mean width | asked, % | met | method |")
    print("|---|---|---|---|---|---|---|")
    stale = []
    for clustered in (False, True):
        for groups in GROUPS:
            for accuracy in ACCURACIES:
                design = Design(groups=groups, accuracy=accuracy, clustered=clustered)
                row = simulate(design, repetitions)
                print(row, flush=True)
                stated = stated_coverage(groups, accuracy, clustered=clustered)
                if repetitions == REPETITIONS and round(row.coverage, 3) != stated:
                    stale.append(f"{groups} × {design.wells}, {accuracy:g}: {row.coverage:.3f}")
    if stale:
        print(f"\nStated otherwise in intervals.py: {'; '.join(stale)}")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
