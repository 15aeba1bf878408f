from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_DEN: int

def loops() -> tuple[str, ...]: ...
def shrink(
    image: NDArray[Any],
    out: NDArray[np.float32],
    num: int,
    den: int,
    *,
    instructions: str | None = None,
) -> None: ...
def focus(image: NDArray[Any], *, instructions: str | None = None) -> float: ...
