from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hts_classify.models.diagnosis import FINDINGS, balanced_accuracy, confused_pairs, diagnose


def fit(**changed: Any) -> dict[str, Any]:
    """Return the facts of a fit of two classes that went well, with some of them changed."""
    facts: dict[str, Any] = {
        "network": "compact",
        "weights_from": "",
        "scaling": "tile",
        "classes": {"arrest": 40, "nuclear": 40},
        "steps": {"planned": 150, "taken": 105, "best": 60},
        "batch": 32,
        "accumulate": 1,
        "learning_rate": 0.003,
        "judged_loss": 0.2,
        "judged_tiles": 40,
        "judged_confusion": [[19, 1], [2, 18]],
        "curve": curve(),
    }
    return facts | changed


def curve(rounds: int = 14, **columns: Any) -> list[dict[str, Any]]:
    """Return the curve of a fit that went well, with some columns replaced."""
    fall = np.exp(-np.arange(rounds) / 2)
    held = {
        "step": np.arange(1, rounds + 1) * 7,
        "rate": np.full(rounds, 0.003),
        "loss": 0.1 + 0.6 * fall,
        "accuracy": 0.97 - 0.4 * fall,
        "judged_loss": 0.2 + 0.5 * fall,
        "judged_accuracy": 0.92 - 0.4 * fall,
    } | columns
    return [
        {name: np.asarray(column)[k].item() for name, column in held.items()} for k in range(rounds)
    ]


def found(facts: dict[str, Any]) -> list[str]:
    """Return what each sentence begins with."""
    return [sentence.partition(":")[0] for sentence in diagnose(facts)]


def test_of_a_fit_that_went_well_nothing_is_said() -> None:
    assert diagnose(fit()) == []


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"C": 10.0, "gamma": 0.1, "inner_balanced_accuracy": 0.5, "inner_splits": 3},
        {"steps": {"planned": 4, "taken": 4, "best": 4}, "refit_steps": 4, "judged_loss": 2.0},
        {"network": "compact", "curve": [], "judged_confusion": [], "classes": {}},
        {"network": "compact", "curve": [{"step": 1}] * 20, "judged_confusion": [[0]]},
        fit(curve=curve(1), steps={}),
    ],
)
def test_facts_that_are_absent_are_not_judged(facts: dict[str, Any]) -> None:
    assert diagnose(facts) == []


def test_each_fact_alone_may_be_absent() -> None:
    amiss = fit(judged_confusion=[[20, 0], [20, 0]], curve=curve(judged_loss=np.linspace(1, 2, 14)))
    for name in amiss:
        diagnose({key: value for key, value in amiss.items() if key != name})


def test_a_collapse_names_the_class_and_the_counts() -> None:
    (sentence,) = diagnose(fit(judged_confusion=[[20, 0], [19, 1]]))
    assert sentence.startswith(
        "Calls one class: 39 of 40 judged tiles are called arrest, 20 are; balanced accuracy 52%."
    )
    assert "--learning-rate than 0.003" in sentence
    assert "--trials" in sentence


def test_a_loss_far_above_that_of_equal_scores_asks_for_a_lower_rate() -> None:
    thrown = curve(loss=np.r_[0.7, 137.7, np.full(12, 0.6)])
    (sentence,) = diagnose(fit(curve=thrown))
    assert sentence.startswith("Went astray: the training loss rose to 138, and equal scores")
    assert "Try a lower --learning-rate than 0.003" in sentence
    assert diagnose(fit(curve=curve(loss=np.linspace(2.0, 0.1, 14)))) == []


@pytest.mark.parametrize(
    ("confusion", "said"),
    [
        ([[20, 0], [3, 17]], []),
        ([[97, 0], [1, 2]], []),  # so many called one class, because so many are
        ([[97, 0], [3, 0]], ["Calls one class"]),
        ([[0, 20], [0, 20]], ["Calls one class"]),
        ([[40, 0], [0, 0]], []),  # there is nothing else to be called
    ],
)
def test_a_collapse_is_one_where_the_other_classes_are_lost(
    confusion: list[list[int]], said: list[str]
) -> None:
    assert found(fit(judged_confusion=confusion)) == said


def test_a_loss_of_equal_scores_is_no_better_than_chance() -> None:
    (sentence,) = diagnose(fit(judged_loss=math.log(2)))
    assert sentence.startswith("Is no better than chance: the judged loss is never below 0.69,")
    assert "--scaling training" in sentence
    assert "--scaling" not in diagnose(fit(judged_loss=0.7, scaling="training"))[0]
    assert diagnose(fit(judged_loss=0.68)) == []


def test_an_underfit_is_training_accuracy_like_the_commonest_class() -> None:
    poor = {"judged_confusion": [[11, 9], [9, 11]], "curve": curve(accuracy=np.full(14, 0.53))}
    (sentence,) = diagnose(fit(**poor))
    assert "53% of the training tiles are called right, and the commonest class alone is 50%" in (
        sentence
    )
    assert "--epochs" in sentence


def test_a_network_that_tells_rare_classes_apart_does_not_underfit() -> None:
    """Its plain accuracy is below the commonest class's share where classes count alike."""
    rare = fit(
        classes={"arrest": 90, "nuclear": 10},
        judged_confusion=[[40, 8], [0, 6]],
        curve=curve(accuracy=np.full(14, 0.85)),
    )
    assert diagnose(rare) == []
    assert found(rare | {"judged_confusion": [[40, 8], [5, 1]]}) == ["Underfits"]


def test_an_underfit_is_a_training_loss_that_does_not_fall() -> None:
    flat = curve(loss=np.full(14, 0.66))
    (sentence,) = diagnose(fit(curve=flat))
    assert "has not fallen: 0.66 in the first round, 0.66 in the last 3" in sentence
    low = curve(loss=np.full(14, 0.05))  # learned within the first round
    assert diagnose(fit(curve=low)) == []


def test_an_overfit_is_a_gap_at_the_end() -> None:
    apart = curve(accuracy=np.full(14, 0.99), judged_accuracy=np.full(14, 0.61))
    (sentence,) = diagnose(fit(curve=apart))
    assert sentence.startswith(
        "Overfits: in the last 3 rounds 99% of the training tiles are called right, and 61% of"
        " the 40 judged ones, each class counting alike."
    )
    assert "--weights" in sentence
    tuned = fit(curve=apart, weights_from="imagenet", tune="all")
    assert "--tune last" in diagnose(tuned)[0]


def test_an_overfit_is_a_judged_loss_that_rises_again() -> None:
    rising = curve(judged_loss=0.4 + 0.05 * np.abs(np.arange(14) - 4))
    (sentence,) = diagnose(fit(curve=rising))
    assert "the judged loss was lowest after step 35, 0.40, and ended at 0.80" in sentence
    tiny = curve(judged_loss=0.01 + 0.005 * np.abs(np.arange(14) - 4))
    assert diagnose(fit(curve=tiny)) == []


def test_a_fit_that_still_improved_at_the_plans_end_is_told_to_go_on() -> None:
    falling = curve(20, judged_loss=np.linspace(0.69, 0.3, 20))
    steps = {"planned": 150, "taken": 150, "best": 150}
    (sentence,) = diagnose(fit(curve=falling, steps=steps))
    assert "over the last 5 rounds of the 150 steps planned the judged loss fell from" in sentence
    assert sentence.endswith("Train longer: --steps 300.")
    assert diagnose(fit(curve=falling, steps=steps | {"planned": 200})) == []
    level = curve(20, judged_loss=np.r_[np.linspace(0.69, 0.3, 15), np.full(5, 0.299)])
    assert diagnose(fit(curve=level, steps=steps)) == []


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"arrest": 40, "nuclear": 5}, ""),
        ({"arrest": 40, "nuclear": 4}, "4 of nuclear, beside 40 of arrest"),
        ({"arrest": 400, "nuclear": 39}, "39 of nuclear, beside 400 of arrest"),
        ({"arrest": 3, "nuclear": 4}, "3 of arrest, 4 of nuclear. Image more wells of them"),
        (dict.fromkeys("abcde", 2) | {"f": 9}, "2 of a, 2 of b, 2 of c and 2 classes more"),
    ],
)
def test_rare_classes_are_named(classes: dict[str, int], said: str) -> None:
    sentences = diagnose({"network": "compact", "classes": classes})
    assert bool(said) == bool(sentences)
    assert said in "".join(sentences)


def test_a_batch_that_memory_did_not_hold_is_said() -> None:
    (sentence,) = diagnose(fit(accumulate=4))
    assert "memory did not hold a batch of 32 in one; each went through the network in 4 parts" in (
        sentence
    )


def test_degrees_of_one_thing_are_said_once_and_the_most_serious_first() -> None:
    amiss = fit(
        judged_confusion=[[20, 0], [20, 0]],
        judged_loss=0.9,
        accumulate=2,
        classes={"arrest": 40, "nuclear": 2},
        curve=curve(judged_loss=np.linspace(0.9, 3, 14), accuracy=np.full(14, 0.5)),
    )
    assert found(amiss | {"curve": curve(loss=np.full(14, 2.1))})[0] == FINDINGS[0]
    assert found(amiss) == [FINDINGS[k] for k in (1, 4, 6, 7)]


def test_every_sentence_says_what_to_try() -> None:
    for sentence in diagnose(fit(accumulate=2, judged_loss=0.9, classes={"a": 40, "b": 2})):
        what, seen = sentence.split(": ", 1)
        assert what in FINDINGS
        assert seen.count(". ") == 1  # what is seen. What to try.
        assert sentence.endswith(".")


def test_pairs_are_ordered_by_count_then_share_then_name() -> None:
    confusion = np.array([[0, 4, 2], [4, 4, 2], [0, 0, 9]])
    assert confused_pairs(confusion, ["a", "b", "c"]) == [
        ("a", "b", 4, 6),
        ("b", "a", 4, 10),
        ("a", "c", 2, 6),
    ]
    assert confused_pairs(np.diag([3, 4]), ["a", "b"]) == []


def test_a_class_without_judged_tiles_has_no_recall() -> None:
    assert balanced_accuracy([[3, 1, 0], [0, 0, 0], [0, 0, 4]]) == pytest.approx(0.875)
    assert balanced_accuracy([]) is None
    assert balanced_accuracy([[0]]) is None


def test_crops_are_called_crops():
    facts = {"classes": {"a": 40, "b": 3}, "judged_confusion": [[8, 0], [1, 0]], "accumulate": 2}
    of_tiles, of_crops = diagnose(facts), diagnose(facts | {"crops": True})
    assert [said.partition(":")[0] for said in of_crops] == [
        said.partition(":")[0] for said in of_tiles
    ]
    assert "all 9 judged crops" in of_crops[0]
    assert "--crop-size" in of_crops[-1]
    assert "--tile-size" not in " ".join(of_crops)
