from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import facts_of_a_fit, write_run

from hts_classify.models.settings import Augmentation, CnnSettings
from hts_classify.report import load_record, report, summary
from hts_classify.report.learning import findings, learned, pairs, row, tried

MakeRun = Callable[..., Path]
OLD = {
    "steps": {"planned": 4, "taken": 4, "best": 3},
    "refit_steps": 5,
    "judged_loss": 0.69,
    "judged_tiles": 8,
}
"""Facts of a version that kept no curve."""


class Page(HTMLParser):
    """Collect a page's text, and the labels of its drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.labels, self.tags = "", [], []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]

    def handle_endtag(self, tag: str) -> None:
        self.text += " " if tag in {"td", "th"} else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def read(run: Path) -> Page:
    page = Page()
    page.feed(report(run).read_text("utf-8"))
    page.text = re.sub(r"\s+", " ", page.text)
    return page


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Write a run by hand: what the page shows of it is known, and no network learns."""
    return lambda training, **asked: write_run(tmp_path_factory.mktemp("made"), training, **asked)


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    """Three folds, two of which overfit, and the fit on all wells."""
    training: dict[str, Any] = {
        f"cnn-fold{fold}": facts_of_a_fit(overfits=fold != 1, fold=fold) for fold in range(3)
    }
    said = {"said": ["memory ran out: batches of 32 go in 2 parts"]}
    dropped = {"dropped": ["2 tiles without any signal"]}
    training["cnn-fold2"] |= dropped
    training["cnn-all"] = facts_of_a_fit() | said | dropped
    training["tas_svm-fold0"] = {"C": 10.0, "gamma": 0.1}
    reasons = ["no such file", "flagged: blurred DNA", "no such file"]
    failures = pd.DataFrame({"Metadata_Site": 1, "Reason": reasons})
    return make_run(training, failures=failures)


def test_every_fit_has_its_curves_and_its_line(run: Path) -> None:
    page = read(run)
    drawn = [label for label in page.labels if "judged loss" in label]
    assert [label.partition(":")[0] for label in drawn] == [
        *("fold 1", "fold 2", "fold 3", "all wells")
    ]
    assert drawn[0].endswith("judged loss from 0.57 to 1.09, lowest 0.50 at step 45")
    assert page.tags.count("polyline") == 4 * 3  # training, judged, rate
    assert page.tags.count("script") == 2  # the wells as JSON, and ours
    assert "compact from scratch; 112,034 weights learn." in page.text


def test_lines_differ_by_more_than_their_colour(run: Path) -> None:
    lines = re.findall(r"<polyline[^>]*stroke-width=\"2\"[^>]*>", report(run).read_text())
    styles = {re.search(r'stroke-dasharray="([^"]+)"', line)[1] for line in lines}
    assert styles == {"none", "6 3"}


def test_the_table_has_the_gap_between_training_and_judged_tiles(run: Path) -> None:
    line = row("fold 1", facts_of_a_fit(overfits=True))
    assert (line["training"], line["judged"], line["gap"]) == ("93%", "12/20 (60%)", "+33")
    assert line["tiles"] == "16 arrest, 16 nuclear"
    assert (line["rate"], line["planned"], line["best"], line["refit"]) == ("0.003", 150, 45, 180)
    assert "12/20 (60%)" in read(run).text


def test_what_is_amiss_is_said_once_with_how_many_folds_have_it(run: Path) -> None:
    text = read(run).text
    assert text.count("Overfits") == 1
    assert "Overfits in 2 of 3 folds: in the last 3 rounds 100% of the training tiles" in text
    assert "--weights" in text


def test_the_terminal_notes_the_two_most_serious_findings(run: Path, make_run: MakeRun) -> None:
    lines = summary(load_record(run))
    assert sum(line.startswith("note: the CNN overfits in 2 of 3 folds: in the") for line in lines)
    amiss = ["Saw few tiles of a class: 3 of b. Image more.", "Overfits: 1. 2.", "Underfits: 1. 2."]
    poor = make_run({"cnn-fold0": facts_of_a_fit() | {"diagnosis": amiss}})
    notes = [line for line in summary(load_record(poor)) if line.startswith("note: the CNN")]
    assert notes == [
        "note: the CNN underfits in fold 1: 1. 2.",
        "note: the CNN overfits in fold 1: 1. 2.",
    ]
    assert "Saw few tiles of a class in fold 1: 3 of b." in read(poor).text


def test_figures_that_differ_between_fits_are_those_of_the_first() -> None:
    said = {"cnn-fold1": "Overfits: 99%. Try.", "cnn-fold0": "Overfits: 90%. Try."}
    cards = {name: {"training": {"diagnosis": [text]}} for name, text in said.items()}
    cards["cnn-all"] = {"training": {"diagnosis": ["Overfits: 95%. Try."]}}
    (found,) = findings({"training": cards})
    assert found.line == (
        "the CNN overfits in every fold and when trained on all wells (figures: fold 1): 90%. Try."
    )


def test_a_run_in_which_nothing_is_amiss_says_so(make_run: MakeRun) -> None:
    good = make_run({"cnn-fold0": facts_of_a_fit()})
    assert "Nothing is amiss by the rules" in read(good).text
    assert not any(line.startswith("note: the CNN") for line in summary(load_record(good)))


def searched(losses: list[float | None], taken: int) -> dict[str, Any]:
    """Return facts of a fit that tried so many pairs, and took one of them."""
    trials = [
        {"learning_rate": 0.003 * 2**k, "weight_decay": 0.05 / 2**k, "judged_loss": loss}
        for k, loss in enumerate(losses)
    ]
    keys = ("learning_rate", "weight_decay")
    return facts_of_a_fit() | {"trials": trials} | {key: trials[taken][key] for key in keys}


def test_a_search_shows_its_trials_and_which_was_taken(make_run: MakeRun) -> None:
    own = searched([0.7, None, 0.412, 0.0], taken=3)
    text = read(make_run({"cnn-fold0": own, "cnn-all": searched([0.5, 0.6], taken=0)})).text
    assert "Learning rates and weight decays that were tried" in text
    assert (
        "fold 1 4 0.024 0.0063 0.000 taken 3 0.012 0.013 0.412 – 1 0.003 0.05 0.700 –"
        " 2 0.006 0.025 not a number – all wells 1 0.003 0.05 0.500 taken 2 0.006 0.025 0.600 –"
        in text
    )
    assert "comparison.json has all" not in text


def test_of_many_trials_the_best_are_shown(make_run: MakeRun) -> None:
    many = searched([float(k) for k in range(24)], taken=0)
    assert [one["number"] for one in tried(many)] == list(range(1, 11))
    assert "The best 10 of 24; comparison.json has all." in read(make_run({"cnn-all": many})).text


def test_without_any_finite_loss_the_settings_own_pair_is_the_one_taken() -> None:
    lines = tried(searched([None] * 12, taken=0))
    assert [line["number"] for line in lines if line["taken"]] == [1]


def test_a_run_without_a_search_shows_no_trials(run: Path) -> None:
    assert "were tried" not in read(run).text


def test_pairs_are_counted_over_the_folds_and_not_once_more_over_all_wells(run: Path) -> None:
    record = load_record(run)
    assert learned(record)["pairs"] == [("nuclear", "arrest", 8 + 2 + 8, 30)]
    assert "nuclear arrest 18 of 30" in read(run).text


def test_pairs_are_joined_by_name_where_a_fold_lacks_a_class() -> None:
    three = {"classes": {"a": 9, "b": 9, "c": 9}, "judged_confusion": np.diag([3, 3, 1]).tolist()}
    two = {"classes": {"a": 9, "c": 9}, "judged_confusion": [[1, 0], [2, 0]]}
    assert pairs({"fold 1": three, "fold 2": two}) == [("c", "a", 2, 3)]


def test_what_was_dropped_and_why_is_listed(run: Path) -> None:
    text = read(run).text
    assert "2 left out before either path: no such file" in text
    assert "1 left out before either path: flagged: blurred DNA" in text
    assert "2 tiles without any signal (in fold 3 and when trained on all wells)" in text
    assert "memory ran out: batches of 32 go in 2 parts (when trained on all wells)" in text


def test_a_run_that_kept_no_curves_shows_what_it_has(make_run: MakeRun) -> None:
    page = read(make_run({"cnn-fold0": OLD, "cnn-all": OLD}))
    assert "How the CNN learned" in page.text
    assert "Learning curves" not in page.text
    assert "Nothing is amiss" not in page.text  # nobody looked
    assert re.search(r"fold 1 – – – 4 4 3 5 – of 8 – 0\.69 –", page.text)


def test_a_run_that_kept_nothing_of_its_fits_has_no_such_section(make_run: MakeRun) -> None:
    assert "How the CNN learned" not in read(make_run({})).text


def test_many_fits_are_not_all_drawn(make_run: MakeRun) -> None:
    page = read(make_run({f"cnn-fold{fold}": facts_of_a_fit() for fold in range(14)}))
    assert sum("judged loss" in label for label in page.labels) == 12
    assert "The first 12 of 14 fits; comparison.json has all." in page.text


def test_a_loss_that_went_astray_does_not_flatten_the_rest(make_run: MakeRun) -> None:
    own = facts_of_a_fit()
    own["curve"][0]["judged_loss"] = 400.0
    wild = make_run({"cnn-fold0": own})
    text = read(wild).text
    assert "losses above 1.5 are drawn at the edge" in text
    points = " ".join(re.findall(r'points="([^"]*)"', report(wild).read_text()))
    heights = re.findall(r"[\d.]+,(-?[\d.]+)(?: |$)", points)
    assert min(map(float, heights)) >= 8  # the upper edge of the panel


def test_a_round_whose_loss_is_no_number_is_not_drawn(make_run: MakeRun) -> None:
    own = facts_of_a_fit()
    own["curve"][0]["judged_loss"] = None
    (label,) = [label for label in read(make_run({"cnn-all": own})).labels if "judged" in label]
    assert "judged loss from 0.52 to" in label


def test_names_of_classes_are_escaped_in_what_is_said(make_run: MakeRun) -> None:
    own = facts_of_a_fit() | {
        "classes": {"<script>": 2, "b": 90},
        "diagnosis": ["Saw few tiles of a class: 2 of <script>. Image more."],
    }
    assert read(make_run({"cnn-fold0": own})).tags.count("script") == 2


def test_the_same_run_gives_the_same_page(run: Path) -> None:
    assert report(run).read_bytes() == report(run).read_bytes()


def test_the_page_says_how_the_network_was_made_and_fed(make_run: MakeRun) -> None:
    cnn = CnnSettings(
        network="mobilenet_v2",
        weights="imagenet",
        tune="last",
        scaling="controls",
        enlarge=96,
        augmentation=Augmentation(rotation=180, gain=0.1),
    )
    text = read(make_run({}, cnn=cnn.as_json(), features="tas", full_scale=4095)).text
    assert (
        "mobilenet_v2 from ImageNet weights, its last block and its head learned, tiles of 32"
        " pixels along the longer side, enlarged to 96" in text
    )
    assert "grey levels of each plate scaled by its negative controls" in text
    assert "flips and right-angle turns, rotation up to 180°, gain of each channel ±10%" in text
    assert "threshold and margin fixed at 30/255 of 4095 grey levels" in text


def test_settings_of_an_earlier_version_are_said_as_they_were(make_run: MakeRun) -> None:
    text = read(make_run({}, cnn={"architecture": "compact", "steps": 150})).text
    assert "CNN from scratch, tiles of 32 pixels along the longer side" in text
    assert "augmentation" not in text


def test_no_augmentation_is_said(make_run: MakeRun) -> None:
    cnn = CnnSettings(augmentation=Augmentation(turns=False, crop=0), views=False)
    assert "augmentation none" in read(make_run({}, cnn=cnn.as_json())).text
