from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics
from statsmodels.stats.inter_rater import cohens_kappa

from hts_classify.errors import DataError, UsageError
from hts_classify.statistics.metrics import kappa, rates
from hts_classify.statistics.scores import auc, brier, calibration, log_loss

EXACT: Any = {"rel": 1e-9, "abs": 1e-9}
CLASSES = list("abcd")


def _calls(seed: int, wells: int = 150, classes: int = 4) -> tuple[list[str], list[str]]:
    """Uneven classes, and calls that are right more often than not."""
    rng = np.random.default_rng(seed)
    names = CLASSES[:classes]
    truth = rng.choice(names, wells, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    called = np.where(rng.random(wells) < 0.6, truth, rng.choice(names, wells))
    return truth.tolist(), called.tolist()


def _proba(seed: int, truth: list[str], classes: list[str]) -> NDArray[np.float64]:
    """Probabilities that lean to the truth, rounded so that many tie."""
    rng = np.random.default_rng(seed)
    own = np.array(truth)[:, None] == np.array(classes)
    weights = np.round(rng.random(own.shape) + 0.7 * own, 1) + 0.1
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    truth, called = _calls(seed, classes=classes)
    names = CLASSES[:classes]
    found = rates(sklearn_metrics.confusion_matrix(truth, called, labels=names))
    each = sklearn_metrics.precision_recall_fscore_support(truth, called, labels=names)
    assert found.precision == pytest.approx(tuple(each[0]), **EXACT)
    assert found.recall == pytest.approx(tuple(each[1]), **EXACT)
    assert found.f1 == pytest.approx(tuple(each[2]), **EXACT)
    jaccard = sklearn_metrics.jaccard_score(truth, called, labels=names, average=None)
    assert found.jaccard == pytest.approx(tuple(jaccard), **EXACT)
    macro: Any = {"labels": names, "average": "macro"}
    assert found.macro_precision == pytest.approx(
        sklearn_metrics.precision_score(truth, called, **macro), **EXACT
    )
    assert found.macro_f1 == pytest.approx(
        sklearn_metrics.f1_score(truth, called, **macro), **EXACT
    )
    assert found.macro_jaccard == pytest.approx(
        sklearn_metrics.jaccard_score(truth, called, **macro), **EXACT
    )
    assert found.balanced_accuracy == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(truth, called), **EXACT
    )
    assert found.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, called), **EXACT)
    assert found.kappa == pytest.approx(sklearn_metrics.cohen_kappa_score(truth, called), **EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_of_a_confusion_is_that_of_statsmodels(seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 30, (4, 4))
    assert rates(table).kappa == pytest.approx(
        cohens_kappa(table, return_results=False, wt=None), **EXACT
    )


def test_a_class_that_no_well_is_stays_out_of_every_macro_mean() -> None:
    truth, called = list("aaabbb"), list("aabbbc")
    found = rates(sklearn_metrics.confusion_matrix(truth, called, labels=list("abcd")))
    # c was called once and is nothing; d is nothing and was never called
    assert found.precision[2:] == (0.0, None)
    assert found.recall[2:] == (None, None)
    assert found.f1[2:] == (0.0, None)
    assert found.jaccard[2:] == (0.0, None)
    occurring: Any = {"labels": ["a", "b"], "average": "macro"}
    assert found.macro_precision == pytest.approx(
        sklearn_metrics.precision_score(truth, called, **occurring), **EXACT
    )
    assert found.macro_f1 == pytest.approx(
        sklearn_metrics.f1_score(truth, called, **occurring), **EXACT
    )
    assert found.macro_jaccard == pytest.approx(
        sklearn_metrics.jaccard_score(truth, called, **occurring), **EXACT
    )
    assert found.balanced_accuracy == pytest.approx(2 / 3, **EXACT)


def test_a_class_that_is_never_called_has_no_precision_and_an_f1_of_nothing() -> None:
    found = rates([[4, 0], [2, 0]])
    assert found.precision == (pytest.approx(2 / 3), None)
    assert found.macro_precision is None
    assert found.f1 == (pytest.approx(0.8), 0.0)
    assert found.jaccard == (pytest.approx(2 / 3), 0.0)
    assert (found.macro_f1, found.macro_jaccard) == pytest.approx((0.4, 1 / 3), **EXACT)
    assert (found.balanced_accuracy, found.kappa) == (0.5, 0.0)


@pytest.mark.parametrize("wells", [1, 3, 10, 3**30])
def test_kappa_of_one_class_throughout_is_not_defined(wells: int) -> None:
    found = rates([[0, 0], [0, wells]])
    assert found.kappa is None
    assert found.accuracy == found.balanced_accuracy == found.macro_f1 == 1


@settings(deadline=None)
@given(st.integers(2, 5).flatmap(lambda k: st.lists(
    st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k
).filter(lambda rows: any(map(any, rows)))))  # fmt: skip
def test_rates_are_the_same_whatever_the_order_of_the_classes(rows: list[list[int]]) -> None:
    table = np.array(rows)
    one, other = rates(table), rates(table[::-1, ::-1])
    assert one.f1 == other.f1[::-1]
    assert one.precision == other.precision[::-1]
    assert one.kappa == other.kappa
    assert one.macro_f1 == pytest.approx(other.macro_f1, **EXACT)
    # what rows are to recall, columns are to precision, and kappa knows no order of raters
    turned = rates(table.T)
    assert (turned.precision, turned.recall) == (one.recall, one.precision)
    assert (turned.f1, turned.kappa) == (one.f1, one.kappa)


@pytest.mark.parametrize(
    ("confusion", "said"),
    [
        ([[1, 2, 3], [4, 5, 6]], "not square"),
        ([1, 2], "not square"),
        ([[0.5, 0.5], [0, 1]], "not counts"),
        ([[1, -1], [0, 1]], "not counts"),
        ([[True, False], [False, True]], "not counts"),
        (np.zeros((2, 2), int), "no wells"),
        (np.zeros((0, 0), int), "no wells"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(confusion: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rates(confusion)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_of_two_raters_leaves_out_wells_that_either_did_not_name(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = _calls(seed)
    first_missing, second_missing = rng.random((2, len(first))) < 0.2
    both = ~(first_missing | second_missing)
    kept = [[name for name, keep in zip(r, both, strict=True) if keep] for r in (first, second)]
    ones: list[Any] = [
        None if missing else name for name, missing in zip(first, first_missing, strict=True)
    ]
    others: list[Any] = [
        math.nan if missing else name for name, missing in zip(second, second_missing, strict=True)
    ]
    found = kappa(ones, others)
    assert found.n == both.sum() < len(first)
    assert found.kappa == pytest.approx(sklearn_metrics.cohen_kappa_score(*kept), **EXACT)
    table = sklearn_metrics.confusion_matrix(*kept)
    assert found.kappa == pytest.approx(cohens_kappa(table, return_results=False, wt=None), **EXACT)
    assert found.agreed == np.trace(table)
    assert kappa(others, ones) == found


@pytest.mark.parametrize(
    ("first", "second", "n"),
    [([], [], 0), (["a", None], [None, "a"], 0), (["a", "a"], ["a", "a"], 2)],
)
def test_raters_that_chance_explains_wholly_have_no_kappa(
    first: list[str | None], second: list[str | None], n: int
) -> None:
    found = kappa(first, second)
    assert (found.kappa, found.n, found.agreed) == (None, n, n)


def test_raters_who_never_use_the_same_name_agree_no_better_than_chance() -> None:
    assert kappa("aabb", "ccdd").kappa == 0
    assert kappa("ab", "ba").kappa == -1


def test_raters_are_refused_by_length_and_for_numbers() -> None:
    with pytest.raises(UsageError, match="3 and 2 wells"):
        kappa("aba", "ab")
    with pytest.raises(DataError, match="row 1: a rater's 1; write text"):
        kappa(["a", 1], ["a", "b"])  # type: ignore[list-item]


@pytest.mark.parametrize("classes", [3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_auc_is_that_of_scikit_learn(seed: int, classes: int) -> None:
    names = CLASSES[:classes]
    truth, _ = _calls(seed, classes=classes)
    proba = _proba(seed, truth, names)
    ranking = auc(truth, proba, names)
    for average, found in ((None, ranking.auc), ("macro", ranking.macro)):
        expected = sklearn_metrics.roc_auc_score(
            truth, proba, labels=names, multi_class="ovr", average=average
        )
        assert found == pytest.approx(expected if average else tuple(expected), **EXACT)
    log_odds = np.log(proba / (1 - proba))
    each = [
        sklearn_metrics.roc_auc_score(np.array(truth) == name, log_odds[:, k])
        for k, name in enumerate(names)
    ]
    assert auc(truth, log_odds, names).auc == pytest.approx(tuple(each), **EXACT)


def _pairs_won(scores: Any, positive: Any, folds: Any) -> tuple[float, int]:
    """Every pair of one fold, one by one."""
    won, pairs = 0.0, 0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~np.asarray(positive)):
            if folds[i] == folds[j]:
                won += (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
                pairs += 1
    return won, pairs


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-2, 2), st.integers(0, 2)),
                min_size=1, max_size=15))  # fmt: skip
def test_auc_within_folds_is_the_share_of_pairs(wells: list[tuple[str, int, int]]) -> None:
    truth, scores, folds = ([well[k] for well in wells] for k in range(3))
    table = np.column_stack([np.negative(scores), scores]).astype(float)
    positive = np.array([name == "b" for name in truth])
    for given_folds, told in ((None, [0] * len(wells)), (folds, folds)):
        won, pairs = _pairs_won(scores, positive, told)
        found = auc(truth, table, "ab", given_folds)
        assert found.pairs == (pairs, pairs)
        assert found.auc[1] == (pytest.approx(won / pairs, **EXACT) if pairs else None)
        assert found.macro == (pytest.approx(won / pairs, **EXACT) if pairs else None)
    alone = {fold for fold in folds if len({t for t, _, f in wells if f == fold}) == 1}
    assert found.undefined == (tuple(sorted(alone)),) * 2


def test_auc_within_folds_does_not_ask_that_folds_share_a_scale() -> None:
    truth, _ = _calls(0)
    folds = np.arange(len(truth)) % 5
    proba = _proba(0, truth, CLASSES)
    # in 64ths, and by powers of 2: what ties before ties after
    log_odds = np.round(64 * np.log(proba / (1 - proba))) / 64
    warped = log_odds * np.array([1, 4, 0.25, 2, 8])[folds, None] + 7.0 * folds[:, None]
    plain = auc(truth, log_odds, CLASSES, folds.tolist())
    assert auc(truth, warped, CLASSES, folds.tolist()) == plain
    assert auc(truth, warped, CLASSES) != auc(truth, log_odds, CLASSES)


def test_auc_of_a_class_without_wells_is_marked_and_left_out_of_the_mean() -> None:
    found = auc("aabb", [[2, 0, 5], [1, 0, 5], [1, 1, 5], [0, 2, 5]], "abc")
    assert found.auc == (0.875, 1.0, None)
    assert (found.pairs, found.undefined) == ((4, 4, 0), ((), (), ()))
    assert found.macro == 0.9375
    alone = auc("aa", [[2, 0], [1, 0]], "ab")
    assert (alone.auc, alone.macro) == ((None, None), None)


def test_auc_when_each_fold_leaves_out_one_class_says_that_no_fold_gives_it() -> None:
    found = auc("aabb", [[2, 0], [1, 0], [0, 1], [0, 2]], "ab", folds=[0, 0, 1, 1])
    assert (found.auc, found.macro, found.undefined) == ((None, None), None, ((0, 1), (0, 1)))


def test_auc_takes_scores_that_are_certain() -> None:
    table = np.array([[np.inf, -np.inf], [np.inf, -np.inf], [-np.inf, np.inf], [0, np.inf]])
    assert auc("aabb", table, "ab").auc == (1.0, 1.0)
    assert auc("abab", table, "ab").auc == (0.375, 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_log_loss_and_brier_are_those_of_scikit_learn(seed: int) -> None:
    truth, _ = _calls(seed)
    proba = _proba(seed, truth, CLASSES)
    proba[0] = np.array(CLASSES) != truth[0]  # ruled out, and
    proba[0] /= proba[0].sum()
    proba[1] = np.array(CLASSES) == truth[1]  # certain
    assert log_loss(truth, proba, CLASSES) == pytest.approx(
        sklearn_metrics.log_loss(truth, proba, labels=CLASSES), **EXACT
    )
    assert brier(truth, proba, CLASSES) == pytest.approx(
        sklearn_metrics.brier_score_loss(truth, proba, labels=CLASSES, scale_by_half=False),
        **EXACT,
    )


def test_certain_and_right_costs_nothing_and_certain_and_wrong_all_there_is() -> None:
    sure = [[1.0, 0.0], [0.0, 1.0]]
    assert (log_loss("ab", sure, "ab"), brier("ab", sure, "ab")) == (0, 0)
    assert math.copysign(1, log_loss("ab", sure, "ab")) == 1
    assert brier("ba", sure, "ab") == 2
    assert log_loss("ba", sure, "ab") == pytest.approx(-math.log(2.0**-52), **EXACT)


def test_columns_follow_the_order_of_the_classes() -> None:
    truth, _ = _calls(3)
    proba, turned = _proba(3, truth, CLASSES), CLASSES[::-1]
    assert log_loss(truth, proba[:, ::-1], turned) == log_loss(truth, proba, CLASSES)
    assert brier(truth, proba[:, ::-1], turned) == pytest.approx(
        brier(truth, proba, CLASSES), **EXACT
    )
    assert auc(truth, proba[:, ::-1], turned).auc == auc(truth, proba, CLASSES).auc[::-1]


def _expected_calibration_error(truth: list[str], proba: Any, bins: int) -> tuple[float, float]:
    """Guo's definition read aloud: bin m holds confidences in ((m - 1) / bins, m / bins]."""
    ece, largest = 0.0, 0.0
    for m in range(1, bins + 1):
        confidences, hits = [], []
        for name, row in zip(truth, proba, strict=True):
            best = max(range(len(row)), key=lambda k: row[k])
            if (m - 1) / bins < row[best] <= m / bins:
                confidences.append(row[best])
                hits.append(CLASSES[best] == name)
        if hits:
            gap = abs(sum(hits) / len(hits) - sum(confidences) / len(hits))
            ece += len(hits) / len(truth) * gap
            largest = max(largest, gap)
    return ece, largest


@pytest.mark.parametrize("bins", [1, 4, 10, 15, 100])
@pytest.mark.parametrize("seed", range(4))
def test_calibration_is_guos_loop(seed: int, bins: int) -> None:
    truth, _ = _calls(seed)
    proba = _proba(seed, truth, CLASSES)
    found = calibration(truth, proba, CLASSES, bins)
    assert (found.ece, found.largest_gap) == pytest.approx(
        _expected_calibration_error(truth, proba, bins), **EXACT
    )
    assert sum(b.count for b in found.bins) == len(truth)
    assert all(b.count and b.low < b.confidence + 1e-12 for b in found.bins)
    assert all(b.confidence - 1e-12 <= b.high for b in found.bins)


def test_calibration_by_hand() -> None:
    # confidences .55 .58 | .95 .97 .99 1 in tenths; right: one of two, three of four
    confidence = np.array([0.55, 0.58, 0.95, 0.97, 0.99, 1.0])
    found = calibration("abaaba", np.column_stack([confidence, 1 - confidence]), "ab", bins=10)
    low, high = found.bins
    assert (low.low, low.high, low.count, low.correct) == (0.5, 0.6, 2, 1)
    assert (high.low, high.high, high.count, high.correct) == (0.9, 1.0, 4, 3)
    assert (low.confidence, low.accuracy) == pytest.approx((0.565, 0.5), **EXACT)
    assert (high.confidence, high.accuracy) == pytest.approx((0.9775, 0.75), **EXACT)
    assert (low.gap, high.gap) == pytest.approx((0.065, 0.2275), **EXACT)
    assert found.ece == pytest.approx((2 * 0.065 + 4 * 0.2275) / 6, **EXACT)
    assert found.largest_gap == pytest.approx(0.2275, **EXACT)


@pytest.mark.parametrize("edge", [9, 12, 15])
def test_a_confidence_on_an_edge_falls_in_the_bin_below_it(edge: int) -> None:
    share = edge / 15
    (only,) = calibration("a", [[share, 1 - share]], "ab").bins
    assert only.high == share
    assert only.low == (edge - 1) / 15


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_gaps_lie_within_what_calls_can_show(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, 20).tolist()
    proba = rng.dirichlet([0.3] * 4, 20)
    found = calibration(truth, proba, CLASSES, bins)
    over_all = abs(proba.max(axis=1).mean() - sum(b.correct for b in found.bins) / 20)
    # coarser bins hide gaps: none says less than the single one
    assert over_all - 1e-12 <= found.ece <= found.largest_gap + 1e-12 <= 1 + 1e-12


@pytest.mark.parametrize("score", [log_loss, brier, calibration])
@pytest.mark.parametrize(
    "row", [[0.5, 0.6], [-0.1, 1.1], [np.nan, 1.0], [2.0, -3.0], [np.inf, -np.inf]]
)
def test_scores_that_are_not_probabilities_are_refused(score: Any, row: list[float]) -> None:
    with pytest.raises(DataError, match=r"row 1: .* are not probabilities; calibrate"):
        score("ab", [[0.5, 0.5], row], "ab")


def test_probabilities_in_single_precision_are_taken() -> None:
    proba = np.random.default_rng(0).dirichlet([1.0] * 12, 500).astype(np.float32)
    truth = [chr(97 + k % 12) for k in range(500)]
    found = log_loss(truth, proba, "abcdefghijkl")
    own = proba[np.arange(500), np.arange(500) % 12].astype(float)
    assert found == pytest.approx(-np.log(own).mean(), **EXACT)


@pytest.mark.parametrize("score", [auc, log_loss, brier, calibration])
def test_rows_columns_and_classes_have_to_fit(score: Any) -> None:
    with pytest.raises(UsageError, match=r"shape \(1, 2\) for 2 wells and 2 classes"):
        score("ab", [[0.5, 0.5]], "ab")
    with pytest.raises(UsageError, match="each class once"):
        score("a", [[0.5, 0.5]], "aa")
    with pytest.raises(DataError, match="row 0: class 'z' is not among a, b"):
        score("z", [[0.5, 0.5]], "ab")
    with pytest.raises(DataError, match="no wells"):
        score("", np.zeros((0, 2)), "ab")


def test_what_cannot_be_ranked_or_binned_is_refused() -> None:
    with pytest.raises(DataError, match="row 1: NaN"):
        auc("ab", [[0.0, 1.0], [np.nan, 1.0]], "ab")
    with pytest.raises(UsageError, match="folds of 1 wells for 2"):
        auc("ab", [[0, 1], [1, 0]], "ab", folds=[0])
    with pytest.raises(UsageError, match="bins=0"):
        calibration("a", [[0.5, 0.5]], "ab", bins=0)
