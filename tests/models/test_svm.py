from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import skops.io

from hts_classify.errors import DataError, DesignError, ModelError, UsageError
from hts_classify.models.calibrate import proba
from hts_classify.models.svm import C_GRID, TasSvm


@pytest.fixture(scope="module")
def trained(tables):
    model = TasSvm()
    model.facts = model.fit(tables[0].inputs, tables[0].targets, inner=tables[0].inner, seed=0)
    return model


def called(model, inputs):
    return [model.classes[column] for column in model.scores(inputs).argmax(axis=1)]


def test_three_classes_in_features_of_any_scale_are_told_apart(trained, tables):
    scores = trained.scores(tables[1].inputs)
    assert scores.shape == (72, 3)
    assert scores.dtype == np.float64
    right = np.mean(np.array(called(trained, tables[1].inputs)) == tables[1].targets)
    assert right >= 0.9


def test_two_classes_give_opposite_columns(tables):
    keep = [n for n, target in enumerate(tables[0].targets) if target != "class 2"]
    half = np.arange(len(keep)) % 4 < 2
    model = TasSvm()
    model.fit(
        tables[0].inputs[keep],
        [tables[0].targets[n] for n in keep],
        inner=[(np.flatnonzero(half), np.flatnonzero(~half))],
        seed=0,
    )
    scores = model.scores(tables[0].inputs[keep])
    assert scores.shape == (len(keep), 2)
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
    # the first kept example is of the first class: its column must be the higher one
    assert scores[0, 0] > scores[0, 1]


def test_a_tie_goes_to_the_smoothest_machine():
    inputs = np.repeat([[0.0, 0.0], [9.0, 9.0]], 8, axis=0)
    half = np.arange(16) % 2 == 0
    facts = TasSvm().fit(
        inputs,
        ["a"] * 8 + ["b"] * 8,
        inner=[(np.flatnonzero(half), np.flatnonzero(~half))],
        seed=0,
    )
    assert facts["inner_balanced_accuracy"] == 1.0
    assert facts["C"] == min(C_GRID)


def test_constant_features_do_not_change_the_calls(trained, tables):
    padded = [np.hstack([table.inputs, np.full((72, 40), 3.0)]) for table in tables]
    model = TasSvm()
    facts = model.fit(padded[0], tables[0].targets, inner=tables[0].inner, seed=0)
    assert facts == trained.facts
    np.testing.assert_allclose(model.scores(padded[1]), trained.scores(tables[1].inputs))


def test_a_rare_class_is_still_called():
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.normal(0, 1, (380, 2)), rng.normal(1.5, 1, (20, 2))])
    targets = ["common"] * 380 + ["rare"] * 20
    half = np.arange(400) % 2 == 0
    model = TasSvm()
    model.fit(inputs, targets, inner=[(np.flatnonzero(half), np.flatnonzero(~half))], seed=0)
    # with classes weighed by their sizes, 53 of these are called rare
    assert called(model, rng.normal(1.5, 1, (200, 2))).count("rare") > 120


def test_a_judging_half_without_a_class_neither_fails_nor_warns(tables):
    alone = np.flatnonzero(np.array(tables[0].targets) == "class 0")[:4]
    split = (np.setdiff1d(np.arange(72), alone), alone)
    facts = TasSvm().fit(tables[0].inputs, tables[0].targets, inner=[split], seed=0)
    assert facts["inner_splits"] == 1


def test_splits_that_lack_a_class_are_left_out_of_the_choice(tables, trained):
    lacking = np.flatnonzero(np.array(tables[0].targets) != "class 0")
    bad = (lacking, np.setdiff1d(np.arange(72), lacking))
    facts = TasSvm().fit(tables[0].inputs, tables[0].targets, inner=[bad, *tables[0].inner], seed=0)
    assert facts == trained.facts
    with pytest.raises(DesignError, match="class 0"):
        TasSvm().fit(tables[0].inputs, tables[0].targets, inner=[bad], seed=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused_by_place(trained, tables, value):
    broken = tables[0].inputs.copy()
    broken[5, 2] = value
    with pytest.raises(DataError, match=f"example 5 feature 2: the feature is {value}"):
        TasSvm().fit(broken, tables[0].targets, inner=tables[0].inner, seed=0)
    with pytest.raises(DataError, match="example 5"):
        trained.scores(broken)


def test_another_number_of_features_is_refused(trained):
    with pytest.raises(ModelError, match="9 features for a model of 10"):
        trained.scores(np.zeros((1, 9)))


def test_no_examples_give_no_scores(trained):
    assert trained.scores(np.zeros((0, 10))).shape == (0, 3)


def test_scoring_or_saving_before_learning_is_refused(tmp_path):
    with pytest.raises(UsageError, match="call fit or load first"):
        TasSvm().scores(np.zeros((1, 2)))
    with pytest.raises(UsageError, match="call fit or load first"):
        TasSvm().save(tmp_path)


def test_a_saved_model_scores_as_it_did(trained, tables, tmp_path):
    trained.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tas_svm.json", "tas_svm.skops"]
    again = TasSvm.load(tmp_path)
    np.testing.assert_array_equal(again.scores(tables[1].inputs), trained.scores(tables[1].inputs))
    card = json.loads((tmp_path / "tas_svm.json").read_text())
    assert card["classes"] == list(trained.classes)
    assert card["chosen"] == trained.facts


@pytest.mark.parametrize("name", ["tas_svm.json", "tas_svm.skops"])
def test_a_damaged_or_missing_file_is_named(trained, tmp_path, name):
    trained.save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=name):
        TasSvm.load(tmp_path)
    path.unlink()
    with pytest.raises(ModelError, match=f"{name}: no such file"):
        TasSvm.load(tmp_path)


def test_a_file_with_foreign_types_is_not_loaded(trained, tmp_path):
    trained.save(tmp_path)
    skops.io.dump(pathlib.PurePosixPath("/"), tmp_path / "tas_svm.skops")
    with pytest.raises(ModelError, match="types that no such model has"):
        TasSvm.load(tmp_path)


def test_weights_of_other_classes_than_the_card_are_refused(trained, tmp_path):
    trained.save(tmp_path)
    card = tmp_path / "tas_svm.json"
    card.write_text(card.read_text().replace('"class 2"', '"class 2", "class 3"'))
    with pytest.raises(ModelError, match="no model of 4 classes"):
        TasSvm.load(tmp_path)


def test_it_is_as_sure_as_it_is_right_on_what_it_has_not_seen(trained, tables):
    calm = proba(trained.scores(tables[1].inputs), trained.temperature)
    right = np.mean(np.array(called(trained, tables[1].inputs)) == tables[1].targets)
    assert calm.max(axis=1).mean() == pytest.approx(right, abs=0.15)
    assert trained.temperature == trained.facts["temperature"]


def test_a_model_that_learnt_noise_is_not_sure_of_what_it_sees():
    rng = np.random.default_rng(0)
    inputs, half = rng.normal(0, 1, (400, 4)), np.arange(400) % 2 == 0
    splits = [
        (np.flatnonzero(half), np.flatnonzero(~half)),
        (np.flatnonzero(~half), half.nonzero()[0]),
    ]
    model = TasSvm()
    model.fit(inputs, list("ab" * 100 + "ba" * 100), inner=splits, seed=0)
    scores = model.scores(rng.normal(0, 1, (400, 4)))
    calm = proba(scores, model.temperature).max(axis=1).mean()
    assert calm < 0.56 < proba(scores, 1.0).max(axis=1).mean()


@pytest.mark.parametrize("value", ['"warm"', "-1.0", "null"])
def test_a_card_without_a_temperature_is_damaged(trained, tmp_path, value):
    trained.save(tmp_path)
    card = tmp_path / "tas_svm.json"
    text = card.read_text().replace(repr(trained.temperature), value)
    card.write_text(text)
    with pytest.raises(ModelError, match=r"tas_svm\.json: temperature"):
        TasSvm.load(tmp_path)


def test_distances_of_points_are_those_that_the_kernel_sees(trained, tables):
    pipeline = trained._pipeline
    points = trained.embedded(tables[1].inputs)
    np.testing.assert_array_equal(
        pipeline[-1].decision_function(points), trained.scores(tables[1].inputs)
    )
    assert trained.embedded(tables[1].inputs[:0]).shape == (0, 10)
    with pytest.raises(ModelError, match="3 features for a model of 10"):
        trained.embedded(tables[1].inputs[:, :3])
