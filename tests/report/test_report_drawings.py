"""Figures as files: self-contained, lettered, the same each time, and none left over."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_runs import facts_of_a_fit, wells_of, write_run
from PIL import Image

from hts_classify import report
from hts_classify.report import drawings, load_record
from hts_classify.report.drawings import figures_line, write_drawings
from hts_classify.report.figures import page

SVG = "{http://www.w3.org/2000/svg}"
DOSE = {"compound": "<b>taxol & co</b>", "target": "arrest", "rho": 0.5, "said": "EC50 3"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_run(folder, {f"cnn-fold{k}": facts_of_a_fit(fold=k) for k in range(2)}, probable=True)
    file = folder / "comparison.json"
    doses = [DOSE | {"path": path, "doses": [[1, 0, 2], [2, 2, 2]]} for path in ("tas_svm", "cnn")]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"doses": doses}))
    report(folder)
    return folder


def texts(file: Path) -> list[str]:
    return [node.text or "" for node in ElementTree.parse(file).iter(f"{SVG}text")]


def test_every_main_figure_is_a_file(run: Path) -> None:
    paths = ("tas_svm", "cnn")
    names = {"cascade", "cost", "accuracy-against-throughput", "dose01", "learning01", "learning02"}
    names |= {f"{what}-{path}" for what in ("confusion", "reliability") for path in paths}
    names |= {f"plate01-{what}-{path}" for what in ("calls", "sureness") for path in paths}
    held = {file.name for file in (run / "figures").iterdir()}
    assert held == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}


def test_a_file_stands_alone(run: Path) -> None:
    for file in (run / "figures").glob("*.svg"):
        root = ElementTree.parse(file).getroot()
        assert root.tag == f"{SVG}svg"
        width, height = (float(root.attrib[side]) for side in ("width", "height"))
        assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}"
        paper = root.find(f"{SVG}rect")
        assert paper is not None
        assert paper.attrib["fill"] == "#ffffff"
        assert "font-family" in (root.findtext(f"{SVG}style") or "")
        assert not re.search(r"href|url\(|var\(|class=\"(?!map|mark)", file.read_text("utf-8"))
        assert all(value != "img" for value in root.attrib.values())


def test_a_plates_file_has_its_title_its_wells_and_its_key(run: Path) -> None:
    file = run / "figures" / "plate01-calls-cnn.svg"
    said = texts(file)
    assert said[0] == "CNN: calls by well"
    assert {"arrest", "nuclear"} <= set(said)
    titles = [node.text or "" for node in ElementTree.parse(file).iter(f"{SVG}title")]
    assert len(titles) == 24
    assert "B07: called arrest, is nuclear" in titles


def test_a_matrix_has_the_counts_of_the_comparison(run: Path) -> None:
    found = json.loads((run / "comparison.json").read_text())["paths"]["cnn"]
    said = texts(run / "figures" / "confusion-cnn.svg")
    counts = [int(text) for text in said if text.isdigit()]
    assert counts == [count for row in found["confusion"] for count in row]


def test_names_are_text_in_a_file(run: Path) -> None:
    assert texts(run / "figures" / "dose01.svg")[0] == "<b>taxol & co</b>: called arrest"


def test_a_png_is_lettered_and_white_behind(run: Path) -> None:
    picture = Image.open(run / "figures" / "cost.png").convert("L")
    pixels = np.asarray(picture)
    assert pixels[0, 0] == 255
    assert (pixels[20:60, 30:200] < 100).sum() > 50  # the title
    width = float(ElementTree.parse(run / "figures" / "cost.svg").getroot().attrib["width"])
    assert picture.width == 2 * width


def test_the_same_run_gives_the_same_files_and_old_ones_go(run: Path) -> None:
    folder = run / "figures"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / "plate07-calls-cnn.svg").write_text("of an earlier drawing")
    (folder / "dose44.png").write_text("of an earlier drawing")
    (folder / "figure 1, final.svg").write_text("somebody's")
    report(run)
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert after.pop("figure 1, final.svg") == b"somebody's"
    assert after == before
    (folder / "figure 1, final.svg").unlink()


def test_without_fonts_there_are_svgs_alone_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, {})
    report(tmp_path)
    assert figures_line(tmp_path).endswith("(SVG and PNG)")
    import resvg_py

    real = resvg_py.svg_to_bytes
    monkeypatch.setattr(
        resvg_py, "svg_to_bytes", lambda **asked: real(**asked, skip_system_fonts=True)
    )
    content = page(load_record(tmp_path))
    written = write_drawings(tmp_path, content)
    assert {file.suffix for file in written} == {".svg"}
    assert set((tmp_path / "figures").iterdir()) == set(written)
    assert "no font" in figures_line(tmp_path)


def test_a_name_that_xml_cannot_hold_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    classes = ("a\x01b\ufffe", "</text><script>alert(1)</script>")
    write_run(tmp_path, {}, classes=classes)
    report(tmp_path)
    said = texts(tmp_path / "figures" / "plate01-calls-cnn.svg")
    assert "a\ufffdb\ufffd" in said
    assert "</text><script>alert(1)</script>" in said
    assert Image.open(io.BytesIO((tmp_path / "figures/confusion-cnn.png").read_bytes())).width


def test_classes_beyond_six_carry_letters_in_map_and_key(tmp_path: Path) -> None:
    classes = tuple(f"class {k:02d}" for k in range(16))
    write_run(tmp_path, {}, classes=classes, wells=wells_of(["P"], "BC", range(2, 18)))
    report(tmp_path)
    file = tmp_path / "figures" / "plate01-calls-tas_svm.svg"
    marks = [
        node.text
        for group in ElementTree.parse(file).iter(f"{SVG}g")
        if "data-well" in group.attrib
        for node in group.iter(f"{SVG}text")
    ]
    # Two rows of sixteen wells; wells 3 and 8 are called by the class that follows theirs.
    called = [(k + k // 8) % 16 for k in range(32)]
    called[3], called[8] = called[3] + 1, called[8] + 1
    assert marks == [chr(ord("a") + k - 6) for k in called if k >= 6]
    said = texts(file)
    assert said[said.index("class 15") - 1] == "j"
    assert said[said.index("class 06") - 1] == "a"
    assert [drawing.name for drawing in drawings.drawings(page(load_record(tmp_path)))]
