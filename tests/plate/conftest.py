from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import Written, noise, write


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a plate of 3 wells, 1, 2 and 1 fields of 2 × 16 × 20 uint16, unless told otherwise."""

    def _make(wells: Mapping[str, Sequence[np.ndarray]] | None = None, **how: Any) -> Path:
        if wells is None:
            fields = [noise(2, 16, 20, seed=seed) for seed in range(4)]
            wells = {"B/10": fields[:1], "B/2": fields[1:3], "A/3": fields[3:]}
        return write(tmp_path / "plate.ome.zarr", wells, Written(**how))

    return _make
