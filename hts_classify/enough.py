"""Whether enough negative controls are left, where a fold and its inner splits do not test them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .controls import negative_controls, usable_controls
from .errors import DesignError, UsageError
from .models.normalise import Normalisation, least_wells, offered
from .models.protocol import Split
from .splits import Folds, inner_splits
from .vocabulary import CONTROL, PLATE, TARGET

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_controls", "choices", "unused_controls"]


def check_controls(
    repeats: Iterable[Folds], *, normalise: Normalisation, scaling: str
) -> list[int]:
    """Refuse to bring plates to the scale of controls when too few of them are not tested.

    Parameters
    ----------
    repeats : iterable of Folds
        The folds of each repeat.
    normalise, scaling : str
        As `RunSettings.normalise` and `CnnSettings.scaling`.

    Returns
    -------
    list of int
        Of each fold how many are left on the plate that has fewest, where `auto` is to choose by
        that; empty otherwise.

    Raises
    ------
    UsageError
        When the plate map has no controls.
    DesignError
        When too few are left; it names the plate and the fold.
    """
    fewest: list[int] = []
    for dealt in repeats:
        for fold in range(dealt.count):
            _, splits = inner_splits(dealt.wells[dealt.training(fold)], seed=dealt.seed)
            if scaling == "controls":
                _check(dealt, fold, "--scaling", (), 1)
            if normalise == "auto":
                fewest.append(int(_left(dealt, fold, splits).min()))
            elif least := least_wells(normalise):
                _check(dealt, fold, "--normalise", splits, least)
    return fewest


def _check(folds: Folds, fold: int, flag: str, splits: Sequence[Split], least: int) -> None:
    """Refuse to bring plates to the scale of controls when too few of them are not tested."""
    remedy = f"choose another {flag}"
    if CONTROL not in folds.wells:
        raise UsageError(
            f"{flag} asks for controls, and the plate map has no column of control types",
            remedy=f"name it with --control-column, or {remedy}",
        )
    inner = ", nor an inner split judges" if splits else ""
    for plate, count in sorted(_left(folds, fold, splits).items()):
        if count < least:
            named = int((negative_controls(folds.wells) & (folds.wells[PLATE] == plate)).sum())
            spared = "leave some without a class, ask for more --folds"
            if named < least:
                spared = "write negcon in the column control_type of the plate map"
            raise DesignError(
                f"plate {plate} has {count or 'no'} negative control{'s' * (count > 1)} (negcon)"
                f" that fold {fold + 1} does not score{inner}; {flag} takes {least} or more",
                remedy=f"{spared}, or {remedy}",
            )


def _left(folds: Folds, fold: int, splits: Sequence[Split]) -> pd.Series[int]:
    """Count the negative controls of each plate that neither a fold nor its inner splits test.

    Of the inner splits those count whose learning half has every class: others are not used.
    """
    usable, training = usable_controls(folds, fold), np.flatnonzero(folds.training(fold))
    targets = folds.wells[TARGET].to_numpy(object)[training]
    masks = [usable]
    for learn, judge in splits:
        if set(targets[learn]) == set(targets):
            masks.append(usable & ~np.isin(np.arange(len(usable)), training[judge]))
    plates = folds.wells[PLATE]
    counts = [plates[mask].value_counts().reindex(plates.unique(), fill_value=0) for mask in masks]
    fewest = counts[0]
    for other in counts[1:]:
        fewest = fewest.where(fewest < other, other)
    return fewest


def choices(wells: pd.DataFrame, fewest: Sequence[int]) -> list[str]:
    """Say what `--normalise auto` chooses from."""
    if not fewest:
        return []
    every = offered(wells[PLATE].nunique())
    left = min(fewest)
    possible = [method for method in every if least_wells(method) <= left]
    lacking = [f"{method} takes {least_wells(method)}" for method in every[len(possible) :]]
    why = f"; of the negative controls of some plate {left} are left where they are not tested"
    return [
        f"normalisation is chosen from {', '.join(possible)}"
        + (f"{why}, and {', '.join(lacking)}" if lacking else "")
    ]


def unused_controls(folds: Folds, normalise: str) -> list[str]:
    """Say that plates could be brought to one scale, where nobody asked for it or against it."""
    wells = folds.wells
    controlled = set(wells.loc[negative_controls(wells), PLATE])
    if normalise != "none" or len(controlled) < 2 or controlled != set(wells[PLATE]):
        return []
    return [
        "every plate has negative controls; TAS features are taken as they are, and --normalise"
        " auto would try the controls' scale"
    ]
