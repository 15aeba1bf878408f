"""Several plates at a glance: what was called right on each, and how well its controls part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..vocabulary import CALL, PATH, PLATE, ROLE, SCORED, SITE, TARGET, TITLES, WELL

if TYPE_CHECKING:
    import pandas as pd

    from .record import Record

__all__ = ["overview"]


def overview(record: Record, drawn: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row a plate, in the run's order; none where there is one plate.

    Parameters
    ----------
    record : Record
        A finished run.
    drawn : sequence of str
        Plates of which the page has maps: `number` is that of a plate's map, or None.
    """
    if len(record.run["plates"]) < 2:
        return []
    return [_plate(record, name, drawn) for name in record.run["plates"]]


def _plate(record: Record, name: str, drawn: Sequence[str]) -> dict[str, Any]:
    own = record.wells[record.wells[PLATE] == name]
    failures = record.failures[record.failures[PLATE].astype(str) == name]
    lost = int(failures[SITE].isna().sum())
    calls = own.pivot(index=WELL, columns=PATH, values=CALL)
    return {
        "name": name,
        "number": drawn.index(name) + 1 if name in drawn else None,
        "wells": own[WELL].nunique(),
        "fields_out": len(failures) - lost,
        "wells_out": lost,
        "disagree": int((calls["tas_svm"] != calls["cnn"]).sum()) if len(calls) else 0,
        "paths": [_judged(record, name, own[own[PATH] == path], path) for path in TITLES],
    }


def _judged(record: Record, name: str, own: pd.DataFrame, path: str) -> dict[str, Any]:
    """Return what one path got right on a plate; None where the plate's wells do not say."""
    scored = own[own[ROLE] == SCORED]
    right = scored[CALL] == scored[TARGET]
    found = [
        (one["target"], one["found"]["quality"]["z_prime"])
        for one in record.comparison["separations"]
        if one["plate"] == name and one["path"] == path and one["found"]["quality"]
    ]
    return {
        "title": TITLES[path],
        "right": f"{int(right.sum())}/{len(scored)}" if len(scored) else None,
        # Of the classes that this plate has: another plate's may be others.
        "balanced": float(right.groupby(scored[TARGET]).mean().mean()) if len(scored) else None,
        "z_primes": [(target, value) for target, value in found if value is not None],
    }
