"""Each protocol against brute force over pairs of wells, on seeded random plate maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import LeaveOneGroupOut

from hts_classify.errors import DesignError, HTSError, UsageError
from hts_classify.protocols import PROTOCOLS, protocol_of, train_test_split
from hts_classify.splits import Folds, choose_split, make_folds, make_repeats
from hts_classify.vocabulary import (
    BATCH,
    COMPOUND,
    FOLD,
    GROUP,
    PLATE,
    ROLE,
    SCORED,
    TARGET,
    UNLABELLED,
    UNSCORED,
    WELL,
)

Row = dict[str, Any]
seeds = st.integers(0, 10_000)
fixed = settings(max_examples=25, derandomize=True, deadline=None, database=None)


def random_map(seed: int) -> pd.DataFrame:
    """Lay out a screen by chance: plates in batches, compounds with a class, controls, blanks."""
    rng = np.random.default_rng(seed)
    batch_of = {f"P{k}": f"batch{rng.integers(3)}" for k in range(rng.integers(3, 7))}
    plates = list(batch_of)
    members = {name: int(rng.integers(2, 5)) for name in "abc"[: rng.integers(2, 4)]}
    rows: list[Row] = [
        {PLATE: plate, COMPOUND: compound, "moa": moa}
        for moa, count in members.items()
        for compound in (f"{moa}{k}" for k in range(count))
        for plate in rng.choice(plates, size=rng.integers(1, len(plates)), replace=False)
        for _ in range(rng.integers(1, 3))
    ]
    rows += [{PLATE: plate, COMPOUND: "DMSO", "moa": "dmso"} for plate in plates]
    rows += [{PLATE: plate, COMPOUND: None, "moa": "dmso"} for plate in plates[:1]]
    rows += [{PLATE: plate, COMPOUND: "dark", "moa": None} for plate in plates[:2]]
    table = pd.DataFrame([rows[k] for k in rng.permutation(len(rows))])
    place = table.groupby(PLATE).cumcount()
    table[WELL] = [f"{chr(65 + k // 12)}{k % 12 + 1:02d}" for k in place]
    return table.assign(**{BATCH: table[PLATE].map(batch_of)})


def same(column: str, one: Row, other: Row) -> bool:
    return not pd.isna(one[column]) and one[column] == other[column]


SHARES = {
    "compound": lambda a, b: same(COMPOUND, a, b),
    "batch": lambda a, b: same(BATCH, a, b),
    "plate": lambda a, b: same(PLATE, a, b),
    "well": lambda a, b: same(PLATE, a, b) and same(WELL, a, b),
    "nsc": lambda a, b: same(COMPOUND, a, b),
    "nscb": lambda a, b: same(COMPOUND, a, b) or same(BATCH, a, b),
    "nscb-joined": lambda a, b: same(COMPOUND, a, b) and same(BATCH, a, b),
    "leave-one-plate-out": lambda a, b: same(PLATE, a, b),
    "leave-one-batch-out": lambda a, b: same(BATCH, a, b),
}
"""Whether two wells may not be on both sides of a fold, in so many words."""


def dealt(wells: pd.DataFrame, split: str, **how: Any) -> Folds:
    return make_folds(wells, target="moa", split=split, unscored=["dmso"], **how)


def test_every_named_protocol_is_tried() -> None:
    assert set(SHARES) == set(PROTOCOLS)


@pytest.mark.parametrize("split", SHARES)
@fixed
@given(seed=seeds)
def test_training_is_all_that_shares_nothing_with_the_tested_wells(split: str, seed: int) -> None:
    try:
        folds = dealt(random_map(seed), split)
    except DesignError:
        assume(False)
    rows: list[Row] = folds.wells.to_dict("records")
    times = np.zeros(len(rows), int)
    for fold in range(folds.count):
        tested, training = folds.tested(fold), folds.training(fold)
        times += tested
        under = [row for row, mark in zip(rows, tested, strict=True) if mark]
        assert under
        for row, seen in zip(rows, training, strict=True):
            apart = not any(SHARES[split](one, row) for one in under)
            assert seen == (apart and row[ROLE] != UNLABELLED)
        assert {one[TARGET] for one in under} <= set(folds.wells.loc[training, TARGET])
    assert (times == (folds.wells[ROLE] == SCORED)).all()
    controls = folds.wells["moa"] == "dmso"
    assert (folds.wells.loc[controls, ROLE] == UNSCORED).all()
    assert ((folds.wells[ROLE] == UNLABELLED) == folds.wells["moa"].isna()).all()


@pytest.mark.parametrize("split", ["nscb", "nscb-joined"])
@fixed
@given(seed=seeds)
def test_a_well_is_scored_where_a_well_held_apart_has_its_class(split: str, seed: int) -> None:
    wells = random_map(seed)
    assume(wells.loc[wells["moa"].notna(), BATCH].nunique() > 1)
    rows: list[Row] = wells[wells["moa"].notna()].to_dict("records")
    able, names = set(), set()
    for one in (row for row in rows if row["moa"] != "dmso"):
        left = {row["moa"] for row in rows if not SHARES[split](one, row)}
        if one["moa"] in left and len(left) > 1:
            able.add((one[PLATE], one[WELL]))
            names.add(one["moa"])
    never = sorted({row["moa"] for row in rows} - names - {"dmso"})
    if never:
        with pytest.raises(DesignError, match=f"--unscored-class {never[0]}"):
            dealt(wells, split)
        return
    folds = dealt(wells, split)
    scored = folds.wells[folds.wells[ROLE] == SCORED]
    assert set(zip(scored[PLATE], scored[WELL], strict=True)) == able
    lost = folds.wells[(folds.wells[ROLE] == UNSCORED) & (folds.wells["moa"] != "dmso")]
    said = [note for note in folds.notes if "not scored" in note]
    assert [note.split()[1] for note in said] == sorted(set(lost["moa"]))
    for compound, batch in zip(lost[COMPOUND], lost[BATCH], strict=True):
        assert f"{compound} in batch {batch}" in " ".join(said)


@pytest.mark.parametrize(
    ("split", "columns"),
    [
        ("nsc", [COMPOUND]),
        ("leave-one-plate-out", [PLATE]),
        ("leave-one-batch-out", [BATCH]),
        ("nscb-joined", [COMPOUND, BATCH]),
    ],
)
def test_leaving_one_out_is_what_scikit_learn_leaves_out(split: str, columns: list[str]) -> None:
    wells = random_map(5)
    wells = wells[wells["moa"].isin(["a", "b", "c"])].reset_index(drop=True)
    folds = make_folds(wells, target="moa", split=split, folds=2)
    joined = wells[columns].agg("|".join, axis=1)
    expected = list(LeaveOneGroupOut().split(wells, groups=joined))
    assert folds.count == len(expected) > 2
    for fold, (training, tested) in enumerate(expected):
        assert np.flatnonzero(folds.training(fold)).tolist() == training.tolist()
        assert np.flatnonzero(folds.tested(fold)).tolist() == tested.tolist()


def screen(*rows: str) -> pd.DataFrame:
    """Lay out wells, each `class compound batch`."""
    parts = [row.split() for row in rows]
    table = pd.DataFrame(parts, columns=["moa", COMPOUND, BATCH])
    wells = [f"A{k + 1:02d}" for k in range(len(parts))]
    return table.assign(**{PLATE: "P" + table[BATCH], WELL: wells})


CROSSED = ("a a1 1", "a a2 2", "b b1 1", "b b2 2", "a a1 2", "b b1 2", "dmso D 1", "dmso D 2")
CROSSED += ("a a2 1", "b b2 1")


def test_nscb_keeps_only_controls_of_other_batches_and_the_joined_rule_is_looser() -> None:
    strict, loose = (dealt(screen(*CROSSED), split) for split in ("nscb", "nscb-joined"))
    (fold,) = strict.wells.loc[[0], FOLD]  # a1 in batch 1
    assert strict.wells.index[strict.training(fold)].tolist() == [1, 3, 5, 7]
    (fold,) = loose.wells.loc[[0], FOLD]
    assert loose.wells.index[loose.training(fold)].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert "looser" in loose.protocol.title
    # Eight pairs are tested, and they are four compounds to generalise from.
    assert (strict.count, strict.groups) == (8, 4)
    assert not strict.notes


def test_a_separator_inside_a_name_joins_nothing() -> None:
    rows = ["a x|y z", "a x y|z", "a a3 z", "b b1 z", "b b2 y|z"]
    folds = make_folds(screen(*rows), target="moa", split="nscb-joined")
    assert folds.count == 5
    assert folds.training(int(folds.wells.loc[0, FOLD])).tolist() == [False, *[True] * 4]


def test_a_class_that_goes_out_with_its_batch_is_refused_until_it_is_unscored() -> None:
    wells = screen(*CROSSED, "c c1 2", "c c2 2")
    with pytest.raises(DesignError, match=r"'c' \(c1 in batch 2, c2 in batch 2\).*-class c trains"):
        dealt(wells, "nscb")
    folds = make_folds(wells, target="moa", split="nscb", unscored=["dmso", "c"])
    assert (folds.wells.loc[folds.wells["moa"] == "c", FOLD] == -1).all()
    assert folds.notes == (
        "class c cannot be called in 4 of 8 folds, which have no well of it to train on",
    )
    # The looser rule has the other compound of its batch to learn from.
    assert dealt(wells, "nscb-joined").count == 10


def test_wells_that_nothing_is_left_for_are_trained_on_and_noted() -> None:
    wells = screen(*CROSSED, "c c1 1", "c c2 2", "c c1 2", "c c1 2")
    folds = dealt(wells, "nscb")
    assert folds.wells.loc[[10, 11, 12, 13], ROLE].tolist() == [SCORED, SCORED, UNSCORED, UNSCORED]
    assert folds.notes[0].startswith("class c is trained on but not scored")
    assert folds.notes[0].endswith("c1 in batch 2 (wells: 2)")
    (fold,) = folds.wells.loc[[0], FOLD]
    assert folds.training(fold)[[12, 13]].all()


PLATES = ("P1", "P2", "P3", "P4")


def plates() -> pd.DataFrame:
    """Four plates, each with both classes twice, controls and a blank."""
    rows = [
        {PLATE: plate, WELL: f"A{k + 1:02d}", "moa": name}
        for plate in PLATES
        for k, name in enumerate(["a", "b", "a", "b", "dmso", None])
    ]
    return pd.DataFrame(rows)


def test_named_plates_are_trained_on_and_tested() -> None:
    folds = dealt(plates(), "test=P3;train=P1, P2")
    assert (folds.split, folds.count, folds.groups) == ("train=P1,P2;test=P3", 1, 1)
    where, name = folds.wells[PLATE], folds.wells["moa"]
    assert (folds.training(0) == (where.isin(["P1", "P2"]) & name.notna())).all()
    assert (folds.tested(0) == ((where == "P3") & name.isin(["a", "b"]))).all()
    assert folds.notes == ("plates that take no part in the folds: P4",)
    other = dealt(plates(), "train-test", train_plates=["P1", "P2"], test_plates=["P3"])
    assert other.split == folds.split
    pd.testing.assert_frame_equal(other.wells, folds.wells)
    assert choose_split(plates(), folds.split) == folds.split


def test_plates_that_lack_a_class_are_refused() -> None:
    wells = plates()
    wells.loc[(wells[PLATE] == "P1") & (wells["moa"] == "b"), "moa"] = "dmso"
    with pytest.raises(DesignError, match=r"'b' is tested on P2, but P1 has no .*-class b leaves"):
        dealt(wells, "train=P1;test=P2")
    wells.loc[wells[PLATE] == "P2", "moa"] = "dmso"
    with pytest.raises(DesignError, match="no well of P2 has a class to score"):
        dealt(wells, "train=P3;test=P2")
    wells.loc[wells[PLATE] == "P1", "moa"] = "a"
    wells.loc[wells[PLATE] == "P2", "moa"] = "a"
    with pytest.raises(DesignError, match=r"one class \(a\) is all that P1 has"):
        dealt(wells, "train=P1;test=P2")


@pytest.mark.parametrize(
    ("split", "match"),
    [
        ("train=P1;test=P9", "plate P9, which is not there; the plates are P1, P2, P3, P4"),
        ("train=P1,P2;test=P2", "plate P2 is both in train and in test"),
        ("train=P1", "none to test; write it as --split 'train=P1,P2;test=P3'"),
        ("train=P1,;test=P2", "empty plate or none to train"),
        ("train=P1;train=P2;test=P3", "write it as"),
        ("train=P1;exam=P2", "write it as"),
        ("train-test", "write it as"),
        ("leave-one-field-out", "split by compound, batch, .*nscb-joined.* or 'train=P1,P2;"),
        ("image", "fields of one well into training and test"),
        ("nsc", "no compound column; name it with --compound-column"),
        ("leave-one-batch-out", "no batch column"),
    ],
)
def test_protocols_that_cannot_be_are_refused(split: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        dealt(plates(), split)


def test_plates_are_named_in_one_way() -> None:
    with pytest.raises(UsageError, match="split by train-test, or name no plates"):
        dealt(plates(), "plate", train_plates=["P1"])
    with pytest.raises(UsageError, match=r"'a,b' cannot be named.*; rename the plate"):
        train_test_split(["a,b"], ["c"])
    assert train_test_split(["b", "a=1"], ["c"]) == "train=b,a=1;test=c"
    assert protocol_of("train=b,a=1;test=c").train == ("b", "a=1")


def without_batch(wells: pd.DataFrame, row: int) -> pd.DataFrame:
    wells.loc[row, BATCH] = None
    return wells


@pytest.mark.parametrize(
    ("wells", "kind", "match"),
    [
        (screen(*CROSSED).drop(columns=BATCH), UsageError, "no batch column.*--batch-column"),
        (screen(*CROSSED).drop(columns=COMPOUND), UsageError, "no compound column"),
        (screen(*CROSSED).assign(**{BATCH: "1"}), DesignError, r"one batch \(1\); --split nsc"),
        (without_batch(screen(*CROSSED), 6), DesignError, r"A07 \(dmso\) has no batch"),
    ],
)
@pytest.mark.parametrize("split", ["nscb", "nscb-joined"])
def test_nscb_needs_compounds_and_batches(
    wells: pd.DataFrame, kind: type[HTSError], match: str, split: str
) -> None:
    with pytest.raises(kind, match=match):
        dealt(wells, split)


def test_a_control_without_a_compound_is_trained_on_in_other_batches() -> None:
    wells = screen(*CROSSED)
    wells.loc[wells["moa"] == "dmso", COMPOUND] = None
    folds = dealt(wells, "nscb")
    for fold in range(folds.count):
        (batch,) = set(folds.wells.loc[folds.tested(fold), BATCH])
        seen = folds.wells[folds.training(fold)]
        assert set(seen.loc[seen["moa"] == "dmso", BATCH]) == {"1", "2"} - {batch}


def test_repeats_deal_by_the_next_seeds() -> None:
    names = [f"{moa} {moa}{k} {k % 2}" for moa in "ab" for k in range(9)]
    repeats = make_repeats(screen(*names), repeats=3, seed=5, target="moa", split="compound")
    assert [folds.seed for folds in repeats] == [5, 6, 7]
    for folds in repeats:
        alone = make_folds(screen(*names), target="moa", split="compound", seed=folds.seed)
        assert alone.wells[FOLD].tolist() == folds.wells[FOLD].tolist()
        assert not folds.notes
    assert len({tuple(folds.wells[FOLD]) for folds in repeats}) == 3


@pytest.mark.parametrize("split", ["nsc", "nscb", "leave-one-batch-out", "train=P1;test=P2"])
def test_repeats_without_chance_say_that_only_training_differs(split: str) -> None:
    how: dict[str, Any] = {"target": "moa", "split": split, "unscored": ["dmso"]}
    repeats = make_repeats(screen(*CROSSED), repeats=2, **how)
    assert [folds.seed for folds in repeats] == [0, 1]
    assert repeats[0].wells.equals(repeats[1].wells)
    for folds in repeats:
        assert folds.notes[-1].startswith("all 2 repeats have the same folds")
        assert folds.protocol.title in folds.notes[-1]
    (once,) = make_repeats(screen(*CROSSED), repeats=1, **how)
    assert not once.notes


@pytest.mark.parametrize(("repeats", "seed"), [(0, 0), (2, 2**31 - 1)])
def test_repeats_that_cannot_be_are_refused(repeats: int, seed: int) -> None:
    with pytest.raises(UsageError, match=f"{repeats}"):
        make_repeats(screen(*CROSSED), repeats=repeats, seed=seed, target="moa", split="nsc")


def test_a_protocol_says_what_a_report_calls_it() -> None:
    assert choose_split(screen(*CROSSED), "leave-one-compound-out") == "nsc"
    folds = dealt(screen(*CROSSED), "leave-compound-and-batch-out")
    assert (folds.split, folds.protocol.unit) == ("nscb", "compound")
    assert folds.wells[GROUP].tolist() == folds.wells[COMPOUND].tolist()
