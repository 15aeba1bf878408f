from __future__ import annotations

import json
from pathlib import Path

from made_runs import write_run

from hts_classify.report import load_record
from hts_classify.report.cards import model_card, write_cards


def test_a_card_says_what_the_model_is_for_and_how_far_it_was_judged(tmp_path: Path) -> None:
    record = load_record(write_run(tmp_path, {}))
    card = model_card(record, "tas_svm")
    assert card.startswith("# TAS + SVM: moa of every well\n")
    assert "without a well's compound (grouped k-fold by compound, 3 folds)" in card
    assert "| learned from | plates P1; wells that were scored: arrest 12, nuclear 12 |" in card
    assert "| wells | 22/24 | 91.7% | " in card
    assert "into an RBF support vector machine" in card
    assert "augmentation" not in card
    assert "It knows no class but these" in card
    other = model_card(record, "cnn")
    assert "| wells | 21/24 | " in other
    assert "| augmentation | " in other


def test_hostile_names_stay_in_their_cells(tmp_path: Path) -> None:
    write_run(tmp_path, {})
    run = json.loads((tmp_path / "run.json").read_text())
    run["channels"] = ["DNA | x |", "<script>\nalert(1)</script>"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    card = model_card(load_record(tmp_path), "cnn")
    assert r"channels DNA \| x \|, \<script\> alert(1)\</script\>, in this order |" in card
    assert "<script>" not in card


def test_cards_stand_beside_the_models_and_repeat_themselves(tiny_run: Path) -> None:
    held = {
        path: (tiny_run / "models" / f"card-{path}.md").read_bytes() for path in ("cnn", "tas_svm")
    }
    write_cards(load_record(tiny_run))
    for path, content in held.items():
        assert (tiny_run / "models" / f"card-{path}.md").read_bytes() == content
        assert b"## Limits" in content
