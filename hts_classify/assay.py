"""What a screen asks of its classes: whether controls stand apart, and at which dose they come.

Both follow the log-odds of a class, from probabilities that are calibrated on training folds: its
scale is that of all folds, and has no ends that wells would be pressed against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, DesignError
from .evaluate import log_odds
from .plate import control_kinds
from .statistics.dose import DoseFit, fit_dose_response
from .statistics.screening import PlateQuality, by_plate
from .vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    FOLD,
    LEVEL,
    PATH,
    PLATE,
    PROBA,
    ROLE,
    TARGET,
    UNLABELLED,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DoseResponse", "Separation", "dose_responses", "separations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How far apart one path sees a plate's negative and positive controls."""

    path: str
    plate: str
    target: str
    """The positive controls' class, whose log-odds is the score."""
    found: PlateQuality


def separations(table: pd.DataFrame) -> list[Separation]:
    """Hold negative against positive controls, on each plate, as each path scored them.

    Parameters
    ----------
    table : DataFrame
        Predictions with `Proba_` columns and the plate map's control types. Wells count that a
        model called which had not seen them; others would look better than they are.

    Returns
    -------
    list of Separation
        One a path, plate and class of positive controls; empty without both kinds of controls.
    """
    wells = table[(table[LEVEL] == "well") & (table[FOLD] >= 0)]
    wells = wells.assign(_kind=control_kinds(wells).to_numpy(str))
    wells = wells[wells["_kind"].isin(["negcon", "poscon"])]
    if wells["_kind"].nunique() < 2:
        return []
    found = []
    for target in sorted(wells.loc[wells["_kind"] == "poscon", TARGET].unique()):
        part = wells[(wells["_kind"] == "negcon") | (wells[TARGET] == target)]
        part = part[part[f"{PROBA}{target}"].notna()]  # called by models that know the class
        for path, own in part.groupby(PATH, sort=True):
            plates = by_plate(_scores(own, target), own[PLATE].tolist(), own["_kind"].tolist())
            found += [
                Separation(path=str(path), plate=plate, target=str(target), found=one)
                for plate, one in plates.items()
            ]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseResponse:
    """What one path says of one compound's wells that have no class, dose by dose."""

    path: str
    compound: str
    target: str
    """The class whose calls and scores are followed."""
    doses: tuple[tuple[float, int, int], ...]
    """Concentration, wells called `target`, wells."""
    rho: float | None
    """Spearman's rank correlation of the class's score with concentration, over wells."""
    fit: DoseFit | None
    """Of the class's log-odds; None where the wells do not allow a fit."""
    said: str
    """The EC50 in words, or why there is none."""


def dose_responses(table: pd.DataFrame) -> list[DoseResponse]:
    """Follow each class over each compound's concentrations, by the models of all wells.

    Parameters
    ----------
    table : DataFrame
        Predictions with `Proba_` columns and the plate map's compound and concentration. Wells
        without a class count: no model has seen those.

    Returns
    -------
    list of DoseResponse
        Of two classes the second says it all. Empty without compounds or concentrations;
        compounds with fewer than three different concentrations are left out.
    """
    from scipy import stats

    if COMPOUND not in table or CONCENTRATION not in table:
        return []
    wells = table[(table[LEVEL] == "well") & (table[ROLE] == UNLABELLED)]
    classes = [name.removeprefix(PROBA) for name in columns_with(PROBA, table)]
    found = []
    for (path, compound), part in wells.groupby([PATH, COMPOUND], sort=True):
        part = part[part[CONCENTRATION].notna()]
        if part[CONCENTRATION].nunique() < 3:
            continue
        for name in classes[1:] if len(classes) == 2 else classes:
            score, hit = _scores(part, name), part[CALL] == name
            by_dose = hit.groupby(part[CONCENTRATION]).agg(["sum", "size"])
            varies = len(np.unique(score)) > 1
            rho = float(stats.spearmanr(score, part[CONCENTRATION]).statistic) if varies else None
            try:
                fit = fit_dose_response(part[CONCENTRATION].to_numpy(np.float64), score)
                said = fit.said
            except (DesignError, DataError) as error:
                fit, said = None, error.what
            found.append(
                DoseResponse(
                    path=str(path),
                    compound=str(compound),
                    target=name,
                    doses=tuple(
                        (float(dose), int(n), int(of))
                        for dose, n, of in by_dose.itertuples(index=True, name=None)
                    ),
                    rho=rho,
                    fit=fit,
                    said=said,
                )
            )
    return found


def _scores(wells: pd.DataFrame, target: str) -> NDArray[np.float64]:
    """Return the log-odds of a class."""
    names = columns_with(PROBA, wells)
    proba = np.nan_to_num(wells[names].to_numpy(np.float64))
    return np.asarray(log_odds(proba)[:, names.index(f"{PROBA}{target}")], np.float64)
