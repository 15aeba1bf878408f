"""Which path wins where: both, with default settings, on simulated plates of five seeds.

The settings' mechanisms were fixed before any classifier had run on them
(`hts_classify.synthetic.marker`). What comes out is printed, whatever it is.

    python benchmarks/head_to_head.py [--quick] [--seeds 5] [--setting texture …] [--cnn NAME]

Seeds are counted from 2: the CNN's defaults were chosen on seeds 0 and 1.

The difference is that of all wells of a setting, paired; a seed's compounds are groups of their own
in its interval and its test (`hts_classify.compare`). The cascade is TAS + SVM first and the CNN
for the wells of which that is unsure, each fold under the threshold that the others chose; gain:
what it adds to TAS + SVM of what the CNN would.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hts_classify import RunSettings, compare, run
from hts_classify.models.settings import NETWORKS, CnnSettings, Learning
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import FOLD, GROUP, PLATE, TITLES

if TYPE_CHECKING:
    import pandas as pd

    from hts_classify.compare import Comparison

SETTINGS = ("texture", "arrangement", "mixed")


def contest(setting: str, seed: int, cnn: CnnSettings, folder: Path) -> pd.DataFrame:
    """Run the main job on one simulated plate; return its predictions, under names of its own."""
    import pandas as pd

    recipe = Recipe(setting=setting, seed=seed)  # type: ignore[arg-type]
    plate = write_plate(folder / f"{setting}{seed}.zarr", recipe)
    out = run(plate, RunSettings(target="phenotype", seed=seed, cnn=cnn, proba=True))
    table = pd.read_parquet(out / "predictions.parquet")
    for column in (PLATE, GROUP):
        table[column] = [f"{seed}/{name}" for name in table[column]]
    table.loc[table[FOLD] >= 0, FOLD] += 100 * seed
    return table


def difference(result: Comparison) -> str:
    """Write the first path's accuracy less the second's in percentage points."""
    found = result.difference
    points = f"{100 * found.difference:+.0f}"
    if found.interval is None or found.p is None:
        return f"{points} (no interval: {found.test})"
    low, high = (100 * value for value in found.interval)
    return f"{points} ({low:+.0f} to {high:+.0f}), p = {found.p:.2g}"


def cascade(setting: str, result: Comparison) -> str:
    """Write what calling in turn comes to."""
    found = result.cascade
    if found is None:
        return f"| {setting} | no probabilities | | | | |"
    first, last = found.curve[0].correct, found.curve[-1].correct
    gain = f"{(found.correct - first) / (last - first):.0%}" if last > first else "none to gain"
    half = max(point.correct for point in found.curve if 2 * point.sent <= found.total)
    cells = (setting, first, last, f"{found.sent}/{found.total}", found.correct, gain, half)
    return "| " + " | ".join(map(str, (*cells, found.together))) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=2)
    parser.add_argument("--setting", action="append", choices=SETTINGS)
    parser.add_argument("--cnn", default="compact", choices=[*NETWORKS])
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps")
    options = parser.parse_args()
    cnn = CnnSettings(network=options.cnn)
    if options.quick:
        options.seeds, cnn = 1, replace(cnn, learning=Learning(steps=4, epochs=1))
    print("| setting | classes | path | right, by seed | all | share |")
    print("|---|---|---|---|---|---|")
    paired, turns = [], []
    for setting in options.setting or SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            tables = [
                contest(setting, options.first_seed + seed, cnn, Path(folder))
                for seed in range(options.seeds)
            ]
        classes = len(Recipe(setting=setting).classes)  # type: ignore[arg-type]
        results = [compare(table) for table in tables]
        result = compare(joined(tables))
        for path, title in TITLES.items():
            each = " ".join(f"{of.paths[path].correct}/{of.paths[path].total}" for of in results)
            right, wells = result.paths[path].correct, result.paths[path].total
            row = [setting, classes, title, each, f"{right}/{wells}", f"{right / wells:.0%}"]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
        found = result.difference
        only = f"{found.first_only} | {found.second_only}"
        paired.append(
            f"| {setting} | {only} | {found.groups} | {difference(result)} | {found.verdict} |"
        )
        turns.append(cascade(setting, result))
    first, second = TITLES.values()
    print(
        f"\n| setting | {first} alone right | {second} alone right | groups |"
        f" {first} less {second}, points (95%) | verdict |\n|---|---|---|---|---|---|"
    )
    print(*paired, sep="\n")
    print(
        f"\n| setting | {first} alone | {second} alone | sent | cascade right | gain |"
        " best with at most half sent | both together |\n|---|---|---|---|---|---|---|---|"
    )
    print(*turns, sep="\n")


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main()
