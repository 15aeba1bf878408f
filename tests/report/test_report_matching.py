from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from made_runs import write_run

from hts_classify import report
from hts_classify.report.matching import matching

FOUND = {
    "correct": 19,
    "total": 24,
    "interval": {"low": 0.5, "high": 0.9},
    "classes": [["<arrest>", 10, 12], ["nuclear", 9, 12]],
    "left_out": 3,
}
REPRODUCED = {"precision": 0.61, "chance": None, "significant": 4, "ranked": 9}
REPRODUCED |= {"above": 5, "compared": 8, "kin": []}


def content() -> dict[str, Any]:
    at = {"path": "tas_svm", "level": "well"}
    of = {"scale": "median and MAD of all wells", "others": "wells of other treatments"}
    return {
        "neighbours": [
            {**at, "rule": "NSC", "found": FOUND, "reason": ""},
            {**at, "rule": "NSCB", "found": None, "reason": "the plate map names no <batch>"},
        ],
        "reproducibility": [
            {**of, "of": "features", "pairs": "replicates", "found": REPRODUCED, "reason": ""},
            {**of, "of": "cnn", "pairs": "class", "found": None, "reason": "no class has two"},
        ],
    }


def test_the_page_shows_counts_intervals_and_reasons(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {})
    file = folder / "comparison.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | content()))
    page = report(folder).read_text()
    assert "What the profiling literature would report" in page
    assert "<td>19/24</td><td>79.2%</td><td>50% to 90%</td><td>3</td>" in page
    assert "&lt;arrest&gt; 10/12, nuclear 9/12" in page
    assert '<td colspan="5">the plate map names no &lt;batch&gt;</td>' in page
    assert "<td>0.61</td><td>–</td><td>4/9</td><td>5/8</td>" in page
    assert '<td colspan="6">no class has two</td>' in page
    assert "These are not the calls above" in page


def test_a_run_of_before_has_no_such_section(tmp_path: Path) -> None:
    assert matching({"neighbours": []}) is None
    assert "profiling literature" not in report(write_run(tmp_path, {})).read_text()
