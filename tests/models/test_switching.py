from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from hts_classify.models.protocol import Pictorial, Switch, Tabular
from hts_classify.models.svm import TasSvm
from hts_classify.models.switching import switched


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_those_of_the_examples_after_the_exchange(classes: int) -> None:
    rng = np.random.default_rng(classes)
    number = np.arange(90) % classes
    rows = rng.normal(size=(90, 12)) * 10.0 ** (np.arange(12) % 3)
    rows[:, 0] += 2 * number
    targets = [f"class {n}" for n in number]
    model = TasSvm()
    inner = [(np.arange(0, 40), np.arange(40, 60))]
    model.fit(rows[:60], targets[:60], inner=inner, seed=0)
    assert isinstance(model, Tabular)
    assert not isinstance(model, Pictorial)
    switches = [
        Switch(np.array(columns, np.intp), rng.integers(60, size=30))
        for columns in ([0], [3, 4, 5], list(range(12)), [])
    ]
    points = [model.embedded(some) for some in (rows[60:], rows[:60])]
    found = list(model.switched(*points, switches))
    for (columns, donors), scores in zip(switches, found, strict=True):
        changed = rows[60:].copy()
        changed[:, columns] = rows[donors][:, columns]
        np.testing.assert_allclose(scores, model.scores(changed), atol=1e-9)


def test_classes_of_unlike_sizes_and_vectors_keep_their_machines() -> None:
    """Four classes of 3 to 40 examples: each has another number of support vectors."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(4), [3, 40, 9, 22])
    rows = rng.normal(size=(74, 3)) + number[:, None] * [1.0, 0, 0]
    machine = SVC(C=3, gamma=0.5, class_weight="balanced").fit(rows, number)
    (found,) = switched(machine, rows, rows, [Switch(np.array([1]), np.arange(74))])
    np.testing.assert_allclose(found, machine.decision_function(rows), atol=1e-9)
