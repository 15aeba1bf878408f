from __future__ import annotations

import numpy as np
import pytest

from hts_classify.errors import DataError, DesignError
from hts_classify.models.examples import encode, usable_splits


def test_inputs_and_targets_must_be_as_many():
    with pytest.raises(DataError, match="3 examples and 2 targets"):
        encode(np.zeros((3, 1)), ["a", "b"])


def test_one_class_is_no_problem_to_learn():
    with pytest.raises(DataError, match="at least two classes"):
        encode(np.zeros((2, 1)), ["a", "a"])


def test_splits_that_take_a_class_away_are_left_out():
    numbers = np.array([0, 0, 1, 1])
    good = (np.array([0, 2]), np.array([1, 3]))
    bad = (np.array([0, 1]), np.array([2, 3]))
    empty = (np.array([0, 2]), np.array([], dtype=np.intp))
    assert usable_splits([bad, empty, good], numbers, ["a", "b"]) == [good]


def test_no_usable_split_names_the_class_and_the_remedy():
    split = (np.array([0, 1]), np.array([2, 3]))
    with pytest.raises(DesignError, match=r"lacking: nuclear\); split .* by a finer unit"):
        usable_splits([split], np.array([0, 0, 1, 1]), ["cytoplasmic", "nuclear"])


def test_no_split_at_all_is_an_error():
    with pytest.raises(DesignError, match="none of the 0 inner splits"):
        usable_splits([], np.array([0, 1]), ["a", "b"])
