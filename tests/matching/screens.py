"""A screen whose profiles are numbers that the test knows: compounds of classes, in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hts_classify.splits import Folds, make_folds


def platemap(
    *, classes: int = 3, compounds: int = 4, replicates: int = 4, controls: int = 0
) -> pd.DataFrame:
    """Return a plate with whole compounds in one class, replicates dealt over two batches."""
    rows: list[dict[str, Any]] = [
        {"moa": f"moa{k}", "Metadata_Compound": f"c{k}-{c}", "Metadata_Batch": f"b{r % 2}"}
        for k in range(classes)
        for c in range(compounds)
        for r in range(replicates)
    ]
    rows += [{"Metadata_ControlType": "negcon", "Metadata_Batch": "b0"} for _ in range(controls)]
    table = pd.DataFrame(rows)
    table["Metadata_Plate"] = "P1"
    table["Metadata_Well"] = [f"{'ABCDEFGHIJKLMNOP'[n // 24]}{n % 24 + 1:02d}" for n in table.index]
    return table


def profiles_of(
    wells: pd.DataFrame, *, features: int = 12, of_class: float = 1.0, of_compound: float = 1.0
) -> np.ndarray:
    """Return noise with what a class adds, and what a compound does."""
    rng = np.random.default_rng(7)
    found = rng.normal(size=(len(wells), features))
    for column, much in (("moa", of_class), ("Metadata_Compound", of_compound)):
        for name in sorted(wells[column].dropna().unique()):
            found[wells[column] == name] += much * rng.normal(size=features)
    return found


def field_table(wells: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """Return a features table with two fields a well, whose mean is the well's profile."""
    names = [f"Image_PFTAS_DNA_Band_On_{k}" for k in range(values.shape[1])]
    parts = []
    for site, shift in ((1, 0.25), (2, -0.25)):
        part = wells[["Metadata_Plate", "Metadata_Well"]].assign(Metadata_Site=site)
        parts.append(part.join(pd.DataFrame(values + shift, columns=names, index=wells.index)))
    return pd.concat(parts, ignore_index=True)


def write_profiles(folder: Path, folds: Folds, values: np.ndarray) -> dict[tuple[str, int], Path]:
    """Write what each path's model of each fold sees of the wells: these values."""
    names = [f"Profile_{k}" for k in range(values.shape[1])]
    found = {}
    for path in ("tas_svm", "cnn"):
        for fold in range(folds.count):
            training, tested = folds.training(fold), folds.tested(fold)
            table = folds.wells[["Metadata_Plate", "Metadata_Well"]].assign(Trained=training)
            table = table.join(pd.DataFrame(values, columns=names))[training | tested]
            found[path, fold] = folder / f"{path}-{fold}.parquet"
            table.to_parquet(found[path, fold], index=False)
    return found


def dealt(wells: pd.DataFrame, split: str = "compound") -> Folds:
    return make_folds(wells, target="moa", split=split, folds=3)
