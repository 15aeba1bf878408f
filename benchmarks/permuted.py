"""Do the paths stand at chance where there is nothing to learn? Targets permuted by group.

    OMP_NUM_THREADS=2 python benchmarks/permuted.py [--seeds 10] [--quick]

Each seed is a simulated plate (`texture`) whose compounds have been given each other's classes, so
that wells of a compound keep one class and their images say nothing of it. The CNN's settings were
fixed before the first run: `compact`, 60 steps, no search. Right calls are pooled over seeds; a
compound of a seed is a group. With k classes of equal size chance is 1 / k, or less: of the class
whose compound is left out fewer wells are trained on than of the others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from hts_classify import RunSettings, run
from hts_classify.models.settings import CnnSettings, Learning
from hts_classify.statistics.intervals import accuracy_interval
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import CALL, FOLD, GROUP, LEVEL, PATH, TARGET, TITLES

CNN = CnnSettings(learning=Learning(steps=60, epochs=1))


def permuted(platemap: Path, seed: int) -> Path:
    """Give compounds each other's classes; wells without a class keep none."""
    import pandas as pd

    wells = pd.read_csv(platemap, dtype=str)
    known = wells.dropna(subset=["phenotype"])
    classes = known.groupby("compound")["phenotype"].first()
    dealt = np.random.default_rng(1000 + seed).permutation(classes.to_numpy())
    swapped = dict(zip(classes.index, dealt, strict=True))
    held = wells["phenotype"].notna()
    wells.loc[held, "phenotype"] = wells.loc[held, "compound"].map(swapped)
    path = platemap.with_suffix(".permuted.csv")
    wells.to_csv(path, index=False)
    return path


def main() -> None:
    import pandas as pd

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one seed")
    options = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1 if options.quick else options.seeds):
            plate = write_plate(Path(folder) / f"{seed}.zarr", Recipe(setting="texture", seed=seed))
            settings = RunSettings(
                target="phenotype",
                platemap=permuted(plate.with_name(f"{seed}.platemap.csv"), seed),
                seed=seed,
                cnn=CNN,
            )
            table = pd.read_parquet(run(plate, settings) / "predictions.parquet")
            table = table[(table[LEVEL] == "well") & (table[FOLD] >= 0)]
            table[GROUP] = [f"{seed}/{name}" for name in table[GROUP]]
            tables.append(table)
    every = pd.concat(tables)
    classes = every[TARGET].nunique()
    print(
        "| path | right | share | 95% interval over compounds | 1 / classes | at chance or below |"
    )
    print("|---|---|---|---|---|---|")
    for path, title in TITLES.items():
        part = every[every[PATH] == path]
        right = (part[CALL] == part[TARGET]).to_numpy(bool)
        interval = accuracy_interval(right, list(part[GROUP]))
        assert interval is not None
        met = "yes" if interval.low <= 1 / classes else "NO"
        bounds = f"{interval.low:.0%} to {interval.high:.0%}"
        cells = (title, f"{right.sum()}/{len(right)}", f"{right.mean():.0%}", bounds)
        print("| " + " | ".join(map(str, (*cells, f"{1 / classes:.0%}", met))) + " |")


if __name__ == "__main__":
    main()
