"""What the page, the terminal and the cards say of repeats with other seeds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import write_run

from hts_classify import report
from hts_classify.repeats import compare_repeats
from hts_classify.report import load_record, summary
from hts_classify.report.cards import model_card
from hts_classify.report.repeats import repeats

CLASSES = {"arrest": "nuclear", "nuclear": "arrest"}


def by_another_seed(table: pd.DataFrame, wrong: int) -> pd.DataFrame:
    """Return calls with the CNN wrong about the first so many wells, and TAS about none."""
    again = table.copy()
    again["Class"] = again["Target"]
    rows = again.index[again["Path"] == "cnn"][:wrong]
    again.loc[rows, "Class"] = again.loc[rows, "Target"].map(CLASSES)
    again["Fold"] = np.where(again["Fold"] == 2, 0, again["Fold"])
    return again


def repeated_run(folder: Path, wrongs: tuple[int, ...] = (1, 6)) -> Path:
    """Write a run of seed 0, in which TAS calls 22 of 24 right and the CNN 21, with repeats."""
    write_run(folder, {})
    table = pd.read_parquet(folder / "predictions.parquet")
    tables = [table, *(by_another_seed(table, wrong) for wrong in wrongs)]
    file = folder / "comparison.json"
    found = compare_repeats(tables, range(len(tables))).as_json()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"repeats": found}))
    timings = json.loads((folder / "timings.json").read_text())
    fit = {"train_s": 2.0, "score_s": 0.5}
    timings["repeats"] = {f"cnn-fold0-repeat{k + 2}": fit for k in range(len(wrongs))}
    timings["repeats"]["cnn-fold0-repeat99"] = fit  # of more repeats than are asked for now
    (folder / "timings.json").write_text(json.dumps(timings))
    return folder


def test_a_run_without_repeats_says_nothing_of_them(tmp_path: Path) -> None:
    write_run(tmp_path, {})  # nor has it the key, as those of an earlier version
    record = load_record(tmp_path)
    assert repeats(record) is None
    assert "other seeds" not in report(tmp_path).read_text()
    assert "seeds" not in "\n".join(summary(record))
    assert "seeds" not in model_card(record, "cnn")


def test_the_page_has_a_row_a_seed_and_both_paths_ranges(tmp_path: Path) -> None:
    folder = repeated_run(tmp_path)
    found = repeats(load_record(folder))
    assert found is not None
    assert [
        (row["seed"], row["tas_svm"], row["cnn"], row["difference"]) for row in found["rows"]
    ] == [
        ("0", "22/24", "21/24", "+4.2"),
        ("1", "24/24", "23/24", "+4.2"),
        ("2", "24/24", "18/24", "+25.0"),
    ]
    assert [row["folds"] for row in found["rows"]] == ["the first's", "its own", "its own"]
    tas, cnn = found["spreads"]
    assert (tas["least"], tas["mean"], tas["most"], tas["ahead"]) == ("91.7%", "97.2%", "100.0%", 3)
    assert (cnn["least"], cnn["most"], cnn["ahead"]) == ("75.0%", "95.8%", 0)
    page = report(folder).read_text()
    section = page[page.index("The same with other seeds") :]
    section = section[: section.index("</section>")]
    assert "Over 3 seeds TAS + SVM was ahead in all" in section
    assert section.count("<title>CNN, seed ") == 3
    assert "Nothing is pooled over seeds" in section
    assert "The other seeds' 2 fits took 5.0 s" in section
    assert "http" not in section


def test_what_is_drawn_lies_within_the_drawing(tmp_path: Path) -> None:
    folder = repeated_run(tmp_path, (24, 0, 12))
    page = report(folder).read_text()
    section = page[page.index("The same with other seeds") :]
    section = section[: section.index("</section>")]
    heights = [float(y) for y in re.findall(r'(?:cy|y1|y2| y)="([-\d.]+)"', section)]
    heights += [float(y) + 6 for y in re.findall(r'd="M [\d.]+ ([-\d.]+)', section)]
    assert len(heights) > 20
    assert all(15 <= y <= 212 for y in heights)
    # the seed by which the CNN is wrong about every well stands on the axis' upper end
    found = repeats(load_record(folder))
    assert found is not None
    assert found["difference"]["least"] + found["difference"]["span"] == pytest.approx(1)


def test_an_axis_of_equal_figures_has_a_height(tmp_path: Path) -> None:
    folder = repeated_run(tmp_path, (0, 0))
    file = folder / "comparison.json"
    held = json.loads(file.read_text())
    table = pd.read_parquet(folder / "predictions.parquet")
    none_wrong = by_another_seed(table, 0)
    held["repeats"] = compare_repeats([none_wrong] * 2, [0, 1]).as_json()
    held["repeats"]["repeats"][0]["difference"]["interval"] = None
    file.write_text(json.dumps(held))
    found = repeats(load_record(folder))
    assert found is not None
    assert found["difference"]["span"] > 0
    assert found["accuracy"]["span"] > 0
    assert "band" not in report(folder).read_text().split("other seeds")[1].split("</section>")[0]


def test_many_seeds_are_cut_with_a_word(tmp_path: Path) -> None:
    page = report(repeated_run(tmp_path, tuple(range(24)))).read_text()
    assert "The first 20 of 25 seeds; comparison.json has all." in page


def test_the_terminal_and_the_cards_say_it_too(tmp_path: Path) -> None:
    record = load_record(repeated_run(tmp_path))
    lines = summary(record)
    said = next(k for k, line in enumerate(lines) if line.startswith("Over 3 seeds"))
    assert "went from +4.2 to +25.0 points" in lines[said]
    assert lines[said + 1].endswith("the others' 2 fits took 5.0 s")
    card = model_card(record, "cnn")
    assert "Over 3 seeds, on the same wells, the accuracy went from 75.0% to 95.8%" in card
    assert "from 91.7% to 100.0% (mean 97.2%)" in model_card(record, "tas_svm")
    assert record.costs["cnn"].fits == 3
