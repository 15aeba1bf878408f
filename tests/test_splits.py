from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hts_classify.errors import DesignError, HTSError, UsageError
from hts_classify.splits import choose_split, inner_splits, make_folds
from hts_classify.vocabulary import (
    BATCH,
    COMPOUND,
    FOLD,
    GROUP,
    PLATE,
    ROLE,
    TARGET,
    UNLABELLED,
    UNSCORED,
    WELL,
)


def plate(compounds: dict[str, list[str]], *, wells: int = 2) -> pd.DataFrame:
    """Lay out wells of some compounds of each class, row by row."""
    rows = [
        {COMPOUND: compound, "moa": name, BATCH: f"batch{k % 2}"}
        for name, members in compounds.items()
        for compound in members
        for k in range(wells)
    ]
    table = pd.DataFrame(rows)
    names = [f"{chr(65 + k // 12)}{k % 12 + 1:02d}" for k in range(len(table))]
    return table.assign(**{PLATE: "P1", WELL: names})


THREE = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2", "b3"], "c": ["c1", "c2", "c3"]}


def test_no_group_is_in_training_and_test_and_every_well_is_tested_once() -> None:
    wells = plate(THREE, wells=4)
    folds = make_folds(wells, target="moa", split="compound", folds=3)
    for fold in range(folds.count):
        tested = set(folds.wells.loc[folds.tested(fold), GROUP])
        assert tested
        assert not tested & set(folds.wells.loc[folds.training(fold), GROUP])
        assert set(folds.wells.loc[folds.training(fold), TARGET]) == {"a", "b", "c"}
    assert (folds.wells[FOLD] >= 0).all()
    assert folds.groups == 9


def test_as_many_groups_as_folds_leaves_one_group_out_at_a_time() -> None:
    wells = plate({"a": ["x", "y"], "b": ["x", "y"]}, wells=6)
    folds = make_folds(wells, target="moa", split="compound")
    assert folds.count == 2
    assert folds.wells.groupby(FOLD)[GROUP].nunique().tolist() == [1, 1]


def test_the_same_seed_deals_the_same_folds() -> None:
    wells = plate({"a": [f"a{k}" for k in range(9)], "b": [f"b{k}" for k in range(9)]})
    one, two, other = (
        make_folds(wells, target="moa", split="compound", seed=seed).wells[FOLD].tolist()
        for seed in (0, 0, 1)
    )
    assert one == two != other


def test_wells_without_a_class_are_neither_trained_on_nor_tested() -> None:
    wells = plate(THREE)
    wells.loc[[0, 7], "moa"] = None
    folds = make_folds(wells, target="moa", split="well")
    idle = (folds.wells[ROLE] == UNLABELLED).to_numpy()
    assert idle.sum() == 2
    assert not any(folds.training(fold)[idle].any() for fold in range(folds.count))
    assert (folds.wells.loc[idle, FOLD] == -1).all()


def test_an_unscored_class_is_trained_on_but_never_from_a_tested_group() -> None:
    wells = plate({**THREE, "dmso": ["a1", "DMSO"]})
    folds = make_folds(wells, target="moa", split="compound", unscored=["dmso"])
    assert (folds.wells.loc[folds.wells[TARGET] == "dmso", ROLE] == UNSCORED).all()
    for fold in range(folds.count):
        training = folds.wells[folds.training(fold)]
        assert "DMSO" in set(training[COMPOUND])
        held_out = "a1" in set(folds.wells.loc[folds.tested(fold), COMPOUND])
        assert ("a1" in set(training[COMPOUND])) is not held_out


@pytest.mark.parametrize(
    ("compounds", "options", "kind", "match"),
    [
        ({"a": ["x", "y"]}, {}, DesignError, r"has one class \(a\); name a target"),
        (
            {**THREE, "d": ["d1"]},
            {},
            DesignError,
            "'d' .d1. has a single compound.*--unscored-class d",
        ),
        (THREE, {"split": "plate"}, DesignError, r"share one plate \(P1\)"),
        (THREE, {"unscored": ["z"]}, UsageError, "'z' is no class of moa; the classes are a, b"),
        (THREE, {"unscored": ["a", "b"]}, UsageError, "fewer than two classes are left"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    compounds: dict[str, list[str]], options: dict[str, str], kind: type[HTSError], match: str
) -> None:
    with pytest.raises(kind, match=match):
        make_folds(plate(compounds), target="moa", **{"split": "compound", **options})  # type: ignore[arg-type]


def test_a_labelled_well_without_a_compound_is_named() -> None:
    wells = plate(THREE)
    wells.loc[3, COMPOUND] = None
    with pytest.raises(DesignError, match=r"well A04 \(a\) has no compound"):
        make_folds(wells, target="moa", split="compound")


@pytest.mark.parametrize("split", ["field", "tile", "random"])
def test_parting_the_fields_of_a_well_is_refused(split: str) -> None:
    with pytest.raises(UsageError, match="fields of one well into training and test"):
        choose_split(plate(THREE), split)


def test_the_default_split_is_the_compound_where_there_is_one() -> None:
    wells = plate(THREE)
    assert choose_split(wells, None) == "compound"
    assert choose_split(wells.drop(columns=COMPOUND), None) == "well"
    with pytest.raises(UsageError, match="no compound column"):
        choose_split(wells.drop(columns=COMPOUND), "compound")


def test_a_class_with_two_groups_is_in_two_folds() -> None:
    wells = plate({"a": [f"a{k}" for k in range(12)], "rare": ["r1", "r2"]})
    folds = make_folds(wells, target="moa", split="compound")
    assert folds.wells.loc[folds.wells[TARGET] == "rare", FOLD].nunique() == 2


def labelled(wells: pd.DataFrame) -> pd.DataFrame:
    return wells.assign(**{TARGET: wells["moa"]})


@pytest.mark.parametrize(
    ("compounds", "unit"),
    [
        (THREE, "compound"),
        ({"a": ["a1", "a2"], "b": ["b1", "b2", "b3"]}, "well"),
    ],
)
def test_inner_splits_use_the_coarsest_unit_that_every_class_has_three_of(
    compounds: dict[str, list[str]], unit: str
) -> None:
    wells = labelled(plate(compounds, wells=3))
    found, splits = inner_splits(wells, seed=0)
    assert found == unit
    column = COMPOUND if unit == "compound" else WELL
    for learn, judge in splits:
        assert not set(wells[column].iloc[learn]) & set(wells[column].iloc[judge])
        assert set(wells[TARGET].iloc[learn]) == set(wells[TARGET])
    judged = np.concatenate([judge for _, judge in splits])
    assert sorted(judged) == list(range(len(wells)))


def test_a_class_of_one_well_is_always_learnt_from() -> None:
    wells = labelled(plate({"a": ["a1"], "b": ["b1"], "lone": ["l1"]}, wells=3)).iloc[:7]
    _, splits = inner_splits(wells, seed=0)
    assert all(6 in learn for learn, _ in splits)


def test_nothing_to_choose_on_is_an_error() -> None:
    wells = labelled(plate({"a": ["a1"], "b": ["b1"]}, wells=1))
    with pytest.raises(DesignError, match="every class has a single well"):
        inner_splits(wells, seed=0)
