"""Calling by cascade: which wells TAS + SVM leaves to the CNN, and what is called in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .models.calibrate import proba
from .predictions import Aggregate, with_calls
from .scoring import Scored, called
from .vocabulary import LEVEL, PATH, PLATE, PROBA, SCORE, WELL, columns_with

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = ["PATH_NAME", "Unsure", "with_cascade"]

PATH_NAME = "cascade"
"""What rows of the table of calls say as their path."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Marks the fields of wells of whose call a model is less sure than a threshold."""

    model: Classifier
    aggregate: Aggregate
    threshold: float
    """Probability of the call, calibrated."""

    def __call__(self, features: pd.DataFrame, found: Scored) -> NDArray[np.bool_]:
        """Mark rows of `features`; wells are whole, so that a well goes or stays as one."""
        own = self.model.temperature
        table = called(self.model, features, found, aggregate=self.aggregate, temperature=own)
        wells = table[table[LEVEL] == "well"]
        scores = wells[columns_with(SCORE, wells)].to_numpy(np.float64)
        sure = proba(scores, own).max(axis=1)
        sent = wells.loc[sure < self.threshold, [PLATE, WELL]]
        chosen = set(sent.itertuples(index=False, name=None))
        places = features[[PLATE, WELL]].itertuples(index=False, name=None)
        return np.array([place in chosen for place in places], bool)


def with_cascade(table: pd.DataFrame) -> pd.DataFrame:
    """Add a row for each field and well: the CNN's where it looked, that of TAS + SVM elsewhere.

    Scores of these rows are log-probabilities, which both paths have on one scale; so are their
    margins.

    Parameters
    ----------
    table : DataFrame
        Calls of both paths with `Proba_` columns; the CNN's of some wells.
    """
    import pandas as pd

    sent = table[table[PATH] == "cnn"]
    chosen = set(sent[[PLATE, WELL]].itertuples(index=False, name=None))
    places = table[[PLATE, WELL]].itertuples(index=False, name=None)
    stays = np.array([place not in chosen for place in places], bool)
    rows = table[(table[PATH] == "cnn") | ((table[PATH] == "tas_svm") & stays)]
    rows = rows.sort_values([LEVEL, PLATE, WELL], kind="stable").assign(**{PATH: PATH_NAME})
    names = columns_with(SCORE, table)
    likely = rows[[PROBA + name.removeprefix(SCORE) for name in names]].to_numpy(np.float64)
    rows[names] = np.log(np.maximum(likely, np.finfo(np.float64).tiny))
    return pd.concat([table, with_calls(rows, names)[list(table)]], ignore_index=True)
