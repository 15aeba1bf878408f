from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from sklearn.covariance import ledoit_wolf

from hts_classify.errors import DesignError, UsageError
from hts_classify.models.normalise import least_wells, normalised
from hts_classify.models.protocol import Origin
from hts_classify.models.svm import TasSvm

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it sets an option that pandas 3 no longer has
    from pycytominer import normalize


@pytest.fixture
def plates():
    """Two plates, the second moved and stretched: features, plates, which are controls."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    features = rng.normal(size=(120, 6)) @ mixing
    names = np.repeat(["P", "Q"], 60)
    features[60:] = 3 * features[60:] + np.arange(6)
    return features, names, np.tile(np.arange(60) < 30, 2)


def origin_of(features, names, control):
    held = {name: np.flatnonzero(control & (names == name)) for name in np.unique(names)}
    return Origin(names, {k: features[rows] for k, rows in held.items()}, None, held)


@pytest.mark.parametrize(
    ("method", "theirs"), [("standard", "standardize"), ("robust", "mad_robustize")]
)
def test_it_is_what_pycytominer_does_to_each_plate(plates, method, theirs):
    features, names, control = plates
    columns = [f"Cells_Texture_{k}" for k in range(6)]
    table = pd.DataFrame(features, columns=columns).assign(Metadata_control=control)
    expected = [
        normalize(
            table[names == name],
            features=columns,
            meta_features=["Metadata_control"],
            samples="Metadata_control",
            method=theirs,
        )[columns]
        for name in ("P", "Q")
    ]
    found = normalised(method, features, origin_of(*plates), features.std(axis=0))
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-9, atol=1e-9)


def test_typical_variation_is_made_round_and_axes_of_plates_stay_comparable(plates):
    features, names, _ = plates
    many = origin_of(features, names, np.ones(120, bool))
    found = normalised("tvn", features, many, features.std(axis=0))
    for name in ("P", "Q"):
        own = features[names == name]
        own = (own - own.mean(axis=0)) / own.std(axis=0)
        shrunk, _ = ledoit_wolf(own, assume_centered=True)
        expected = own @ scipy.linalg.inv(scipy.linalg.sqrtm(shrunk))
        np.testing.assert_allclose(found[names == name], expected, rtol=1e-9, atol=1e-9)
    before, after = (
        np.linalg.eigvalsh(np.corrcoef(table[:60].T))[[0, -1]] for table in (features, found)
    )
    assert after[1] / after[0] < 0.2 * before[1] / before[0]
    # the symmetric root: what was feature k is still most like feature k, on both plates alike
    like = np.corrcoef(found[:60].T, features[:60].T)[:6, 6:]
    assert (like.argmax(axis=1) == np.arange(6)).all()


def test_shares_that_add_up_to_one_can_be_made_round(plates):
    features, names, control = plates
    shares = np.abs(features) / np.abs(features).sum(axis=1, keepdims=True)
    found = normalised("tvn", shares, origin_of(shares, names, control), shares.std(axis=0))
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 100


def test_what_hardly_varies_among_a_plates_controls_does_not_outweigh_the_rest(plates):
    features, names, control = plates
    features[:, 0] = np.where(control & (names == "P"), 0.5, features[:, 0])  # constant there
    features[:, 1] = 7.0  # constant everywhere
    for method in ("standard", "robust", "tvn"):
        spread = features.std(axis=0)
        found = normalised(method, features, origin_of(features, names, control), spread)
        assert np.isfinite(found).all()
        assert np.abs(found[:, 0]).max() < 150
        np.testing.assert_allclose(found[:, 1], 0, atol=1e-9)


def test_controls_of_fields_that_are_judged_do_not_set_the_scale(plates):
    features, _, _ = plates
    origin = origin_of(*plates)
    judged = list(range(10)) + list(range(60, 70))
    spread = features.std(axis=0)
    found = normalised("standard", features, origin, spread, without=judged)
    np.testing.assert_allclose(found[10:30].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found[70:90].std(axis=0), 1, rtol=1e-9)
    with pytest.raises(DesignError, match="plate P: 0 wells of negative controls"):
        normalised("standard", features, origin, spread, without=range(30))


def test_wells_are_counted_and_not_their_fields(plates):
    features, _, _ = plates
    origin = origin_of(*plates)
    spread = features.std(axis=0)
    for wells, method, least in ((7, "tvn", 8), (2, "robust", 3)):
        named = {plate: np.arange(30) % wells for plate in "PQ"}
        few = replace(origin, control_wells=named)
        with pytest.raises(DesignError, match=f"plate P: {wells} wells .* takes {least}"):
            normalised(method, features, few, spread)
        enough = replace(origin, control_wells={plate: np.arange(30) % least for plate in "PQ"})
        assert normalised(method, features, enough, spread).shape == features.shape


def test_controls_that_are_all_alike_stretch_nothing_without_end(plates):
    features, names, _ = plates
    same = Origin(names, {plate: np.repeat(features[:1], 8, axis=0) for plate in "PQ"})
    found = normalised("tvn", features, same, features.std(axis=0))
    assert np.abs(found).max() < 1e5


def test_a_plate_without_controls_is_refused(plates):
    features, names, control = plates
    origin = origin_of(features, names, control & (names == "P"))
    with pytest.raises(DesignError, match="plate Q: 0 wells of negative controls"):
        normalised("robust", features, origin, features.std(axis=0))
    with pytest.raises(UsageError, match="without the examples' plates"):
        normalised("robust", features, None, features.std(axis=0))


@pytest.fixture
def shifted():
    """Two classes that a plate's own shift hides, and controls that show the shift."""
    rng = np.random.default_rng(1)
    plates = np.repeat(["P", "Q", "R"], 32)
    truth = np.tile(np.repeat([0, 1], 16), 3)
    shift = np.repeat([0.0, 40.0, -25.0], 32)
    features = rng.normal(size=(96, 4))
    features[:, 0] += 3 * truth
    features += shift[:, None]
    controls = {
        name: rng.normal(size=(24, 4)) + offset
        for name, offset in zip("PQR", (0.0, 40.0, -25.0), strict=True)
    }
    fields = np.arange(96)
    held = {name: 1000 + 24 * k + np.arange(24) for k, name in enumerate("PQR")}
    splits = [(np.flatnonzero(plates != p), np.flatnonzero(plates == p)) for p in "PQR"]
    return features, truth, Origin(plates, controls, fields, held), splits


def test_the_inner_splits_choose_what_helps_and_of_equals_the_plainest(shifted, tmp_path):
    features, truth, origin, splits = shifted
    said = []
    model = TasSvm(("none", "standard", "robust", "tvn"), say=said.append)
    targets = [("low", "high")[k] for k in truth]
    facts = model.fit(features, targets, inner=splits, seed=0, origin=origin)
    assert facts["normalise"] != "none"
    assert facts["tried"].keys() == {"none", "standard", "robust", "tvn"}
    assert facts["tried"]["none"] < 0.7 < 0.9 < facts["tried"][facts["normalise"]]
    assert said == [f"normalisation {facts['normalise']}, of none, standard, robust, tvn"]
    assert model.needs_controls
    # a plate that was never seen, by its own controls; the same from the saved model
    model.save(tmp_path)
    unseen = Origin(np.repeat("S", 32), {"S": origin.controls["P"] + 900})
    for ready in (model, TasSvm.load(tmp_path)):
        scores = ready.scores(features[:32] + 900, origin=unseen)
        called = [ready.classes[column] for column in scores.argmax(axis=1)]
        assert np.mean(np.array(called) == targets[:32]) > 0.9
        assert ready.least_controls == least_wells(facts["normalise"])
    same = TasSvm(("none", "standard"))
    one = np.flatnonzero(origin.plates == "P")
    half = [(np.flatnonzero(one % 4 < 2), np.flatnonzero(one % 4 >= 2))]
    part = Origin(origin.plates[one], origin.controls, origin.fields[one], origin.control_fields)
    facts = same.fit(features[one], [targets[k] for k in one], inner=half, seed=0, origin=part)
    assert facts["normalise"] == "none"
    assert facts["tried"]["standard"] == facts["tried"]["none"]  # one plate: standardised anyway


def test_what_the_inner_splits_cannot_measure_is_not_chosen_and_refused_if_alone(shifted):
    features, truth, origin, splits = shifted
    targets = [("low", "high")[k] for k in truth]
    # the controls are themselves among those that the splits judge
    held = {plate: np.flatnonzero(origin.plates == plate) for plate in "PQR"}
    judged = Origin(
        origin.plates, {p: features[rows] for p, rows in held.items()}, origin.fields, held
    )
    facts = TasSvm(("none", "tvn")).fit(features, targets, inner=splits, seed=0, origin=judged)
    assert facts["tried"].keys() == {"none"}
    with pytest.raises(DesignError, match="may set its scale, 'standard' takes 3"):
        TasSvm(("standard",)).fit(features, targets, inner=splits, seed=0, origin=judged)


def test_what_is_no_normalisation_is_refused():
    for wrong in ((), ("whiten",)):
        with pytest.raises(UsageError, match="give some of none, standard, robust, tvn"):
            TasSvm(wrong)
