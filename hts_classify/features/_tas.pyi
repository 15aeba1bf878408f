import numpy as np
from numpy.typing import NDArray

def kernels() -> tuple[str, ...]: ...
def histogram(image: NDArray[np.uint8] | NDArray[np.uint16], out: NDArray[np.uint64]) -> None: ...
def otsu_mahotas(histogram: NDArray[np.uint64]) -> int: ...
def count(
    image: NDArray[np.uint8] | NDArray[np.uint16],
    intervals: NDArray[np.uint16],
    out: NDArray[np.uint64],
    *,
    reflect: bool,
    kernel: str,
) -> None: ...
