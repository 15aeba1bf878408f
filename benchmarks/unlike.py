"""Are wells found that are none of the classes, and how many others are taken for such?

Of a simulated plate of four phenotypes each in turn loses its name: a run learns the other three
and is shown the wells of the fourth as wells without a class. Counted are those that each path
flags (`Unlike`), and the wells of the three known classes, held out in a fold, that it flags too.

    OMP_NUM_THREADS=2 python benchmarks/unlike.py
    python benchmarks/unlike.py --quick     one phenotype, a CNN that learns nothing
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from hts_classify import RunSettings, run
from hts_classify.files import read_json
from hts_classify.models import CnnSettings
from hts_classify.models.settings import Learning
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import TITLES

BRIEFLY = CnnSettings(learning=Learning(steps=4, epochs=1, patience=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    recipe = Recipe(seed=options.seed, compounds=4, concentrations=(10.0,), replicates=3)
    print(f"{'hidden':12} {'path':10} {'hidden flagged':>15} {'known flagged':>14} {'limit':>6}")
    with tempfile.TemporaryDirectory() as folder:
        plate = write_plate(Path(folder) / "plate.zarr", recipe)
        every = pd.read_csv(plate.with_name("plate.platemap.csv"))
        for hidden in sorted(every["phenotype"].dropna().unique())[: 1 if options.quick else None]:
            platemap = Path(folder) / f"{hidden}.csv"
            # wells that are without a class for another reason are of no use here
            shown = every.assign(phenotype=every["phenotype"].mask(every["phenotype"] == hidden))
            shown[every["phenotype"].notna()].to_csv(platemap, index=False)
            cnn = BRIEFLY if options.quick else CnnSettings()
            asked = RunSettings(target="phenotype", platemap=platemap, cnn=cnn, device="cpu")
            out = run(plate, asked, out=Path(folder) / hidden)
            for path in read_json(out / "comparison.json")["unlike"]:
                found = f"{path['unlabelled_flagged']}/{path['unlabelled']}"
                wrong = f"{path['known_flagged']}/{path['known']}"
                most = "–" if path["limit"] is None else f"{path['limit']:.2f}"
                print(f"{hidden:12} {TITLES[path['path']]:10} {found:>15} {wrong:>14} {most:>6}")


if __name__ == "__main__":
    main()
