"""What each path costs once its inputs are there: seconds to train, fields a second to call (asv).

Computing the statistics is timed apart (`bench_kernels`), and so is reading. Arrays are made in
`setup` from a fixed seed. Set OMP_NUM_THREADS to what a job on your cluster gets: PyTorch takes
every core otherwise, scikit-learn's machine takes one.
"""

from __future__ import annotations

import time

import numpy as np

from hts_classify.models import make
from hts_classify.models.settings import CnnSettings, Learning

CHANNELS, SIDE = 2, 128
FEATURES = 54 * CHANNELS
CALLED = 256
"""Fields called in one go."""


def inner_splits(examples: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three splits by wells of two; wells alternate between the classes."""
    fold = np.arange(examples) // 4 % 3
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(3)]


def statistics(examples: int) -> tuple[np.ndarray, list[str]]:
    """Features of two classes that overlap."""
    rng = np.random.default_rng(0)
    number = np.arange(examples) // 2 % 2
    return rng.normal(0, 1, (examples, FEATURES)) + 0.5 * number[:, None], named(number)


def tiles(examples: int) -> tuple[np.ndarray, list[str]]:
    """Shot noise on stripes whose contrast overlaps between two classes."""
    rng = np.random.default_rng(0)
    number = np.arange(examples) // 2 % 2
    contrast = rng.uniform(0, 30, examples) + 20 * number
    mean = np.full((examples, CHANNELS, SIDE, SIDE), 100.0)
    mean[..., ::4] += contrast[:, None, None, None]
    return rng.poisson(mean).astype(np.float32), named(number)


def named(number: np.ndarray) -> list[str]:
    return ["positive" if one else "negative" for one in number]


class Models:
    """Both paths on so many labelled fields, with the settings that a run has."""

    params = (["tas_svm", "cnn"], [12, 96])
    param_names = ("path", "training fields")
    warmup_time = 0
    number = 1
    repeat = 3
    timeout = 300

    def setup(self, path: str, examples: int) -> None:
        made = statistics if path == "tas_svm" else tiles
        self.inputs, self.targets = made(examples)
        self.inner = inner_splits(examples)
        self.unseen, _ = made(CALLED)
        self.model = self.trained(path)
        self.model.scores(self.unseen[:8])

    def trained(self, path: str):
        model = make(path, device="cpu")
        model.fit(self.inputs, self.targets, inner=self.inner, seed=0)
        return model

    def time_train(self, path: str, examples: int) -> None:
        self.trained(path)

    def track_fields_a_second(self, path: str, examples: int) -> float:
        start = time.perf_counter()
        self.model.scores(self.unseen)
        return CALLED / (time.perf_counter() - start)

    track_fields_a_second.unit = "fields/s"


class Networks:
    """Small networks from scratch: seconds for some steps, tiles a second scored in all views."""

    params = (["compact", "mobilenet_v2", "squeezenet1_1"],)
    param_names = ("network",)
    warmup_time = 0
    number = 1
    repeat = 3
    timeout = 300

    def setup(self, network: str) -> None:
        self.inputs, self.targets = tiles(32)
        self.settings = CnnSettings(
            network=network, learning=Learning(steps=10, epochs=1, refit=False)
        )
        self.model = self.trained()

    def trained(self):
        model = make("cnn", settings=self.settings, device="cpu")
        model.fit(self.inputs, self.targets, inner=inner_splits(32)[:1], seed=0)
        return model

    def time_train(self, network: str) -> None:
        self.trained()

    def track_tiles_a_second(self, network: str) -> float:
        start = time.perf_counter()
        self.model.scores(self.inputs)
        return len(self.inputs) / (time.perf_counter() - start)

    track_tiles_a_second.unit = "tiles/s"
