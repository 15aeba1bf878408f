"""Several runs side by side, over runs written by hand whose results are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from scipy.sparse import csgraph
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from hts_classify.errors import DataError, UsageError
from hts_classify.runs import Contestant, Pair, RunsComparison, compare_runs
from hts_classify.statistics.many import holm, joined_groups

WELLS = [f"{row}{column:02d}" for row in "ABCDE" for column in range(1, 13)]
TRUTH = ["one", "two"] * 30
Wrong = Sequence[int]


def made_run(
    folder: Path,
    *,
    tas: Wrong = (),
    cnn: Wrong = (),
    wells: slice = slice(0, 24),
    groups: Sequence[Any] | None = None,
    truth: Sequence[str] = TRUTH,
    classes: tuple[str, str] = ("one", "two"),
    sure: float | None = None,
    score_s: float = 0.1,
    **others: Any,
) -> Path:
    """Write the files of a run in which each path is wrong about the wells of these numbers."""
    rename = dict(zip(("one", "two"), classes, strict=True))
    parts = []
    for path, wrong in {"tas_svm": tas, "cnn": cnn}.items():
        part = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": WELLS, "Target": truth})
        part["Target"] = part["Target"].map(rename)
        part["Group"] = WELLS if groups is None else list(groups)
        part["Fold"], part["Level"], part["Path"] = np.arange(len(part)) % 3, "well", path
        missed = np.isin(np.arange(len(part)), list(wrong))
        swapped = part["Target"].map({classes[0]: classes[1], classes[1]: classes[0]})
        part["Class"] = part["Target"].where(~missed, swapped)
        for name in classes:
            part[f"Score_{name}"] = (part["Class"] == name).astype(float)
            if sure is not None:
                part[f"Proba_{name}"] = np.where(part["Class"] == name, sure, 1 - sure)
        parts.append(part.iloc[wells])
    folder.mkdir(parents=True)
    pd.concat(parts, ignore_index=True).to_parquet(folder / "predictions.parquet")
    pd.DataFrame(columns=["Metadata_Site"]).to_csv(folder / "failures.csv", index=False)
    well = dict.fromkeys(("wall_s", "read_s", "features_s", "tiles_s", "keep_s"), 0.1)
    fit = {"train_s": 3.0, "score_s": score_s, "scored_fields": 8, "trained_fields": 16}
    content: dict[str, Mapping[str, Any]] = {
        "run.json": {"plates": ["P1"], "settings": {"target": others.pop("target", "moa")}},
        "timings.json": {
            "wells": {"P1/A01": {"fields": 1, **well}},
            "fits": {"tas_svm-all": fit, "cnn-all": fit},
            "machine": others.pop("machine", "cpu (2 threads)"),
            "plates": [["P1", "plate.zarr"]],
        },
        "comparison.json": {"schema": 1, "unit": "well", "protocol": "k-fold by well", **others},
    }
    for name, held in content.items():
        (folder / name).write_text(json.dumps(held))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Write a run under a name."""
    return lambda name, **others: made_run(tmp_path / name, **others)


def contestant(found: RunsComparison, name: str) -> Contestant:
    return next(one for one in found.contestants if one.name == name)


def pair(found: RunsComparison, first: str, second: str) -> Pair:
    return next(one for one in found.pairs if (one.first, one.second) == (first, second))


def test_every_pair_is_tested_as_statsmodels_does(made: Callable[..., Path]) -> None:
    wrong = {
        "a/tas_svm": set(range(14)),
        "a/cnn": {0, 1, 20},
        "b/tas_svm": set(range(5, 17)),
        "b/cnn": {22},
    }
    runs = [made(k, tas=wrong[f"{k}/tas_svm"], cnn=wrong[f"{k}/cnn"]) for k in "ab"]
    found = compare_runs(runs)
    assert [one.name for one in found.contestants] == list(wrong)
    assert [(one.first, one.second) for one in found.pairs] == list(combinations(wrong, 2))
    p = []
    for one in found.pairs:
        lone = len(wrong[one.second] - wrong[one.first]), len(wrong[one.first] - wrong[one.second])
        assert (one.difference.first_only, one.difference.second_only) == lone
        p.append(mcnemar([[0, lone[0]], [lone[1], 0]], exact=True).pvalue)
    np.testing.assert_allclose([one.difference.p for one in found.pairs], p, atol=1e-12)
    corrected = multipletests(p, method="holm")[1]
    np.testing.assert_allclose([one.p_holm for one in found.pairs], corrected, atol=1e-12)
    assert [one.shown for one in found.pairs] == (corrected < 0.05).tolist()
    assert 0 < sum(one.shown for one in found.pairs) < 6


@pytest.mark.parametrize("many", [1, 2, 15])
def test_holm_is_that_of_statsmodels(many: int) -> None:
    p = np.round(np.random.default_rng(many).random(many) ** 3, 2).tolist()  # with ties
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)


def test_what_one_test_shows_six_may_not(made: Callable[..., Path]) -> None:
    runs = [made("a", tas=range(6), cnn=[]), made("b", tas=[0, 1, 6], cnn=[7])]
    alone = pair(compare_runs(runs), "a/tas_svm", "a/cnn")
    assert alone.difference.p == pytest.approx(2 * 0.5**6)
    assert alone.difference.interval is not None
    assert alone.difference.interval[1] < 0
    assert not alone.shown
    assert alone.verdict == (
        "of 24 wells, 0 were called right only by a/tas_svm and 6 only by a/cnn:"
        " no difference that these wells can show, now that 6 pairs were tested"
    )
    clear = [made("c", tas=range(12), cnn=[]), made("d", tas=[0, 1, 6], cnn=[7])]
    shown = pair(compare_runs(clear), "c/tas_svm", "c/cnn")
    assert shown.verdict.endswith(": c/cnn is better here than c/tas_svm")


def test_a_small_p_alone_shows_nothing(made: Callable[..., Path]) -> None:
    # ten groups of two lean one way; one of forty, which the interval must allow for, does not
    groups = [min(k // 2, 10) for k in range(60)]
    design: dict[str, Any] = {"groups": groups, "wells": slice(0, 60), "unit": "compound"}
    found = compare_runs([made("a", cnn=range(0, 20, 2), **design), made("b", **design)])
    one = pair(found, "a/tas_svm", "a/cnn")
    assert one.difference.p == 2 / 2**10
    assert one.p_holm is not None
    assert one.p_holm < 0.05
    assert one.difference.interval is not None
    assert one.difference.interval[0] < 0
    assert not one.shown
    assert one.verdict.endswith("no difference that these wells can show")


def test_calls_of_wells_that_a_model_learnt_from_do_not_count(made: Callable[..., Path]) -> None:
    runs = [made(name, cnn=[0, 1, 2], sure=0.9) for name in "ab"]
    before = compare_runs(runs).as_json()
    for run in runs:
        tested = pd.read_parquet(run / "predictions.parquet")
        learnt = tested.assign(Fold=-1, Class=tested["Target"], Proba_one=0.5, Proba_two=0.5)
        pd.concat([learnt, tested]).to_parquet(run / "predictions.parquet")
    assert compare_runs(runs).as_json() == before


def test_figures_are_those_of_scikit_learn(made: Callable[..., Path]) -> None:
    truth = ["one"] * 40 + ["two"] * 20
    runs = [
        made(
            name, wells=slice(0, 60), truth=truth, tas=[3, 5, 41], cnn=cnn, sure=sure, score_s=slow
        )
        for name, cnn, sure, slow in (("a", [3, 44, 45, 46], 0.9, 0.1), ("b", [1], None, 4.7))
    ]
    found = compare_runs(runs)
    one = contestant(found, "a/cnn")
    called = ["two" if k == 3 else "one" if k in (44, 45, 46) else truth[k] for k in range(60)]
    result = one.evaluation
    assert (result.correct, result.total) == (56, 60)
    assert result.balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(truth, called), abs=1e-12
    )
    assert result.rates.macro_f1 == pytest.approx(
        metrics.f1_score(truth, called, average="macro"), abs=1e-12
    )
    assert result.rates.kappa == pytest.approx(metrics.cohen_kappa_score(truth, called), abs=1e-12)
    likely = [[0.9, 0.1] if call == "one" else [0.1, 0.9] for call in called]
    assert result.probable is not None
    assert result.probable.log_loss == pytest.approx(metrics.log_loss(truth, likely), abs=1e-12)
    assert contestant(found, "b/cnn").evaluation.probable is None
    # a field: its share of 0.1 s on the clock for reading, and for the input, and the scoring
    assert one.fields_per_s == pytest.approx(1 / (0.05 + 0.1 / 8))
    assert contestant(found, "b/cnn").fields_per_s == pytest.approx(1 / (0.05 + 4.7 / 8))


def test_only_wells_that_all_runs_tested_and_name_alike_count(made: Callable[..., Path]) -> None:
    other = list(TRUTH)
    other[10], other[11] = "two", "one"
    found = compare_runs(
        [
            made("a", wells=slice(0, 24), cnn=[0, 1, 2, 3]),
            made("b", wells=slice(2, 30)),
            made("c", wells=slice(0, 60), truth=other),
        ]
    )
    assert (found.wells, found.disputed, found.groups) == (20, 2, 20)
    assert [(run.tested, run.dropped) for run in found.runs] == [(24, 4), (28, 8), (60, 40)]
    wrong = contestant(found, "a/cnn").evaluation
    assert (wrong.total - wrong.correct, wrong.total) == (2, 20)  # 0 and 1 are not b's
    assert found.notes[0].endswith("dropped: a 4 of 24, b 8 of 28, c 40 of 60")
    assert found.notes[1].startswith("2 wells that every run tested are not of one class")


def test_runs_without_a_common_well_are_refused(made: Callable[..., Path]) -> None:
    runs = [made("a", wells=slice(0, 24)), made("b", wells=slice(24, 40))]
    with pytest.raises(DataError, match=r"tested: a 24, b 16; by every run: 0.*the same plates"):
        compare_runs(runs)


def test_the_same_contestant_counts_once(made: Callable[..., Path]) -> None:
    first = made("a", tas=[1, 2], cnn=[3], score_s=0.1)
    found = compare_runs([first, made("b", tas=[1, 2], cnn=[1, 2], score_s=0.8)])
    twin = contestant(found, "b/tas_svm")
    assert twin.same_as == "a/tas_svm"
    assert twin.fields_per_s < contestant(found, "a/tas_svm").fields_per_s
    # the CNN that calls as TAS does is another path, and stays
    assert [(one.first, one.second) for one in found.pairs] == list(
        combinations(["a/tas_svm", "a/cnn", "b/cnn"], 2)
    )
    assert any(note.startswith("b/tas_svm calls every well as a/tas_svm") for note in found.notes)
    assert pair(found, "a/tas_svm", "b/cnn").p_holm == 1


def test_wells_that_share_a_group_in_any_run_are_held_together(made: Callable[..., Path]) -> None:
    compounds = [f"drug {k // 2}" for k in range(60)]  # 12 pairs of neighbours among 24 wells
    plates = [f"plate {k // 3}" for k in range(60)]  # 8 triples; together 4 groups of six
    runs = [
        made("a", groups=compounds, unit="compound", protocol="by compound"),
        made("b", groups=plates, unit="plate", protocol="by plate", cnn=[0, 7, 8]),
    ]
    found = compare_runs(runs)
    assert (found.groups, found.unit) == (4, "compound and plate, joined")
    assert all(one.p_holm is None and not one.shown for one in found.pairs)
    assert pair(found, "a/cnn", "b/cnn").verdict.endswith("4 groups are too few for a test")
    assert any("a: 12 by compound; b: 8 by plate" in note for note in found.notes)
    assert any("a: by compound; b: by plate" in note for note in found.notes)


def test_where_groups_nest_the_larger_ones_are_the_unit(made: Callable[..., Path]) -> None:
    compounds = [f"drug {k // 2}" for k in range(60)]
    runs = [made("a", cnn=range(8)), made("b", groups=compounds, unit="compound")]
    found = compare_runs(runs)
    assert (found.groups, found.unit) == (12, "compound")
    tested = pair(found, "a/cnn", "b/cnn").difference
    # four groups of two all favour b: of 2^4 sign patterns, two are as far from even
    assert (tested.test, tested.p) == ("sign-flip over groups", 2 / 2**4)
    assert not any("groups (" in n for n in compare_runs([runs[0], made("c")]).notes)


def test_joined_groups_are_the_components_of_what_is_shared() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        groupings = [rng.integers(0, 25, 40).tolist() for _ in range(2)]
        shares = sum(np.equal.outer(grouping, grouping) for grouping in groupings)
        count, expected = csgraph.connected_components(sparse.csr_array(shares), directed=False)
        found = joined_groups(groupings)
        assert max(found) + 1 == count
        assert len({*zip(found, expected.tolist(), strict=True)}) == count


def test_the_intervals_are_over_the_joined_groups(made: Callable[..., Path]) -> None:
    compounds = [k // 3 for k in range(60)]
    runs = [made("a", cnn=range(3)), made("b", groups=compounds, unit="compound")]
    whole = contestant(compare_runs(runs), "a/cnn").evaluation.interval
    alone = contestant(compare_runs([runs[0], made("c")]), "a/cnn").evaluation.interval
    assert whole is not None
    assert alone is not None
    assert (whole.groups, alone.groups) == (8, 24)
    exact = stats.binomtest(21, 24).proportion_ci(method="exact")
    assert (alone.low, alone.high) == pytest.approx(tuple(exact), abs=1e-9)
    assert whole.low < alone.low


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"classes": ("one", "three")}, "differ in the classes 'three', 'two'; compare runs"),
        ({"target": "toxicity"}, "have the targets 'moa' and 'toxicity'; compare runs"),
        ({"schema": 0}, "comparison.json has schema 0, and this version reads 1; run again"),
    ],
)
def test_runs_that_do_not_compare_are_refused(
    made: Callable[..., Path], others: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        compare_runs([made("a"), made("b", **others)])


def test_a_folder_counts_once_and_two_are_needed(made: Callable[..., Path], tmp_path: Path) -> None:
    first = made("a")
    with pytest.raises(UsageError, match="1 run; name at least two"):
        compare_runs([first])
    (tmp_path / "link").symlink_to(first)
    with pytest.raises(UsageError, match="link: is named twice"):
        compare_runs([first, made("b"), tmp_path / "link"])
    (first / "comparison.json").unlink()
    with pytest.raises(DataError, match=r"comparison\.json is absent"):
        compare_runs([first, tmp_path / "b"])


def test_runs_of_one_name_are_told_apart(made: Callable[..., Path]) -> None:
    runs = [made("monday/net"), made("tuesday/net", cnn=[1]), made("other")]
    found = compare_runs(runs)
    assert [run.name for run in found.runs] == ["monday/net", "tuesday/net", "other"]
    assert contestant(found, "tuesday/net/cnn").evaluation.correct == 23


def test_machines_that_differ_are_named(made: Callable[..., Path]) -> None:
    found = compare_runs([made("a"), made("b", machine="cuda (H100)", cnn=[1])])
    said = "the runs' machines differ (a: cpu (2 threads); b: cuda (H100))"
    assert any(note.startswith(said) for note in found.notes)


def test_the_json_holds_what_the_objects_do(made: Callable[..., Path]) -> None:
    found = compare_runs([made("a", cnn=range(9), sure=0.8), made("b", cnn=[1])])
    held = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (held["schema"], held["wells"], held["unit"]) == (1, 24, "well")
    row = next(one for one in held["contestants"] if one["name"] == "a/cnn")
    assert (row["correct"], row["total"], row["accuracy"]) == (15, 24, 0.625)
    assert set(row["interval"]) >= {"low", "high"}
    one = held["pairs"][0]
    assert {"first", "second", "difference", "interval", "p", "p_holm", "shown"} <= set(one)
    assert not {"detectable", "resolution"} & set(one)  # true of one test alone
    assert one["verdict"] == found.pairs[0].verdict
