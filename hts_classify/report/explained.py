"""Why each disagreement was called so: what each path saw, and what it likened the well to.

Pictures are made from the run's downscaled tiles, or, of what a CNN saw of crops, from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..extract.settings import folder_name
from ..features import Rule
from ..importance import channel_of, statistics_of
from ..nearest import METRICS, NEAREST
from ..shards import CROP, TILE_ROW, read_frame
from ..tiles import CropStore
from ..vocabulary import CALL, PATH, PLATE, SITE, TARGET, TIMEPOINT, TITLES, WELL, channel_word
from .overlays import marked, small, thresholded
from .pictures import Key, Painter, data_url

if TYPE_CHECKING:
    import pandas as pd

    from .record import Record

__all__ = ["Pictures", "explained"]

_MOST: Final = 12
"""Wells that are shown."""
_ROWS: Final = 10
"""Statistics, and groups, that are listed."""
_PX: Final = 96
_NEAR_PX: Final = 64


def explained(record: Record, brush: Painter) -> dict[str, Any] | None:
    """Return what the page shows of why wells were called so.

    Parameters
    ----------
    record : Record
    brush : Painter
        The page's colours and scale.

    Returns
    -------
    dict or None
        None of a run that was made before calls were explained.
    """
    file = record.folder / "explanations.parquet"
    if not file.exists():
        return None
    table = read_frame(file)
    apart = _disagreements(table, record.wells)
    shown = apart[:_MOST]
    asked = table.set_index([PLATE, WELL]).sort_index() if len(table) else table
    rows: dict[Key, list[dict[Any, Any]]] = {
        well: asked.loc[[well]].to_dict("records") for well, _ in shown
    }
    pictures = Pictures(record, brush, [well for well, _ in shown], rows)
    return {
        "wells": [_row(record, well, truth, rows[well], pictures) for well, truth in shown],
        "count": len(apart),
        "metrics": METRICS,
        "volumes": pictures.volumes,
        "importance": _importance(record.comparison.get("importance"), record.run["channels"]),
        "crops": record.run["settings"].get("crops", "none") != "none",
    }


def _disagreements(table: pd.DataFrame, wells: pd.DataFrame) -> list[tuple[Key, str | None]]:
    """Return the wells that the paths call differently, those of known class first."""
    import pandas as pd

    calls = table.pivot(index=[PLATE, WELL], columns=PATH, values=CALL)
    apart = calls[calls.nunique(axis=1) > 1].index
    truth = wells.drop_duplicates([PLATE, WELL]).set_index([PLATE, WELL])[TARGET]
    found = [(well, None if pd.isna(truth[well]) else str(truth[well])) for well in apart]
    return sorted(found, key=lambda one: one[1] is None)


def _row(
    record: Record,
    well: Key,
    truth: str | None,
    paths: Sequence[Mapping[Any, Any]],
    pictures: Pictures,
) -> dict[str, Any]:
    """Return what is shown of one well."""
    found = {}
    for said in paths:
        near = [
            {
                "name": record.well(said[f"Nearest_Plate_{k}"], said[f"Nearest_Well_{k}"]),
                "class": said[f"Nearest_Class_{k}"],
                "distance": f"{said[f'Nearest_Distance_{k}']:.3g}",
                "picture": pictures.near((said[f"Nearest_Plate_{k}"], said[f"Nearest_Well_{k}"])),
            }
            for k in range(1, NEAREST + 1)
            if isinstance(said[f"Nearest_Well_{k}"], str)
        ]
        rival = said["Rival"] if isinstance(said["Rival"], str) else None
        found[said[PATH]] = {"call": said[CALL], "rival": rival, "near": near}
        if said[PATH] == "cnn":
            classes = [said[CALL], *([rival] if rival else [])]
            found["cnn"]["maps"] = [
                {"class": name, "picture": pictures.under_map(well, name)} for name in classes
            ]
        else:
            found[said[PATH]]["statistic"] = _statistic(said, well, pictures)
    return {
        "name": record.well(*well),
        "truth": truth,
        "picture": pictures.whole(well),
        "paths": {path: found[path] for path in TITLES if path in found},
    }


def _statistic(said: Mapping[str, Any], well: Key, pictures: Pictures) -> dict[str, Any] | None:
    """Return the statistic that speaks for a call, with the image that it counts pixels of."""
    if not isinstance(said["Statistic"], str):
        return None
    _, interval, centre, neighbours = said["Statistic"].rsplit("_", 3)
    channel = channel_of(said["Statistic"])
    return {
        "name": f"{interval}_{centre}_{neighbours}",
        "channel": pictures.title(channel),
        "interval": interval,
        "centre": centre.lower(),
        "neighbours": neighbours,
        "value": f"{said['Statistic_Value']:.2g}",
        "of_call": f"{said['Statistic_Class']:.2g}",
        "of_rival": f"{said['Statistic_Rival']:.2g}",
        "picture": pictures.on_pixels(well, channel, interval),
    }


class Pictures:
    """Pictures of the wells that are shown, and of those that they are likened to.

    Parameters
    ----------
    record : Record
    brush : Painter
        Colours and scale of tiles; crops, which are sharper, have a scale of their own.
    wells : sequence of (plate, well)
        Those that are shown.
    rows : mapping
        Of each its rows of the table of explanations.
    """

    def __init__(
        self,
        record: Record,
        brush: Painter,
        wells: Sequence[Key],
        rows: Mapping[Key, Sequence[Mapping[Any, Any]]],
    ) -> None:
        import pyarrow.parquet as pq

        self._record, self._brush = record, brush
        file = record.folder / "features.parquet"
        names = pq.read_schema(file).names
        self.volumes = any(name.endswith("_26") for name in statistics_of(names))
        """Whether fields were measured as volumes, of which tiles are projections."""
        words = dict.fromkeys(channel_of(name) for name in statistics_of(names))
        self._words = {word: k for k, word in enumerate(words)}
        places = [name for name in (PLATE, WELL, SITE, TIMEPOINT, TILE_ROW) if name in names]
        self._fields = read_frame(file, columns=places)
        firsts = self._fields.drop_duplicates([PLATE, WELL]).set_index([PLATE, WELL])[TILE_ROW]
        self._rows = firsts.to_dict()
        near = [
            (said[f"Nearest_Plate_{k}"], said[f"Nearest_Well_{k}"])
            for said in (one for own in rows.values() for one in own)
            for k in range(1, NEAREST + 1)
            if isinstance(said[f"Nearest_Well_{k}"], str)
        ]
        every = list(dict.fromkeys([*wells, *near]))
        self._small = {well: small(self._tile(well), _PX) for well in every}
        self.crops = self._first_crops(wells)
        """The first crop of each well that is shown, where the CNN saw crops."""
        if self.crops:
            self._crop_brush = Painter.of(np.stack([*self.crops.values()]), brush.colours)
        self._maps = _maps(record, wells)

    def title(self, word: str) -> str:
        """Return a channel's name as the plate has it."""
        return str(self._record.run["channels"][self._words[word]])

    def whole(self, well: Key) -> str:
        """Return a well's first field."""
        return data_url(self._brush.rgb(self._small[well]))

    def near(self, well: Key) -> str:
        """Return the first field of a well that another is likened to."""
        return data_url(self._brush.rgb(small(self._small[well], _NEAR_PX)))

    def under_map(self, well: Key, name: str) -> str | None:
        """Return what the CNN saw of a well, lit where a class is seen; None where nowhere."""
        if (found := self._maps.get((*well, name))) is None:
            return None
        values, covered = found
        if well in self.crops:
            shown = self._crop_brush.rgb(self.crops[well])
        else:
            shown = self._brush.rgb(self._small[well])
        return data_url(marked(shown, values, covered))

    def on_pixels(self, well: Key, word: str, interval: str) -> str:
        """Return the binary image of a well's tile in a channel."""
        settings = self._record.run["settings"]
        # to Otsu's threshold the full scale means nothing: there it tells saturated pixels alone
        fixed = settings["features"] == "tas"
        rule = Rule(settings["features"], full_scale=settings.get("full_scale") if fixed else None)
        plane = self._tile(well)[self._words[word]]
        # tiles of 16-bit plates are kept in 16 bits, those of 8-bit plates as floats
        kind = np.uint16 if self._record.tiles.dtype == np.uint16 or plane.max() > 255 else np.uint8
        on = thresholded(np.rint(plane).astype(kind), interval, rule)
        return data_url(small(on[None], _PX)[0])

    def _tile(self, well: Key) -> NDArray[np.float32]:
        tile: NDArray[np.float32] = self._record.tiles.read(np.array([self._rows[well]]))[0]
        return tile

    def _first_crops(self, wells: Sequence[Key]) -> dict[Key, NDArray[np.float32]]:
        """Read the first crop of each well's first field, where the CNN saw crops."""
        file = self._record.folder / "crops.parquet"
        if self._record.run["settings"].get("crops", "none") == "none" or not file.exists():
            return {}
        crops = read_frame(file).sort_values(CROP, kind="stable")
        keys = [name for name in (PLATE, WELL, SITE, TIMEPOINT) if name in crops]
        keys = [name for name in keys if name in self._fields]
        joined = self._fields.merge(crops[[*keys, CROP]], on=keys).drop_duplicates([PLATE, WELL])
        places = joined.set_index([PLATE, WELL])[CROP].to_dict()
        store = CropStore(self._record.folder / "crops.zarr")
        found = {}
        for plate, well in wells:
            view = store.view([folder_name(plate)], [well], [places[plate, well]])
            found[plate, well] = small(view[np.array([0])][0], _PX)
        return found


def _maps(
    record: Record, wells: Iterable[Key]
) -> dict[tuple[str, str, str], tuple[NDArray[np.uint8], tuple[float, float]]]:
    """Read where the CNN saw each class in these wells; one that it saw nowhere is left out."""
    wanted, found = set(wells), {}
    for file in sorted((record.folder / "predictions").glob("explained-cnn-*.parquet")):
        for one in read_frame(file).to_dict("records") if wanted else []:
            if (one[PLATE], one[WELL]) in wanted and isinstance(one["Map"], bytes):
                values = np.frombuffer(one["Map"], np.uint8).reshape(one["Rows"], one["Columns"])
                covered = one["CoveredY"], one["CoveredX"]
                found[one[PLATE], one[WELL], one[CALL]] = values, covered
    return found


def _importance(found: Mapping[str, Any] | None, channels: Sequence[str]) -> dict[str, Any] | None:
    """Return the strongest groups and statistics, with bars on one scale for each list."""
    if found is None:
        return None
    titles = {channel_word(name): name for name in channels}
    lists = {}
    for kind in ("groups", "statistics"):
        rows = found[kind][:_ROWS]
        most = max([row["mean"] for row in rows] + [1e-12])
        lists[kind] = [
            {
                "channel": titles.get(row["channel"], row["channel"]),
                "name": row["name"].removeprefix(f"{_stem(row)}_"),
                "mean": f"{row['mean']:+.3g}",
                "spread": "–" if row["spread"] is None else f"{row['spread']:.2g}",
                "bar": max(0.0, row["mean"] / most),
            }
            for row in rows
        ]
    return (
        {name: found[name] for name in ("folds", "fields")}
        | lists
        | {
            "log_loss": f"{found['log_loss']:.3g}",
            "total": len(found["groups"]),
        }
    )


def _stem(row: Mapping[str, Any]) -> str:
    parts = 2 if row["neighbours"] is None else 3
    return str(row["name"]).rsplit("_", parts)[0]
