"""What a worker does: one well, field by field, into a shard and tiles.

Nothing of a well is held but the pixels of the field in hand. Tiles are written before the
shard, which therefore says that all of a well is there. A worker that is told to stop finishes
its field and writes the shard with the fields that it has; the next pass adds the others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, ImageError
from ..features import Axes, Rule, examine, measure_objects
from ..files import place
from ..plate import Field, Plate
from ..plate.patience import patiently
from ..shards import (
    CHECKSUMS,
    CROP,
    CROP_X,
    CROP_Y,
    EMPTY,
    FAILED,
    FAILED_CHANNEL,
    FIGURES,
    OBJECT,
    STAMP,
    TILE_ROW,
    VALUES,
    crop_schema,
    object_schema,
    records_of,
    shard_schema,
    write_table,
)
from ..tiles import CropStore, TileStore, cut, downscale, grid_crops, object_crops
from ..timings import stopwatch
from ..vocabulary import PLATE, SITE, TIMEPOINT, WELL, feature_columns
from .settings import PassSettings, Shapes, folder_name

__all__ = ["Job", "Place", "Task", "WellCost", "do_well", "give_up"]


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
    """Seconds spent on TAS features, intensities and quality figures."""
    tiles_s: float = 0.0
    """Seconds spent on downscaling and cutting."""
    keep_s: float = 0.0
    """Seconds spent on writing tiles and tables, which is a run's own book-keeping."""
    kept_bytes: int = 0
    """Bytes of tiles and crops."""


@dataclass(frozen=True, slots=True)
class Place:
    """A field and the row of the tile store that is its own."""

    field: Field
    row: int


@dataclass(frozen=True, slots=True)
class Task:
    """A well, and what of it is to be done."""

    plate: int
    """Which of the job's plates it is on."""
    places: tuple[Place, ...]
    """All of its fields."""
    todo: frozenset[int]
    """Rows of the fields to read; the others are kept as the shard has them."""

    @property
    def well(self) -> str:
        """Its name."""
        return self.places[0].field.well


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to do any well of a pass."""

    plates: tuple[Plate, ...]
    out: str
    """Where results go: a path or a URL."""
    settings: PassSettings
    rule: Rule
    shapes: Shapes
    keys: tuple[str, ...]
    """What shards of each plate carry."""
    stop: str
    """A file whose appearance tells workers to stop."""

    def shard(self, plate: int, well: str, kind: str = "features") -> Path:
        """Return the path of a well's table."""
        return place(self.out) / kind / folder_name(self.plates[plate].name) / f"{well}.parquet"

    @property
    def companions(self) -> tuple[str, ...]:
        """Kinds of tables that a well has besides its fields'."""
        crops = ("crops",) if self.settings.crops != "none" else ()
        return (("objects",) if self.settings.labels else ()) + crops

    @property
    def is_together(self) -> bool:
        """A well is done as a whole: its objects or crops stand in one file."""
        return self.settings.is_together

    def tile_stores(self) -> list[TileStore]:
        """Open the stores of tiles, one a size."""
        path = place(self.out) / "tiles.zarr"
        return [TileStore(path, size) for size in self.shapes.names]


def do_well(job: Job, task: Task) -> tuple[str, str, dict[str, float]] | None:
    """Read what is to be done of a well; write its tiles and its shard.

    Returns
    -------
    plate, well : str
    cost : dict
        `WellCost`.
    None
        When it was told to stop before the first field.
    """
    return _Worker(job, task).run()


def give_up(job: Job, task: Task, reason: str) -> None:
    """Record fields whose worker was lost with them."""
    worker = _Worker(job, task)
    worker.records |= {
        at.row: worker.record(at) | {FAILED: reason} for at in task.places if at.row in task.todo
    }
    worker.write()


class _Worker:
    """One well in hand."""

    def __init__(self, job: Job, task: Task) -> None:
        self.job, self.task, self.cost = job, task, WellCost()
        self.plate, self.settings = job.plates[task.plate], job.settings
        self.key = job.keys[task.plate]
        self.axes: Axes = "zyx" if self.plate.volumes else "yx"
        self.shard = job.shard(task.plate, task.well)
        keep = {at.row for at in task.places} - task.todo
        held = records_of(self.shard, self.key) if keep else []
        self.records = {r[TILE_ROW]: r for r in held if r[TILE_ROW] in keep}
        self.tiles = job.tile_stores()
        self.objects: list[dict[str, Any]] = []
        self.crops: list[tuple[dict[str, Any], NDArray[Any]]] = []

    def run(self) -> tuple[str, str, dict[str, float]] | None:
        stop, kept = place(self.job.stop), len(self.records)
        for at in self.task.places:
            if at.row in self.task.todo and not stop.exists():
                self.records[at.row] = self.field(at)
        if len(self.records) == kept:
            return None
        self.write()
        return self.plate.name, self.task.well, asdict(self.cost)

    def record(self, at: Place) -> dict[str, Any]:
        """Return what is known of a field before it is read."""
        return self.place(at) | {TILE_ROW: at.row, STAMP: "", FAILED: "", FAILED_CHANNEL: ""}

    def place(self, at: Place) -> dict[str, Any]:
        field = at.field
        where = {WELL: field.well, SITE: field.site, TIMEPOINT: field.timepoint}
        return {PLATE: self.plate.name} | where

    def field(self, at: Place) -> dict[str, Any]:
        record = self.record(at)
        objects, crops = len(self.objects), len(self.crops)

        def forget() -> None:
            del self.objects[objects:], self.crops[crops:]

        def attempt() -> dict[str, Any]:
            forget()  # what an attempt that ran out of memory left
            return self.figures(at)

        try:
            # Before the pixels: what changes while they are read is read again by the next pass.
            stamp = patiently(lambda: self.plate.stamp(at.field, self.settings.labels))
            return record | {STAMP: stamp} | patiently(attempt, storage=False)
        except FieldError as error:
            forget()
            return record | {FAILED: error.what, FAILED_CHANNEL: error.channel}

    def figures(self, at: Place) -> dict[str, Any]:
        """Read a field once; measure it and keep its tiles."""
        lap = stopwatch()
        pixels = patiently(lambda: self.plate.read(at.field))
        labels = self.label(at.field) if self.settings.labels else None
        self.cost.read_s += lap()
        results: dict[str, Any] = {EMPTY: [], VALUES: [], FIGURES: []}
        for channel, image in zip(self.plate.channels, pixels, strict=True):
            try:
                found, figures = examine(
                    image, self.job.rule, axes=self.axes, full_scale=self.settings.full_scale
                )
            except ImageError as error:
                raise FieldError(error.what, channel=channel) from error
            results[EMPTY].append(found.empty)
            results[VALUES] += found.values.tolist()
            results[FIGURES] += figures.values
        if labels is not None:
            self.measure_objects(at, pixels, labels)
        self.cost.features_s += lap()
        tiles = [
            downscale(pixels, scale, shape)
            for scale, shape in zip(self.job.shapes.scales, self.job.shapes.tiles, strict=True)
        ]
        self.cut_crops(at, pixels, labels)
        self.cost.tiles_s += lap()
        results[CHECKSUMS] = [
            store.write(at.row, tile) for store, tile in zip(self.tiles, tiles, strict=True)
        ]
        self.cost.kept_bytes += sum(tile.nbytes for tile in tiles)
        self.cost.keep_s += lap()
        self.cost.fields += 1
        self.cost.bytes += pixels.nbytes
        return results

    def label(self, field: Field) -> NDArray[Any]:
        return patiently(lambda: self.plate.read_label(field, self.settings.labels))

    def measure_objects(self, at: Place, pixels: NDArray[Any], labels: NDArray[Any]) -> None:
        """Take the statistics of every object of every channel."""
        rows: list[dict[str, Any]] = []
        for channel, image in zip(self.plate.channels, pixels, strict=True):
            found = measure_objects(image, labels, self.job.rule, axes=self.axes)
            names = feature_columns(
                self.settings.features,
                channel,
                neighbours=_neighbours(self.plate),
                objects=self.settings.objects,
            )
            if not rows:
                area = f"{self.settings.objects}_AreaShape_Area"
                rows = [
                    self.place(at) | {OBJECT: label, area: size}
                    for label, size in zip(
                        found.labels.tolist(), found.pixels.tolist(), strict=True
                    )
                ]
            for row, values in zip(rows, found.values.tolist(), strict=True):
                row |= zip(names, values, strict=True)
        self.objects += rows

    def cut_crops(self, at: Place, pixels: NDArray[Any], labels: NDArray[Any] | None) -> None:
        """Cut full-resolution crops on a grid, or one an object."""
        settings = self.settings
        if settings.crops == "none":
            return
        if settings.crops == "grid":
            side = int(settings.crops_per_field**0.5)
            height, width = pixels.shape[-2:]
            corners = np.asarray(grid_crops((height, width), settings.crop_size, side))
            objects: list[int | None] = [None] * len(corners)
        else:
            assert labels is not None
            found, corners = object_crops(labels, settings.crop_size, settings.crops_per_field)
            objects = [int(label) for label in found]
        crops = cut(pixels, corners, settings.crop_size)
        for label, (y, x), crop in zip(objects, corners, crops, strict=True):
            row = {CROP: len(self.crops), CROP_Y: int(y), CROP_X: int(x), OBJECT: label}
            self.crops.append((self.place(at) | row, crop))

    def write(self) -> None:
        """Write the well's tables, the shard last: it says that the rest is there."""
        import pyarrow as pa

        lap, task, channels = stopwatch(), self.task, self.plate.channels
        if not self.records:
            return
        if self.job.is_together:  # what the shard vouches for is about to change
            self.shard.unlink(missing_ok=True)
        if self.settings.labels:
            schema = object_schema(
                channels,
                self.settings.features,
                objects=self.settings.objects,
                key=self.key,
                neighbours=_neighbours(self.plate),
            )
            table = pa.Table.from_pylist(self.objects, schema=schema)
            write_table(self.job.shard(task.plate, task.well, "objects"), table)
        if self.settings.crops != "none":
            shape = (0, len(channels), self.settings.crop_size, self.settings.crop_size)
            crops = [crop for _, crop in self.crops]
            stacked = np.stack(crops) if crops else np.empty(shape, self.plate.dtype)
            store = CropStore(place(self.job.out) / "crops.zarr")
            store.write(folder_name(self.plate.name), task.well, stacked)
            self.cost.kept_bytes += stacked.nbytes
            rows = [row for row, _ in self.crops]
            table = pa.Table.from_pylist(rows, schema=crop_schema(key=self.key))
            write_table(self.job.shard(task.plate, task.well, "crops"), table)
        rows = [self.records[row] for row in sorted(self.records)]
        write_table(self.shard, pa.Table.from_pylist(rows, schema=shard_schema(key=self.key)))
        self.cost.keep_s += lap()


def _neighbours(plate: Plate) -> int:
    return 26 if plate.volumes else 8
