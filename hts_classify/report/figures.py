"""What the page draws, as plain data: the templates turn it into SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from ..cost import frontier
from ..vocabulary import (
    CALL,
    FOLD,
    MARGIN,
    PATH,
    PLATE,
    ROLE,
    SCORED,
    TARGET,
    TITLES,
    UNLABELLED,
    UNLIKE,
    WELL,
    row_letters,
    row_number,
    split_well,
)
from .explained import explained
from .learning import learned
from .matching import matching
from .method import method
from .overview import overview
from .pictures import Album, Key, album, channel_colours
from .record import Record
from .repeats import repeats
from .trust import trust
from .wells import well_data

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["page"]

# Paul Tol's "bright" and then his "muted" scheme, told apart with every kind of colour vision as
# far as so many can be; grey for the rest.
_COLOURS = (
    *("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377"),
    *("#332288", "#999933", "#44AA99", "#882255", "#DDCC77", "#CC6677", "#117733"),
)
_REST = "#999999"
_PLAIN = 6
"""Colours that every eye tells apart; a class beyond them carries a letter too."""
_FORMATS = ((4, 6), (8, 12), (16, 24), (32, 48))
_MOST_DISAGREEMENTS = 96
_MOST_PLATES = 24
_MOST_WELLS = 24 * 384
_GALLERY_PX = 150
_ALL_PICTURES = 3_500_000
"""Bytes of the pictures of all wells: a page of one plate stays below 6 MB, and any below 15."""


def page(record: Record) -> dict[str, Any]:
    """Return everything that the template names."""
    names = drawn_plates(record.wells)
    keys = [(p, w) for p, w in _keys(record.wells) if p in set(names)]
    cells = {path: plate_cells(record.wells, path) for path in TITLES}
    pictures = album(record)
    side, small = pictures.fit(keys, _ALL_PICTURES)
    apart = disagreements(record, pictures, cells)
    grid, maps = plate_grid(record.wells), plates(cells, names, keys)
    return {
        "record": record,
        "titles": TITLES,
        "colours": colours(record.classes),
        "marks": dict.fromkeys(record.classes, "") | marks(record.classes),
        "warnings": record.warnings(),
        "plates": maps,
        "grid": grid,
        "empty": {name: empty_places(grid, own["cnn"]) for name, own in maps.items()},
        "data": well_data(record, cells, keys, small),
        "picture_px": side,
        "overview": overview(record, names),
        "disagreements": apart,
        "most": _MOST_DISAGREEMENTS,
        "channel_colours": channel_colours(record.run["channels"]),
        "doses": dose_panels(record.comparison["doses"]),
        "bars": cost_bars(record),
        "frontier": frontier_points(record),
        "explained": explained(record, pictures.brush),
        "learned": learned(record),
        "trust": trust(record),
        "matching": matching(record.comparison),
        "again": repeats(record),
        "method": method(record),
        "unlabelled": int((record.wells[ROLE] == UNLABELLED).sum() // len(TITLES)),
    }


def colours(classes: Iterable[str]) -> dict[str, str]:
    """Give each class a colour; those beyond the palette share a grey."""
    return {name: _COLOURS[k] if k < len(_COLOURS) else _REST for k, name in enumerate(classes)}


def marks(classes: Iterable[str]) -> dict[str, str]:
    """Give each class that its colour alone may not tell apart a letter: a, b, …, z, aa, ….

    Examples
    --------
    >>> marks("ABCDEFGH")
    {'G': 'a', 'H': 'b'}
    """
    later = enumerate(islice(classes, _PLAIN, None), start=1)
    return {name: row_letters(number).lower() for number, name in later}


def _keys(wells: pd.DataFrame) -> list[Key]:
    """Return plate and well of every well, once, in the table's order."""
    table = wells[[PLATE, WELL]].drop_duplicates()
    return [(plate, well) for plate, well in table.itertuples(index=False)]


def drawn_plates(wells: pd.DataFrame) -> list[str]:
    """Return the plates of which maps are drawn: 24, fewer large ones, and one in any case."""
    held = wells[[PLATE, WELL]].drop_duplicates()
    counts = held.groupby(PLATE, sort=False).size().cumsum()
    fit = [str(name) for name, so_far in counts.items() if so_far <= _MOST_WELLS]
    return (fit or [str(counts.index[0])])[:_MOST_PLATES]


def plates(
    cells: Mapping[str, list[dict[str, Any]]], names: Iterable[str], keys: Iterable[Key]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return what is drawn of each plate: its wells by path, numbered as the page's script does."""
    number = {key: k for k, key in enumerate(keys)}
    return {
        name: {
            path: [
                cell | {"number": number[name, cell["name"]]}
                for cell in own
                if cell["plate"] == name
            ]
            for path, own in cells.items()
        }
        for name in names
    }


def plate_grid(wells: pd.DataFrame) -> dict[str, Any]:
    """Return the smallest usual plate that holds these wells: its row letters and columns."""
    places = [split_well(name) for name in wells[WELL].unique()]
    row, column = max(row_number(r) for r, _ in places), max(c for _, c in places)
    rows, columns = next((f for f in _FORMATS if row <= f[0] and column <= f[1]), (row, column))
    letters = [row_letters(number) for number in range(1, rows + 1)]
    return {"rows": letters, "columns": list(range(1, columns + 1))}


def empty_places(
    grid: Mapping[str, Any], cells: Iterable[Mapping[str, Any]]
) -> list[tuple[int, int]]:
    """Return row and column of every place of a plate without a well."""
    held = {(cell["row"], cell["column"]) for cell in cells}
    places = product(range(len(grid["rows"])), range(len(grid["columns"])))
    return [place for place in places if place not in held]


def plate_cells(wells: pd.DataFrame, path: str) -> list[dict[str, Any]]:
    """Return one path's wells with their place, call and how sure the model was.

    Margins of different models have no common scale: a well's sureness is its rank among the
    wells that the same model called, from 0 to 1 (0.5 where it called one well).
    """
    part = wells[wells[PATH] == path].copy()
    by_model = part.groupby(FOLD)[MARGIN]
    others = by_model.transform("size") - 1
    part["sure"] = ((by_model.rank() - 1) / others.where(others > 0)).fillna(0.5)
    cells = []
    for well in part.to_dict("records"):
        letters, column = split_well(well[WELL])
        scored = well[ROLE] == SCORED
        cells.append(
            {
                "plate": well[PLATE],
                "name": well[WELL],
                "row": row_number(letters) - 1,
                "column": column - 1,
                "call": well[CALL],
                "truth": well[TARGET] if scored else None,
                "wrong": scored and well[CALL] != well[TARGET],
                "unlike": well.get(UNLIKE) is True,
                "sure": float(well["sure"]),
                "shade": _shade(float(well["sure"])),
            }
        )
    return cells


def _shade(sure: float) -> str:
    """Return a blue, the darker the surer; a light and a dark end, so that grey will do."""
    ends = zip((232, 238, 244), (22, 64, 95), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * sure):02x}" for a, b in ends)


def disagreements(
    record: Record, pictures: Album, drawn: Mapping[str, Iterable[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return the wells that the paths call differently, the first 96 with their first field.

    `drawn` is each path's `plate_cells`.
    """
    cells = {
        path: {(cell["plate"], cell["name"]): cell for cell in _ordered(record, own)}
        for path, own in drawn.items()
    }
    wells = record.wells.pivot(index=[PLATE, WELL], columns=PATH, values=CALL)
    truth = record.wells.drop_duplicates([PLATE, WELL]).set_index([PLATE, WELL])[TARGET]
    apart = wells[wells["tas_svm"] != wells["cnn"]].join(truth).reset_index()
    # Wells whose class is known come first: there one can see who was right.
    apart = apart.sort_values(TARGET, key=lambda t: t.isna(), kind="stable")
    found = [{str(k): v for k, v in well.items()} for well in apart.to_dict("records")]
    shown = [(well[PLATE], well[WELL]) for well in found[:_MOST_DISAGREEMENTS]]
    painted = pictures.paint(shown, _GALLERY_PX)
    where = {key: k for k, key in enumerate(cells["cnn"])}
    for number, well in enumerate(found):
        key = well[PLATE], well[WELL]
        well["known"] = isinstance(well[TARGET], str)
        well["picture"] = painted.get(key)
        well["sure"] = {path: own[key]["sure"] for path, own in cells.items()}
        # Numbers that the page's script orders by; the surest and the known first.
        well["order"] = {
            "found": number,
            "well": where[key],
            "target": _rank(well[TARGET], record.classes),
            "right": _right(well),
            **{path: round(1 - sure, 4) for path, sure in well["sure"].items()},
        }
    return found


def _ordered(record: Record, cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a path's cells by plate, in the run's order, and then by row and column."""
    order = {name: k for k, name in enumerate(record.run["plates"])}
    return sorted(cells, key=lambda c: (order.get(c["plate"], -1), c["row"], c["column"]))


def _rank(target: Any, classes: Sequence[str]) -> int:
    return classes.index(target) if target in classes else len(classes)


def _right(well: Mapping[str, Any]) -> str:
    """Return which path called a well right: one at most, where they disagree."""
    if not well["known"]:
        return "unknown"
    return next((path for path in TITLES if well[path] == well[TARGET]), "neither")


def dose_panels(doses: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Group dose responses by compound and class, with both paths' shares over the doses."""
    panels: dict[tuple[str, str], dict[str, Any]] = {}
    for dose in doses:
        key = dose["compound"], dose["target"]
        panel = panels.setdefault(key, {"compound": key[0], "target": key[1], "paths": {}})
        panel["paths"][dose["path"]] = {name: dose[name] for name in ("doses", "rho", "said")}
    for panel in panels.values():
        panel["paths"] = {path: panel["paths"][path] for path in TITLES}
    return list(panels.values())


def frontier_points(record: Record) -> list[dict[str, Any]]:
    """Return each path's accuracy and speed, and whether the other is better at both."""
    points = frontier(
        {
            path: (record.comparison["paths"][path]["accuracy"], cost.fields_per_s)
            for path, cost in record.costs.items()
        }
    )
    most = max((point.fields_per_s or 1 for point in points), default=1)
    return [
        {
            "path": point.path,
            "accuracy": point.accuracy,
            "fields_per_s": point.fields_per_s,
            "dominated": point.dominated,
            "along": math.log10(max(1, point.fields_per_s)) / max(1, math.log10(most)),
        }
        for point in points
        if point.accuracy is not None and point.fields_per_s
    ]


def cost_bars(record: Record) -> list[dict[str, Any]]:
    """Return for each path the milliseconds of a field by kind of work."""
    bars = []
    for path, cost in record.costs.items():
        parts = {
            "reading": cost.read_s,
            "features" if path == "tas_svm" else "tile": cost.input_s,
            "inference": cost.score_s,
        }
        bars.append(
            {
                "path": path,
                "fields_per_s": cost.fields_per_s,
                "without_reading": cost.fields_per_s_without_reading,
                "train_s": cost.train_s,
                "fits": cost.fits,
                "parts": {name: 1000 * seconds for name, seconds in parts.items()},
            }
        )
    return bars
