"""Print how long the end of a run takes on ready features: audit, statistics, report.

    python benchmarks/conclude_run.py [--keep FOLDER]

A 384-well plate × 9 fields × 3 channels is written by hand, as a run leaves it before its end: four
classes of 72 wells from 84 compounds, of which some are controls, and 12 compounds of 8 doses
without a class; PFTAS columns, a table of quality, tiles of 64 pixels, and both paths' scores and
profiles over five folds, drawn by a rule with a seed. Nothing is trained. The audit and `conclude`
then do what they do in a run, in this process, imports of theirs included. It ends with 1 where a
figure is missed. Peak memory is that of the whole process, with the making of the run in it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hts_classify.audit import audit
from hts_classify.cost import peak_memory
from hts_classify.files import write_json
from hts_classify.fits import Fits, Step
from hts_classify.importance import GROUPS, STATISTICS, group_of, statistics_of
from hts_classify.models import CnnSettings
from hts_classify.predictions import UNFOLDED, calls
from hts_classify.shards import TILE_ROW
from hts_classify.splits import Folds, make_folds
from hts_classify.tiles import TileStore
from hts_classify.vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    FOLD,
    GROUP,
    PATHS,
    PLATE,
    PROFILE,
    ROLE,
    SITE,
    TARGET,
    TRAINED,
    UNLABELLED,
    WELL,
    feature_columns,
    figure_column,
)

CLASSES = ("actin", "arrest", "inactive", "nuclear")
CHANNELS = ("DNA", "Actin", "Tubulin")
FIELDS, SIDE, FOLDS = 9, 64, 5
DOSED, DOSES = 12, 8
STRENGTH = {"tas_svm": 2.0, "cnn": 2.6}
"""By how much the score of a well's own class stands above the others', whose spread is 1."""
PROFILES = {"tas_svm": 162, "cnn": 128}
"""Numbers that make a profile."""
STAGES = (
    "compare",
    "with_unlike",
    "_explained",
    "matched",
    "separations",
    "dose_responses",
    "write_table",
    "load_record",
    "draw",
)
"""What of `conclude` is timed by itself."""


def plate_map(rng: np.random.Generator) -> pd.DataFrame:
    """Lay the compounds out at random: 21 a class, of three wells or four, and those of doses."""
    rows: list[dict[str, Any]] = []
    for name in CLASSES:
        for k in range(21):
            control = {"inactive": "negcon", "nuclear": "poscon"}.get(name) if k < 4 else None
            rows += (3 if k < 12 else 4) * [
                {COMPOUND: f"{name} {k}", CONCENTRATION: 10.0, "moa": name, CONTROL: control}
            ]
    rows += [
        {COMPOUND: f"dosed {k}", CONCENTRATION: 10.0 / 3**dose, "moa": None, CONTROL: None}
        for k in range(DOSED)
        for dose in range(DOSES)
    ]
    names = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    table = pd.DataFrame(rows).iloc[rng.permutation(len(rows))].reset_index(drop=True)
    table.insert(0, WELL, names)
    table.insert(0, PLATE, "P1")
    return table.rename(columns={"moa": "Metadata_moa"})


def shown(wells: pd.DataFrame) -> NDArray[np.float64]:
    """Return how much of each class a well shows; a compound of doses comes up at 1."""
    found = np.zeros((len(wells), len(CLASSES)))
    labels = wells["Metadata_moa"].fillna("").tolist()
    for k, (name, compound) in enumerate(zip(labels, wells[COMPOUND], strict=True)):
        if name:
            found[k, CLASSES.index(name)] = 1
        else:
            share = 1 / (1 + 1 / wells[CONCENTRATION].iloc[k])
            found[k, 2] = 1 - share
            found[k, (0, 1, 3)[int(compound.split()[1]) % 3]] = share
    return found


def fields_of(wells: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of features and of quality, a row a field."""
    about = wells.loc[wells.index.repeat(FIELDS), [PLATE, WELL]].reset_index(drop=True)
    about[SITE] = np.tile(np.arange(1, FIELDS + 1), len(wells))
    about[TILE_ROW] = np.arange(len(about))
    columns = [name for channel in CHANNELS for name in feature_columns("pftas", channel)]
    values = pd.DataFrame(rng.random((len(about), len(columns))), columns=columns)
    quality = {
        figure_column(figure, channel): level * rng.lognormal(0, 0.1, len(about))
        for channel in CHANNELS
        for figure, level in (("Percentile01", 100.0), ("MedianIntensity", 400.0))
    }
    return pd.concat([about, values], axis=1), about.assign(**quality)


def tiles_of(folder: Path, count: int, rng: np.random.Generator) -> TileStore:
    """Write noise on a few blobs for every field."""
    shape = (len(CHANNELS), SIDE, SIDE)
    store = TileStore.create(folder / "tiles.zarr", SIDE, (count, *shape), kind="uint16")
    y, x = np.mgrid[:SIDE, :SIDE]
    for row in range(count):
        centres, size = rng.uniform(0, SIDE, (12, 2)), rng.uniform(3, 6)
        far = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
        blobs = np.exp(-far / size**2).sum(axis=0)
        tile = rng.poisson(200 + 800 * blobs * rng.uniform(0.5, 1, (len(CHANNELS), 1, 1)))
        store.write(row, tile.astype(np.float32))
    return store


def facts(path: str, fold: int) -> dict[str, Any]:
    """Return what a fit leaves of itself: a curve of 40 rounds, and a temperature."""
    rounds = np.arange(1, 41)
    falls = np.exp(-rounds / 8)
    curve = [
        {
            "step": int(30 * k),
            "rate": 0.003 * (1 - k / 41),
            "loss": 0.1 + 1.2 * float(fall),
            "accuracy": 1 - 0.7 * float(fall),
            "judged_loss": 0.4 + 0.9 * float(fall) + 0.01 * fold,
            "judged_accuracy": 0.85 - 0.6 * float(fall),
        }
        for k, fall in zip(rounds.tolist(), falls, strict=True)
    ]
    temperature = {"temperature": 1.0 + 0.05 * fold}
    if path != "cnn":
        return temperature
    confusion = (np.eye(len(CLASSES), dtype=int) * 100 + 12).tolist()
    return temperature | {
        "network": "compact",
        "classes": dict.fromkeys(CLASSES, 500),
        "steps": {"planned": 1200, "taken": 1200, "best": 1200},
        "learning_rate": 0.003,
        "judged_confusion": confusion,
        "curve": curve,
        "diagnosis": [],
    }


def shards_of(
    folder: Path, features: pd.DataFrame, folds: Folds, rng: np.random.Generator
) -> dict[Step, Path]:
    """Write the calls of each step, from scores that are drawn."""
    number = pd.MultiIndex.from_frame(folds.wells[[PLATE, WELL]])
    of = number.get_indexer(pd.MultiIndex.from_frame(features[[PLATE, WELL]]))
    truth = shown(folds.wells)
    found = {}
    for path in PATHS:
        noise = rng.normal(0, 1, truth.shape)[of] + rng.normal(0, 0.5, (len(of), len(CLASSES)))
        scores = STRENGTH[path] * truth[of] + noise
        for fold in (*range(folds.count), UNFOLDED):
            mask = (
                (folds.wells[ROLE] == UNLABELLED).to_numpy(bool)
                if fold == UNFOLDED
                else folds.tested(fold)
            )[of]
            step = Step(path, fold)
            shard = folder / "predictions" / f"{step.name}-made.parquet"
            shard.parent.mkdir(exist_ok=True)
            table = calls(features[mask], scores[mask], classes=CLASSES, path=path, fold=fold)
            table.to_parquet(shard, index=False)
            card = {"inner_unit": "compound", "training": facts(path, fold)}
            write_json(shard.with_suffix(".json"), card)
            found[step] = shard
    return found


def profiles_of(folder: Path, steps: list[Step], folds: Folds, rng: np.random.Generator) -> None:
    """Write how each step's model sees the wells that it learned from, and those that it calls."""
    truth = shown(folds.wells)
    labelled = (folds.wells[ROLE] != UNLABELLED).to_numpy(bool)
    for step in steps:
        unfolded = step.fold == UNFOLDED
        learned = labelled if unfolded else folds.training(step.fold)
        called = ~labelled if unfolded else folds.tested(step.fold)
        mean = truth @ rng.normal(0, STRENGTH[step.path] / 4, (len(CLASSES), PROFILES[step.path]))
        points = (mean + rng.normal(0, 1, mean.shape)).astype(np.float32)
        table = folds.wells[[PLATE, WELL]].assign(**{TRAINED: learned})
        table = table.join(pd.DataFrame(points).add_prefix(PROFILE))[learned | called]
        file = folder / "predictions" / f"profiles-{step.name}-made.parquet"
        table.to_parquet(file, index=False)


def explained_of(
    folder: Path, steps: list[Step], features: pd.DataFrame, folds: Folds, rng: np.random.Generator
) -> None:
    """Write what fits keep to explain their calls by: importances, and maps of 8 × 8 places."""
    names = statistics_of(features)
    kinds = dict.fromkeys(map(group_of, names), GROUPS) | dict.fromkeys(names, STATISTICS)
    rises = pd.DataFrame(kinds.items(), columns=["Name", "Kind"])
    classes = pd.Series(CLASSES, name=CALL)
    for step in steps:
        file = folder / "predictions" / f"explained-{step.name}-made.parquet"
        if step.path == "tas_svm":
            own = rises.assign(Rise=rng.exponential(0.01, len(rises)), Loss=0.5, Fields=300)
        else:
            tested = folds.wells[FOLD] == step.fold
            own = folds.wells.loc[tested, [PLATE, WELL]].merge(classes, how="cross")
            maps = [rng.integers(256, size=64, dtype=np.uint8).tobytes() for _ in range(len(own))]
            own = own.assign(Rows=8, Columns=8, Map=maps, CoveredY=1.0, CoveredX=1.0)
        own.to_parquet(file, index=False)


def make_run(folder: Path) -> tuple[Fits, dict[Step, Path], pd.DataFrame, pd.DataFrame]:
    """Write a run as it is before its end; return it, its calls, plate map and quality."""
    rng = np.random.default_rng(0)
    wells = plate_map(rng)
    folds = make_folds(wells, target="Metadata_moa", split="compound", folds=FOLDS)
    features, quality = fields_of(wells, rng)
    store = tiles_of(folder, len(features), rng)
    features.to_parquet(folder / "features.parquet", index=False)
    quality.to_parquet(folder / "quality.parquet", index=False)
    columns = [PLATE, WELL, TARGET, GROUP, FOLD, ROLE]
    folds.wells[columns].to_csv(folder / "folds.csv", index=False)
    reasons = [PLATE, WELL, SITE, "Channel", "Reason"]
    pd.DataFrame(columns=reasons).to_csv(folder / "failures.csv", index=False)
    shards = shards_of(folder, features, folds, rng)
    profiles_of(folder, list(shards), folds, rng)
    explained_of(folder, list(shards), features, folds, rng)
    write_json(folder / "run.json", described())
    write_json(folder / "timings.json", timings(wells, shards))
    fits = Fits(
        out=folder,
        features=features,
        tiles=store,
        folds=folds,
        seed=0,
        normalise="none",
        cnn=CnnSettings(),
        aggregate="mean",
        card={"channels": list(CHANNELS)},
        key="made",
    )
    return fits, shards, wells, quality


def described() -> dict[str, Any]:
    settings = {"target": "moa", "features": "pftas", "tile_size": SIDE, "seed": 0}
    return {
        "plates": ["P1"],
        "channels": list(CHANNELS),
        "settings": settings | {"cnn": CnnSettings().as_json()},
        "versions": {"hts_classify": "made by hand"},
    }


def timings(wells: pd.DataFrame, shards: dict[Step, Path]) -> dict[str, Any]:
    kinds = ("wall_s", "read_s", "features_s", "tiles_s", "keep_s")
    well = {"fields": FIELDS, "bytes": 0} | dict.fromkeys(kinds, 0.1)
    fit = {"train_s": 60.0, "score_s": 1.0, "scored_fields": 500, "trained_fields": 2000}
    return {
        "wells": {f"P1/{name}": well for name in wells[WELL]},
        "fits": {step.name: fit for step in shards},
        "machine": "cpu",
        "plates": [["P1", "plate.zarr"]],
    }


@contextmanager
def timed(module: Any, names: tuple[str, ...]) -> Iterator[dict[str, float]]:
    """Time what a module calls by these names."""
    seconds = dict.fromkeys(names, 0.0)

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any, **keywords: Any) -> Any:
            begun = perf_counter()
            try:
                return call(*arguments, **keywords)
            finally:
                seconds[name] += perf_counter() - begun

        return watching

    with ExitStack() as patches:
        for name in names:
            call = watched(name, getattr(module, name))
            patches.enter_context(patch.object(module, name, call))
        yield seconds


def measure(folder: Path) -> bool:
    """Conclude a made run, print the table, and tell whether every figure was met."""
    fits, shards, wells, quality = make_run(folder)
    before = peak_memory()
    begun = perf_counter()
    audited = audit(fits.folds, quality, fits.tiles.view(quality[TILE_ROW].to_numpy()))
    audit_s = perf_counter() - begun
    module = importlib.import_module("hts_classify.conclude")
    with timed(module, STAGES) as seconds:
        module.conclude(
            fits, shards, wells=wells, target="Metadata_moa", proba=True, audited=audited.as_json()
        )
    whole_s, peak = perf_counter() - begun, peak_memory()
    size = (folder / "report.html").stat().st_size
    stages = {"audit": audit_s, **seconds}
    stages["report"] = stages.pop("load_record") + stages.pop("draw")
    stages["the rest"] = whole_s - sum(stages.values())
    gib = (peak or 0) / 2**30
    rows = [
        ("whole", f"{whole_s:.1f} s", "< 60 s", whole_s < 60),
        ("report", f"{stages['report']:.2f} s", "< 10 s", stages["report"] < 10),
        ("peak memory", f"{gib:.2f} GiB", "< 1.5 GiB", peak is not None and gib < 1.5),
        ("report.html", f"{size / 1e6:.2f} MB", "< 15 MB", size < 15e6),
    ]
    print("| what | measured | asked | met |\n|---|---|---|---|")
    for what, found, asked, met in rows:
        print(f"| {what} | {found} | {asked} | {'yes' if met else 'no'} |")
    print("\nseconds:", ", ".join(f"{name} {spent:.2f}" for name, spent in stages.items()))
    if before is not None:
        print(
            f"peak memory before the audit, with imports and the made run: {before / 2**30:.2f} GiB"
        )
    print("the audit found:", "; ".join(one.said for one in audited.findings) or "nothing")
    return all(met for *_, met in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="leave the run in this empty folder")
    options = parser.parse_args()
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"{options.keep} is not empty")
    print(f"python {' '.join(sys.argv)}; {os.cpu_count()} cores", end="")
    print(f", load {os.getloadavg()[0]:.1f}\n" if hasattr(os, "getloadavg") else "\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        met = measure(folder)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
