from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from made_runs import write_run

from hts_classify import report
from hts_classify.report import load_record, summary
from hts_classify.report.trust import trust


def changed(folder: Path, **content: Any) -> Path:
    """Put something else into a run's comparison."""
    file = folder / "comparison.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | content))
    return folder


def test_each_level_has_a_row_a_path(tmp_path: Path) -> None:
    found = trust(load_record(write_run(tmp_path, {}, probable=True)))
    assert [(row["level"], row["path"]) for row in found["levels"]] == [
        ("wells", "TAS + SVM"),
        ("wells", "CNN"),
    ]
    first, second = found["levels"]
    assert (first["right"], second["right"]) == ("22/24", "21/24")
    assert re.fullmatch(r"\d+% to \d+%", first["interval"])
    assert first["log_loss"] == "0.17"  # 22 wells at 0.9, 2 at 0.4
    assert [row["wells"] for row in found["classes"]["cnn"]] == ["12", "12"]


def test_tiles_have_a_row_where_the_cnn_alone_was_judged_by_them(tmp_path: Path) -> None:
    write_run(tmp_path, {}, probable=True)
    record = load_record(tmp_path)
    assert trust(record)["tiles"] == ""  # a run of before this was told
    crops = record.comparison["paths"]["cnn"] | {"correct": 70, "total": 96}
    levels = {**record.comparison["levels"], "tile": {"tas_svm": None, "cnn": crops}}
    changed(tmp_path, levels=levels, tiles={"level": "tile", "note": "A tile is <one> crop."})
    found = trust(load_record(tmp_path))["levels"]
    assert [(row["level"], row["path"], row["right"]) for row in found] == [
        ("tiles", "CNN", "70/96"),
        ("wells", "TAS + SVM", "22/24"),
        ("wells", "CNN", "21/24"),
    ]
    assert "as a whole. A tile is &lt;one&gt; crop." in report(tmp_path).read_text()


def test_what_is_not_defined_is_a_dash(tmp_path: Path) -> None:
    found = trust(load_record(write_run(tmp_path, {})))
    assert [found["levels"][0][name] for name in ("auc", "log_loss", "ece")] == ["–"] * 3
    assert found["curves"] == {}
    assert found["cascade"] is None
    page = report(tmp_path).read_text()
    assert "How far to trust each path" in page
    assert "Are calls right as often" not in page


def test_the_cascade_says_what_it_comes_to(tmp_path: Path) -> None:
    found = trust(load_record(write_run(tmp_path, {}, probable=True)))["cascade"]
    assert "not better than TAS + SVM on these 24 wells (21 right, and 22)" in found["said"]
    assert "the curve is highest, 23, with 2 sent" in found["said"]
    assert found["said"].endswith("calls 23 right.")
    gains = {"total": 24, "sent": 3, "correct": 23, "together": 23, "threshold": 0.7}
    curve = [{"sent": 0, "correct": 20}, {"sent": 24, "correct": 23}]
    changed(tmp_path, cascade={**gains, "curve": curve})
    said = trust(load_record(tmp_path))["cascade"]["said"]
    assert said.startswith("Sending the 3 of 24 wells")
    assert "all folds together choose 0.70" in said
    lone = {**gains, "curve": curve, "sent": None, "correct": None}
    changed(tmp_path, cascade=lone)
    said = trust(load_record(tmp_path))["cascade"]["said"]
    assert "There is one fold, so that no other could choose its threshold" in said
    assert "by the other folds" not in report(tmp_path).read_text()


def test_controls_and_findings_are_on_the_page(tmp_path: Path) -> None:
    quality = {"negative": 4, "positive": 5, "z_prime": 0.61, "robust_z_prime": None}
    quality |= {"ssmd": 9.5, "robust_ssmd": 8.0, "signal_window": 3.2}
    where = {"path": "cnn", "target": "nuclear"}
    near = {**where, "plate": "P1", "found": {"quality": quality, "reason": ""}}
    none = {**where, "plate": "P2", "found": {"quality": None, "reason": "no wells are poscon"}}
    people = {"kappa": 0.5, "agreed": 6, "n": 8}
    raters = {"pairs": [{"first": "cnn", "second": "Metadata_<Ann>", "found": people}]}
    raters["consensus"] = [{"path": "cnn", "correct": 3, "total": 5}]  # type: ignore[dict-item]
    finding = {"kind": "column", "said": "targets follow <columns>", "p": 1e-4, "figures": {}}
    contestants = [{"name": name, "correct": 9, "total": 24} for name in ("commonest", "position")]
    folder = changed(
        write_run(tmp_path, {}, probable=True),
        separations=[near, none],
        raters=raters,
        audit={"findings": [finding], "contestants": contestants, "notes": []},
    )
    page = report(folder).read_text()
    assert "<td>0.61</td><td>–</td><td>9.50</td>" in page
    assert "no wells are poscon" in page
    assert ">CNN</th><td>&lt;Ann&gt;</td><td>6/8</td><td>0.50</td>" in page
    assert "name alike: CNN 3/5." in page
    assert "Leakage audit, column: targets follow &lt;columns&gt;." in page
    assert "all of position together 9/24" in page
    assert "Position alone" not in page
    assert "right without looking at the cells: commonest 9/24, position 9/24" in "\n".join(
        summary(load_record(folder))
    )


def test_the_terminal_gives_the_test_its_p_and_what_could_be_seen(tmp_path: Path) -> None:
    lines = "\n".join(summary(load_record(write_run(tmp_path, {}))))
    assert re.search(r"\(sign-flip over groups: p = [\d.]+\)", lines)
    assert "with 6 groups" in lines


def test_what_needs_no_cells_and_does_as_well_is_warned_of(tmp_path: Path) -> None:
    contestants = [
        {"name": name, "correct": right, "total": 24}
        for name, right in (("commonest", 22), ("position", 12), ("background", 21))
    ]
    write_run(tmp_path, {})
    changed(tmp_path, audit={"findings": [], "contestants": contestants, "notes": []})
    (warning,) = [text for text in load_record(tmp_path).warnings() if "without the cells" in text]
    assert warning.startswith("Background alone, without the cells, is right 21/24 times")
    assert "the better path 22/24" in warning


def test_flags_are_counted_and_a_path_that_cannot_tell_has_a_dash(tmp_path: Path) -> None:
    write_run(tmp_path, {}, probable=True)
    counts = {"known": 40, "known_flagged": 2, "correct": 36, "correct_flagged": 1}
    asked = {"unlabelled": 12, "unlabelled_flagged": 11}
    nothing = dict.fromkeys([*counts, *asked], 0)
    unlike = [
        {"path": "tas_svm", "limit": 1.416, **counts, **asked},
        {"path": "cnn", "limit": None, **nothing},
    ]
    changed(tmp_path, unlike=unlike)
    first, second = trust(load_record(tmp_path))["unlike"]
    assert first == {
        "path": "TAS + SVM",
        "limit": "1.42",
        "known": "2/40",
        "kept": "35/38",
        "unlabelled": "11/12",
    }
    assert second["limit"] == "–"
    said = [line for line in summary(load_record(tmp_path)) if "unlike" in line]
    assert said == ["wells without a class that are unlike every class (Unlike): TAS + SVM 11/12"]
    page = report(tmp_path).read_text()
    assert "Wells that are none of the classes" in page
    assert "35/38" in page
