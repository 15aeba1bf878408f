"""Negative controls that set a plate's scale: which wells, and what a path sees of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .models.protocol import Inputs
from .plate import control_kinds
from .predictions import UNFOLDED
from .seen import Tiles, seen
from .splits import Folds
from .vocabulary import PLATE, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["control_rows", "controls_of", "negative_controls", "usable_controls"]


def negative_controls(wells: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the wells that the plate map calls negative controls (`negcon`)."""
    return (control_kinds(wells) == "negcon").to_numpy(bool)


def control_rows(features: pd.DataFrame, wells: pd.DataFrame) -> dict[str, NDArray[np.intp]]:
    """Return the rows of `features` that are of these wells, by plate."""
    joined = features[[PLATE, WELL]].reset_index(names="_row").merge(wells[[PLATE, WELL]])
    return {
        str(plate): np.sort(rows.to_numpy(np.intp))
        for plate, rows in joined.groupby(PLATE, sort=True)["_row"]
    }


def controls_of(
    path: str, features: pd.DataFrame, tiles: Tiles, wells: pd.DataFrame
) -> dict[str, Inputs]:
    """Return of each plate what a path sees of these wells: controls that set its scale."""
    return {
        plate: seen(path, features, tiles, rows)[0]
        for plate, rows in control_rows(features, wells).items()
    }


def usable_controls(folds: Folds, fold: int) -> NDArray[np.bool_]:
    """Mark the negative controls that a fold does not score: they may set a plate's scale."""
    controls = negative_controls(folds.wells)
    return controls if fold == UNFOLDED else controls & ~folds.tested(fold)
