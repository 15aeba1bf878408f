"""What the page knows of every well: cards, small pictures, and plates at a glance."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_runs import wells_of, write_run
from PIL import Image

from hts_classify import report
from hts_classify.report import figures, load_record
from hts_classify.report.figures import drawn_plates, page
from hts_classify.report.overview import overview
from hts_classify.report.pictures import album
from hts_classify.report.wells import embedded

PLATE_384 = wells_of(["P1"], "ABCDEFGHIJKLMNOP", range(1, 25))


def data_of(file: Path) -> dict[str, Any]:
    found = re.search(r'id="wells">(.*?)</script>', file.read_text("utf-8"), re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def width(url: str) -> int:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).width


def test_a_card_has_what_the_tables_have(tiny_run: Path) -> None:
    table = pd.read_parquet(tiny_run / "predictions.parquet")
    wells = table[table["Level"] == "well"].set_index(["Path", "Metadata_Well"])
    data = data_of(tiny_run / "report.html")
    names = data["names"]
    assert data["measure"] == "score"  # the run was not asked for probabilities
    assert len(data["wells"]) == 12
    for _, well, treatment, truth, scored, paths, picture in data["wells"]:
        for path, (call, _, unlike, *scores) in zip(("tas_svm", "cnn"), paths, strict=True):
            row = wells.loc[path, well]
            assert names[call] == row["Class"]
            assert unlike == 0  # of twelve wells nobody can tell
            assert scored == (row["Role"] == "scored")
            assert (truth is None) == (not isinstance(row["Target"], str))
            assert names[treatment].startswith(row["Metadata_Compound"])
            for k, score in enumerate(scores):
                assert score == pytest.approx(row[f"Score_{names[k]}"], rel=1e-2)
        assert width(picture) == 128


def test_a_well_that_is_none_of_the_classes_is_a_dashed_ring_and_its_card_says_so(
    tmp_path: Path,
) -> None:
    folder = write_run(tmp_path, {})
    table = pd.read_parquet(folder / "predictions.parquet")
    table["Unlike"] = pd.array([False] * len(table), "boolean")
    table.loc[table["Level"] != "well", "Unlike"] = pd.NA
    first = table["Metadata_Well"].iloc[0]
    flagged = (table["Level"] == "well") & (table["Metadata_Well"] == first)
    table.loc[flagged & (table["Path"] == "tas_svm"), "Unlike"] = True
    table.to_parquet(folder / "predictions.parquet", index=False)
    page = report(folder).read_text()
    assert page.count("; unlike every class</title>") == 1
    assert page.count('stroke-dasharray="3 2"') == 1
    said = {
        well[1]: [path[2] for path in well[5]] for well in data_of(folder / "report.html")["wells"]
    }
    assert said.pop(first) == [1, 0]
    assert {tuple(flags) for flags in said.values()} == {(0, 0)}


def test_a_plate_of_384_wells_stays_small(tmp_path: Path) -> None:
    file = report(write_run(tmp_path, {}, probable=True, wells=PLATE_384))
    assert file.stat().st_size < 6e6
    data = data_of(file)
    assert len(data["wells"]) == 384
    assert all(width(well[6]) >= 72 for well in data["wells"])  # of noise, which packs worst


def test_pictures_are_the_largest_that_fit(tmp_path: Path) -> None:
    pictures = album(load_record(write_run(tmp_path, {})))
    assert pictures
    keys = [*pictures.rows]
    sides = []
    for budget in (1_000_000, 100_000, 60_000, 40_000, 100):
        side, found = pictures.fit(keys, budget)
        sides.append(side)
        assert sum(map(len, found.values())) <= budget
        assert len(found) == (24 if side else 0)
        assert {width(url) for url in found.values()} == ({side} if side else set())
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == 128
    assert sides[-1] == 0
    assert len(set(sides)) > 3


def test_pictures_that_do_not_fit_are_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_ALL_PICTURES", 100)
    file = report(write_run(tmp_path, {}))
    assert "No pictures: " in file.read_text("utf-8")
    assert all(len(well) == 6 for well in data_of(file)["wells"])


def test_json_cannot_end_its_element() -> None:
    hostile = {"a": "</script><!-- <script>", "b": "\u2028\x01🧫"}
    assert "<" not in embedded(hostile)
    assert json.loads(embedded(hostile)) == hostile


def test_a_row_a_plate(tmp_path: Path) -> None:
    plates = ["P1", "P2", "007"]
    lost = pd.DataFrame(
        {
            "Metadata_Plate": ["007", "007", "007"],
            "Metadata_Well": ["B02", "B03", "B04"],
            "Metadata_Site": [1, 2, None],
            "Channel": "DNA",
            "Reason": "truncated",
        }
    )
    wells = wells_of(plates, "BC", range(2, 6))
    record = load_record(write_run(tmp_path, {}, wells=wells, failures=lost))
    quality = {"quality": {"z_prime": 0.61}, "reason": ""}
    held = [{"path": "cnn", "plate": "P1", "target": "arrest", "found": quality}]
    record.comparison["separations"] = held
    first, second, third = overview(record, plates[:2])
    # Wells in the table's order: TAS errs on 3 and 8, the CNN on 3, 5 and 12; eight a plate.
    assert [row["name"] for row in (first, second, third)] == plates
    assert [row["number"] for row in (first, second, third)] == [1, 2, None]
    assert [path["right"] for path in first["paths"]] == ["7/8", "6/8"]
    assert [path["right"] for path in second["paths"]] == ["7/8", "7/8"]
    assert [path["right"] for path in third["paths"]] == ["8/8", "8/8"]
    assert [row["disagree"] for row in (first, second, third)] == [1, 2, 0]
    # 3 and 5 are nuclear, as are 1 and 7: the CNN has 4 of 4 and 2 of 4.
    assert first["paths"][1]["balanced"] == pytest.approx(0.75)
    assert (third["fields_out"], third["wells_out"], first["fields_out"]) == (2, 1, 0)
    assert first["paths"][1]["z_primes"] == [("arrest", 0.61)]
    assert first["paths"][0]["z_primes"] == []
    text = report(tmp_path).read_text("utf-8")
    assert "Plate by plate" in text
    assert 'href="#plate-3"' in text
    assert 'id="plate-3"' in text
    assert "2 fields, 1 well" in text


def test_one_plate_has_no_overview(tmp_path: Path) -> None:
    record = load_record(write_run(tmp_path, {}))
    assert page(record)["overview"] == []


def test_large_plates_are_drawn_as_far_as_the_page_can_hold() -> None:
    rows = [chr(65 + k) if k < 26 else f"A{chr(39 + k)}" for k in range(32)]
    names = [f"{row}{column:02d}" for row in rows for column in range(1, 49)]
    held = [(f"P{k}", name) for k in range(8) for name in names]
    wells = pd.DataFrame(held, columns=["Metadata_Plate", "Metadata_Well"])
    assert drawn_plates(wells) == [f"P{k}" for k in range(6)]  # 6 × 1536 = 24 × 384
    small = wells_of([f"P{k}" for k in range(30)], "B", [2])
    assert drawn_plates(small) == [f"P{k}" for k in range(24)]
