from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import write_run
from PIL import Image

from hts_classify import report
from hts_classify.errors import DataError
from hts_classify.report import load_record, summary
from hts_classify.report.figures import disagreements, plate_cells, plate_grid
from hts_classify.report.pictures import Painter, album
from hts_classify.vocabulary import PLATE, TITLES, WELL


class Links(HTMLParser):
    """Collect what a page would load, and its scripts that would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag in {"link", "iframe"}:
            self.found.append(f"<{tag}>")
        self.scripts += tag == "script" and ("type", "application/json") not in attrs


def test_the_page_needs_no_network(tiny_run: Path) -> None:
    page = (tiny_run / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert links.found
    assert all(re.match(r"data:image/(png|jpeg);base64,", link) for link in links.found)
    assert links.scripts == 1
    assert "url(" not in page


def test_the_page_says_what_the_run_found(tiny_run: Path) -> None:
    page = (tiny_run / "report.html").read_text()
    comparison = json.loads((tiny_run / "comparison.json").read_text())
    for result in comparison["paths"].values():
        assert f"{result['correct']}/{result['total']}" in page
    assert comparison["difference"]["verdict"][1:] in page
    assert page.count('<g data-well="') == 4 * 12  # calls and margins of two paths
    assert page.count("<title>probability ") + page.count("<title>by the other folds") > 2


def test_the_same_run_gives_the_same_page(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    before = (tmp_path / "run" / "report.html").read_bytes()
    assert report(tmp_path / "run").read_bytes() == before


def test_names_are_escaped(tiny_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"GFP"', '"<script>alert(1)</script>"'))
    page = report(folder).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_disagreements_are_the_wells_that_the_paths_call_differently(tiny_run: Path) -> None:
    record = load_record(tiny_run)
    table = record.wells.pivot(index=WELL, columns="Path", values="Class")
    apart = set(table.index[table["tas_svm"] != table["cnn"]])
    cells = {path: plate_cells(record.wells, path) for path in TITLES}
    found = disagreements(record, album(record), cells)
    assert {well[WELL] for well in found} == apart
    assert all(well["picture"].startswith("data:image/jpeg") for well in found)


def test_sureness_is_a_rank_among_the_other_wells_of_a_model() -> None:
    wells = pd.DataFrame(
        {
            PLATE: "P",
            WELL: ["A01", "A02", "A03", "A04"],
            "Path": "cnn",
            "Fold": [0, 0, 0, 1],
            "Class": "a",
            "Target": "a",
            "Role": "scored",
            "Margin": [0.1, 0.3, 0.2, 9.0],
        }
    )
    assert [cell["sure"] for cell in plate_cells(wells, "cnn")] == [0.0, 1.0, 0.5, 0.5]


def test_a_thumbnail_shows_its_channels_in_their_colours() -> None:
    tiles = np.zeros((1, 2, 64, 64), np.float32)
    tiles[0, 0, :32] = 1000  # the first channel, green, above
    tiles[0, 1, 32:] = 5  # the second, blue, below
    url = Painter.of(tiles, ["green", "blue"]).url(tiles[0], 150)
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (150, 150, 3)
    assert np.abs(pixels[10, 10] - [0, 255, 0]).max() <= 3  # as near as a JPEG comes
    assert np.abs(pixels[-10, 10] - [0, 0, 255]).max() <= 3


@pytest.mark.parametrize(
    ("wells", "size"),
    [(["A01", "D06"], (4, 6)), (["H12"], (8, 12)), (["P01"], (16, 24)), (["AF48"], (32, 48))],
)
def test_the_grid_is_the_smallest_usual_plate(wells: list[str], size: tuple[int, int]) -> None:
    grid = plate_grid(pd.DataFrame({WELL: wells}))
    assert (len(grid["rows"]), len(grid["columns"])) == size
    assert wells[-1][:-2] in grid["rows"]


def test_the_summary_names_counts_costs_and_the_page(tiny_run: Path) -> None:
    text = "\n".join(summary(load_record(tiny_run)))
    assert re.search(r"TAS \+ SVM +\d+/12 wells right", text)
    assert re.search(r"\d+ fields/s from store to call", text)
    assert str(tiny_run / "report.html") in text


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no finished run: run\.json is absent"):
        report(tmp_path)


def test_a_damaged_table_is_named(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    (tmp_path / "run" / "predictions.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="holds a table that cannot be read"):
        report(tmp_path / "run")


def test_a_run_from_before_the_newest_figures_is_drawn_without_them(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {})
    content = json.loads((folder / "comparison.json").read_text())
    newest = ("unlike", "repeats", "neighbours", "reproducibility", "importance", "tiles")
    for key in newest:
        content.pop(key, None)
    (folder / "comparison.json").write_text(json.dumps(content))
    assert "none of the classes" not in report(folder).read_text()
    (folder / "features.parquet").unlink()
    with pytest.raises(DataError, match=r"features.parquet: is absent: it says which tile"):
        report(folder)
