"""Calls of a saved model on CellProfiler's images, against `predict` on the plate they are of."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify import open_plate
from hts_classify.cellprofiler.calling import Channel, SavedModel, measurements
from hts_classify.errors import ImageError, ModelError, UsageError
from hts_classify.files import read_json, write_json
from hts_classify.predict import PredictSettings, predict


@pytest.fixture
def models(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_run / "models", tmp_path / "models"))


def edit(path: Path, **changes: Any) -> None:
    write_json(path, read_json(path) | changes)


def images_of(plate: Any, field: Any, **more: Any) -> dict[str, Channel]:
    pixels = plate.read(field)
    scale = np.iinfo(pixels.dtype).max
    return {
        name: Channel(
            name=f"Orig{name}", pixels=raw.astype(np.float32) / scale, scale=scale, **more
        )
        for name, raw in zip(plate.channels, pixels, strict=True)
    }


def test_calls_scores_and_probabilities_are_those_of_predict(
    tiny_run: Path, tiny_plate: Path, tmp_path: Path
) -> None:
    settings = PredictSettings(proba=True, device="cpu")
    predict(tiny_run / "models", tiny_plate, settings, out=tmp_path / "calls")
    table = pd.read_parquet(tmp_path / "calls" / "predictions.parquet")
    table = table[(table["Level"] == "field") & (table["Path"] == "tas_svm")]
    table = table.set_index(["Metadata_Well", "Metadata_Site"])
    plate = open_plate(tiny_plate)
    saved = SavedModel.read(tiny_run / "models")
    model = saved.load()
    assert len(table) == len(plate.fields) == 24
    for field in plate.fields:
        row = table.loc[(field.well, field.site)]
        found = saved.call(model, images_of(plate, field))
        assert found.call == row["Class"]
        for one in saved.classes:
            assert found.scores[one] == pytest.approx(row[f"Score_{one}"], abs=1e-9)
            assert found.proba[one] == pytest.approx(row[f"Proba_{one}"], abs=1e-9)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda names: names[1:], "has no image; select one image for each of"),
        (lambda names: [*names[:-1], "RNA"], "'RNA' is none of the model's"),
        (lambda names: [*names, names[0]], "is given twice"),
    ],
)
def test_channels_that_are_not_the_models_are_refused(
    tiny_run: Path, given: Any, says: str
) -> None:
    saved = SavedModel.read(tiny_run / "models")
    with pytest.raises(UsageError, match=says):
        saved.check_channels(given(list(saved.channels)))


def test_the_order_in_which_channels_are_given_does_not_matter(
    tiny_run: Path, tiny_plate: Path
) -> None:
    plate, saved = open_plate(tiny_plate), SavedModel.read(tiny_run / "models")
    images, model = images_of(plate, plate.fields[0]), saved.load()
    backwards = dict(reversed(images.items()))
    assert len(images) > 1
    assert saved.call(model, backwards).scores == saved.call(model, images).scores


def test_models_that_need_controls_are_refused_before_scikit_learn_is_asked(models: Path) -> None:
    chosen = read_json(models / "tas_svm.json")["chosen"]
    edit(models / "tas_svm.json", chosen=chosen | {"normalise": "robust"})
    with pytest.raises(
        ModelError, match=r"normalised by .* \(robust\).*; use hts-classify predict"
    ):
        SavedModel.read(models)


def test_models_of_a_smaller_level_are_refused(models: Path) -> None:
    edit(models / "inputs.json", view={"level": 1, "z": "max", "illumination": []})
    with pytest.raises(ModelError, match="level 1 of image pyramids"):
        SavedModel.read(models)


def test_a_folder_without_models_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no models .*; name the models/ folder"):
        SavedModel.read(tmp_path)


def test_a_damaged_card_is_refused_by_name(models: Path) -> None:
    (models / "tas_svm.json").write_text("{")
    with pytest.raises(ModelError, match=r"tas_svm\.json: cannot be read"):
        SavedModel.read(models)


def test_full_scale_and_kind_of_the_features_are_the_models(models: Path) -> None:
    edit(models / "inputs.json", features="tas", full_scale=4095)
    assert SavedModel.read(models).rule.fixed(65535) == 482
    edit(models / "inputs.json", features="pftas", full_scale=4095)
    assert SavedModel.read(models).rule.fixed(65535) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixels": np.random.default_rng(0).random((64, 64))}, "is not made of the grey levels"),
        ({"mask": np.eye(64, dtype=bool)}, "is masked, and the model learned from whole fields"),
        ({"pixels": np.zeros((2, 64, 64), np.float32)}, "is a volume, the model learned from a"),
        (
            {"pixels": np.zeros((64, 64), np.float32), "scale": 255},
            "pixels are uint8, the model learned from uint16",
        ),
    ],
)
def test_images_unlike_those_that_were_learned_from_are_refused_by_name(
    tiny_run: Path, tiny_plate: Path, change: dict[str, Any], says: str
) -> None:
    plate, saved = open_plate(tiny_plate), SavedModel.read(tiny_run / "models")
    images = images_of(plate, plate.fields[0])
    name = saved.channels[0]
    old = images[name]
    images[name] = Channel(
        name=old.name,
        pixels=change.get("pixels", old.pixels),
        scale=change.get("scale", old.scale),
        mask=change.get("mask"),
        is_derived=True,
    )
    with pytest.raises(ImageError, match=f"image Orig{name}: {says}"):
        saved.call(saved.load(), images)


def test_without_skops_one_line_says_what_to_install(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    saved = SavedModel.read(tiny_run / "models")
    with pytest.raises(UsageError, match=r"lacks what the model needs.*pip install scikit-learn=="):
        saved.load()


def test_a_file_that_another_scikit_learn_wrote_names_that_version(models: Path) -> None:
    (models / "tas_svm.skops").write_bytes(b"not an archive")
    with pytest.raises(ModelError, match="cannot be loaded"):
        SavedModel.read(models).load()
    versions = read_json(models / "tas_svm.json")["versions"]
    edit(models / "tas_svm.json", versions=versions | {"scikit-learn": "0.99"})
    with pytest.raises(ModelError, match=r"does not load what 0\.99 wrote.*scikit-learn==0\.99"):
        SavedModel.read(models).load()


def test_measurements_are_named_by_class_and_by_the_calls_name() -> None:
    found = measurements(("0.1 nM", "DMSO"), "First")
    assert found == {
        "Class": {"": "HTS_Class_First"},
        "Score": {"0.1 nM": "HTS_Score_First_0_1_nM", "DMSO": "HTS_Score_First_DMSO"},
        "Proba": {"0.1 nM": "HTS_Proba_First_0_1_nM", "DMSO": "HTS_Proba_First_DMSO"},
    }
    with pytest.raises(UsageError, match=r"classes \+1, -1 cannot be told apart"):
        measurements(("+1", "-1"), "First")


def test_the_card_that_is_read_is_the_one_that_runs_write(tiny_run: Path) -> None:
    card = json.loads((tiny_run / "models" / "inputs.json").read_text())
    saved = SavedModel.read(tiny_run / "models")
    assert list(saved.channels) == card["channels"]
    assert (saved.dtype, saved.volumes) == (card["dtype"], card["volumes"])
