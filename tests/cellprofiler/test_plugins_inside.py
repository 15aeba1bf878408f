"""The modules in CellProfiler's own Python, without files (`without_java.py`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hts_classify.files import read_json, write_json
from hts_classify.models.svm import TasSvm

pytestmark = pytest.mark.cellprofiler

Inside = Callable[..., Any]


def test_volumes_and_their_objects_have_26_neighbours(inside: Inside) -> None:
    assert inside("volumes") == {"columns": 324, "image": True, "objects": True}


def test_objects_that_overlap_are_whole_and_those_without_pixels_are_not_numbers(
    inside: Inside,
) -> None:
    assert inside("unusual_objects") == {"right": [True, True], "nan": True, "rows": 3}


def test_objects_beyond_an_images_edge_lose_what_is_beyond(inside: Inside) -> None:
    assert inside("a_smaller_image") is True


def test_an_image_that_is_masked_all_over_is_not_a_number(inside: Inside) -> None:
    assert inside("without_a_pixel") is True


def test_lists_of_measurements_offer_exactly_the_columns(inside: Inside) -> None:
    found = inside("lists")
    assert found == {"same": True, "count": 216, "one": ["Cells", "PFTAS_DNA_Band_Off_0"]}


def test_each_image_is_shown_beside_its_three_intervals(inside: Inside) -> None:
    said = inside("display")
    assert said[0][0] == "set_subplots"
    assert [(name, title) for name, _, title, _ in said[1:5]] == [
        ("subplot_imshow_grayscale", "GFP"),
        ("subplot_imshow_bw", "GFP: Band"),
        ("subplot_imshow_bw", "GFP: Lower"),
        ("subplot_imshow_bw", "GFP: Mean"),
    ]
    assert [kind for *_, kind in said[2:5]] == ["b", "b", "b"]
    assert [where for _, where, _, _ in said[5:]] == [[k, 1, [12, 14]] for k in range(4)]


def test_settings_that_contradict_each_other_are_refused_in_one_line(inside: Inside) -> None:
    said = inside("complaints")
    assert said["none"] == "No images selected"
    assert said["objects"] == "No objects selected"
    assert said["nothing"] == "Neither images nor objects are measured"
    assert "mahotas's definition has no objects" in said["mahotas"]
    assert "images Orig_GFP and OrigGFP would both be called OrigGFP" in said["names"]
    assert said["twice"].startswith("Module 1 measures PFTAS_")
    assert said["made"].startswith("GFP is made by another module")


def test_help_is_there_for_every_setting_and_docutils_has_nothing_to_say(inside: Inside) -> None:
    found = inside("help_texts")
    for length, complaints, undocumented in found.values():
        assert length > 2000
        assert not complaints
        assert not undocumented
    assert len(found) == 2


def test_the_measuring_module_needs_none_of_the_heavy_packages(inside: Inside) -> None:
    assert inside("light") == []


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a model of two channels, as a run leaves it."""
    folder, order = tmp_path / "models", np.arange(12)
    features = np.random.default_rng(0).random((12, 108)) + (order % 2)[:, None]
    model = TasSvm()
    model.fit(features, ["up", "down"] * 6, inner=[(order[:6], order[6:])], seed=0)
    folder.mkdir()
    model.save(folder)
    card = {"channels": ["GFP", "DNA"], "dtype": "uint8", "features": "pftas", "full_scale": None}
    view = {"level": 0, "z": "max", "illumination": []}
    write_json(folder / "inputs.json", card | {"view": view, "volumes": False})
    return folder


def test_a_saved_model_calls_an_image_set(inside: Inside, models: Path) -> None:
    found = inside("calls", models)
    values = found["values"]
    assert list(values) == [
        "HTS_Class_Svm",
        "HTS_Score_Svm_down",
        "HTS_Score_Svm_up",
        "HTS_Proba_Svm_down",
        "HTS_Proba_Svm_up",
    ]
    assert found["types"] == ["varchar", *["float"] * 4]
    higher = "up" if values["HTS_Score_Svm_up"] > values["HTS_Score_Svm_down"] else "down"
    assert values["HTS_Class_Svm"] == higher
    assert values["HTS_Proba_Svm_up"] + values["HTS_Proba_Svm_down"] == pytest.approx(1)
    assert found["shown"] == ["set_subplots", "subplot_table"]


def test_models_and_channels_that_do_not_fit_are_refused_before_an_image_is_read(
    inside: Inside, models: Path, tmp_path: Path
) -> None:
    other = tmp_path / "normalised"
    other.mkdir()
    for file in models.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    card = read_json(other / "tas_svm.json")
    write_json(other / "tas_svm.json", card | {"chosen": card["chosen"] | {"normalise": "tvn"}})
    said = inside("refusals", models, other)
    assert len(said) == 4
    for line, expected in zip(
        said,
        (
            "normalised by each plate's negative controls (tvn)",
            "holds no models",
            "channel 'GFP' has no image; select one image for each of GFP, DNA",
            "channel 'RNA' is none of the model's",
        ),
        strict=True,
    ):
        assert expected in line
