from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from hts_classify.audit import Audit, audit
from hts_classify.audit import _confounders as confounders  # what no finding shows: every p
from hts_classify.audit import _least_p as least_p
from hts_classify.audit import _shuffle as shuffle
from hts_classify.audit import _Test as Association
from hts_classify.errors import DataError
from hts_classify.splits import Folds, make_folds
from hts_classify.synthetic import Recipe, lay_out, render_field
from hts_classify.vocabulary import (
    BATCH,
    COMPOUND,
    FOLD,
    GROUP,
    PLATE,
    ROLE,
    SCORED,
    SITE,
    TARGET,
    UNSCORED,
    WELL,
    figure_column,
)

DARK, MIDDLE = figure_column("Percentile01", "DNA"), figure_column("MedianIntensity", "DNA")
NAMES = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def map_of(seed: int, *, plates: int = 1, layout: str = "random") -> pd.DataFrame:
    """24 compounds of four classes in four wells of each plate, two batches of plates."""
    rng = np.random.default_rng(seed)
    tables = []
    for plate in range(plates):
        places = NAMES
        if layout == "random":
            places = list(rng.permutation(NAMES))
        elif layout == "column":  # the replicates of a compound below each other
            places = [
                f"{r}{c:02d}" for half in ("ABCD", "EFGH") for c in range(1, 13) for r in half
            ]
        table = pd.DataFrame({PLATE: f"P{plate + 1}", WELL: places})
        table[COMPOUND] = [f"C{n // 4:02d}" for n in range(len(places))]
        table[BATCH] = f"B{plate // 2 + 1}"
        tables.append(table)
    wells = pd.concat(tables, ignore_index=True)
    classes = rng.permutation(np.repeat(list("abcd"), 6))
    wells["moa"] = [classes[int(name[1:])] for name in wells[COMPOUND]]
    return wells


def quality_of(wells: pd.DataFrame, seed: int = 0, *, fields: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = wells.loc[wells.index.repeat(fields), [PLATE, WELL]].reset_index(drop=True)
    table[SITE] = np.tile(np.arange(1, fields + 1), len(wells))
    table[DARK] = np.exp(rng.normal(5, 0.1, len(table)))
    table[MIDDLE] = table[DARK] * np.exp(rng.normal(1, 0.1, len(table)))
    return table


def kinds(found: Audit) -> list[str]:
    return [finding.kind for finding in found.findings]


def render(recipe: Recipe) -> tuple[pd.DataFrame, pd.DataFrame, NDArray[np.float32]]:
    """Return plate map, quality and half-size tiles of a simulated plate."""
    treated = lay_out(recipe)
    wells = pd.DataFrame(
        {
            PLATE: "P1",
            WELL: [well.well for well in treated],
            COMPOUND: [well.compound for well in treated],
            BATCH: [f"B{well.batch}" for well in treated],
            "moa": [well.phenotype if well.labelled else None for well in treated],
        }
    )
    sites = range(1, recipe.fields + 1)
    raw = np.stack([render_field(recipe, well, site) for well in treated for site in sites])
    quality = wells.loc[wells.index.repeat(recipe.fields), [PLATE, WELL]].reset_index(drop=True)
    quality[SITE] = np.tile(list(sites), len(treated))
    for c, channel in enumerate(recipe.channels):
        quality[figure_column("Percentile01", channel)] = np.percentile(raw[:, c], 1, axis=(1, 2))
        quality[figure_column("MedianIntensity", channel)] = np.median(raw[:, c], axis=(1, 2))
    n, c, y, x = raw.shape
    return wells, quality, raw.reshape(n, c, y // 2, 2, x // 2, 2).mean((3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def plate() -> tuple[Folds, pd.DataFrame, NDArray[np.float32]]:
    wells, quality, tiles = render(
        Recipe(shape=(256, 256), concentrations=(10.0,), compounds=3, replicates=3, fields=1)
    )
    return make_folds(wells, target="moa", split="compound"), quality, tiles


def noisy(image: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = image.std(axis=(1, 2), keepdims=True)
    return image + 0.3 * spread * np.random.default_rng(1).normal(size=image.shape)


def zoomed(image: NDArray[np.float32]) -> NDArray[np.float32]:
    large = ndimage.zoom(image, (1, 1.05, 1.05), order=1)
    edge = (large.shape[1] - image.shape[1]) // 2
    return np.asarray(large[:, edge:, edge:][:, : image.shape[1], : image.shape[2]])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("duplicate", lambda image: image),
        ("near-duplicate", lambda image: np.roll(image, (2, -2), (1, 2))),
        ("near-duplicate", noisy),
        ("near-duplicate", lambda image: 1.7 * image + 50),
        ("near-duplicate", lambda image: image[:, :, ::-1]),
        ("near-duplicate", lambda image: np.rot90(image, 1, (1, 2))),
        ("near-duplicate", zoomed),
    ],
    ids=["exact", "shifted", "noisy", "rescaled", "mirrored", "turned", "zoomed"],
)
def test_a_field_that_another_wells_fold_trains_on_is_found(
    plate: tuple[Folds, pd.DataFrame, NDArray[np.float32]], kind: str, change: Change
) -> None:
    folds, quality, tiles = plate
    fold = folds.wells[FOLD].to_numpy()
    source, copy = 5, int(np.flatnonzero(fold != fold[5])[-1])
    tiles = tiles.copy()
    tiles[copy] = change(tiles[source])
    (found,) = audit(folds, quality, tiles).findings
    assert (found.kind, found.figures["pairs"], found.p) == (kind, 1, None)
    both = [f"P1/{quality[WELL][row]} field 1" for row in sorted((source, copy))]
    assert found.figures["first"] == both
    assert all(name in found.said for name in both)


def test_a_copy_that_is_tested_with_its_original_leaks_nothing(
    plate: tuple[Folds, pd.DataFrame, NDArray[np.float32]],
) -> None:
    folds, quality, tiles = plate
    fold = folds.wells[FOLD].to_numpy()
    tiles = tiles.copy()
    tiles[np.flatnonzero(fold == fold[5])[-1]] = tiles[5]
    assert not audit(folds, quality, tiles).findings


def test_a_control_that_is_only_trained_on_leaks_into_the_fold_that_tests_its_copy(
    plate: tuple[Folds, pd.DataFrame, NDArray[np.float32]],
) -> None:
    folds, quality, tiles = plate
    wells = folds.wells.copy()
    wells.loc[wells[TARGET] == "diffuse", [FOLD, ROLE]] = [-1, UNSCORED]
    control = int(np.flatnonzero(wells[ROLE] == UNSCORED)[0])
    tiles = tiles.copy()
    tiles[np.flatnonzero(wells[ROLE] == SCORED)[0]] = tiles[control]
    assert kinds(audit(Folds("compound", wells), quality, tiles)) == ["duplicate"]


def test_blank_fields_are_no_copies_of_each_other(
    plate: tuple[Folds, pd.DataFrame, NDArray[np.float32]],
) -> None:
    folds, quality, tiles = plate
    tiles = tiles.copy()
    tiles[::3] = 100.0
    assert not audit(folds, quality, tiles).findings


def test_wells_of_one_class_that_look_alike_are_no_copies_and_a_copy_among_them_is() -> None:
    rng = np.random.default_rng(0)
    wells = map_of(0)
    own = ndimage.gaussian_filter(rng.normal(size=(96, 1, 64, 64)), (0, 0, 3, 3))
    shared = ndimage.gaussian_filter(rng.normal(size=(4, 1, 64, 64)), (0, 0, 3, 3))
    tiles = 1000 + 100 * (own + 1.5 * shared[wells["moa"].map("abcd".index)]) / own.std()
    folds, quality = make_folds(wells, target="moa", split="compound"), quality_of(wells, fields=1)
    assert not audit(folds, quality, tiles).findings
    fold, target = folds.wells[FOLD].to_numpy(), folds.wells[TARGET].to_numpy()
    copy = int(np.flatnonzero((fold != fold[0]) & (target == target[0]))[0])
    tiles[copy] = tiles[0] + rng.normal(0, 20, tiles[0].shape)
    (found,) = audit(folds, quality, tiles).findings
    assert (found.kind, found.figures["pairs"]) == ("near-duplicate", 1)


@pytest.mark.parametrize("split", ["compound", "well"])
@pytest.mark.parametrize(
    ("place", "follows"),
    [
        ("plate", lambda wells: wells[PLATE].str[1].astype(int) - 1),
        ("row", lambda wells: wells[WELL].str[0].map("ABCDEFGH".index) // 2),
        ("column", lambda wells: (wells[WELL].str[1:].astype(int) - 1) // 3),
    ],
)
def test_a_target_that_follows_its_place_is_found(
    split: str, place: str, follows: Callable[[pd.DataFrame], Any]
) -> None:
    wells = map_of(0, plates=4)
    wells["moa"] = follows(wells).map(lambda k: "abcd"[k])
    # each compound in one class, as the folds need it
    wells[COMPOUND] = wells["moa"] + (wells.groupby("moa").cumcount() % 8).astype(str)
    wells[BATCH] = "B1"
    found = audit(make_folds(wells, target="moa", split=split), quality_of(wells), None)
    (finding,) = found.findings
    assert finding.kind == place
    assert finding.p is not None
    assert finding.p < 0.001
    assert finding.figures["cramers_v"] == pytest.approx(
        stats.contingency.association(
            pd.crosstab(
                wells["moa"],
                {"plate": wells[PLATE], "row": wells[WELL].str[0], "column": wells[WELL].str[1:]}[
                    place
                ],
            ).to_numpy(),
            method="cramer",
        ),
        abs=1e-9,
    )
    position = found.contestants[1]
    assert (position.correct, position.total) == (len(wells), len(wells))


def test_a_target_that_follows_the_batch_is_found_although_plates_hold_both() -> None:
    wells = map_of(0, plates=2)
    rng = np.random.default_rng(0)
    wells[BATCH] = rng.choice(["B1", "B2"], len(wells))
    wells["moa"] = np.where(wells[BATCH] == "B1", "a", "b")
    wells.loc[rng.choice(len(wells), 40, replace=False), "moa"] = "a"
    found = audit(make_folds(wells, target="moa", split="well"), quality_of(wells), None)
    assert kinds(found) == ["batch"]


@pytest.mark.parametrize("split", ["compound", "well"])
def test_a_background_that_differs_between_classes_is_found(split: str) -> None:
    wells = map_of(3)
    quality = quality_of(wells)
    quality.loc[wells["moa"].repeat(2).to_numpy() == "c", DARK] *= 1.6
    found = audit(make_folds(wells, target="moa", split=split), quality, None)
    (finding,) = found.findings
    assert finding.kind == "background"
    means = quality.groupby([PLATE, WELL])[DARK].mean().reset_index(name="level")
    medians = wells.merge(means).groupby("moa")["level"].median()
    assert finding.figures["medians"] == pytest.approx(medians.to_dict())
    assert f"c {medians['c']:.4g}" in finding.said
    assert json.loads(json.dumps(found.as_json()))["findings"][0]["p"] == finding.p


def test_a_well_in_two_folds_is_found() -> None:
    wells = map_of(4)
    folds = make_folds(wells, target="moa", split="well")
    twice = folds.wells.iloc[[7]].assign(**{FOLD: (folds.wells[FOLD].iloc[7] + 1) % 5})
    table = pd.concat([folds.wells, twice], ignore_index=True)
    (finding,) = audit(Folds("well", table), quality_of(wells), None).findings
    assert finding.kind == "well"
    assert finding.figures == {"parted": 1, "of": 96, "first": f"P1/{wells[WELL][7]}"}


def test_a_group_in_two_folds_is_found() -> None:
    wells = map_of(5)
    table = make_folds(wells, target="moa", split="compound").wells.copy()
    row = int(np.flatnonzero(table[COMPOUND] == "C09")[0])
    table.loc[row, FOLD] = (table[FOLD].iloc[row] + 1) % 5
    (finding,) = audit(Folds("compound", table), quality_of(wells), None).findings
    assert finding.kind == "group"
    assert finding.figures == {"parted": 1, "of": 24, "first": "C09"}


@pytest.mark.parametrize("seed", range(10))
def test_clean_plates_are_passed_in_silence(seed: int) -> None:
    settings = ("phenotypes", "texture", "arrangement", "mixed")
    recipe = Recipe(
        setting=settings[seed % 4],  # type: ignore[arg-type]
        seed=seed,
        shape=(96, 96),
        concentrations=(10.0,),
        compounds=5,
        replicates=3,
        fields=1,
    )
    wells, quality, tiles = render(recipe)
    folds = make_folds(wells, target="moa", split=("compound", "well")[seed // 2 % 2])
    found = audit(folds, quality, tiles, seed=seed)
    assert not found.findings
    assert not any("too" in note for note in found.notes)  # it could have spoken


@pytest.mark.parametrize("split", ["compound", "plate"])
@pytest.mark.parametrize("layout", ["random", "column", "rows"])
def test_replicates_that_sit_together_are_not_confounding(layout: str, split: str) -> None:
    wells = map_of(1, plates=3, layout=layout)  # `column` and `rows`: copies of one layout
    wells = wells.drop(columns=BATCH)
    found = audit(make_folds(wells, target="moa", split=split), quality_of(wells), None)
    assert not found.findings
    assert not any("too few" in note for note in found.notes)


def test_too_few_groups_are_said_to_be_too_few() -> None:
    wells = map_of(0)
    wells["moa"] = np.where(wells[WELL].str[1:].astype(int) > 6, "a", "b")
    wells[COMPOUND] = wells["moa"] + (wells.groupby("moa").cumcount() % 3).astype(str)
    found = audit(make_folds(wells, target="moa", split="compound"), quality_of(wells), None)
    assert not found.findings
    (note,) = [note for note in found.notes if note.startswith("too few groups to tell")]
    assert "row, column, background: 6 groups by compound could give no p below" in note
    assert found.contestants[1].correct == 96  # which says it without a p


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (2, 2, 2), (1, 2, 3), (1, 1, 5)])
def test_the_smallest_p_is_that_of_all_orders(sizes: tuple[int, ...]) -> None:
    label = np.repeat(np.arange(len(sizes)), sizes)
    orders = set(permutations(label.tolist()))
    alike = [
        order for order in orders if len(set(zip(order, label.tolist(), strict=True))) == len(sizes)
    ]
    assert least_p(np.array(sizes)) == pytest.approx(len(alike) / len(orders), rel=1e-9)


def test_p_is_that_of_kruskal_and_chi_square_over_all_orders() -> None:
    rng = np.random.default_rng(0)
    label = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    counts = rng.integers(1, 5, (8, 3)).astype(float)
    level = np.round(rng.normal(size=8) + label, 1)
    ranks = stats.rankdata(level)
    tests = [
        Association(kind="row", name="row", sums=counts),
        Association(
            kind="background",
            name="DNA",
            sums=np.column_stack([ranks - ranks.mean(), np.ones(8)]),
        ),
    ]
    seen, _, p = shuffle(tests, label, 3, 0)

    def both(order: NDArray[np.intp]) -> tuple[float, float]:
        table = np.stack([counts[order == k].sum(axis=0) for k in range(3)])
        h = stats.kruskal(*[level[order == k] for k in range(3)]).statistic
        return stats.contingency.association(table.astype(int), method="cramer"), float(h)

    orders = sorted(set(permutations(label.tolist())))
    every = np.array([both(np.array(order)) for order in orders])
    own = np.array(both(label))
    assert seen[0] == pytest.approx(own[0], abs=1e-9)
    exact = (every >= own - 1e-9).mean(axis=0)
    error = np.sqrt(exact * (1 - exact) / 10_000)
    assert np.all(np.abs(p - exact) < 4 * error)


def test_compounds_that_each_have_a_background_of_their_own_confound_no_class() -> None:
    spoke: dict[str, int] = {"compound": 0, "well": 0}
    for seed in range(12):
        own = dict(zip(sorted(map_of(seed)[COMPOUND].unique()), range(24), strict=True))
        shift = np.random.default_rng(seed).normal(size=24)
        for split in spoke:
            folds = make_folds(map_of(seed), target="moa", split=split, seed=seed)
            levels = pd.DataFrame({DARK: shift[folds.wells[COMPOUND].map(own)]})
            spoke[split] += bool(confounders(folds, levels, seed)[0])
    assert spoke["compound"] == 0  # 0.01 are expected
    assert spoke["well"] >= 2  # where the background of a compound's other wells gives it away


@pytest.mark.parametrize("split", ["compound", "well", "plate"])
def test_the_trivial_contestants_are_discriminant_analysis_and_the_commonest_class(
    split: str,
) -> None:
    wells = map_of(2, plates=3)
    wells.loc[:60, "moa"] = wells.loc[:60, "moa"].where(wells.loc[:60, COMPOUND] > "C05", "a")
    wells["moa"] = wells.groupby(COMPOUND)["moa"].transform("first")
    quality = quality_of(wells)
    quality.loc[wells["moa"].repeat(2).to_numpy() == "c", DARK] *= 1.1
    folds = make_folds(wells, target="moa", split=split)
    names = wells[[PLATE, BATCH]].assign(row=wells[WELL].str[0], column=wells[WELL].str[1:])
    means = quality.groupby([PLATE, WELL])[[DARK, MIDDLE]].mean().reset_index()
    inputs = {
        "position": pd.get_dummies(names).to_numpy(float),
        "background": np.arcsinh(wells[[PLATE, WELL]].merge(means, how="left")[[DARK, MIDDLE]]),
    }
    truth, expected = folds.wells[TARGET].to_numpy(), {"commonest": 0}
    for fold in range(folds.count):
        training, tested = folds.training(fold), folds.tested(fold)
        common = pd.Series(truth[training]).mode()[0]
        expected["commonest"] += int((truth[tested] == common).sum())
        for name, values in inputs.items():
            values = np.asarray(values)
            centre, scale = values[training].mean(0), values[training].std(0)
            known = (values - centre) / np.where(scale > 0, scale, np.inf)
            if name == "position":  # our constant column adds to the mean variance's denominator
                known = np.column_stack([np.zeros(len(known)), known])
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
            model.fit(known[training], truth[training])
            right = int((model.predict(known[tested]) == truth[tested]).sum())
            expected[name] = expected.get(name, 0) + right
    found = audit(folds, quality, None).contestants
    assert {c.name: c.correct for c in found} == expected
    assert {c.total for c in found} == {len(wells)}


def test_wells_without_a_field_are_called_by_what_is_usual() -> None:
    wells = map_of(6)
    quality = quality_of(wells).iloc[10:]
    found = audit(make_folds(wells, target="moa", split="compound"), quality, None)
    assert [c.total for c in found.contestants] == [96, 96, 96]


def test_compounds_in_training_and_test_are_noted_and_are_no_finding() -> None:
    wells = map_of(7)
    found = audit(make_folds(wells, target="moa", split="well"), quality_of(wells), None)
    assert not found.findings
    assert any(note.startswith("24 of 24 compounds are tested by models") for note in found.notes)
    found = audit(make_folds(wells, target="moa", split="compound"), quality_of(wells), None)
    assert not any("compounds" in note for note in found.notes)


@pytest.mark.parametrize("split", ["nscb", "nscb-joined"])
def test_a_compound_in_each_batch_is_no_parted_group(split: str) -> None:
    wells = map_of(3, plates=4)
    found = audit(make_folds(wells, target="moa", split=split), quality_of(wells), None)
    assert "group" not in kinds(found)
    trained_on = any("tested by models that were trained on them" in note for note in found.notes)
    assert trained_on == (split == "nscb-joined")


def test_plates_to_test_may_hold_compounds_that_were_trained_on() -> None:
    wells = map_of(3, plates=2)
    folds = make_folds(wells, target="moa", split="train=P1;test=P2")
    found = audit(folds, quality_of(wells), None)
    assert any(note.startswith("24 of 24 compounds are tested by models") for note in found.notes)


@pytest.mark.parametrize(
    ("split", "leak"), [("nscb", False), ("nscb-joined", True), ("compound", False), ("well", True)]
)
def test_a_copy_is_a_leak_where_it_is_trained_on(split: str, leak: bool) -> None:
    """One image stands for a compound in both batches."""
    wells = map_of(5, plates=4)
    folds = make_folds(wells, target="moa", split=split)
    quality = quality_of(wells, fields=1)
    rng = np.random.default_rng(0)
    images = ndimage.gaussian_filter(rng.normal(size=(len(quality), 1, 32, 32)), (0, 0, 2, 2))
    own = wells.index[wells[COMPOUND] == "C03"]
    first = own[wells.loc[own, BATCH] == "B1"][0]
    second = own[wells.loc[own, BATCH] == "B2"][0]
    images[second] = images[first]
    found = audit(folds, quality, images)
    assert ("duplicate" in kinds(found)) == leak


def test_the_same_seed_says_the_same_as_json() -> None:
    wells = map_of(8)
    wells["moa"] = np.where(wells[WELL].str[0] < "E", "a", "b")
    folds = make_folds(wells, target="moa", split="well")
    first, again = (audit(folds, quality_of(wells), None, seed=3).as_json() for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert first["findings"][0]["kind"] == "row"


def test_what_does_not_fit_is_refused() -> None:
    wells = map_of(9)
    folds, quality = make_folds(wells, target="moa", split="well"), quality_of(wells)
    with pytest.raises(DataError, match="3 thumbnails of 192 fields"):
        audit(folds, quality, np.zeros((3, 1, 8, 8)))
    with pytest.raises(DataError, match="Percentile01"):
        audit(folds, quality.drop(columns=DARK), None)


def test_groups_that_hold_several_classes_are_not_what_is_shuffled() -> None:
    wells = map_of(1, plates=3, layout="rows").drop(columns=[BATCH, COMPOUND])
    wells["moa"] = wells[WELL].str[0].map({r: "abcd"[k // 2] for k, r in enumerate("ABCDEFGH")})
    found = audit(make_folds(wells, target="moa", split="plate"), quality_of(wells), None)
    (finding,) = found.findings
    assert (finding.kind, finding.figures["unit"], finding.figures["groups"]) == (
        "row",
        "place",
        96,
    )
    assert set(make_folds(wells, target="moa", split="plate").wells[GROUP]) == {"P1", "P2", "P3"}
