"""Toy problems that both classifiers can learn in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True)
class Problem:
    """Examples, their classes, and inner splits by well (four examples a well)."""

    inputs: NDArray[Any]
    targets: list[str]
    inner: list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def by_well(examples: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Three splits; wells alternate between the classes, so each half has them all."""
    fold = np.arange(examples) // 8 % 3
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(3)]


def textures(rng: np.random.Generator, examples: int, side: int = 24) -> Problem:
    """Stripes and spots of equal coverage, each tile with a gain and a background of its own."""
    y, x = np.mgrid[:side, :side]
    tiles, targets = [], []
    for number in range(examples):
        striped = number // 4 % 2 == 0
        shift = rng.integers(0, 4, size=2)
        across = (x if number % 2 else y) + shift[0]
        pattern = across % 4 < 1 if striped else ((x + shift[0]) % 4 < 2) & ((y + shift[1]) % 4 < 2)
        signal = rng.poisson(20 + 60 * np.stack([pattern, pattern]))
        tiles.append(rng.uniform(1, 200) * signal + rng.uniform(0, 2000))
        targets.append("stripes" if striped else "spots")
    return Problem(np.asarray(tiles, dtype=np.float32), targets, by_well(examples))


@pytest.fixture(scope="session")
def learning() -> Problem:
    return textures(np.random.default_rng(1), 48)


@pytest.fixture(scope="session")
def unseen() -> Problem:
    return textures(np.random.default_rng(2), 64)


@pytest.fixture(scope="session")
def tables() -> tuple[Problem, Problem]:
    """Two draws of three classes in ten features, one of them constant."""
    draws = []
    for seed in (3, 4):
        rng = np.random.default_rng(seed)
        number = np.arange(72) % 3
        features = rng.normal(0, 1, (72, 10)) * 10.0 ** np.arange(10)
        features[:, 0] += 5 * (number == 0)
        features[:, 1] += 50 * (number == 1)
        features[:, 9] = 7.0
        draws.append(Problem(features, [f"class {n}" for n in number], by_well(72)))
    return draws[0], draws[1]
