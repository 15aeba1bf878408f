"""What the page's script knows of each well, as JSON: what its card shows when it is pointed at.

The same is in the page without a script, as the titles of the wells on the maps, less the scores
and the picture. Names stand once and are referred to by number: a compound may be called by ten
thousand characters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    PATH,
    PLATE,
    PROBA,
    ROLE,
    SCORE,
    SCORED,
    TARGET,
    TITLES,
    UNLIKE,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

    from .pictures import Key
    from .record import Record

__all__ = ["embedded", "treatment", "well_data"]

_DIGITS: Final = 3


def well_data(
    record: Record,
    cells: Mapping[str, Sequence[Mapping[str, Any]]],
    keys: Sequence[Key],
    pictures: Mapping[Key, str],
) -> dict[str, Any]:
    """Return what cards are made of.

    Parameters
    ----------
    record : Record
        A finished run.
    cells : mapping
        By path, what `figures.plate_cells` returns.
    keys : sequence of (plate, well)
        The wells of the drawn plates, in the order of their numbers.
    pictures : mapping
        Data URLs, of all wells or of none.

    Returns
    -------
    dict
        JSON types only. `wells` has a list a well: plate, name, treatment, class, whether it was
        tested; for each path its call, how sure it is, whether the well is unlike every class, and
        what it gives each class; the picture.
    """
    table = record.wells
    probable = columns_with(PROBA, table)
    values = probable or columns_with(SCORE, table)
    prefix = PROBA if probable else SCORE
    names = _Names(name.removeprefix(prefix) for name in values)
    sure = {
        path: {(cell["plate"], cell["name"]): cell["sure"] for cell in own}
        for path, own in cells.items()
    }
    by_path = {path: _rows(table[table[PATH] == path]) for path in TITLES}
    wells = []
    for key in keys:
        rows = {path: own[key] for path, own in by_path.items()}
        about = rows["tas_svm"]
        said = [
            [
                names(row[CALL]),
                round(sure[path][key], 3),
                int(row.get(UNLIKE) is True),
                *(_short(row[name]) for name in values),
            ]
            for path, row in rows.items()
        ]
        truth = names(about[TARGET]) if isinstance(about[TARGET], str) else None
        scored = int(about[ROLE] == SCORED)
        wells.append([names(key[0]), key[1], names(treatment(about)), truth, scored, said])
        if key in pictures:
            wells[-1].append(pictures[key])
    return {
        "classes": len(values),
        "measure": "probability" if probable else "score",
        "names": names.every,
        "paths": list(TITLES.values()),
        "plates": len(record.run["plates"]),
        "wells": wells,
    }


def treatment(well: Mapping[str, Any]) -> str | None:
    """Return what a well was given: compound × concentration, or None where the map is silent.

    Examples
    --------
    >>> treatment({COMPOUND: "taxol", CONCENTRATION: 0.30000001})
    'taxol × 0.3'
    >>> treatment({COMPOUND: "DMSO", CONCENTRATION: None})
    'DMSO'
    """
    compound, dose = well.get(COMPOUND), well.get(CONCENTRATION)
    if not isinstance(compound, str) or not compound:
        return None
    if dose is None or dose != dose or dose == "":
        return compound
    return f"{compound} × {dose if isinstance(dose, str) else format(float(dose), '.4g')}"


def embedded(content: Mapping[str, Any]) -> str:
    r"""Write JSON that may stand inside a `<script>` element: nothing in it can end the element.

    Examples
    --------
    >>> embedded({"name": "</script>"})
    '{"name":"\\u003c/script>"}'
    """
    written = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c")


class _Names:
    """Texts by number, each kept once."""

    def __init__(self, first: Iterable[str]) -> None:
        self.every = list(first)
        self._at = {name: k for k, name in enumerate(self.every)}

    def __call__(self, name: str | None) -> int | None:
        """Return a name's number."""
        if name is None:
            return None
        if name not in self._at:
            self._at[name] = len(self.every)
            self.every.append(name)
        return self._at[name]


def _rows(part: pd.DataFrame) -> dict[Key, dict[str, Any]]:
    rows = [{str(name): value for name, value in row.items()} for row in part.to_dict("records")]
    return {(row[PLATE], row[WELL]): row for row in rows}


def _short(value: float) -> float | None:
    """Return a number with three digits; None for a class that the model does not know."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
