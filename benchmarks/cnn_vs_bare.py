"""Print what the CNN path costs beside the bare network, and what was aimed at.

    OMP_NUM_THREADS=4 python benchmarks/cnn_vs_bare.py [--quick] [--rows inference,plate,training]
    PYTHONPATH=. python benchmarks/cnn_vs_bare.py --device cuda [--weights mobilenet_v2.pth]

The second line is for a GPU machine with a copy of this tree: it needs PyTorch, torchvision and
NumPy alone; its rows are inference, training, compiled, ceiling and folds (a CPU's: `--rows` adds
compiled). Tiles are raw uint16, made in NumPy from a seed, and in memory ("ready"). What is timed
of ours is a whole `scores` or `fit`, with scaling, flips and turns, batching, copies to the device,
averaged weights and judging. The bare
network (`bare.py`) has float32 tensors ready on the device; it is called with the batch and in the
layout that are fastest of some, and learns with our batch. Both have the same threads. They take
turns, A B A B, after a round that is not counted; a ratio is the median of the rounds', with its
quartiles.

With `views` a tile is scored as the mean over its eight flips and turns: beside eight calls of the
bare network, not one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as the command does, before PyTorch is there

import numpy as np
import torch
from bare import CLASSES, Bare, made, named, turns
from gpu_ceiling import ceiling
from numpy.typing import NDArray
from rows import HEAD, Row, spread

from hts_classify.models.cnn.device import describe, pick
from hts_classify.models.cnn.model import Cnn
from hts_classify.models.settings import Augmentation, CnnSettings, Learning

VIEWS = 8
FEW = Learning(steps=1, epochs=1, refit=False)
"""For a model whose scores do not matter."""
WELLS, FIELDS, FOLDS = 384, 9, 5


@dataclass(frozen=True)
class Suite:
    """Where and how often to measure."""

    device: torch.device
    rounds: int
    quick: bool
    weights: str

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def share(self) -> int:
        """Least share of the bare network's speed, in percent."""
        return 80 if self.on_gpu else 85

    def fitted(self, settings: CnnSettings, tiles: NDArray[Any], numbers: NDArray[Any]) -> Cnn:
        """Return a model that learned from all but the last few tiles, and was judged on those."""
        model = Cnn(settings, device=str(self.device))
        every = np.arange(len(tiles))
        inner = [(every[:-CLASSES], every[-CLASSES:])]
        model.fit(tiles, named(numbers), inner=inner, seed=0)
        return model

    def inference(self) -> Iterator[Row | str]:
        """Set scoring beside calling the network."""
        side, count = (64, 32) if self.quick else (224, 4096 if self.on_gpu else 64)
        batches = (32,) if self.quick else (128, 256, 512) if self.on_gpu else (8, 16, 32, 64)
        for views in (False, True):
            numbers = np.arange(max(32, count // VIEWS) if views else count) % CLASSES
            tiles = made(numbers, 3, side)
            settings = CnnSettings(network="resnet50", views=views, learning=FEW)
            model = self.fitted(settings, tiles[:8], numbers[:8])
            times = VIEWS if views else 1
            call, way = Bare(settings, tiles, self.device).inference(batches, times=times)
            ours, bare = turns([partial(model.scores, tiles), call], self.rounds, self.device)
            case = f"resnet50, {side} px, inference beside the bare network"
            case += f", {VIEWS} views beside {VIEWS} calls" if views else ", one view"
            yield Row(case, 100 * bare / ours, self.share, 100, "%")
            yield f"{case}: {rates(ours, bare, len(tiles))} tiles/s ({way})"

    def training(self) -> Iterator[Row | str]:
        """Set a fit beside a loop of forward, backward and step."""
        cases = [("compact", 128, 32, 100), ("resnet50", 128, 16, 60)]
        if self.on_gpu:
            cases = [("resnet50", 224, 128, 200), ("compact", 224, 128, 400)]
        if self.quick:
            cases = [("compact", 32, 8, 20)]
        for network, side, batch, steps in cases:
            numbers = np.arange(4 * batch + CLASSES) % CLASSES
            tiles = made(numbers, 3, side)
            learn = Learning(steps=steps, epochs=1, patience=100, batch=batch, refit=False)
            # whole tiles on both sides: by default compact learns from crops, four times as fast
            settings = CnnSettings(
                network=network, learning=learn, augmentation=Augmentation(crop=0)
            )

            bare, way = Bare(settings, tiles[:-CLASSES], self.device).training(batch, steps)
            ours, loop = turns(
                [partial(self.fitted, settings, tiles, numbers), bare], self.rounds, self.device
            )
            case = f"{network}, {side} px, training in batches of {batch} beside the bare loop"
            yield Row(case, 100 * loop / ours, 80, 100, "%")
            yield f"{case}: {rates(ours, loop, batch * steps)} tiles/s over {steps} steps ({way})"

    def compiled(self) -> Iterator[Row | str]:
        """Set a fit beside one whose network is compiled (on CUDA with CUDA graphs)."""
        side, batch = (32, 8) if self.quick else (224, 128) if self.on_gpu else (64, 32)
        numbers = np.arange(4 * batch + CLASSES) % CLASSES
        tiles = made(numbers, 3, side)
        for steps in (20, 40) if self.quick else (300, 600):
            plain = CnnSettings(learning=Learning(steps=steps, epochs=1, batch=batch, refit=False))
            fits = [
                partial(self.fitted, settings, tiles, numbers)
                for settings in (plain, replace(plain, compile=True))
            ]
            usual, compiled = turns(fits, self.rounds, self.device)
            case = f"compact, {side} px, a fit of {steps} steps: speed of a compiled one"
            yield Row(case, 100 * usual / compiled, None, 100, "%")
            yield f"{case}: {np.median(usual):.1f} s, compiled {np.median(compiled):.1f} s"

    def plate(self) -> Iterator[Row | str]:
        """Set scoring from the plate beside the slower of reading it and of the network."""
        from pass_plate import Spec, make_plate, warm

        from hts_classify import PassSettings, extract, open_plate
        from hts_classify.shards import TILE_ROW
        from hts_classify.stream import Stream

        spec = Spec(rows=2, columns=2, size=270) if self.quick else Spec(rows=4, columns=24)
        threads = torch.get_num_threads()
        with tempfile.TemporaryDirectory() as folder:
            with redirect_stdout(sys.stderr):  # it says what it writes
                path = make_plate(Path(folder), spec)
            warm(path, spec)
            plate = open_plate(path)
            asked = PassSettings(tile_sizes=(CnnSettings().tile,))
            first = extract(plate, Path(folder) / "first", asked, workers=threads)
            tiles = first.tiles.view(first.features[TILE_ROW].to_numpy())[
                np.arange(len(plate.fields))
            ]
            settings = CnnSettings(learning=FEW)
            self.fitted(settings, tiles, np.arange(len(tiles)) % CLASSES).save(Path(folder))
            model = Cnn.load(Path(folder), device=str(self.device))
            call, way = Bare(settings, tiles, self.device).inference((16, 32, 64), times=VIEWS)

            def read() -> None:
                with ThreadPoolExecutor(threads) as pool:
                    sum(pool.map(lambda field: plate.read(field).nbytes, plate.fields))

            def score() -> None:
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    opened = open_plate(path)
                    stream = Stream([model], opened, Path(out), asked, device=str(self.device))
                    with stream.scoring():
                        found = extract(
                            opened,
                            out,
                            asked,
                            workers=threads,
                            on_well=lambda _plate, well, _cost: stream.done(well),
                        )
                    stream.scores(found.features, found.tiles)

            ours, reading, network = turns([score, read, call], self.rounds, self.device)
        slower = np.maximum(reading, network)
        name = "the network" if np.median(network) > np.median(reading) else "reading"
        case = f"compact, fields/s from the plate beside the slower of reading and network ({name})"
        yield Row(case, 100 * slower / ours, 80, 100, "%")
        told = ", ".join(
            f"{word} {spread(len(tiles) / timed, 'fields/s', 1)}"
            for word, timed in (("ours", ours), ("reading", reading), ("network", network))
        )
        yield f"{case}: {told} ({way}, {VIEWS} views; the pass computes TAS, too)"
        both = 100 * (reading + network) / ours
        yield f"beside reading and network one after the other: {spread(both, '%', 1)}"

    def ceiling(self) -> Iterator[Row | str]:
        """Set the bare network's arithmetic beside what this device can do."""
        side, batches = (64, (8,)) if self.quick else (224, (256, 512) if self.on_gpu else (32,))
        tiles = made(np.arange(max(batches)) % CLASSES, 3, side)
        bare = Bare(CnnSettings(network="resnet50"), tiles, self.device)
        yield from ceiling(bare, batches, size=512 if self.quick else 8192, rounds=self.rounds)

    def folds(self) -> Iterator[Row | str]:
        """Train on the tiles of a plate, five folds, with the settings that a run has."""
        side, wells = (32, 60) if self.quick else (224, WELLS)
        begun = perf_counter()
        well = np.arange(wells * FIELDS) // FIELDS
        tiles = made(well % CLASSES, 3, side)
        yield f"{len(tiles)} × 3 × {side}² tiles made in {perf_counter() - begun:.1f} s"
        learn = Learning(steps=4, epochs=1) if self.quick else Learning()
        for network, weights in (("compact", ""), ("mobilenet_v2", self.weights)):
            settings = CnnSettings(network=network, weights=weights, learning=learn)
            name = f"{network}, {'fine-tuned' if weights else 'from scratch'}"
            spent = [self.fold(settings, tiles, well, fold) for fold in range(FOLDS)]
            stages = {stage: sum(one[stage] for one in spent) for stage in spent[0]}
            fit = stages["start"] + stages["search"] + stages["refit"]
            case = f"{name}, {FOLDS} folds of {len(tiles)} tiles of {side} px, training"
            limit = 60 if self.on_gpu else None
            yield Row(case, np.array([fit]), limit, None, "s", 1, less_is_better=True)
            told = ", ".join(f"{stage} {value:.1f}" for stage, value in stages.items())
            yield f"{case}: {told}"

    def fold(
        self, settings: CnnSettings, tiles: NDArray[Any], well: NDArray[Any], fold: int
    ) -> dict[str, float]:
        """Train without one fold and score it: seconds by stage, steps, right calls."""
        dealt = well // CLASSES % FOLDS
        learn, tested = np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)
        inner = well[learn] // CLASSES // FOLDS % 3 == 0
        ticks: list[float] = []
        model = Cnn(
            settings,
            device=str(self.device),
            on_epoch=lambda done, planned: ticks.append(perf_counter()),
        )
        known = tiles[learn]
        begun = perf_counter()
        facts = model.fit(
            known,
            named(well[learn] % CLASSES),
            inner=[(np.flatnonzero(~inner), np.flatnonzero(inner))],
            seed=0,
        )
        ended = perf_counter()
        right = model.scores(tiles[tested]).argmax(axis=1) == well[tested] % CLASSES
        scored = perf_counter()
        rounds = np.array(ticks[: len(facts["curve"])])  # of the search
        start = max(0.0, rounds[0] - begun - float(np.median(np.diff(rounds))))
        return {
            "start": start,
            "search": rounds[-1] - begun - start,
            "refit": ended - rounds[-1],
            "scoring": scored - ended,
            "steps": facts["steps"]["taken"] + facts["refit_steps"],
            "right": float(right.sum()),
        }


def rates(ours: NDArray[np.float64], bare: NDArray[np.float64], tiles: int) -> str:
    return f"ours {tiles / np.median(ours):,.0f}, bare {tiles / np.median(bare):,.0f}"


ROWS: dict[str, Callable[[Suite], Iterator[Row | str]]] = {
    "inference": Suite.inference,
    "training": Suite.training,
    "compiled": Suite.compiled,
    "plate": Suite.plate,
    "ceiling": Suite.ceiling,
    "folds": Suite.folds,
}
USUAL = {"cpu": "inference,training,plate", "cuda": "inference,training,compiled,ceiling,folds"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", help=f"by commas: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="tiny tiles, two rounds")
    parser.add_argument("--weights", default="", help="ImageNet weights of mobilenet_v2 (folds)")
    options = parser.parse_args()
    options.rows = (options.rows or USUAL[pick(options.device).type]).split(",")
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return options


def main() -> None:
    options = arguments()
    device = pick(options.device)
    suite = Suite(device, 2 if options.quick else options.rounds, options.quick, options.weights)
    print(" ".join(["python", *sys.argv]))
    print(
        f"{describe(device)}, {os.cpu_count()} cores; Python {sys.version.split()[0]},"
        f" NumPy {np.__version__}, PyTorch {torch.__version__}\n"
    )
    print(HEAD)
    notes = []
    for name in options.rows:
        for found in ROWS[name](suite):
            if isinstance(found, Row):
                print(found, flush=True)
            else:
                notes.append(found)
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
