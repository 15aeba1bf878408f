from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from hts_classify.commands import main
from hts_classify.models.settings import Learning
from hts_classify.run import RunSettings
from hts_classify.synthetic import Recipe


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo be of a small plate."""
    recipe = Recipe(setting="texture", shape=(64, 64), fields=1, replicates=1)
    monkeypatch.setattr("hts_classify.synthetic.demo_recipe", lambda _seed: recipe)


def test_the_demo_says_that_it_trains_for_less_than_a_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[RunSettings] = []

    def run(_plates: object, settings: RunSettings, **_options: object) -> None:
        asked.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["hts_classify.run"], "run", run)
    assert main(["demo", "-o", str(tmp_path / "demo"), "--seed", "3"]) == 130
    said = capsys.readouterr().err
    steps, folds = asked[0].cnn.learning.steps, asked[0].folds
    assert steps < Learning().steps
    assert f"trains the CNN for {steps} steps a fit, in {folds} folds" in said
    assert (
        f"a run plans at least {Learning().steps} steps, in {RunSettings(target='x').folds}" in said
    )
    (line,) = re.findall(r"^hts-classify (\S+/plate\.zarr .*)$", said, re.MULTILINE)
    assert main(line.split()) == 130  # the line that it prints is the run that it makes
    assert asked[1] == asked[0]


def test_the_demo_ends_with_how_many_wells_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hts_classify.commands.demo._STEPS", 4)
    monkeypatch.setattr("hts_classify.commands.demo._FOLDS", 2)
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr()
    assert re.findall(r"^(.+?) +\d/9 wells right", said.out, re.MULTILINE) == ["TAS + SVM", "CNN"]
    assert "CNN, all wells: " in said.err
    assert (tmp_path / "demo" / "plate-hts" / "report.html").exists()
