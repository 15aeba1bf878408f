"""Which path wins where: both, with default settings, on simulated plates of five seeds.

The settings' mechanisms were fixed before any classifier had run on them
(`hts_classify.synthetic.marker`). What comes out is printed, whatever it is.

    python benchmarks/head_to_head.py [--seeds 5] [--setting texture --setting mixed …]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from hts_classify import RunSettings, run
from hts_classify.report import load_record
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import TITLES

SETTINGS = ("texture", "arrangement", "mixed")


def contest(setting: str, seed: int, folder: Path) -> dict[str, tuple[int, int]]:
    """Run the main job on one simulated plate; return right calls and wells of each path."""
    recipe = Recipe(setting=setting, seed=seed)  # type: ignore[arg-type]
    plate = write_plate(folder / f"{setting}{seed}.zarr", recipe)
    record = load_record(run(plate, RunSettings(target="phenotype", seed=seed)))
    paths = record.comparison["paths"]
    return {path: (paths[path]["correct"], paths[path]["total"]) for path in TITLES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--setting", action="append", choices=SETTINGS)
    options = parser.parse_args()
    print("| setting | classes | path | right, by seed | all | share |")
    print("|---|---|---|---|---|---|")
    for setting in options.setting or SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            results = [contest(setting, seed, Path(folder)) for seed in range(options.seeds)]
        classes = len(Recipe(setting=setting).classes)  # type: ignore[arg-type]
        for path, title in TITLES.items():
            right, wells = (sum(result[path][k] for result in results) for k in (0, 1))
            each = " ".join(f"{result[path][0]}/{result[path][1]}" for result in results)
            row = [setting, classes, title, each, f"{right}/{wells}", f"{right / wells:.0%}"]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
