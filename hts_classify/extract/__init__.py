"""The one pass: each field is read once, and gives its TAS features and its tile.

Dask runs one task a well, with one field in memory at a time. A well's result is a shard of
its own, `features/<well>.parquet`, so that a pass that was killed goes on where it stopped;
the shards then become one table, `features.parquet`, and `failures.csv` lists every field
that could not be read. Seconds are kept by kind, so that a comparison can charge reading,
TAS and tiles separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from .errors import FieldError, ImageError, PlateError, UsageError
from .features import Rule, measure
from .files import claim, digest, whole
from .plate import Field, Plate
from .shards import (
    FAILED,
    FAILED_CHANNEL,
    STAMP,
    TILE_ROW,
    failure_table,
    flag_column,
    join_shards,
    shard_schema,
    stamps_of,
    write_table,
)
from .tiles import TileStore, downscale, tile_factor, tile_shape
from .vocabulary import PLATE, SITE, WELL, FeatureKind, feature_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TILE_SIZE", "Extraction", "WellCost", "extract", "pixel_rule"]

TILE_SIZE = 128
"""Longest side of a tile in pixels, unless asked otherwise."""

Scheduler = Literal["threads", "processes", "synchronous"]


@dataclass(slots=True)
class WellCost:
    """What one well cost its worker."""

    fields: int = 0
    """Fields read."""
    bytes: int = 0
    """Bytes of pixels."""
    read_s: float = 0.0
    """Seconds spent reading and decoding."""
    features_s: float = 0.0
    """Seconds spent on TAS features."""
    tiles_s: float = 0.0
    """Seconds spent on downscaling."""
    keep_s: float = 0.0
    """Seconds spent on writing tiles, which is a run's own book-keeping."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What the pass leaves."""

    features: pd.DataFrame
    """One row a field: plate, well, site, tile row, flags, features."""
    tiles: TileStore
    """One tile a field; `features.Metadata_Tile` says which."""
    failures: pd.DataFrame
    """One row for each field that was left out, and why."""
    costs: dict[str, dict[str, float]]
    """Seconds and bytes of each well that this call read (`WellCost`)."""
    stamp: str
    """What changes when the pixels do that features and tiles were made from."""


def extract(
    plate: Plate,
    out: str | Path,
    *,
    features: FeatureKind = "pftas",
    full_scale: int | None = None,
    factor: int | None = None,
    scheduler: Scheduler = "threads",
    on_well: Callable[[str, dict[str, float]], None] | None = None,
) -> Extraction:
    """Read every field of a plate once; leave features and tiles in a folder.

    Parameters
    ----------
    plate : Plate
        An open plate.
    out : path
        Folder for `features/`, `features.parquet`, `tiles.zarr` and `failures.csv`. Wells that
        an earlier call read there are not read again unless their files have changed since; wells
        with a field that could not be read are.
    features : {"pftas", "tas"}, optional
        Otsu's threshold and the foreground's standard deviation as margin, or Hamilton's fixed
        threshold and margin.
    full_scale : int, optional
        The brightest value that the camera writes, which scales Hamilton's threshold: 4095 for
        12 bits; the type's largest unless given.
    factor : int, optional
        Pixels of a field along one side of a tile's pixel; by default what brings the longer
        side down to 128.
    scheduler : {"threads", "processes", "synchronous"}, optional
        Where Dask runs the wells, on as many workers as there are cores.
    on_well : callable, optional
        Called in this thread with each finished well's name and its cost (`WellCost`, as a
        dict).

    Returns
    -------
    Extraction

    Raises
    ------
    UsageError
        When the folder holds a pass over another plate or with other settings; for a full scale
        that the pixels do not hold, or that goes with no fixed threshold.
    PlateError
        When no field could be read.

    Examples
    --------
    >>> import tempfile
    >>> from hts_classify import open_plate
    >>> from hts_classify.synthetic import Recipe, write_plate
    >>> folder = Path(tempfile.mkdtemp())
    >>> recipe = Recipe(setting="texture", shape=(64, 64))
    >>> plate = open_plate(write_plate(folder / "plate.zarr", recipe))
    >>> result = extract(plate, folder / "out")
    >>> len(result.features) == len(plate.fields), len(result.failures)
    (True, 0)
    """
    out = Path(out)
    rule = pixel_rule(plate, features, full_scale)
    factor = factor or tile_factor(plate.field_shape, TILE_SIZE)
    shape = (len(plate.fields), len(plate.channels), *tile_shape(plate.field_shape, factor))
    claim(out / "features" / "pass.json", _settings(plate, rule, factor))
    TileStore.create(out / "tiles.zarr", shape)
    places = [_Place(field, row) for row, field in enumerate(plate.fields)]
    wells = {well: list(group) for well, group in groupby(places, key=lambda p: p.field.well)}
    job = _Pass(plate, out, rule, factor)
    todo = [wells[well] for well in _unread(job, wells)]
    costs = _compute(job, todo, scheduler, on_well)
    return _collect(job, list(wells), costs)


_LARGEST = {"uint8": 255, "uint16": 65535}


def pixel_rule(plate: Plate, features: FeatureKind, full_scale: int | None) -> Rule:
    """Return the rule for a plate's thresholds.

    Raises
    ------
    UsageError
        For a full scale that the pixels do not hold, or that goes with no fixed threshold.
    """
    rule = Rule(features, full_scale=full_scale)
    rule.fixed(_LARGEST.get(plate.dtype, 65535))
    return rule


def _settings(plate: Plate, rule: Rule, factor: int) -> dict[str, Any]:
    return {
        "plate": plate.name,
        "fields": digest([[f.well, f.site, f.path] for f in plate.fields]),
        "channels": list(plate.channels),
        "dtype": plate.dtype,
        "field_shape": list(plate.field_shape),
        "features": rule.kind,
        "full_scale": rule.full_scale or _LARGEST.get(plate.dtype),
        "tile_factor": factor,
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """A field and the row of the tile store that is its own."""

    field: Field
    row: int


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a worker needs to do any well."""

    plate: Plate
    out: Path
    rule: Rule
    factor: int

    def shard(self, well: str) -> Path:
        return self.out / "features" / f"{well}.parquet"

    def well(self, places: list[_Place]) -> tuple[str, dict[str, float]]:
        """Do one well: its tiles first, so that a shard says that all of it is there."""
        import pyarrow as pa

        tiles, cost = TileStore(self.out / "tiles.zarr"), WellCost()
        records = [self._field(place.field, place.row, tiles, cost) for place in places]
        well = places[0].field.well
        schema = shard_schema(self.plate.channels, self.rule.kind)
        write_table(self.shard(well), pa.Table.from_pylist(records, schema=schema))
        return well, asdict(cost)

    def _field(self, field: Field, row: int, tiles: TileStore, cost: WellCost) -> dict[str, Any]:
        plate = self.plate
        record: dict[str, Any] = {
            PLATE: plate.name,
            WELL: field.well,
            SITE: field.site,
            TILE_ROW: row,
            STAMP: plate.stamp(field),
            FAILED: "",
            FAILED_CHANNEL: "",
        }
        start = perf_counter()
        try:
            pixels = plate.read(field)
        except FieldError as error:
            return record | {FAILED: error.what, FAILED_CHANNEL: error.channel}
        was_read = perf_counter()
        for channel, image in zip(plate.channels, pixels, strict=True):
            try:
                result = measure(image, self.rule)
            except ImageError as error:
                return record | {FAILED: error.what, FAILED_CHANNEL: channel}
            record[flag_column(channel)] = result.empty
            record |= zip(feature_columns(self.rule.kind, channel), result.values, strict=True)
        measured = perf_counter()
        tile = downscale(pixels, self.factor)
        downscaled = perf_counter()
        tiles.write(row, tile)
        cost.fields += 1
        cost.bytes += pixels.nbytes
        cost.read_s += was_read - start
        cost.features_s += measured - was_read
        cost.tiles_s += downscaled - measured
        cost.keep_s += perf_counter() - downscaled
        return record


def _unread(job: _Pass, wells: Mapping[str, list[_Place]]) -> list[str]:
    """Name the wells that are not kept as the plate now has them."""
    held = {well: stamps_of(job.shard(well)) for well in wells}
    whole_wells = [well for well, stamps in held.items() if stamps and None not in stamps]
    # Only these are looked at: stamping reads chunks, and the others are read in any case.
    changed = [
        well
        for well in whole_wells
        if held[well] != [job.plate.stamp(place.field) for place in wells[well]]
    ]
    # A few wells were written anew; most of them are another plate, whose results must not be
    # lost. Wells that could not be read do not count: a copy may just have been finished.
    if len(changed) > max(1, len(whole_wells) // 2):
        raise UsageError(
            f"holds a pass over other pixels: {len(changed)} of {len(whole_wells)} wells differ"
            f" from those of {job.plate.path}",
            where=str(job.out),
            remedy="name another folder with -o, or delete this one",
        )
    tiles = TileStore(job.out / "tiles.zarr")
    kept = {
        well
        for well in set(whole_wells) - set(changed)
        if all(tiles.has(place.row) for place in wells[well])
    }
    return [well for well in wells if well not in kept]


def _compute(
    job: _Pass,
    todo: list[list[_Place]],
    scheduler: Scheduler,
    on_well: Callable[[str, dict[str, float]], None] | None,
) -> dict[str, dict[str, float]]:
    """Run the wells on Dask's scheduler and report each as it comes back."""
    from dask.base import compute
    from dask.callbacks import Callback
    from dask.delayed import delayed

    def finished(_key: Any, value: Any, *_state: Any) -> None:
        if on_well is not None and isinstance(value, tuple):
            on_well(*value)

    tasks = [delayed(job.well, pure=False)(places) for places in todo]
    with Callback(posttask=finished):
        results: Iterable[tuple[str, dict[str, float]]] = compute(*tasks, scheduler=scheduler)
    return dict(results)


def _collect(job: _Pass, wells: list[str], costs: dict[str, dict[str, float]]) -> Extraction:
    """Join the shards into one table, and the failures into another."""
    features, failed, stamp = join_shards(job.shard(well) for well in wells)
    failures = failure_table(job.plate.name, job.plate.missing, failed)
    with whole(job.out / "failures.csv") as part:
        failures.to_csv(part, index=False)
    if not len(features):
        raise PlateError(
            f"none of {len(failed)} fields can be read (the first: {failed[FAILED].iloc[0]})",
            where=job.plate.path,
            remedy=f"{job.out / 'failures.csv'} says why for each",
        )
    write_table(job.out / "features.parquet", features)
    tiles = TileStore(job.out / "tiles.zarr")
    return Extraction(features.to_pandas(), tiles, failures, costs, stamp)
