"""What a plate costs from the store to both paths' inputs, and from there to calls (asv).

A simulated plate of 24 fields, 2 channels of 512 × 512 uint16, is written once. `fields_per_s`
is the figure that the two paths share: TAS + SVM against the CNN, each from the store to a
call, with models that are trained already.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from hts_classify import extract, open_plate
from hts_classify.extract import TILE_SIZE
from hts_classify.features import examine
from hts_classify.models import make
from hts_classify.models.settings import CnnSettings, Learning
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.tiles import downscale, tile_scale
from hts_classify.vocabulary import PATHS

ROUNDS = 9
RECIPE = Recipe(setting="mixed", shape=(512, 512), compounds=3, replicates=1, fields=2)


class Pass:
    """The one pass: opening, reading, and all of it."""

    timeout = 300

    def setup_cache(self) -> str:
        return str(write_plate(Path("plate.zarr").absolute(), RECIPE))

    def setup(self, path: str) -> None:
        self.plate = open_plate(path)
        self.pixels = self.plate.read(self.plate.fields[0])
        self.scale = tile_scale(self.plate.field_shape, TILE_SIZE)

    def time_open(self, path: str) -> None:
        open_plate(path)

    def time_read_field(self, path: str) -> None:
        self.plate.read(self.plate.fields[0])

    def time_features_of_field(self, path: str) -> None:
        for image in self.pixels:
            examine(image)

    def time_tile_of_field(self, path: str) -> None:
        downscale(self.pixels, self.scale)

    def time_extract(self, path: str) -> None:
        with tempfile.TemporaryDirectory() as out:
            extract(self.plate, out)


class Paths:
    """Fields a second of each path, from the store to a call, on one worker."""

    params = (list(PATHS),)
    param_names = ("path",)
    timeout = 300

    def setup_cache(self) -> str:
        return str(write_plate(Path("plate.zarr").absolute(), RECIPE))

    def setup(self, path: str, name: str) -> None:
        self.plate = open_plate(path)
        self.scale = tile_scale(self.plate.field_shape, TILE_SIZE)
        targets = [str(k % 2) for k in range(len(self.plate.fields))]
        half = np.arange(len(targets)) < len(targets) // 2
        inner = [(np.flatnonzero(half), np.flatnonzero(~half))]
        settings = CnnSettings(learning=Learning(steps=4, epochs=1))
        self.model = make(name, settings=settings, device="cpu")
        self.model.fit(self.inputs(name), targets, inner=inner, seed=0)

    def inputs(self, name: str) -> np.ndarray:
        """Read every field and compute what one path sees of it."""
        rows = []
        for field in self.plate.fields:
            pixels = self.plate.read(field)
            if name == "cnn":
                rows.append(downscale(pixels, self.scale))
            else:
                found = [examine(image)[0] for image in pixels]
                rows.append(np.concatenate([result.values for result in found]))
        return np.stack(rows)

    def track_fields_per_s(self, path: str, name: str) -> float:
        seconds = []
        for _ in range(ROUNDS + 1):
            start = perf_counter()
            self.model.scores(self.inputs(name))
            seconds.append(perf_counter() - start)
        return len(self.plate.fields) / float(np.median(seconds[1:]))  # the first one warms up

    track_fields_per_s.unit = "fields/s"  # type: ignore[attr-defined]
