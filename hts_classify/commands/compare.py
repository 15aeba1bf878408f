"""Put several finished runs side by side: paired tests, corrected for how many they are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..report.trust import number
from .terminal import plain

if TYPE_CHECKING:
    from ..runs import Contestant, Pair, RunsComparison

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories, two at least"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.json", help="also write all figures as JSON"
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE.html", help="also draw a page that opens offline"
    )


def run(options: argparse.Namespace) -> int:
    """Compare, print the tables, and write what was asked for."""
    from ..files import write_json
    from ..runs import compare_runs

    found = compare_runs(options.runs)
    print("\n".join(_lines(found)))
    if options.output or options.html:
        print()
    if options.output:
        write_json(options.output, found.as_json())
        print(f"figures: {options.output}")
    if options.html:
        from ..report.runs import runs_page

        print(f"page: {runs_page(found.as_json(), options.html)}")
    return 0


def _lines(found: RunsComparison) -> Iterator[str]:
    """Say what was found: contestants, pairs, and what to know before believing it."""
    yield (
        f"{found.wells} wells that all {len(found.runs)} runs tested, in {found.groups} groups"
        f" ({found.unit}); {len(found.classes)} classes of {plain(found.target)}"
    )
    yield ""
    heads = ("contestant", "right", "accuracy (95%)", "balanced", "F1", "kappa", "log-loss")
    rows = [_contestant(one) for one in found.contestants]
    yield from _table((*heads, "fields/s"), rows)
    yield ""
    rows = [_pair(one) for one in found.pairs]
    yield from _table(("first – second", "points (95%)", "p", "corrected", "better"), rows)
    yield ""
    test = found.pairs[0].difference.test  # of the groups, and so the same for all
    yield f"test: {test}"
    if found.pairs[0].p_holm is not None:
        yield (
            f"corrected over {len(found.pairs)} pairs (Holm); better where that is below 0.05"
            " and the interval leaves out 0,"
        )
        yield "which is of the pair alone"
    for note in found.notes:
        yield f"note: {plain(note)}"


def _contestant(one: Contestant) -> tuple[str, ...]:
    found = one.evaluation
    interval = found.interval
    ends = f" ({100 * interval.low:.0f} to {100 * interval.high:.0f})" if interval else ""
    return (
        plain(one.name),
        f"{found.correct}/{found.total}",
        f"{found.accuracy:.1%}{ends}",
        f"{found.balanced_accuracy:.1%}",
        f"{found.rates.macro_f1:.2f}",
        number(found.rates.kappa),
        number(found.probable.log_loss if found.probable else None),
        f"{one.fields_per_s:.3g}" if one.fields_per_s < 100 else f"{one.fields_per_s:.0f}",
    )


def _pair(one: Pair) -> tuple[str, ...]:
    found = one.difference
    interval = found.interval
    ends = f" ({100 * interval[0]:+.0f} to {100 * interval[1]:+.0f})" if interval else ""
    if one.shown:
        better = "first" if found.difference > 0 else "second"
    else:
        better = "–" if one.p_holm is None else "not shown"
    return (
        f"{plain(one.first)} – {plain(one.second)}",
        f"{100 * found.difference:+.1f}{ends}",
        _p(found.p),
        _p(one.p_holm),
        better,
    )


def _p(value: float | None) -> str:
    """Write a p-value for people.

    Examples
    --------
    >>> _p(0.04321), _p(0.00000012), _p(None)
    ('0.043', '1.2e-07', '–')
    """
    return "–" if value is None else f"{value:.2g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        first, *others = [
            f"{cell:<{width}}" if k == 0 else f"{cell:>{width}}"
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join([first, *others])
