"""Single Jurkat cells by phase of the cell cycle, from the DNA channel: what tells them apart?

    python benchmarks/jurkat.py [--rows pftas,intensity,both,compact,mobilenet_v2] [--data FOLDER]

3,416 cells of 40 × 40 pixels in seven classes (Blasi et al., Nature Communications 2016, 7:10256).
`jurkat_list.csv` says which are used and in which of five folds each is tested: of every class, its
rows of `tiles_40px.npz` in the order of a permutation by `numpy.random.default_rng(0)`, classes
sorted, the first 300 of them dealt to the folds 0 to 4 in turn; `--draw` writes it again. Each cell
is tested once, by a model that was trained on the other four folds. What training chooses, it
chooses on three stratified parts of those. Cells are dealt singly, as the file names no wells or
tubes: the figures say how well the phases are told apart, not how well that carries over to
another tube.

The accuracies to reach were set before: 0.78 for `both`, 0.83 and 0.86 for the networks.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hts_classify import pftas
from hts_classify.features import examine
from hts_classify.models import make
from hts_classify.models.settings import CnnSettings, Learning

LIST = Path(__file__).with_name("jurkat_list.csv")
MOST, FOLDS, INNER = 300, 5, 3
CHANNEL = "DNA_PI"
ENLARGED = 96
"""Side in pixels of the tiles that the network from ImageNet sees, which learned at 224."""
QUICK = Learning(steps=4, epochs=1)


def draw(labels: NDArray[np.str_]) -> list[tuple[int, str, int]]:
    """Draw the list: (row, class, fold), by row."""
    rng = np.random.default_rng(0)
    drawn = []
    for name in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == name))[:MOST]
        drawn += [(int(row), str(name), place % FOLDS) for place, row in enumerate(rows)]
    return sorted(drawn)


def write_list(labels: NDArray[np.str_]) -> None:
    with LIST.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "class", "fold"])
        writer.writerows(draw(labels))


def read_list() -> tuple[NDArray[np.intp], list[str], NDArray[np.intp]]:
    """Return rows, classes and folds."""
    with LIST.open(newline="") as file:
        rows, classes, folds = zip(
            *((int(one["row"]), one["class"], int(one["fold"])) for one in csv.DictReader(file)),
            strict=True,
        )
    return np.array(rows), list(classes), np.array(folds)


def stratified(targets: NDArray[np.str_], seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Deal examples into three parts, every class evenly; each part judges once."""
    rng, part = np.random.default_rng(seed), np.empty(len(targets), int)
    for name in np.unique(targets):
        own = rng.permutation(np.flatnonzero(targets == name))
        part[own] = np.arange(len(own)) % INNER
    return [(np.flatnonzero(part != one), np.flatnonzero(part == one)) for one in range(INNER)]


def statistics(cells: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Compute the threshold adjacency statistics of every cell: shape (n, 54)."""
    return pftas(cells[:, 0], axes="nyx")


def intensities(cells: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Compute levels and their spread, as in a run's `quality.parquet`: shape (n, 8)."""
    found = [examine(cell)[1] for cell in cells[:, 0]]
    names = ("mean", "std", "median", "mad", "minimum", "maximum", "p01", "p99")
    return np.array([[getattr(one, name) for name in names] for one in found])


def network(name: str, weights: Path | None, *, quick: bool) -> CnnSettings:
    """Return the settings of a network: the defaults, but brightness counts here."""
    learning = {"learning": QUICK} if quick else {}
    if weights is None:
        return CnnSettings(network=name, scaling="training", **learning)
    enlarge = 40 if quick else ENLARGED
    return CnnSettings(
        network=name, weights=str(weights), scaling="training", enlarge=enlarge, **learning
    )


Way = tuple[str, float | None, Callable[[NDArray[np.uint16]], NDArray[Any]], CnnSettings | None]


def ways(data: Path, *, quick: bool) -> dict[str, Way]:
    """Return of each row its title, the accuracy to reach, what a model sees, and a CNN's
    settings."""

    def both(cells: NDArray[np.uint16]) -> NDArray[np.float64]:
        return np.hstack([statistics(cells), intensities(cells)])

    weights = data / "weights" / "mobilenet_v2.pth"
    scratch, tuned = (
        network(name, file, quick=quick)
        for name, file in (("compact", None), ("mobilenet_v2", weights))
    )
    return {
        "pftas": ("PFTAS + SVM", None, statistics, None),
        "intensity": ("intensity statistics alone + SVM", None, intensities, None),
        "both": ("PFTAS and intensity + SVM", 0.78, both, None),
        "compact": ("compact, from scratch", 0.83, np.asarray, scratch),
        "mobilenet_v2": ("mobilenet_v2, fine-tuned", 0.86, np.asarray, tuned),
    }


def right_calls(
    inputs: NDArray[Any],
    targets: NDArray[np.str_],
    folds: NDArray[np.intp],
    settings: CnnSettings | None,
    device: str,
) -> NDArray[np.bool_]:
    """Train and test on every fold; tell which examples were called right."""
    right = np.zeros(len(targets), bool)
    for fold in np.unique(folds):
        learn, tested = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        model = make("cnn" if settings else "tas_svm", settings=settings, device=device)
        model.fit(
            inputs[learn],
            list(targets[learn]),
            inner=stratified(targets[learn], seed=int(fold)),
            seed=int(fold),
        )
        called = model.scores(inputs[tested]).argmax(axis=1)
        right[tested] = np.array(model.classes)[called] == targets[tested]
    return right


def row(
    title: str, at_least: float | None, right: NDArray[np.bool_], folds: NDArray[np.intp], s: float
) -> str:
    each = [right[folds == fold] for fold in np.unique(folds)]
    cells = [
        title,
        f"{right.sum()}/{len(right)}",
        f"{right.mean():.3f}",
        " ".join(f"{one.sum()}/{len(one)}" for one in each),
        "" if at_least is None else f"{at_least:.2f}",
        "" if at_least is None else "yes" if right.mean() >= at_least else "no",
        f"{s:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def recalls(right: NDArray[np.bool_], targets: NDArray[np.str_]) -> str:
    own = [(name, right[targets == name]) for name in np.unique(targets)]
    return ", ".join(f"{name} {one.sum()}/{len(one)}" for name, one in own)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).parents[1] / ".." / "shared" / "data"
    parser.add_argument("--rows", default="pftas,intensity,both,compact,mobilenet_v2")
    parser.add_argument("--data", type=Path, default=os.environ.get("HTS_CLASSIFY_DATA", shared))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="few cells, a few steps")
    parser.add_argument("--draw", action="store_true", help=f"write {LIST.name} and stop")
    options = parser.parse_args()
    known = ways(options.data, quick=options.quick)
    if unknown := set(options.rows.split(",")) - set(known):
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    file = options.data / "jurkat" / "tiles_40px.npz"
    if not file.exists():
        parser.error(f"{file} is absent; name the folder of the data with --data")
    with np.load(file, allow_pickle=False) as held:
        images, labels, channels = held["images"], held["labels"], list(held["channels"])
    if options.draw:
        write_list(labels)
        return
    rows, classes, folds = read_list()
    if list(labels[rows]) != classes:
        raise SystemExit(f"{LIST.name} is of other tiles than {file}")
    if options.quick:  # thirty of each class at the most
        place = np.array([classes[:k].count(name) for k, name in enumerate(classes)])
        rows, folds = rows[place < 30], place[place < 30] % FOLDS
    cells, targets = images[rows][:, [channels.index(CHANNEL)]], labels[rows]
    print(" ".join(["python", *sys.argv]))
    print(f"{len(rows)} cells, {recalls(np.ones(len(rows), bool), targets)}\n")
    print(
        "| what | right | accuracy | by fold | at least | met | s |\n|---|---|---|---|---|---|---|"
    )
    notes = []
    for name in options.rows.split(","):
        title, at_least, seen, settings = known[name]
        begun = perf_counter()
        call = partial(right_calls, settings=settings, device=options.device)
        right = call(seen(cells), targets, folds)
        print(row(title, at_least, right, folds, perf_counter() - begun), flush=True)
        notes.append(f"{title}, by class: {recalls(right, targets)}")
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
