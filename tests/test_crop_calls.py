from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hts_classify.crop_calls import CROP_CALLS, crop_calls, judge_crops, with_tiles
from hts_classify.predictions import UNFOLDED, Aggregate, calls
from hts_classify.shards import CROP, CROP_X, CROP_Y, OBJECT
from hts_classify.vocabulary import CALL, FOLD, GROUP, LEVEL, PLATE, SITE, TARGET, TIMEPOINT, WELL


def crops_of(wells: str, *, each: int = 2) -> pd.DataFrame:
    """Crops of one field a well, wells being named A01 and so on."""
    names = [f"A{int(n):02d}" for n in wells]
    places = np.tile(range(each), len(names))
    return pd.DataFrame({PLATE: "P", WELL: np.repeat(names, each), SITE: 1, CROP: places})


def map_of(wells: str, classes: str) -> pd.DataFrame:
    names = [f"A{int(n):02d}" for n in wells]
    known = [None if one == "-" else one for one in classes]
    return pd.DataFrame({PLATE: "P", WELL: names, TARGET: known, GROUP: names})


def kept(folder: Path, *tables: pd.DataFrame) -> list[Path]:
    """Write the calls of each fit, and where their crops were cut."""
    shards = [folder / f"shard{number}.parquet" for number in range(len(tables))]
    for shard, table in zip(shards, tables, strict=True):
        table.to_parquet(shard, index=False)
    crops = pd.concat(tables)[[PLATE, WELL, CROP]].astype({CROP: int})
    where = {CROP_Y: crops[CROP] * 10, CROP_X: 7, OBJECT: crops[CROP] + 100}
    crops.assign(**where).to_parquet(folder / "crops.parquet", index=False)
    return shards


def test_crops_are_counted_by_hand(tmp_path: Path) -> None:
    """Two folds of two wells; a well without a class, called by the model of all wells."""
    first = crop_calls(
        crops_of("12"), np.array([[2.0, 0], [0, 1], [0, 1], [0, 3]]), classes="ab", fold=0
    )
    second = crop_calls(
        crops_of("34"), np.array([[1.0, 0], [0, 1], [4, 0], [0, 2]]), classes="ab", fold=1
    )
    asked = crop_calls(crops_of("5"), np.array([[1.0, 0], [0, 1]]), classes="ab")
    warmth = {("cnn", 0): 1.0, ("cnn", 1): 2.0, ("cnn", UNFOLDED): 1.0}
    found = judge_crops(
        tmp_path,
        kept(tmp_path, first, second, asked),
        map_of("12345", "abab-"),
        classes="ab",
        temperatures=warmth,
    )
    assert found is not None
    assert (found.correct, found.total, found.groups) == (1 + 2 + 1 + 1, 8, 4)
    assert found.confusion == ((2, 2), (1, 3))
    losses = [  # of each crop's own class, by the temperature of its fold
        math.log1p(math.exp(gap)) for gap in (-2, 1, -1, -3, -1 / 2, 1 / 2, 4 / 2, -2 / 2)
    ]
    assert found.probable is not None
    assert found.probable.log_loss == pytest.approx(sum(losses) / 8)
    table = pd.read_parquet(tmp_path / CROP_CALLS)
    assert table[CALL].tolist() == list("abbb" + "abab" + "ab")
    assert table[FOLD].tolist() == [0] * 4 + [1] * 4 + [UNFOLDED] * 2
    assert table[TARGET].iloc[:8].tolist() == list("aabbaabb")
    assert table[TARGET].iloc[8:].isna().all()
    assert table[[CROP_Y, CROP_X, OBJECT]].iloc[:2].to_numpy().tolist() == [
        [0, 7, 100],
        [10, 7, 101],
    ]
    assert not [name for name in table if name.startswith("Proba_")]


def test_a_class_that_a_fold_did_not_learn_is_missing_and_not_nought(tmp_path: Path) -> None:
    both = crop_calls(crops_of("1"), np.array([[2.0, 0], [0, 1]]), classes="ab", fold=0)
    more = crop_calls(crops_of("2"), np.array([[0, 1.0], [3, 1]]), classes="bc", fold=1)
    found = judge_crops(
        tmp_path,
        kept(tmp_path, both, more),
        map_of("12", "ab"),
        classes="abc",
        temperatures={("cnn", 0): 1.0, ("cnn", 1): 1.0},
        proba=True,
    )
    assert found is not None
    assert (found.correct, found.total) == (2, 4)
    table = pd.read_parquet(tmp_path / CROP_CALLS)
    for prefix in ("Score_", "Proba_"):
        lacking = table[[f"{prefix}{name}" for name in "abc"]].isna().to_numpy()
        assert lacking.tolist() == [[False, False, True]] * 2 + [[True, False, False]] * 2
    sums = table[["Proba_a", "Proba_b", "Proba_c"]].sum(axis=1)
    np.testing.assert_allclose(sums, 1)
    assert found.probable is not None
    assert found.probable.ranking.auc[0] is None


@pytest.mark.parametrize("aggregate", ["mean", "median"])
def test_the_crops_of_a_field_make_its_score(aggregate: Aggregate) -> None:
    crops = pd.concat([crops_of("12", each=5).assign(**{SITE: site}) for site in (1, 2)])
    scores = np.random.default_rng(0).normal(0, 3, (20, 3))
    how = {"classes": "abc", "fold": 0, "aggregate": aggregate, "temperature": 0.7}
    single = crop_calls(crops, scores, **how)  # type: ignore[arg-type]
    assert (single[LEVEL] == "tile").all()
    names = ["Score_a", "Score_b", "Score_c"]
    fields = calls(crops, scores, path="cnn", **how)  # type: ignore[arg-type]
    fields = fields[fields[LEVEL] == "field"].set_index([WELL, SITE])[names]
    joined = single.groupby([WELL, SITE])[names].agg(aggregate).loc[fields.index]
    np.testing.assert_allclose(joined, fields, rtol=1e-13)


def test_time_points_stay_where_there_are_several(tmp_path: Path) -> None:
    crops = crops_of("1").assign(**{TIMEPOINT: [0, 1]})
    table = crop_calls(crops, np.array([[2.0, 0], [0, 1]]), classes="ab", fold=0)
    judge_crops(
        tmp_path,
        kept(tmp_path, table),
        map_of("1", "a"),
        classes="ab",
        temperatures={("cnn", 0): 1.0},
    )
    assert pd.read_parquet(tmp_path / CROP_CALLS)[TIMEPOINT].tolist() == [0, 1]


def test_without_crops_fields_speak_for_tiles_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    nothing = judge_crops(tmp_path, [], map_of("1", "a"), classes="ab", temperatures={})
    assert nothing is None
    assert not list(tmp_path.iterdir())
    told = with_tiles({"levels": {"field": {}, "well": {}}, "schema": 1}, nothing)
    assert told["levels"] == {"field": {}, "well": {}}
    assert told["tiles"]["level"] == "field"
    assert "sees each field as one tile" in told["tiles"]["note"]
