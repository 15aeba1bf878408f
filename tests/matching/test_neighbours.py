from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from screens import dealt, platemap, profiles_of, write_profiles
from sklearn.neighbors import KNeighborsClassifier

from hts_classify.matching import Neighbours, neighbours
from hts_classify.protocols import protocol_of
from hts_classify.splits import Folds

APART = protocol_of("nscb")
"""Models that were kept from both: whatever the folds of a test are."""


def asked(found: list[Neighbours], rule: str, level: str = "well") -> Neighbours:
    (one,) = [one for one in found if (one.path, one.rule, one.level) == ("cnn", rule, level)]
    return one


def by_scikit_learn(folds: Folds, values: np.ndarray, apart: list[str]) -> list[bool]:
    """Ask scikit-learn for each well by itself, its candidates filtered by hand."""
    wells, right = folds.wells, []
    for fold in range(folds.count):
        for k in np.flatnonzero(folds.tested(fold)):
            free = folds.training(fold)
            for column in apart:
                free = free & (wells[column] != wells[column].iloc[k]).to_numpy()
            truth = wells["Target"].iloc[k]
            if not (wells["Target"][free] == truth).any():
                continue
            nearest = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
            nearest.fit(values[free], wells["Target"][free])
            right.append(nearest.predict(values[[k]])[0] == truth)
    return right


@pytest.mark.parametrize("split", ["compound", "well", "nscb", "leave-one-batch-out"])
def test_wells_are_named_as_scikit_learn_names_them(tmp_path: Path, split: str) -> None:
    wells = platemap()
    values = profiles_of(wells, of_class=0.5)
    folds = dealt(wells, split)
    found = neighbours(write_profiles(tmp_path, folds, values), folds.wells, APART)
    for rule, apart in {
        "NSC": ["Metadata_Compound"],
        "NSCB": ["Metadata_Compound", "Metadata_Batch"],
    }.items():
        one, right = asked(found, rule).found, by_scikit_learn(folds, values, apart)
        assert one is not None
        assert (one.correct, one.total) == (sum(right), len(right))
        assert 0 < one.correct < one.total
        assert sum(of for *_, of in one.classes) == one.total
        assert sum(n for _, n, _ in one.classes) == one.correct


def test_what_a_compound_or_a_batch_looks_like_does_not_help(tmp_path: Path) -> None:
    # Every profile is its compound, and by half its batch: the class is nowhere in it.
    wells = platemap(replicates=4)
    values = np.zeros((len(wells), 14))
    compound = pd.factorize(wells["Metadata_Compound"])[0]
    values[np.arange(len(wells)), compound] = 1
    values[np.arange(len(wells)), 12 + (wells["Metadata_Batch"] == "b1")] = 0.5
    # Only a class that is alone in its batch could be told by the batch.
    wells.loc[wells["moa"] == "moa0", "Metadata_Batch"] = "b2"
    values[(wells["moa"] == "moa0").to_numpy(), 12:] = 0
    values[(wells["moa"] == "moa0").to_numpy(), :12] += 0.5
    folds = dealt(wells, "well")
    found = neighbours(write_profiles(tmp_path, folds, values), folds.wells, APART)
    nsc, nscb = asked(found, "NSC").found, asked(found, "NSCB").found
    assert nsc is not None
    assert nscb is not None
    classes = {name: (right, of) for name, right, of in nsc.classes}
    assert classes["moa0"] == (16, 16)
    assert [name for name, *_ in nscb.classes] == ["moa1", "moa2"]
    assert nscb.left_out == 16


def test_a_treatment_is_the_mean_of_its_wells(tmp_path: Path) -> None:
    wells = platemap()
    values = profiles_of(wells, of_class=0.6)
    folds = dealt(wells)
    found = asked(
        neighbours(write_profiles(tmp_path, folds, values), folds.wells, APART),
        "NSC",
        "treatment",
    )
    table = folds.wells.join(pd.DataFrame(values).add_prefix("v"))
    columns = [f"v{k}" for k in range(values.shape[1])]
    right = []
    for fold in range(folds.count):
        learn = table[folds.training(fold)].groupby(["Metadata_Compound", "Target"])[columns].mean()
        test = table[folds.tested(fold)].groupby(["Metadata_Compound", "Target"])[columns].mean()
        nearest = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
        nearest.fit(learn.to_numpy(), learn.index.get_level_values("Target"))
        said = nearest.predict(test.to_numpy())
        right += list(said == test.index.get_level_values("Target"))
    assert found.found is not None
    assert (found.found.correct, found.found.total) == (sum(right), 12)
    assert found.found.interval is not None
    assert found.found.interval.groups == 12


def test_intervals_are_over_the_groups_that_were_left_out(tmp_path: Path) -> None:
    wells = platemap()
    folds = dealt(wells)
    files = write_profiles(tmp_path, folds, profiles_of(wells))
    one = asked(neighbours(files, folds.wells, APART), "NSC").found
    assert one is not None
    assert one.interval is not None
    assert (one.interval.groups, one.total) == (12, 48)


def test_what_a_design_does_not_define_has_its_reason(tmp_path: Path) -> None:
    wells = platemap().drop(columns=["Metadata_Batch"])
    folds = dealt(wells)
    files = write_profiles(tmp_path, folds, profiles_of(wells))
    found = neighbours(files, folds.wells, APART)
    assert len(found) == 8
    assert asked(found, "NSC").found is not None
    assert asked(found, "NSCB").reason == "the plate map names no batch"
    one_batch = folds.wells.assign(Metadata_Batch="b0")
    assert asked(neighbours(files, one_batch, APART), "NSCB").reason == "all wells share one batch"
    nameless = folds.wells.drop(columns=["Metadata_Compound"])
    found = neighbours(files, nameless, APART)
    assert {one.reason for one in found} == {"the plate map names no compound"}
    assert all(one.found is None for one in found)


def test_one_compound_a_class_leaves_nobody_to_ask(tmp_path: Path) -> None:
    wells = platemap(compounds=1)
    folds = dealt(wells, "well")
    found = neighbours(write_profiles(tmp_path, folds, profiles_of(wells)), folds.wells, APART)
    one = asked(found, "NSC")
    assert one.found is None
    assert one.reason == "no well has a neighbour of its class with another compound"
    assert asked(found, "NSC", "treatment").reason == (
        "treatments have wells in several split groups"
    )


def test_a_well_without_a_compound_is_asked_but_not_judged(tmp_path: Path) -> None:
    wells = platemap(compounds=2, replicates=3)
    wells.loc[[0, 5], "Metadata_Compound"] = None
    folds = dealt(wells, "well")
    values = profiles_of(wells)
    # The well without a compound lies where one of its class does, and nobody else.
    values[0] = 3 * values[4]
    one = asked(
        neighbours(write_profiles(tmp_path, folds, values), folds.wells, APART), "NSC"
    ).found
    assert one is not None
    assert (one.total, one.left_out) == (16, 2)


def test_a_model_that_sees_nothing_is_counted_not_crashed(tmp_path: Path) -> None:
    wells = platemap()
    folds = dealt(wells)
    files = write_profiles(tmp_path, folds, np.zeros((len(wells), 5)))
    one = asked(neighbours(files, folds.wells, APART), "NSC").found
    assert one is not None
    assert one.total == 48
    assert one.correct < one.total


def test_wells_without_a_class_are_neither_asked_nor_judged(tmp_path: Path) -> None:
    wells = platemap()
    wells.loc[::5, "moa"] = None
    folds = dealt(wells)
    values = profiles_of(wells, of_class=0.5)
    found = asked(
        neighbours(write_profiles(tmp_path, folds, values), folds.wells, APART), "NSC"
    ).found
    right = by_scikit_learn(folds, values, ["Metadata_Compound"])
    assert found is not None
    assert (found.correct, found.total) == (sum(right), 38)
    assert [name for name, *_ in found.classes] == ["moa0", "moa1", "moa2"]


@pytest.mark.parametrize(
    ("split", "lacking"),
    [
        ("well", {"NSC": "compound", "NSCB": "compound and batch"}),
        ("compound", {"NSCB": "batch"}),
        ("nscb-joined", {"NSCB": "compound and batch"}),
        ("leave-one-batch-out", {"NSC": "compound", "NSCB": "compound"}),
        ("nscb", {}),
    ],
)
def test_a_network_that_was_trained_on_what_a_rule_keeps_apart_is_not_asked(
    tmp_path: Path, split: str, lacking: dict[str, str]
) -> None:
    wells = platemap()
    folds = dealt(wells, "compound")
    files = write_profiles(tmp_path, folds, profiles_of(wells))
    for one in neighbours(files, folds.wells, protocol_of(split)):
        if one.path == "cnn" and one.rule in lacking:
            assert one.found is None
            assert f"trained on wells of the same {lacking[one.rule]} (" in one.reason
        else:
            assert one.found is not None, one.reason
