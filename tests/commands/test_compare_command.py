"""`hts-classify compare` and `hts-classify report`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_runs import made_run

from hts_classify.commands import main

Said = Callable[..., str]
HOSTILE = "<script>alert(1)<!-- \"quoted\" & 'so'"


class Text(HTMLParser):
    """Collect a page's tags and what a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run the command; check its exit code, return what it said."""

    def run(*arguments: object, code: int = 0) -> str:
        assert main([*map(str, arguments)]) == code
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        made_run(tmp_path / "compact", tas=range(12), cnn=[1], sure=0.9),
        made_run(tmp_path / "resnet", tas=range(12), cnn=[1, 2], machine="cuda (H100)"),
    ]


def test_the_tables_say_who_is_better(runs: list[Path], said: Said) -> None:
    lines = said("compare", *runs).splitlines()
    assert lines[0] == "24 wells that all 2 runs tested, in 24 groups (well); 2 classes of moa"
    rows = {line.partition("  ")[0]: line.split() for line in lines}
    assert rows["compact/tas_svm"][1:5] == ["12/24", "50.0%", "(29", "to"]
    assert rows["compact/cnn"][-2] == "0.20"  # 23 wells at 0.9, one at 0.1
    assert rows["resnet/cnn"][-2] == "–"
    assert rows["compact/tas_svm – compact/cnn"][-1] == "second"
    assert rows["compact/cnn – resnet/cnn"][-2:] == ["not", "shown"]
    assert max(len(line) for line in lines if not line.startswith("note: ")) < 100
    assert sum(line.startswith("note: ") for line in lines) == 2  # a twin, and two machines


def test_files_are_written_where_they_are_asked_for(
    runs: list[Path], tmp_path: Path, said: Said
) -> None:
    first, again = (
        [tmp_path / name / "runs.json", tmp_path / name / "runs.html"] for name in ("one", "two")
    )
    for figures, page in (first, again):
        out = said("compare", *runs, "-o", figures, "--html", page)
        assert f"figures: {figures}\npage: {page}\n" in out
    held = json.loads(first[0].read_text())
    assert [one["name"] for one in held["runs"]] == ["compact", "resnet"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]


def test_the_page_opens_offline_and_shows_names_as_text(tmp_path: Path, said: Said) -> None:
    folders = [
        made_run(tmp_path / HOSTILE.replace("/", "∕"), cnn=range(12), target="<b>moa</b>"),
        made_run(
            tmp_path / "plain", protocol="</td><img src=x onerror=alert(1)>", target="<b>moa</b>"
        ),
    ]
    page = tmp_path / "page.html"
    said("compare", *folders, "--html", page)
    seen = Text()
    seen.feed(page.read_text())
    assert not seen.links
    assert not {"script", "img", "link", "b", "iframe"} & seen.tags
    assert f"{HOSTILE}/cnn" in seen.said
    assert "<b>moa</b>" in seen.said
    assert "onerror=alert(1)>" in seen.said
    assert "url(" not in page.read_text()


def test_the_terminal_gets_no_control_characters(tmp_path: Path, said: Said) -> None:
    folders = [made_run(tmp_path / "a\x1b[2Jb"), made_run(tmp_path / "c", cnn=[1])]
    out = said("compare", *folders)
    assert "\x1b" not in out
    assert r"a\x1b[2Jb/cnn" in out


def test_few_groups_get_counts_and_no_p(tmp_path: Path, said: Said) -> None:
    groups = [k % 4 for k in range(60)]
    folders = [
        made_run(tmp_path / name, cnn=cnn, groups=groups) for name, cnn in (("a", [1]), ("b", [2]))
    ]
    lines = said("compare", *folders).splitlines()
    row = next(line for line in lines if line.startswith("a/cnn – b/cnn"))
    assert row.split()[3:] == ["+0.0", "–", "–", "–"]
    assert "test: none: 4 groups are fewer than six" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compare"], 2, "RUN; see hts-classify compare --help"),
        (["compare", "{0}"], 2, "name at least two run directories"),
        (["compare", "{0}", "{1}", "{0}"], 2, "is named twice"),
        (["compare", "{0}", "nowhere"], 1, "nowhere: holds no finished run: run.json is absent"),
        (["report", "nowhere"], 1, "nowhere: holds no finished run: run.json is absent"),
        (["report"], 2, "run; see hts-classify report --help"),
    ],
)
def test_refusals_name_the_remedy(
    runs: list[Path], said: Said, arguments: list[str], code: int, message: str
) -> None:
    assert message in said(*[one.format(*runs) for one in arguments], code=code)


def test_real_runs_compare_and_draw_again(tiny_run: Path, tmp_path: Path, said: Said) -> None:
    copies = [Path(shutil.copytree(tiny_run, tmp_path / name)) for name in ("first", "second")]
    out = said("compare", *copies, "-o", tmp_path / "runs.json")
    held = json.loads((tmp_path / "runs.json").read_text())
    run = json.loads((tiny_run / "comparison.json").read_text())
    for one in held["contestants"][:2]:
        assert one["confusion"] == run["paths"][one["path"]]["confusion"]
    assert len(held["pairs"]) == 1
    assert held["pairs"][0]["p"] == run["difference"]["p"]
    assert "second/cnn calls every well as first/cnn does" in out
    page = copies[0] / "report.html"
    before = page.read_bytes()
    page.unlink()
    figures = copies[0] / "figures"
    drawn = f"report: {page}\nfigures: {figures} (SVG and PNG)\n"
    assert said("report", copies[0]) == drawn
    assert page.read_bytes() == before
