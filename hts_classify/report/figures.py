"""What the page draws, as plain data: the template turns it into SVG.

Thumbnails come from the run's own tiles, so that the page needs no pixels of the plate.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cost import frontier
from ..shards import TILE_ROW
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
    WELL,
    split_well,
)
from .explained import explained
from .learning import learned
from .matching import matching
from .method import method
from .record import Record
from .repeats import repeats
from .trust import trust

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
_NUCLEI = re.compile("dna|dapi|hoechst|draq|nuc", re.IGNORECASE)
_FORMATS = ((4, 6), (8, 12), (16, 24), (32, 48))
_MOST_THUMBNAILS = 24
_MOST_PLATES = 24
_THUMBNAIL_PX = 150


def page(record: Record) -> dict[str, Any]:
    """Return everything that the template names."""
    classes = record.classes
    colours = {name: _COLOURS[k] if k < len(_COLOURS) else _REST for k, name in enumerate(classes)}
    return {
        "record": record,
        "titles": TITLES,
        "colours": colours,
        "warnings": record.warnings(),
        "plates": plates(record.wells),
        "most_plates": _MOST_PLATES,
        "grid": plate_grid(record.wells),
        "disagreements": disagreements(record),
        "most": _MOST_THUMBNAILS,
        "channel_colours": channel_colours(record.run["channels"]),
        "doses": dose_panels(record.comparison["doses"]),
        "bars": cost_bars(record),
        "frontier": frontier_points(record),
        "explained": explained(record, [*channel_colours(record.run["channels"]).values()]),
        "learned": learned(record),
        "trust": trust(record),
        "matching": matching(record.comparison),
        "again": repeats(record),
        "method": method(record),
        "unlabelled": int((record.wells[ROLE] == UNLABELLED).sum() // len(TITLES)),
    }


def plates(wells: pd.DataFrame) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return what is drawn of each plate: its wells by path."""
    cells = {path: plate_cells(wells, path) for path in TITLES}
    names = [str(name) for name in wells[PLATE].unique()[:_MOST_PLATES]]
    return {
        name: {path: [c for c in own if c["plate"] == name] for path, own in cells.items()}
        for name in names
    }


def plate_grid(wells: pd.DataFrame) -> dict[str, Any]:
    """Return the smallest usual plate that holds these wells: its row letters and columns."""
    places = [split_well(name) for name in wells[WELL].unique()]
    row, column = max(_row_number(letters) for letters, _ in places), max(c for _, c in places)
    rows, columns = next((f for f in _FORMATS if row < f[0] and column <= f[1]), (row + 1, column))
    return {"rows": [_row_letters(k) for k in range(rows)], "columns": list(range(1, columns + 1))}


def _row_number(letters: str) -> int:
    return (
        ord(letters) - 65
        if len(letters) == 1
        else 26 * (ord(letters[0]) - 64) + (ord(letters[1]) - 65)
    )


def _row_letters(number: int) -> str:
    return chr(65 + number) if number < 26 else chr(64 + number // 26) + chr(65 + number % 26)


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
                "row": _row_number(letters),
                "column": column - 1,
                "call": well[CALL],
                "truth": well[TARGET] if scored else None,
                "wrong": scored and well[CALL] != well[TARGET],
                "sure": float(well["sure"]),
            }
        )
    return cells


def disagreements(record: Record) -> list[dict[str, Any]]:
    """Return the wells that the paths call differently, with a thumbnail of their first field."""
    import pandas as pd

    wells = record.wells.pivot(index=[PLATE, WELL], columns=PATH, values=CALL)
    truth = record.wells.drop_duplicates([PLATE, WELL]).set_index([PLATE, WELL])[TARGET]
    apart = wells[wells["tas_svm"] != wells["cnn"]].join(truth).reset_index()
    # Wells whose class is known come first: there one can see who was right.
    apart = apart.sort_values(TARGET, key=lambda t: t.isna(), kind="stable")
    found = [{str(k): v for k, v in well.items()} for well in apart.to_dict("records")]
    table = pd.read_parquet(record.folder / "features.parquet", columns=[PLATE, WELL, TILE_ROW])
    rows = table.drop_duplicates([PLATE, WELL]).set_index([PLATE, WELL])[TILE_ROW]
    shown = found[:_MOST_THUMBNAILS]
    tiles = record.tiles
    pictures = thumbnails(
        tiles.read(np.array([rows[well[PLATE], well[WELL]] for well in shown], np.intp))
        if shown
        else np.empty((0, *tiles.shape[1:]), np.float32),
        list(channel_colours(record.run["channels"]).values()),
    )
    for well, picture in zip(shown, pictures, strict=True):
        well["picture"] = picture
    for well in found:
        well["known"] = isinstance(well[TARGET], str)
    return found


def channel_colours(channels: Sequence[str]) -> dict[str, str]:
    """Give up to three channels a colour: nuclei blue, the others green and red.

    Examples
    --------
    >>> channel_colours(["DNA", "GFP", "ER", "RNA"])
    {'DNA': 'blue', 'GFP': 'green', 'ER': 'red'}
    """
    shown = list(channels[:3])
    nuclei = next((name for name in shown if _NUCLEI.search(name)), None)
    order = ["green", "red"] if nuclei else ["green", "blue", "red"]
    free = iter(order)
    return {name: "blue" if name == nuclei else next(free) for name in shown}


def thumbnails(tiles: NDArray[np.float32], colours: Sequence[str]) -> list[str]:
    """Turn tiles into PNG data URLs: one colour a channel, all tiles on one scale.

    The scale runs from the 1st to the 99.7th percentile of a channel; one channel alone is grey.
    """
    from PIL import Image

    shown = tiles[:, : len(colours)]
    pictures = []
    low = np.percentile(shown, 1, axis=(0, 2, 3), keepdims=True) if len(shown) else 0
    high = np.percentile(shown, 99.7, axis=(0, 2, 3), keepdims=True) if len(shown) else 1
    scaled = np.clip((shown - low) / np.maximum(np.subtract(high, low), 1e-6), 0, 1)
    for tile in scaled:
        rgb = np.zeros((*tile.shape[1:], 3), np.float32)
        if len(tile) == 1:
            rgb[:] = tile[0][..., None]
        else:
            for channel, colour in zip(tile, colours, strict=True):
                rgb[..., ("red", "green", "blue").index(colour)] = channel
        picture = Image.fromarray((255 * rgb).astype(np.uint8))
        if max(picture.size) < _THUMBNAIL_PX:
            scale = _THUMBNAIL_PX / max(picture.size)
            size = round(picture.width * scale), round(picture.height * scale)
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        pictures.append("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    return pictures


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
