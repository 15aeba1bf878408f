from __future__ import annotations

import subprocess
import sys

import pytest

from hts_classify.errors import UsageError
from hts_classify.models import CnnSettings, load, make
from hts_classify.vocabulary import PATHS


def test_importing_the_package_imports_no_learning_library():
    code = "import sys, hts_classify.models; print(sorted({'torch', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", PATHS)
def test_every_path_has_a_model_of_its_name(name):
    model = make(name)
    assert model.name == name
    assert model.classes == ()


@pytest.mark.parametrize("name", PATHS)
def test_every_path_scores_the_same_after_a_round_trip(name, learning, tmp_path):
    inputs = learning.inputs if name == "cnn" else learning.inputs[:, 0, :3].reshape(48, -1)
    model = make(name, settings=CnnSettings(steps=4, epochs=1), device="cpu")
    model.fit(inputs, learning.targets, inner=learning.inner, seed=0)
    model.save(tmp_path / "models")
    again = load(name, tmp_path / "models", device="cpu")
    assert again.classes == model.classes == ("spots", "stripes")
    assert again.scores(inputs).tobytes() == model.scores(inputs).tobytes()


def test_a_path_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(UsageError, match="'forest'; use tas_svm or cnn"):
        make("forest")
    with pytest.raises(UsageError, match="'forest'"):
        load("forest", tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("epochs", 0),
        ("patience", 0),
        ("batch", 1),
        ("cache_mib", -1),
        ("learning_rate", float("nan")),
        ("weight_decay", -0.1),
        ("dropout", 1.0),
        ("brightness", "dark"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=f"^{name} is .*; give "):
        CnnSettings(**{name: value})
