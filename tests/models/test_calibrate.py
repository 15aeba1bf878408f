from __future__ import annotations

import numpy as np
import pytest

from hts_classify.models.calibrate import log_proba, proba, temperature


def draw(examples: int, classes: int, *, scale: float, seed: int = 0):
    """Scores whose softmax at `scale` is how often each class is true."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(0, 2, (examples, classes))
    chances = np.cumsum(proba(logits, scale), axis=1)
    numbers = (rng.random((examples, 1)) > chances).sum(axis=1)
    return logits, np.minimum(numbers, classes - 1)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_temperature_that_made_the_classes_is_found(classes, scale):
    logits, numbers = draw(4000, classes, scale=scale)
    assert temperature(logits, numbers) == pytest.approx(scale, rel=0.1)


def test_it_is_where_the_loss_is_lowest():
    logits, numbers = draw(300, 3, scale=4.0)
    members = np.bincount(numbers)
    own = (members[numbers] + 1) / (members[numbers] + 3)
    targets = np.repeat(((1 - own) / 2)[:, None], 3, axis=1)
    targets[np.arange(300), numbers] = own

    def loss(at: float) -> float:
        rows = -(targets * log_proba(logits, at)).sum(axis=1)
        return float(np.mean([rows[numbers == number].mean() for number in range(3)]))

    best = temperature(logits, numbers)
    assert all(loss(best) < loss(best * factor) for factor in (0.9, 0.99, 1.01, 1.1))


def test_classes_count_alike_whatever_their_sizes():
    logits, numbers = draw(400, 2, scale=2.0)
    often = np.concatenate([np.arange(400), np.repeat(np.flatnonzero(numbers == 0), 9)])
    once = temperature(logits, numbers)
    assert temperature(logits[often], numbers[often]) == pytest.approx(once, rel=0.02)


def test_a_dozen_right_calls_do_not_make_it_certain():
    numbers = np.arange(12) % 3
    logits = np.eye(3)[numbers] * 50.0
    sure = proba(logits, temperature(logits, numbers)).max(axis=1)
    assert np.all(sure < 0.8)
    many = np.tile(numbers, 100)
    surer = proba(logits[:1], temperature(np.eye(3)[many] * 50.0, many)).max()
    assert 0.99 < surer < 1


@pytest.mark.parametrize("flip", [0.0, -1.0])
def test_scores_that_say_nothing_or_mislead_make_every_class_as_likely(flip):
    numbers = np.arange(30) % 3
    logits = flip * np.eye(3)[numbers]
    found = proba(logits, temperature(logits, numbers))
    np.testing.assert_allclose(found, 1 / 3, atol=1e-3)


def test_scores_of_any_size_stay_probabilities():
    found = proba(np.array([[1e6, -1e6, 0.0], [-1e300, 0.0, 0.0]]), 1e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isfinite(log_proba(np.array([[1e6, 0.0]]), 1.0)).all()


def test_a_class_that_no_example_shows_is_allowed():
    assert 0 < temperature(np.array([[3.0, 0, 0], [0, 3.0, 0]]), np.array([0, 1])) < 1000
