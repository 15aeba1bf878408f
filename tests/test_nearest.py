from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

import hts_classify.nearest
from hts_classify.nearest import METRICS, distances, nearest_wells, telling
from hts_classify.vocabulary import PATHS, PLATE, WELL


def profiles(points: Any, trained: Any) -> pd.DataFrame:
    """Wells of two plates, A01 on each, and so on."""
    points = np.asarray(points, np.float32)
    number = np.arange(len(points))
    table = pd.DataFrame(
        {
            PLATE: np.where(number % 2, "P2", "P1"),
            WELL: [f"A{k // 2 + 1:02d}" for k in number],
            "Trained": np.asarray(trained, bool),
        }
    )
    return table.join(
        pd.DataFrame(points, columns=[f"Profile_{k}" for k in range(points.shape[1])])
    )


def classes(table: pd.DataFrame) -> dict[Any, str]:
    places = table[[PLATE, WELL]].itertuples(index=False, name=None)
    return {place: f"class {k % 3}" for k, place in enumerate(places)}


@pytest.mark.parametrize("path", PATHS)
def test_the_nearest_wells_are_those_that_scikit_learn_finds(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(0).normal(size=(40, 7))
    trained = np.arange(40) % 4 != 1
    table = profiles(points, trained)
    found = nearest_wells(table, path, classes(table))
    points = table[[f"Profile_{k}" for k in range(7)]].to_numpy(float)
    judge = NearestNeighbors(n_neighbors=3, metric=METRICS[path]).fit(points[trained])
    apart, which = judge.kneighbors(points[~trained])
    known = table[trained].reset_index(drop=True)
    for place in range(3):
        expected = known.iloc[which[:, place]]
        assert list(found[f"Nearest_Well_{place + 1}"]) == list(expected[WELL])
        assert list(found[f"Nearest_Plate_{place + 1}"]) == list(expected[PLATE])
        np.testing.assert_allclose(found[f"Nearest_Distance_{place + 1}"], apart[:, place])
    assert (
        found["Nearest_Class_1"].iloc[0]
        == classes(table)[found["Nearest_Plate_1"].iloc[0], found["Nearest_Well_1"].iloc[0]]
    )
    monkeypatch.setattr(hts_classify.nearest, "_AT_ONCE", 1)
    pd.testing.assert_frame_equal(nearest_wells(table, path, classes(table)), found)


def test_fewer_than_three_training_wells_leave_gaps() -> None:
    table = profiles([[0.0, 1], [1, 1], [5, 5]], [False, True, True])
    (row,) = nearest_wells(table, "tas_svm", classes(table)).to_dict("records")
    assert (row["Nearest_Well_1"], row["Nearest_Well_2"], row["Nearest_Well_3"]) == (
        "A01",
        "A02",
        None,
    )
    assert row["Nearest_Distance_1"] == 1
    assert row["Nearest_Class_3"] is None


def test_a_point_at_the_origin_has_no_direction_and_no_neighbours() -> None:
    table = profiles([[0.0, 0], [1, 1], [2, 2], [0, 0]], [False, True, True, True])
    (row,) = nearest_wells(table, "cnn", classes(table)).to_dict("records")
    assert row["Nearest_Well_1"] is None
    table = profiles([[1.0, 0], [0, 1], [2, 0], [0, 0]], [False, True, True, True])
    (row,) = nearest_wells(table, "cnn", classes(table)).to_dict("records")
    assert [row[f"Nearest_Distance_{k}"] for k in (1, 2, 3)] == [0, 1, None]


def test_distances_of_equal_points_are_no_less_than_nothing() -> None:
    points = np.random.default_rng(0).normal(size=(9, 270)) * 1e3
    for metric in ("euclidean", "cosine"):
        assert (np.diag(distances(points, points, metric)) >= 0).all()
        assert distances(points, points, metric).max() < np.inf


def told(call: str, rival: Any, point: list[float], strongest: dict[str, int]) -> dict[str, Any]:
    """Six training wells: class a at (0, 0), class b at (4, 1), two of each with other values."""
    points = [[-1, 0], [1, 0], [3, 1], [5, 1], [0, 9], [0, 9], point]
    table = profiles(points, [True] * 6 + [False])
    names = ["a", "a", "b", "b", "c", "c", "?"]
    places = list(table[[PLATE, WELL]].itertuples(index=False, name=None))
    targets = dict(zip(places, names, strict=True))
    features = pd.DataFrame(
        {"Band_On_0": [10.0, 12, 20, 22, 0, 0, 13], "Band_On_1": [5.0, 5, 6, 6, 0, 0, 7]},
        index=pd.MultiIndex.from_tuples(places, names=[PLATE, WELL]),
    )
    calls = pd.DataFrame(
        {PLATE: [places[-1][0]], WELL: [places[-1][1]], "Class": [call], "Rival": [rival]}
    )
    (row,) = telling(table, calls, features, strongest, targets).to_dict("records")
    return row


def test_the_statistic_is_the_one_that_speaks_for_the_call_and_its_means_are_in_its_units() -> None:
    both = {"Band_On_0": 0, "Band_On_1": 1}
    row = told("a", "b", [1.0, 0.9], both)
    assert row["Statistic"] == "Band_On_0"
    assert (row["Statistic_Value"], row["Statistic_Class"], row["Statistic_Rival"]) == (13, 11, 21)
    row = told("b", "a", [1.0, 0.9], both)  # only the second is nearer to b
    assert row["Statistic"] == "Band_On_1"
    assert (row["Statistic_Class"], row["Statistic_Rival"]) == (6, 5)


def test_where_no_strong_statistic_speaks_for_a_call_none_is_named() -> None:
    assert told("b", "a", [1.0, 0.9], {"Band_On_0": 0})["Statistic"] is None
    assert told("a", None, [1.0, 0.9], {"Band_On_0": 0})["Statistic"] is None
    assert told("a", "b", [1.0, 0.9], {})["Statistic"] is None
