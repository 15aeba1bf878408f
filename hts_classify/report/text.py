"""The few lines that a terminal shows when a run ends."""

from __future__ import annotations

from ..vocabulary import TITLES
from .drawings import figures_line
from .learning import findings
from .record import Record
from .repeats import repeats_line

__all__ = ["summary"]

_MOST_FINDINGS = 2


def summary(record: Record) -> list[str]:
    """Say in a few lines what a run found, what it cost and where the page is.

    Parameters
    ----------
    record : Record
        A finished run.

    Returns
    -------
    list of str
        Lines of plain text.
    """
    scored = next(iter(record.comparison["paths"].values()))["total"]
    wells = record.wells[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    lines = [
        f"{len(wells)} wells called, {scored} of them scored;"
        f" {len(record.classes)} classes: {', '.join(record.classes)}",
        "",
    ]
    for path, title in TITLES.items():
        result, cost = record.comparison["paths"][path], record.costs[path]
        lines.append(
            f"{title:<10} {record.count(path):>8} wells right"
            f" ({result['accuracy']:.1%}; {record.interval(path)}),"
            f" balanced accuracy {result['balanced_accuracy']:.1%}"
        )
        lines.append(
            f"{'':<10} {cost.fields_per_s:8.0f} fields/s from store to call"
            f" ({cost.fields_per_s_without_reading:.0f} without reading);"
            f" {cost.fits} fits in {cost.train_s:.1f} s"
        )
    lines += ["", *_judged(record), *_unlike(record), *repeats_line(record)]
    lines += [f"note: {warning}" for warning in record.warnings()]
    found = findings(record.comparison)
    lines += [f"note: {finding.line}" for finding in found[:_MOST_FINDINGS]]
    lines += ["", record.screen.said[0], f"report: {record.folder / 'report.html'}"]
    lines.append(figures_line(record.folder))
    return lines


def _judged(record: Record) -> list[str]:
    """Say how the paths differ, by which test, and what chance and place alone would reach."""
    found = record.comparison["difference"]
    p = "" if found["p"] is None else f" ({found['test']}: p = {found['p']:.2g})"
    lines = [f"{found['verdict']}{p}", found["resolution"]]
    others = [
        f"{one['name']} {one['correct']}/{one['total']}"
        for one in record.comparison["audit"]["contestants"]
    ]
    return [*lines, f"right without looking at the cells: {', '.join(others)}"] if others else lines


def _unlike(record: Record) -> list[str]:
    """Say how many wells without a class are unlike every class."""
    parts = [
        f"{TITLES[path['path']]} {path['unlabelled_flagged']}/{path['unlabelled']}"
        for path in record.comparison.get("unlike", [])
        if path["limit"] is not None and path["unlabelled"]
    ]
    if not parts:
        return []
    return [f"wells without a class that are unlike every class (Unlike): {', '.join(parts)}"]
