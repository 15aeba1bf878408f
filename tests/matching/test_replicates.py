from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from copairs.map import average_precision, mean_average_precision
from copairs.replicating import corr_between_replicates
from screens import dealt, field_table, platemap, profiles_of, write_profiles

from hts_classify.matching import (
    Reproducibility,
    classes_of,
    feature_profiles,
    matched,
    replicates_of,
    reproducibility,
)
from hts_classify.splits import make_folds


def of_features(wells: pd.DataFrame, values: np.ndarray) -> Reproducibility:
    return replicates_of(feature_profiles(field_table(wells, values), wells), of="features", seed=0)


def by_hand(points: np.ndarray, query: int, kin: list[int], others: list[int]) -> float:
    """Average precision from its definition: precision at each of the kin's ranks."""

    def cosine(k: int) -> float:
        a, b = points[query], points[k]
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    ranking = sorted([*kin, *others], key=lambda k: -cosine(k))
    hits = [k in kin for k in ranking]
    return float(np.mean([np.mean(hits[: n + 1]) for n, hit in enumerate(hits) if hit]))


@pytest.mark.parametrize("controls", [0, 10])
def test_precision_is_that_of_rankings_by_hand(controls: int) -> None:
    wells = platemap(controls=controls)
    values = profiles_of(wells, of_class=0.3, of_compound=0.5)
    profiles = feature_profiles(field_table(wells, values), wells)
    found = replicates_of(profiles, of="features", seed=0)
    assert found.found is not None
    assert found.others.startswith("negative controls" if controls else "wells of other")
    compound = profiles.wells["Metadata_Compound"]
    for one in found.found.kin:
        own = np.flatnonzero(compound == one.name)
        others = np.flatnonzero(compound.isna() if controls else compound != one.name)
        each = [by_hand(profiles.values, k, [j for j in own if j != k], list(others)) for k in own]
        assert one.precision == pytest.approx(np.mean(each), abs=1e-6)
    assert found.found.ranked == 12
    assert found.found.precision == pytest.approx(
        np.mean([one.precision for one in found.found.kin if one.precision is not None])
    )


def test_p_and_q_are_those_of_copairs(tmp_path: Path) -> None:
    wells = platemap()
    profiles = feature_profiles(field_table(wells, profiles_of(wells, of_compound=0.7)), wells)
    found = replicates_of(profiles, of="features", seed=3).found
    each = average_precision(
        profiles.wells[["Metadata_Compound"]],
        profiles.values,
        ["Metadata_Compound"],
        [],
        [],
        ["Metadata_Compound"],
        progress_bar=False,
    )
    expected = mean_average_precision(
        each, ["Metadata_Compound"], 10_000, 0.05, 3, progress_bar=False, cache_dir=tmp_path
    ).set_index("Metadata_Compound")
    assert found is not None
    for one in found.kin:
        row = expected.loc[one.name]
        assert (one.p, one.q) == (row["p_value"], row["corrected_p_value"])
    assert found.significant == int((expected["corrected_p_value"] < 0.05).sum())
    assert 0 < found.significant < 12


def test_similarity_is_the_median_correlation_that_copairs_finds() -> None:
    wells = platemap()
    profiles = feature_profiles(field_table(wells, profiles_of(wells)), wells)
    found = replicates_of(profiles, of="features", seed=0).found
    expected, _ = corr_between_replicates(
        profiles.values,
        profiles.wells[["Metadata_Compound"]],
        ["Metadata_Compound"],
        [],
        progress_bar=False,
    )
    assert found is not None
    for one in found.kin:
        assert one.similarity == pytest.approx(expected.loc[one.name, "median"], abs=1e-6)


def test_noise_is_above_chance_once_in_twenty_and_signal_always() -> None:
    wells = platemap(compounds=60, replicates=2, classes=2)
    rng = np.random.default_rng(5)
    above = ranked = 0
    for _ in range(4):
        noise = of_features(wells, rng.normal(size=(len(wells), 20))).found
        assert noise is not None
        assert noise.compared == 120
        above += noise.above
        ranked += noise.significant
        assert noise.precision == pytest.approx(noise.chance, abs=0.03)
    assert 10 <= above <= 40  # 24 of 480 are expected
    assert ranked <= 4
    signal = of_features(wells, profiles_of(wells, features=20, of_compound=5)).found
    assert signal is not None
    assert (signal.above, signal.significant) == (120, 120)


@pytest.mark.parametrize("controls", [8, 40])
def test_noise_does_not_stand_out_from_controls(controls: int) -> None:
    # The scale must not be what makes treatments alike: few controls have a median of their own.
    wells, rng = platemap(compounds=20, controls=controls), np.random.default_rng(2)
    found = [of_features(wells, rng.normal(size=(len(wells), 40))).found for _ in range(3)]
    assert all(one is not None and one.significant == 0 for one in found)
    above = [one.precision - one.chance for one in found if one and one.precision and one.chance]
    assert np.mean(above) == pytest.approx(0, abs=0.06)


def test_doses_are_treatments_of_their_own() -> None:
    wells = platemap(compounds=1, classes=2, replicates=8)
    wells["Metadata_Concentration"] = np.where(np.arange(len(wells)) % 8 < 4, 0.5, 10.0)
    found = of_features(wells, profiles_of(wells)).found
    assert found is not None
    assert [one.name for one in found.kin] == ["c0-0, 0.5", "c0-0, 10", "c1-0, 0.5", "c1-0, 10"]
    assert {one.members for one in found.kin} == {4}


def test_others_are_wells_of_the_same_plate() -> None:
    # All replicates of a compound share a plate that looks like nothing else.
    wells = platemap(classes=2, compounds=4, replicates=3)
    plate = pd.factorize(wells["Metadata_Compound"])[0] % 2
    wells["Metadata_Plate"] = np.where(plate, "P2", "P1")
    values = np.random.default_rng(1).normal(size=(len(wells), 12))
    profiles = feature_profiles(field_table(wells, values), wells)
    profiles.values[(profiles.wells["Metadata_Plate"] == "P2").to_numpy()] += 30
    found = replicates_of(profiles, of="features", seed=0).found
    assert found is not None
    # Among 9 others of the plate; with the other plate's wells it would be far above chance.
    assert found.precision == pytest.approx(found.chance, abs=0.15)
    assert found.significant == 0


def test_a_class_is_compounds_that_find_each_other() -> None:
    wells = dealt(platemap()).wells
    profiles = feature_profiles(
        field_table(wells, profiles_of(wells, of_class=1.5, of_compound=0.2)), wells
    )
    found = classes_of(profiles, seed=0)
    assert found.found is not None
    assert [one.name for one in found.found.kin] == ["moa0", "moa1", "moa2"]
    assert found.found.significant == 3
    assert found.found.above == 3
    means = pd.DataFrame(profiles.values).groupby(profiles.wells["Metadata_Compound"]).mean()
    points, names = means.to_numpy(), list(means.index)
    own = [k for k, name in enumerate(names) if name.startswith("c1-")]
    others = [k for k in range(12) if k not in own]
    each = [by_hand(points, k, [j for j in own if j != k], others) for k in own]
    assert found.found.kin[1].precision == pytest.approx(np.mean(each), abs=1e-6)
    related = np.corrcoef(points[own])[np.triu_indices(4, 1)]
    assert found.found.kin[1].similarity == pytest.approx(np.median(related), abs=1e-6)


def test_doses_of_one_compound_do_not_make_a_class() -> None:
    wells = dealt(platemap(compounds=1, classes=3, replicates=8), "well").wells
    wells["Metadata_Concentration"] = np.where(np.arange(len(wells)) % 8 < 4, 0.5, 10.0)
    found = classes_of(feature_profiles(field_table(wells, profiles_of(wells)), wells), seed=0)
    assert found.found is None
    assert found.reason == "no class has two compounds to compare"


def test_the_same_run_says_the_same_whatever_was_asked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    wells, others = platemap(), platemap(replicates=3)
    first = of_features(wells, profiles_of(wells))
    of_features(others, profiles_of(others))
    assert of_features(wells, profiles_of(wells)) == first
    assert not list(home.iterdir())


def test_copairs_says_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    wells = platemap()
    with caplog.at_level(logging.INFO):
        of_features(wells, profiles_of(wells))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_what_models_see_is_compared_within_a_fold(tmp_path: Path) -> None:
    wells = platemap()
    values = profiles_of(wells, of_compound=3)
    folds = dealt(wells)
    files = write_profiles(tmp_path, folds, values)
    # Another fold's space: were wells compared over folds, nothing would be alike.
    table = pd.read_parquet(files["cnn", 1])
    table[[c for c in table if c.startswith("Profile_")]] *= -8
    table.to_parquet(files["cnn", 1], index=False)
    raw, classes, first, second = reproducibility(field_table(wells, values), folds, files, seed=0)
    assert [one.of for one in (raw, classes, first, second)] == [
        "features",
        "features",
        "tas_svm",
        "cnn",
    ]
    assert second.others == "wells of other treatments of the same plate and fold"
    assert first.found is not None
    assert second.found == first.found
    assert first.found.ranked == 12


def test_models_that_saw_a_compound_say_nothing_of_its_replicates(tmp_path: Path) -> None:
    wells = platemap()
    folds = dealt(wells, "well")
    values = profiles_of(wells)
    files = write_profiles(tmp_path, folds, values)
    found = reproducibility(field_table(wells, values), folds, files, seed=0)
    assert [one.found is None for one in found] == [False, False, True, True]
    assert found[2].reason == "its models were trained on other wells of the same compounds"


def degenerate() -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Return designs, and what is said of replicates and of classes."""
    alone = platemap(compounds=4, replicates=1)
    one_each = platemap(compounds=1, replicates=4)
    nameless = platemap().drop(columns=["Metadata_Compound"])
    few = platemap(classes=2, compounds=2, replicates=3)
    single = platemap(classes=2, compounds=2, replicates=3).assign(Metadata_Compound="a")
    lone = "no class has two compounds to compare"
    return {
        "no replicates": (alone, ["no treatment has replicates to compare", ""]),
        "one compound a class": (one_each, ["", lone]),
        "no compounds": (nameless, ["the plate map names no compounds"] * 2),
        "12 wells": (few, ["", ""]),
        "one treatment": (
            single,
            ["there are no wells of other treatments of the same plate to compare with", lone],
        ),
    }


@pytest.mark.parametrize("design", degenerate())
def test_degenerate_designs_have_a_reason(design: str, tmp_path: Path) -> None:
    wells, reasons = degenerate()[design]
    folds = make_folds(wells, target="moa", split="well", folds=3)
    values = profiles_of(
        wells.reindex(columns=[*wells, "Metadata_Compound"]).loc[
            :, lambda t: ~t.columns.duplicated()
        ]
    )
    files = write_profiles(tmp_path, folds, values)
    found = matched(field_table(wells, values), folds, files, seed=0)
    assert [one["reason"] for one in found["reproducibility"][:2]] == reasons
    assert len(found["neighbours"]) == 8
    for number in numbers(found):
        assert np.isfinite(number)


def numbers(content: Any) -> list[float]:
    """List every number of a nest of dictionaries and lists."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list | tuple):
        return [number for one in content for number in numbers(one)]
    return [content] if isinstance(content, int | float) else []


def test_wells_that_are_all_the_same_have_no_direction() -> None:
    wells = platemap()
    found = of_features(wells, np.ones((len(wells), 12)))
    assert found.found is None
    assert found.reason == "0 features vary, too few for a direction"
