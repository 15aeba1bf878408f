from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify.importance import Fields, group_of, importances, summarised
from hts_classify.models.protocol import Switch

NAMES = [
    f"Image_PFTAS_DNA_{group}_{n}" for group in ("Band_On", "Band_Off", "Mean_On") for n in (0, 1)
]


class Sum:
    """A model whose logit is the sum of the first group's two columns; it notes what it scores."""

    classes = ("high", "low")
    temperature = 1.0

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def scores_of(self, inputs: Any) -> Any:
        logit = inputs[:, 0] + inputs[:, 1]
        return np.column_stack([logit, -logit])

    def switched(self, inputs: Any, others: Any, switches: Iterable[Switch]) -> Iterator[Any]:
        for columns, donors in switches:
            self.asked.append((len(inputs), columns.tolist(), donors))
            changed = inputs.copy()
            changed[:, columns] = others[donors][:, columns]
            yield self.scores_of(changed)


def fields(wells: int, each: int, *, seed: int, only: str = "") -> Fields:
    """Wells of two classes told apart by columns 0 and 1; a column tells well and field."""
    rng = np.random.default_rng(seed)
    targets = np.asarray(["high", "low"], object)[np.arange(wells) % 2]
    if only:
        targets[:] = only
    well = np.repeat(np.arange(wells), each)
    values = rng.normal(size=(len(well), 6))
    values[:, :2] = 0.5 * values[:, :2] + np.where(targets[well] == "high", 2, -2)[:, None]
    values[:, 5] = well * 100 + np.tile(np.arange(each), wells)
    return Fields(values, well, targets[well])


def ranked(table: pd.DataFrame, kind: str) -> pd.Series:
    return table[table["Kind"] == kind].set_index("Name")["Rise"]


def measured(tested: Fields, trained: Fields, model: Sum | None = None, seed: int = 0) -> Any:
    return importances(model or Sum(), NAMES, tested=tested, trained=trained, seed=seed)  # type: ignore[arg-type]


def test_what_the_model_uses_costs_and_what_it_ignores_costs_nothing() -> None:
    table = measured(fields(20, 3, seed=0), fields(40, 3, seed=1))
    single, groups = ranked(table, "statistics"), ranked(table, "groups")
    assert (single[NAMES[:2]] > 0.05).all()
    np.testing.assert_allclose(single[NAMES[2:]], 0, atol=1e-12)
    # either column alone still tells the classes apart: both together do not
    assert groups["Image_PFTAS_DNA_Band_On"] > 3 * single[NAMES[0]]
    assert groups.drop("Image_PFTAS_DNA_Band_On").abs().max() < 1e-12


def test_the_rise_is_that_of_the_log_loss_by_hand() -> None:
    tested, trained = fields(6, 2, seed=0), fields(8, 2, seed=1)
    model = Sum()
    table = measured(tested, trained, model)
    sign = np.where(tested.targets == "high", 1, -1)

    def loss(values: Any) -> float:
        return float(np.log1p(np.exp(-2 * np.tile(sign, len(values) // 12) * values)).mean())

    before = loss(tested.points[:, 0] + tested.points[:, 1])
    assert table["Loss"].iloc[0] == pytest.approx(before)
    rows, columns, donors = model.asked[3]  # three groups, then the first statistic
    assert (rows, columns) == (120, [0])  # ten repeats of twelve fields
    after = loss(trained.points[donors, 0] + np.tile(tested.points[:, 1], 10))
    assert ranked(table, "statistics")[NAMES[0]] == pytest.approx(after - before)


def test_a_fold_that_tests_one_class_has_importances_too() -> None:
    table = measured(fields(4, 3, seed=0, only="high"), fields(40, 3, seed=1))
    assert ranked(table, "groups")["Image_PFTAS_DNA_Band_On"] > 0.5


def test_fields_of_a_well_stay_together_and_take_from_one_well() -> None:
    tested, trained = fields(5, 3, seed=0), fields(9, 3, seed=1)
    model = Sum()
    measured(tested, trained, model)
    for _, _, donors in model.asked:
        takers = donors.reshape(-1, 3)  # fields of a well, one after another
        assert (takers // 3 == takers[:, :1] // 3).all()
        assert (takers % 3 == [0, 1, 2]).all()
    assert len({int(donors[0]) for _, _, donors in model.asked}) > 1


def test_of_many_fields_whole_wells_are_drawn_and_a_lone_big_well_is_kept() -> None:
    model = Sum()
    table = measured(fields(100, 7, seed=0), fields(10, 2, seed=1), model)
    assert table["Fields"].iloc[0] == 294
    assert model.asked[0][0] == 294
    assert measured(fields(1, 400, seed=0), fields(10, 2, seed=1))["Fields"].iloc[0] == 400


def test_wells_of_no_class_or_one_that_the_model_does_not_know_are_left_out() -> None:
    tested = fields(6, 2, seed=0)
    tested.targets[:2], tested.targets[2:4] = None, "other"
    table = measured(tested, fields(8, 2, seed=1))
    assert table["Fields"].iloc[0] == 8
    tested.targets[:] = None
    assert measured(tested, fields(8, 2, seed=1)).empty
    nothing = Fields(np.empty((0, 0)), np.empty(0, int), np.empty(0, object))
    assert measured(nothing, fields(8, 2, seed=1)).empty


def test_the_seed_decides() -> None:
    tested, trained = fields(6, 2, seed=0), fields(8, 2, seed=1)
    one, again, other = (measured(tested, trained, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)


def test_folds_are_joined_by_mean_and_spread() -> None:
    def table(*rises: float) -> pd.DataFrame:
        names = ["Image_TAS_GFP_Mean_Off", "Image_TAS_GFP_Mean_Off_7", "Image_TAS_GFP_Mean_Off_12"]
        rows = zip(names, ("groups", "statistics", "statistics"), rises, strict=True)
        columns = ["Name", "Kind", "Rise", "Loss", "Fields"]
        return pd.DataFrame([(*row, rises[0], 10) for row in rows], columns=columns)

    found = summarised([table(0.3, 0.1, 0.2), table(0.5, 0.1, 0.6), table(0.3, 0.1, 0.2)[:0]])
    assert found is not None
    assert json.loads(json.dumps(found)) == found
    assert (found["folds"], found["fields"], found["log_loss"]) == (2, 20, 0.4)
    (group,) = found["groups"]
    assert group["name"] == group_of("Image_TAS_GFP_Mean_Off_12")
    assert group["mean"] == pytest.approx(0.4)
    assert group["spread"] == pytest.approx(0.02**0.5)
    first, second = found["statistics"]
    assert (first["neighbours"], second["neighbours"]) == (12, 7)
    assert (first["channel"], first["interval"], first["centre"]) == ("GFP", "Mean", "Off")
    alone = summarised([table(0.3, 0.1, 0.2)])
    assert alone is not None
    assert alone["groups"][0]["spread"] is None
    assert summarised([table(0.3, 0.1, 0.2)[:0]]) is None
