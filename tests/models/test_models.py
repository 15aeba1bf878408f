from __future__ import annotations

import subprocess
import sys

import pytest

from hts_classify.errors import UsageError
from hts_classify.models import CnnSettings, device_name, load, make
from hts_classify.models.settings import Augmentation, Learning, check_device
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
    settings = CnnSettings(learning=Learning(steps=4, epochs=1))
    model = make(name, settings=settings, device="cpu", channels=("DNA", "GFP"))
    model.fit(inputs, learning.targets, inner=learning.inner, seed=0)
    model.save(tmp_path / "models")
    again = load(name, tmp_path / "models", device="cpu")
    assert again.classes == model.classes == ("spots", "stripes")
    assert again.scores(inputs).tobytes() == model.scores(inputs).tobytes()
    assert again.temperature == model.temperature > 0
    assert getattr(again, "channels", ("DNA", "GFP")) == ("DNA", "GFP")


def test_a_path_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(UsageError, match="'forest'; use tas_svm or cnn"):
        make("forest")
    with pytest.raises(UsageError, match="'forest'"):
        load("forest", tmp_path)


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (Learning, "steps", 0),
        (Learning, "epochs", 0),
        (Learning, "patience", 0),
        (Learning, "batch", 1),
        (Learning, "learning_rate", float("nan")),
        (Learning, "weight_decay", -0.1),
        (Learning, "dropout", 1.0),
        (Learning, "schedule", "linear"),
        (Learning, "steps", 2.5),
        (Augmentation, "zoom", 2),
        (CnnSettings, "cache_mib", -1),
        (Learning, "trials", 1),
        (CnnSettings, "scaling", "dark"),
        (CnnSettings, "network", "lenet"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings, name, value):
    with pytest.raises(UsageError, match=f"^{name} is .*; give "):
        settings(**{name: value})


@pytest.mark.parametrize(
    "settings", [{"network": "compact", "weights": "imagenet"}, {"tune": "head"}]
)
def test_settings_that_do_not_go_together_are_refused(settings):
    with pytest.raises(UsageError, match="weights"):
        CnnSettings(**settings)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu,cpu", ""])
def test_a_device_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="use auto, cpu, cuda, cuda:1 or mps"):
        check_device(name)


def test_the_device_says_what_computes():
    assert device_name("cpu").startswith("cpu (")
