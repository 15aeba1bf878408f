from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from hts_classify.files import read_json
from hts_classify.nearest import METRICS
from hts_classify.unlike import flagged, limit, relative, typical, with_unlike


def test_distances_are_those_of_scikit_learns_neighbours() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(30, 5)), rng.normal(size=(8, 5))
    near = NearestNeighbors(n_neighbors=2).fit(known)
    unit = np.median(near.kneighbors(known)[0][:, 1])
    assert typical(known, "euclidean") == pytest.approx(unit, rel=1e-12)
    expected = near.kneighbors(asked)[0][:, 0] / unit
    np.testing.assert_allclose(relative(asked, known, "euclidean"), expected, rtol=1e-12)
    assert relative(asked[:0], known, "euclidean").shape == (0,)


def test_wells_that_all_look_the_same_or_one_alone_have_distances() -> None:
    for known in (np.zeros((4, 2)), np.zeros((1, 2)), np.full((4, 2), 0.1 + 0.2)):
        for metric in ("euclidean", "cosine"):
            assert np.isfinite(typical(known, metric))
            assert not np.isnan(relative(known, known, metric)).any()
    # a distance of rounding is no unit
    assert typical(np.repeat(np.random.default_rng(0).normal(size=(5, 9)), 2, 0), "cosine") == 1.0


def test_a_feature_that_hardly_varied_does_not_decide_by_itself() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(40, 50)), rng.normal(size=(2, 50))
    known[:, 0] = rng.normal(0, 1e-3, 40)
    asked[0, 0], asked[1, 0] = 600.0, 0.0
    odd, usual = relative(asked, known, "euclidean")
    assert odd < 2 * usual
    asked[0, 1:] = 4.0  # every feature four deviations away: that is another phenotype
    assert relative(asked, known, "euclidean")[0] > 2.5 * usual


def test_many_wells_are_compared_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    known, asked = rng.normal(size=(31, 4)), rng.normal(size=(9, 4))
    whole = typical(known, "cosine"), relative(asked, known, "cosine")
    monkeypatch.setattr("hts_classify.nearest._AT_ONCE", 70)
    assert typical(known, "cosine") == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(relative(asked, known, "cosine"), whole[1], rtol=1e-12)


@pytest.mark.parametrize("wells", [19, 40, 100])
def test_of_twenty_wells_of_the_classes_one_is_flagged(wells: int) -> None:
    rng = np.random.default_rng(1)
    far = []
    for _ in range(3000):
        *held, new = rng.exponential(size=wells + 1)
        far.append(new > limit(held))
    # at most a twentieth, and no less than that by more than a rank; 4 deviations of 3,000 trials
    assert 0.05 - 1 / (wells + 1) - 0.016 < np.mean(far) < 0.05 + 0.016


def sights(rng: np.random.Generator, folds: int = 3, each: int = 12) -> dict:
    """Wells of two classes in three folds, and eight without a class, far from both."""
    names = [f"{row}{column:02d}" for row in "ABC" for column in range(1, each + 1)]
    points = rng.normal(size=(len(names), 4)) + 6 * (np.arange(len(names)) % 2)[:, None]
    fold = np.repeat(np.arange(folds), each)
    odd = [f"H{column:02d}" for column in range(1, 9)]
    places = rng.normal(size=(8, 4)) + np.where(np.arange(8) < 6, 40, 0)[:, None]

    def table(wells: list[str], values: np.ndarray, trained: object) -> pd.DataFrame:
        columns = {f"Profile_{k}": values[:, k] for k in range(4)}
        about = {"Metadata_Plate": "P", "Metadata_Well": wells, "Trained": trained}
        return pd.DataFrame(about | columns)

    found = {("tas_svm", k): table(names, points, fold != k) for k in range(folds)}
    every, values = names + odd, np.concatenate([points, places])
    found["tas_svm", -1] = table(every, values, np.arange(len(every)) < len(names))
    return found


def called(seen: dict) -> pd.DataFrame:
    """Calls of these wells, all right, with a field of each and a treatment."""
    rows = []
    for (path, fold), part in seen.items():
        for well in part.loc[~part["Trained"], "Metadata_Well"]:
            name = "ab"[int(well[1:]) % 2]
            about = {"Metadata_Plate": "P", "Metadata_Well": well, "Fold": fold, "Path": path}
            about |= {"Class": name, "Margin": 1.0, "Score_a": 0.0, "Score_b": 0.0}
            about |= {"Target": name if fold >= 0 else None}
            rows += [about | {"Level": level} for level in ("field", "well")]
    rows.append({**rows[-1], "Level": "treatment", "Metadata_Well": None})
    return pd.DataFrame(rows)


def test_wells_that_are_none_of_the_classes_are_flagged_by_what_other_folds_say() -> None:
    seen = sights(np.random.default_rng(2))
    table, limits = with_unlike(called(seen), seen)
    wells = table[table["Level"] == "well"].set_index("Metadata_Well")
    odd = wells[wells["Fold"] == -1]
    assert odd["Unlike"].tolist() == [True] * 6 + [False] * 2
    known = wells[wells["Fold"] >= 0]
    for fold in range(3):
        others = known.loc[known["Fold"] != fold, "Distance"]
        own = known[known["Fold"] == fold]
        assert (own["Unlike"] == (own["Distance"] > limit(others))).all()
    assert limits == {"tas_svm": limit(known["Distance"])}
    assert table.loc[table["Level"] != "well", ["Distance", "Unlike"]].isna().all(axis=None)
    assert list(table).index("Unlike") == list(table).index("Margin") + 2
    (counted,) = flagged(table, limits)
    assert (counted.unlabelled, counted.unlabelled_flagged) == (8, 6)
    assert counted.known == counted.correct == 36
    assert counted.known_flagged == counted.correct_flagged == int(known["Unlike"].sum())


def test_too_few_wells_say_nothing_rather_than_something() -> None:
    seen = sights(np.random.default_rng(3), each=6)
    table, limits = with_unlike(called(seen), seen)
    assert limits == {"tas_svm": None}
    wells = table[table["Level"] == "well"]
    assert wells["Unlike"].isna().all()
    assert wells["Distance"].notna().all()
    assert flagged(table, limits)[0].unlabelled_flagged == 0


def test_a_run_says_of_every_well_how_far_it_is(tiny_run: Path) -> None:
    table = pd.read_parquet(tiny_run / "predictions.parquet")
    wells = table[table["Level"] == "well"]
    for (path, fold), part in wells.groupby(["Path", "Fold"]):
        (file,) = (tiny_run / "predictions").glob(f"profiles-{path}-fold{fold}-*.parquet")
        seen = pd.read_parquet(file).set_index("Metadata_Well")
        points = seen.filter(like="Profile_").to_numpy(np.float64)
        trained = seen["Trained"].to_numpy()
        expected = pd.Series(
            relative(points[~trained], points[trained], METRICS[path]), seen.index[~trained]
        )
        np.testing.assert_allclose(
            part["Distance"], expected[part["Metadata_Well"]], rtol=1e-9, atol=1e-12
        )
    # twelve wells, of which fewer than 19 are ever held out by others
    assert wells["Unlike"].isna().all()
    assert [path["limit"] for path in read_json(tiny_run / "comparison.json")["unlike"]] == [
        None,
        None,
    ]
