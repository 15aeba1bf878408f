"""Runs with `repeats`: what they leave, and what they leave as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from hts_classify import RunSettings, run
from hts_classify.errors import UsageError
from hts_classify.fits import Fits
from hts_classify.progress import Progress
from hts_classify.report import load_record
from hts_classify.runs import compare_runs
from hts_classify.splits import make_folds
from hts_classify.timings import path_costs
from hts_classify.vocabulary import (
    CALL,
    COMPOUND,
    FOLD,
    GROUP,
    LEVEL,
    PATH,
    PATHS,
    PLATE,
    REPEAT,
    ROLE,
    SEED,
    TARGET,
    WELL,
)

ADDED = {"repeats.parquet", "repeats.csv", "repeat_folds.csv"}
TOLD = {"comparison.json", "report.html", "timings.json", "models/card-cnn.md"} | {
    "models/card-tas_svm.md"
}
"""What speaks of repeats, beside the files that they add."""


def hashes(folder: Path) -> dict[str, str]:
    """Return every file of a folder with its content's hash."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def read(folder: Path, name: str = "comparison.json") -> Any:
    return json.loads((folder / name).read_text())


class Stop(Progress):
    """A listener that is interrupted when a stage of this name begins."""

    def __init__(self, at: str) -> None:
        self.at = at

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Any]:
        if name == self.at:
            raise KeyboardInterrupt
        with super().stage(name, total, unit) as advance:
            yield advance


@pytest.fixture
def fitless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no fit be done."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("this was fitted already")

    monkeypatch.setattr(Fits, "do", refuse)


@pytest.fixture(scope="module")
def twice(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The finished run over the tiny plate, asked for a second repeat."""
    out = tmp_path_factory.mktemp("repeats") / "twice"
    shutil.copytree(tiny_run, out)
    return run(tiny_plate, replace(quick, repeats=2), out=out)


def test_a_finished_run_takes_more_repeats_and_stays_what_it_was(
    tiny_run: Path, twice: Path
) -> None:
    before, after = hashes(tiny_run), hashes(twice)
    assert {name for name in before if after.get(name) != before[name]} <= TOLD
    added = set(after) - set(before)
    assert {name for name in added if "/" not in name} == ADDED
    rest = {name for name in added if "/" in name}
    assert len(rest) == 2 * 2 * 4  # calls, and what was chosen, of two paths in four folds
    assert all(name.startswith("predictions/") and "-repeat2-" in name for name in rest)
    one, other = read(tiny_run), read(twice)
    assert one.pop("repeats") is None
    assert other.pop("repeats")
    assert one == other


def test_a_run_that_was_stopped_in_a_repeat_ends_in_the_same_bytes(
    tiny_plate: Path, quick: RunSettings, twice: Path, tmp_path: Path
) -> None:
    """From nothing, too: repeats that are added are those that would have been."""
    out, settings = tmp_path / "out", replace(quick, repeats=2)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_plate, settings, out=out, progress=Stop("CNN, fold 2, repeat 2"))
    assert not (out / "comparison.json").exists()
    run(tiny_plate, settings, out=out)
    made, held = hashes(out), hashes(twice)
    differing = {name for name in {*made, *held} if made.get(name) != held.get(name)}
    told = ("figures/cost.", "figures/accuracy-against-throughput.")  # how long it took
    differing = {name for name in differing if not name.startswith(told)}
    assert differing <= {"timings.json", "report.html", "models/tas_svm.skops"}


def test_each_repeat_has_its_own_folds_and_tests_each_well_once(
    tiny_plate: Path, quick: RunSettings, twice: Path
) -> None:
    run_folds = pd.read_csv(twice / "folds.csv")
    folds = pd.read_csv(twice / "repeat_folds.csv")
    table = pd.read_parquet(twice / "repeats.parquet")
    assert list(folds) == [REPEAT, SEED, *run_folds]
    assert set(zip(table[REPEAT], table[SEED], strict=True)) == {(2, 1)}
    assert set(zip(folds[REPEAT], folds[SEED], strict=True)) == {(2, 1)}
    assert folds[FOLD].tolist() != run_folds[FOLD].tolist()
    predictions = pd.read_parquet(twice / "predictions.parquet")
    first = predictions[(predictions[LEVEL] == "well") & (predictions[PATH] == "cnn")]
    wells = first[[PLATE, WELL, COMPOUND, TARGET]]
    dealt = make_folds(wells, target=TARGET, split="compound", seed=1).wells
    expected = dealt.set_index(WELL)[FOLD].sort_index()
    for path in PATHS:
        own = table[table[PATH] == path].set_index(WELL).sort_index()
        assert own[FOLD].tolist() == expected.tolist()
        assert (own[LEVEL] == "well").all()
    assert folds.set_index(WELL)[FOLD].sort_index().tolist() == expected.tolist()
    # only the run's own models are kept with how they see wells
    assert list(table.columns[2:]) == list(predictions.drop(columns=["Distance", "Unlike"]))
    assert set(folds[ROLE]) == {"scored"}


def test_what_is_said_of_repeats_follows_from_the_tables(twice: Path) -> None:
    found = read(twice)["repeats"]
    predictions = pd.read_parquet(twice / "predictions.parquet")
    wells = predictions[predictions[LEVEL] == "well"]
    tables = [wells, pd.read_parquet(twice / "repeats.parquet")]
    right = []
    for table in tables:
        assert (table[CALL] != table[TARGET]).any()
        hit = table.assign(hit=table[CALL] == table[TARGET])
        right.append(hit.pivot(index=WELL, columns=PATH, values="hit"))
    assert [one["seed"] for one in found["repeats"]] == [0, 1]
    for one, held in zip(found["repeats"], right, strict=True):
        for path in PATHS:
            correct = int(held[path].sum())
            assert one["paths"][path] == {
                "correct": correct,
                "total": 12,
                "accuracy": pytest.approx(correct / 12),
            }
        lone = [int((held[a] & ~held[b]).sum()) for a, b in (PATHS, PATHS[::-1])]
        assert [one["difference"]["first_only"], one["difference"]["second_only"]] == lone
        # Here each compound has one well, so that groups are wells.
        expected = stats.binomtest(lone[0], sum(lone)).pvalue if sum(lone) else 1.0
        assert one["difference"]["p"] == pytest.approx(expected)
    assert wells[GROUP].nunique() == 12
    leads = [(held[PATHS[0]].mean() - held[PATHS[1]].mean()) for held in right]
    assert found["difference"] == {
        "least": pytest.approx(min(leads)),
        "most": pytest.approx(max(leads)),
        "mean": pytest.approx(sum(leads) / 2),
    }
    assert found["ahead"] == {
        "tas_svm": sum(lead > 0 for lead in leads),
        "cnn": sum(lead < 0 for lead in leads),
    }
    alike = pd.concat([table.set_index([PATH, WELL])[CALL] for table in tables], axis=1)
    same = alike.iloc[:, 0] == alike.iloc[:, 1]
    assert found["steady"] == {path: int(same[path].sum()) for path in PATHS}
    assert found["same_folds"] is False


def test_what_a_run_costs_is_one_repeat(tiny_run: Path, twice: Path) -> None:
    before, after = read(tiny_run, "timings.json"), read(twice, "timings.json")
    assert path_costs(after) == path_costs(before)
    assert after["fits"] == before["fits"]
    assert len(after["repeats"]) == 2 * 4
    record = load_record(twice)
    fits, seconds = record.repeats_cost
    assert fits == 8
    assert seconds == pytest.approx(
        sum(cost["train_s"] + cost["score_s"] for cost in after["repeats"].values())
    )
    assert record.screen == load_record(tiny_run).screen
    assert load_record(tiny_run).repeats_cost == (0, 0.0)


def test_fewer_repeats_show_fewer_and_keep_what_was_fitted(
    tiny_plate: Path,
    quick: RunSettings,
    tiny_run: Path,
    twice: Path,
    tmp_path: Path,
    fitless: None,
) -> None:
    out = tmp_path / "out"
    shutil.copytree(twice, out)
    run(tiny_plate, quick, out=out)
    assert not ADDED & {file.name for file in out.iterdir()}
    assert read(out) == read(tiny_run)
    assert (out / "predictions.parquet").read_bytes() == (
        tiny_run / "predictions.parquet"
    ).read_bytes()
    run(tiny_plate, replace(quick, repeats=2), out=out)
    assert hashes(out) == hashes(twice)


@pytest.mark.parametrize("repeats", [0, -1])
def test_no_repeats_are_refused_before_anything_is_written(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path, repeats: int
) -> None:
    with pytest.raises(UsageError, match=f"--repeats {repeats}.*1 repeat or more"):
        run(tiny_plate, replace(quick, repeats=repeats), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_with_and_without_repeats_stand_side_by_side(tiny_run: Path, twice: Path) -> None:
    found = compare_runs([tiny_run, twice])
    assert [one.same_as for one in found.contestants[2:]] == [
        one.name for one in found.contestants[:2]
    ]
    (note,) = [text for text in found.notes if "seeds" in text]
    assert note.startswith("of twice the first of 2 seeds counts")
    assert note.count("points") == 1
