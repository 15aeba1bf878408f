"""What README and the pages of the site say is what the package does."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hts_classify.commands import _parse, _parsers
from hts_classify.commands.cnn import cnn_settings
from hts_classify.statistics.intervals import stated_coverage

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "pages"
TEXTS = [ROOT / "README.md", *sorted(PAGES.rglob("*.md"))]
OTHERS = {"--plugins-directory", "--no-deps"}
"""Flags of other programs, that are named beside ours."""

pytestmark = pytest.mark.skipif(not PAGES.exists(), reason="the pages are not in a sdist")


def text_of(file: Path) -> str:
    """Return a page's text."""
    return file.read_text(encoding="utf-8")


def blocks(file: Path, language: str) -> list[str]:
    """Return a page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(file), flags=re.DOTALL | re.MULTILINE)


def called() -> Iterator[tuple[str, str]]:
    """Yield every call of the command that is written anywhere, with its page."""
    for file in TEXTS:
        fenced = [line for block in blocks(file, r"\w*") for line in block.splitlines()]
        outside = re.sub(r"^```.*?^```$", "", text_of(file), flags=re.DOTALL | re.MULTILINE)
        inline = re.findall(r"`(hts-classify [^`]+)`", outside.replace("\n", " "))
        for line in (*fenced, *inline):
            for part in re.split(r"&&| > ", line):
                if part.strip().startswith("hts-classify "):
                    yield file.name, part.strip()


MENTIONS = {f"hts-classify {name}" for name in ("--version", *_parsers()[1])}
CALLS = sorted({line for _, line in called()} - MENTIONS | {"hts-classify demo"})
WHOLE = [line for line in CALLS if not re.search(r"…|COMMAND", line)]
PARTS = [line for line in CALLS if line not in WHOLE]


@pytest.mark.parametrize("line", WHOLE)
def test_every_call_is_one_that_the_command_takes(line: str) -> None:
    """What argparse and the settings themselves refuse would be raised."""
    words = shlex.split(line)[1:]
    named = words[0] in _parsers()[1]
    options = _parse(words if named else ["run", *words])
    if hasattr(options, "cnn"):
        assert cnn_settings(options).network == options.cnn


@pytest.mark.parametrize("line", [line for line in PARTS if "--" in line])
def test_flags_of_calls_with_something_left_out_are_the_command_s(line: str) -> None:
    words = shlex.split(line)[1:]
    parsers = _parsers()[1]
    parser = parsers.get(words[0], parsers["run"])
    known = {*parser._option_string_actions, "--help"}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_every_flag_that_a_page_names_exists(file: Path) -> None:
    known = {flag for parser in _parsers()[1].values() for flag in parser._option_string_actions}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", "\n".join(ours(file))))
    assert named - OTHERS <= {*known, "--version"}


def ours(file: Path) -> Iterator[str]:
    """Yield the code of a page in which flags are ours: not lines of other programs."""
    for code in re.findall(r"```\w*\n.*?^```$|`[^`\n]+`", text_of(file), flags=re.DOTALL | re.M):
        lines = code.splitlines()
        yield from (
            line for line in lines if not re.search(r"python |pip |asv |cellprofiler -", line)
        )


def test_the_reference_has_every_command_and_every_flag() -> None:
    text = "\n".join(hooks().reference())
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.M))
    assert list(sections) == list(_parsers()[1])
    for name, parser in _parsers()[1].items():
        flags = set(parser._option_string_actions) - {"-h", "--help"}
        said = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", sections[name]))
        assert flags <= said
        assert "%(" not in sections[name]
    page = hooks().on_page_markdown(text_of(PAGES / "commands.md"))
    assert "## cellprofiler-plugin" in page


def test_the_interface_has_every_public_name() -> None:
    import hts_classify

    text = "".join(map(text_of, sorted((PAGES / "api").glob("*.md"))))
    held = set(re.findall(r"^      heading: hts_classify\.(\w+)$", text, flags=re.MULTILINE))
    assert set(hts_classify.__all__) - {"__version__"} <= held | {"HTSError"}


def hooks() -> ModuleType:
    """Load what the site is built with."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def executed(file: Path, names: dict[str, Any], first: int = 0) -> dict[str, Any]:
    """Run a page's Python blocks one after the other, as a reader would."""
    found = blocks(file, "python")
    assert len(found) > first
    for number, block in enumerate(found[first:], first):
        exec(compile(block, f"{file.name}, block {number}", "exec"), names)
    return names


def test_every_python_block_is_run_by_a_test() -> None:
    held = {file.name for file in TEXTS if blocks(file, "python")}
    assert held == {"README.md", "cellprofiler.md", "cluster.md", "python.md"}


def test_the_batch_script_on_the_page_is_the_one_that_is_run() -> None:
    """`test_batch_script` runs it."""
    script = text_of(ROOT / "docs" / "examples" / "profiles.py")
    assert blocks(PAGES / "cellprofiler.md", "python") == [script]


def test_the_python_of_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # as it stands there, but for how long the CNN learns
    monkeypatch.setattr("hts_classify.models.cnn.search.planned", lambda examples, settings: 20)
    monkeypatch.chdir(tmp_path)
    names = executed(ROOT / "README.md", {})
    assert len(names["values"]) == len(names["same_as_mahotas"]) == 54
    assert (Path(names["results"]) / "report.html").exists()


def test_the_python_of_the_site_runs(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "plate-hts").symlink_to(tiny_run, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    names = executed(PAGES / "python.md", {})
    assert len(names["fixed"]) == 54
    assert len(names["features"]) == 36
    assert names["one_row_a_cell"].tolist() == names["found"].values.tolist()
    assert names["found"].labels.tolist() == [1, 2, 3, 4, 5]
    assert (len(names["of_a_mask"]), len(names["of_a_volume"])) == (54, 162)
    assert names["of_a_stack"] is names["out"]
    result = json.loads((tiny_run / "comparison.json").read_text())["paths"]["tas_svm"]
    assert f"{result['correct']}/{result['total']}, " in capsys.readouterr().out


def test_the_cluster_example_renders_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    before = signal.getsignal(signal.SIGINT)
    try:
        executed(PAGES / "cluster.md", names)
    finally:
        signal.signal(signal.SIGINT, before)  # dask-jobqueue puts its own there when imported
    script = capsys.readouterr().out
    names["cluster"].close()
    for line in ("#!/usr/bin/env bash", "#SBATCH -p short", "#SBATCH -t 02:00:00"):
        assert line in script
    assert "distributed.cli.dask_worker tcp://" in script


def test_the_table_of_coverage_is_what_the_package_states() -> None:
    section = text_of(PAGES / "statistics.md").partition("### How sure an interval is\n")[2]
    lines = re.findall(r"^\| (.+) \|$", section.partition("\n## ")[0], flags=re.MULTILINE)
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


@pytest.mark.parametrize(
    ("file", "after", "before"),
    [
        (ROOT / "README.md", "### What a run leaves", "Every column and key"),
        (PAGES / "formats.md", "## A run directory", "Only with some flags"),
    ],
    ids=["README", "formats"],
)
def test_the_tables_of_files_are_what_a_run_leaves(
    file: Path, after: str, before: str, tiny_run: Path
) -> None:
    section = text_of(file).partition(after)[2].partition(before)[0]
    rows = re.findall(r"^\| (`.+?) \|", section, flags=re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    held = {path.name for path in tiny_run.iterdir()}
    assert named - {".parquet", "predictions.parquet"} == held - {"predictions.parquet"}


def test_formats_names_every_column_of_a_run(tiny_run: Path) -> None:
    """As itself, or by the pattern of a class, a channel or the target."""
    import pandas as pd
    import pyarrow.parquet as pq

    said = code_of(PAGES / "formats.md")
    run = json.loads((tiny_run / "run.json").read_text())
    target, channels = run["settings"]["target"], run["channels"]
    classes = json.loads((tiny_run / "comparison.json").read_text())["paths"]["cnn"]["classes"]
    seen = 0
    for file in [*tiny_run.rglob("*.csv"), *tiny_run.rglob("*.parquet")]:
        names = pq.read_schema(file).names if file.suffix == ".parquet" else list(pd.read_csv(file))
        for name in names:
            seen += 1
            assert general(name, target, channels, classes) in said, f"{file}: {name}"
    assert seen > 100


def general(name: str, target: str, channels: list[str], classes: list[str]) -> str:
    """Write a column's name as the page does, without what is this plate's own."""
    if name == f"Metadata_{target}":
        return "Metadata_<name>"
    if name.startswith("Profile_"):
        return "Profile_0"
    for one in classes:
        name = re.sub(rf"^(Score|Proba)_{re.escape(one)}$", r"\1_<class>", name)
    for one in channels:
        name = re.sub(rf"^Metadata_NoForeground_{one}$", "Metadata_NoForeground_<Channel>", name)
        name = re.sub(
            rf"^Image_PFTAS_{one}_(Band|Lower|Mean)_(On|Off)_\d$",
            "Image_PFTAS_<Channel>_<Interval>_<Centre>_<n>",
            name,
        )
        name = re.sub(
            rf"^Image_ImageQuality_\w+_{one}$", "Image_ImageQuality_<Figure>_<Channel>", name
        )
    return name


def test_definitions_name_every_figure_and_part_of_a_column() -> None:
    from hts_classify.vocabulary import CENTRES, FIGURES, INTERVALS

    assert {*FIGURES, *INTERVALS, *CENTRES} <= code_of(PAGES / "definitions.md")


def test_formats_names_every_key_of_a_run(tiny_run: Path) -> None:
    said = code_of(PAGES / "formats.md")
    comparison = json.loads((tiny_run / "comparison.json").read_text())
    own = {*comparison["paths"]["cnn"]["classes"], *comparison["training"]}
    keys = set(keys_of(comparison)) - own
    assert len(keys) > 100
    assert keys <= said
    assert set(json.loads((tiny_run / "run.json").read_text())) <= said
    timings = json.loads((tiny_run / "timings.json").read_text())
    measured = {
        *timings,
        *next(iter(timings["wells"].values())),
        *next(iter(timings["fits"].values())),
    }
    assert measured <= said


def test_formats_names_every_file_of_the_models(tiny_run: Path) -> None:
    held = {path.name for path in (tiny_run / "models").iterdir()}
    assert held <= code_of(PAGES / "formats.md")


def keys_of(content: Any) -> Iterator[str]:
    """Yield every key at any depth."""
    parts = content if isinstance(content, list) else []
    if isinstance(content, dict):
        yield from content
        parts = list(content.values())
    for part in parts:
        yield from keys_of(part)


def code_of(file: Path) -> set[str]:
    """Return all that a page sets as code."""
    return set(re.findall(r"`([^`\n]+)`", text_of(file)))


def test_every_link_of_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", text_of(ROOT / "README.md"))
    assert len(links) > 10
    for path, anchor in links:
        file = ROOT / path
        assert file.exists()
        if anchor:
            heads = re.findall(r"^#+ (.+)$", text_of(file), flags=re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads
            }


def test_exit_codes_are_those_of_the_errors() -> None:
    from hts_classify.errors import DataError, KernelError, UsageError

    said = text_of(PAGES / "troubleshooting.md")
    codes = dict(re.findall(r"^\| (\d+) \| ([^|]+?) \|", said, flags=re.MULTILINE))
    assert list(codes) == ["0", "1", "2", "3", "130"]
    assert codes[str(DataError.exit_code)].startswith("the data cannot be used")
    assert codes[str(UsageError.exit_code)].startswith("the call is wrong")
    assert UsageError.exit_code == KernelError.exit_code
