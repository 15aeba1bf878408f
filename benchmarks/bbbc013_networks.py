"""Every network on the control wells of BBBC013, leaving one compound out.

    python benchmarks/bbbc013_networks.py [--network compact --network resnet50 …] [--data FOLDER]

24 wells, one field of 640 × 640 pixels each, GFP and DNA: FKHR-EGFP is in the cytoplasm or in the
nucleus. A network learns from the wells of one compound and calls those of the other, so from
twelve fields. It starts from scratch, and again from ImageNet weights where the data folder has
them (`weights/`), with the settings that a run has, but for its steps: the large ones would take
hours on a CPU for 150, and get as many as the table says.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hts_classify import open_plate
from hts_classify.errors import HTSWarning, UsageError
from hts_classify.models import device_name, make
from hts_classify.models.settings import NETWORKS, CnnSettings, Learning
from hts_classify.plate import read_platemap, resolve_column
from hts_classify.splits import Folds, inner_splits, make_folds
from hts_classify.tiles import downscale, tile_scale
from hts_classify.vocabulary import TARGET, WELL

WEIGHTS = {"mobilenet_v2": "mobilenet_v2.pth", "squeezenet1_1": "squeezenet1_1_features.pth"}
STEPS = {"compact": 150, "jackal": 150, "mobilenet_v2": 60, "squeezenet1_1": 60}
"""Steps of a search, and of the refit at the most, on a CPU."""
FEWER = 30
"""Those of the other networks."""


def dealt(data: Path) -> tuple[Any, Folds]:
    """Open the plate, and deal its wells into folds by compound."""
    folder = data / "bbbc013"
    plate = open_plate(folder / "controls_v05.ome.zarr")
    with warnings.catch_warnings():  # the map has the whole plate's wells, not the controls' alone
        warnings.simplefilter("ignore", HTSWarning)
        wells = read_platemap(folder / "platemap.csv", plate, target="phenotype")
    target = resolve_column(wells, "phenotype")
    wells = wells[wells[WELL].isin(plate.wells)]
    return plate, make_folds(wells, target=target, split="compound", unscored=(), folds=5, seed=0)


def tiles_of(plate: Any, wells: Sequence[str], side: int) -> NDArray[Any]:
    """Read the wells' fields and downscale them: shape (wells, channels, y, x)."""
    scale = tile_scale(plate.field_shape, side or max(plate.field_shape) // 8)
    fields = {field.well: field for field in plate.fields}
    return np.stack([downscale(plate.read(fields[well]), scale) for well in wells])


def called_right(
    settings: CnnSettings, tiles: NDArray[Any], folds: Folds, device: str
) -> tuple[list[int], list[int], list[str]]:
    """Train and test on every fold: right calls, wells, and what the fits had to say."""
    targets, right, wells, said = folds.wells[TARGET].to_numpy(str), [], [], []
    for fold in range(folds.count):
        learn, tested = np.flatnonzero(folds.training(fold)), np.flatnonzero(folds.tested(fold))
        _, inner = inner_splits(folds.wells[folds.training(fold)], seed=0)
        model = make("cnn", settings=settings, device=device)
        facts = model.fit(tiles[learn], list(targets[learn]), inner=inner, seed=0)
        called = np.array(model.classes)[model.scores(tiles[tested]).argmax(axis=1)]
        right.append(int((called == targets[tested]).sum()))
        wells.append(len(tested))
        said += facts.get("said", [])
    return right, wells, said


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).parents[1] / ".." / "shared" / "data"
    parser.add_argument("--network", action="append", choices=[*NETWORKS])
    parser.add_argument("--data", type=Path, default=os.environ.get("HTS_CLASSIFY_DATA", shared))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, help="the same for every network")
    parser.add_argument("--quick", action="store_true", help="two steps, small tiles")
    options = parser.parse_args()
    print(" ".join(["python", *sys.argv]))
    print(f"{device_name(options.device)}, {os.cpu_count()} cores\n")
    print("| network | weights | tile | steps | right | by compound left out | s |")
    print("|---|---|---|---|---|---|---|")
    plate, folds = dealt(options.data)
    notes: list[str] = []
    for name in options.network or NETWORKS:
        known = NETWORKS[name]
        side = known.least if options.quick else known.tile
        tiles = tiles_of(plate, list(folds.wells[WELL]), side)
        steps = 2 if options.quick else options.steps or STEPS.get(name, FEWER)
        for file in ("", WEIGHTS.get(name)):
            if file is None:
                continue
            settings = CnnSettings(
                network=name,
                weights=str(options.data / "weights" / file) if file else "",
                learning=Learning(steps=steps, epochs=1),
            )
            begun = perf_counter()
            try:
                right, wells, said = called_right(settings, tiles, folds, options.device)
            except UsageError as error:  # timm is an extra
                notes.append(f"{name} was not run: {error}")
                continue
            notes += [f"{name}: {text}" for text in dict.fromkeys(said)]
            each = " ".join(f"{one}/{of}" for one, of in zip(right, wells, strict=True))
            cells = [
                name,
                file or "none",
                f"{tiles.shape[2]}²",
                steps,
                f"{sum(right)}/{sum(wells)}",
                each,
                f"{perf_counter() - begun:.0f}",
            ]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
