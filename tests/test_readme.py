"""README's code runs as it stands."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from hts_classify.commands import main
from hts_classify.statistics.intervals import stated_coverage

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    """Return README's code blocks of one language."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def test_the_python_examples_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # as it stands there, but for how long the CNN learns
    monkeypatch.setattr("hts_classify.models.cnn.search.planned", lambda examples, settings: 20)
    monkeypatch.chdir(tmp_path)
    _, plate, arrays = blocks("python")
    names: dict[str, Any] = {}
    exec(plate, names)
    assert len(names["values"]) == len(names["fixed"]) == 54
    assert len(names["features"]) == 36
    assert (Path(names["results"]) / "report.html").exists()
    exec(arrays, names)
    assert names["one_row_a_cell"].tolist() == names["found"].values.tolist()
    assert names["found"].labels.tolist() == [1, 2, 3, 4, 5]
    assert (len(names["of_a_mask"]), len(names["of_a_volume"])) == (54, 162)
    assert names["of_a_stack"] is names["out"]


def test_the_cluster_example_renders_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    slurm = blocks("python")[0]
    names: dict[str, Any] = {}
    before = signal.getsignal(signal.SIGINT)
    try:
        exec(slurm, names)
    finally:
        signal.signal(signal.SIGINT, before)  # dask-jobqueue puts its own there when imported
    script = capsys.readouterr().out
    names["cluster"].close()
    for line in ("#!/usr/bin/env bash", "#SBATCH -p short", "#SBATCH -t 02:00:00"):
        assert line in script
    assert "distributed.cli.dask_worker tcp://" in script


def test_the_table_of_coverage_is_what_the_package_states() -> None:
    section = README.read_text(encoding="utf-8").partition("### How sure an interval is\n")[2]
    lines = re.findall(r"^\| (.+) \|$", section.partition("\n### ")[0], flags=re.MULTILINE)
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    shares = [int(re.match(r"(\d+)%", cell)[1]) / 100 for cell in head[1:]]  # type: ignore[index]
    assert shares == [0.7, 0.9, 0.97] * 2
    assert "single wells" in head[1]
    assert "groups of four wells" in head[4]
    assert [int(row[0]) for row in rows] == [12, 24, 38, 100]
    for groups, *cells in rows:
        stated = [
            f"{100 * stated_coverage(int(groups), share, clustered=place >= 3):.1f}"
            for place, share in enumerate(shares)
        ]
        assert cells == stated


def test_the_table_of_files_is_what_a_run_leaves(tiny_run: Path) -> None:
    section = README.read_text(encoding="utf-8").partition("### What a run leaves")[2]
    rows = re.findall(r"^\| (`.+?) \|", section, flags=re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    held = {path.name for path in tiny_run.iterdir()} - {"predictions.parquet"}
    assert named - {".parquet"} == held


@pytest.mark.parametrize(
    "command", ["run", "extract", "predict", "info", "convert", "synthetic", "demo"]
)
def test_every_command_that_readme_names_exists(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: hts-classify {command}")


def test_the_shell_lines_parse(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `hts-classify` line gets past the parser: it fails for want of the plate, not usage."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    calls = [line for line in lines if line.startswith("hts-classify")]
    assert calls
    for line in calls:
        assert main(shlex.split(line)[1:]) == 1
        said = capsys.readouterr().err
        assert "neither a plate nor a command" in said or "does not exist" in said
