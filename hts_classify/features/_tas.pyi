from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

class BadLabelError(Exception): ...

class Objects:
    def __len__(self) -> int: ...
    def labels(self) -> list[int]: ...
    def pixels(self) -> list[int]: ...

class Histogram:
    def __init__(self, image: NDArray[Any]) -> None: ...
    def figures(self, full_scale: int) -> dict[str, float]: ...

def kernels() -> tuple[str, ...]: ...
def all_finite(image: NDArray[Any]) -> bool: ...
def chosen_kernel(name: str | None = None) -> str: ...
def find_objects(
    labels: NDArray[Any], *, mask: bool = False, kernel: str | None = None
) -> Objects: ...
def measure(
    image: NDArray[Any],
    objects: Objects | None,
    out: NDArray[np.float64] | None,
    levels: NDArray[np.float64] | None,
    threshold: float = ...,
    margin: float = ...,
    mu: float = ...,
    is_volume: bool = False,
    as_mahotas: bool = False,
    reflect: bool = False,
    kernel: str | None = None,
    exact_margin: Callable[[float], float] | None = None,
    histogram: Histogram | None = None,
) -> None: ...
def count(
    image: NDArray[Any],
    objects: Objects | None,
    out: NDArray[np.uint64],
    *,
    mu: float,
    margin: float,
    is_volume: bool = False,
    reflect: bool = False,
    kernel: str | None = None,
) -> None: ...
def from_histogram(
    counts: NDArray[np.uint64], *, threshold: float = ..., as_mahotas: bool = False
) -> tuple[float, int, int, float]: ...
