"""The figures of the profiling literature, beside those of the trained classifiers.

::

    neighbours    is a well's nearest neighbour of its class, as each path sees it? NSC and NSCB
    profiles      what wells are compared by: standardised features, or what a fold's model sees
    draws         is kin more alike than profiles drawn at random? percent replicating, matching
    replicates    do replicates find each other, and compounds of a class? mAP by copairs

Nothing here is trained on top of the profiles: neighbours are named by cosine similarity alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..splits import Folds
from .neighbours import Matches, Neighbours, neighbours
from .profiles import Profiles, feature_profiles, unseen_profiles
from .replicates import Kin, Reproduced, Reproducibility, classes_of, replicates_of, reproducibility

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Kin",
    "Matches",
    "Neighbours",
    "Profiles",
    "Reproduced",
    "Reproducibility",
    "classes_of",
    "feature_profiles",
    "matched",
    "neighbours",
    "replicates_of",
    "reproducibility",
    "unseen_profiles",
]


def matched(
    features: pd.DataFrame, folds: Folds, profiles: Mapping[tuple[str, int], Path], *, seed: int
) -> dict[str, Any]:
    """Return what `comparison.json` says of neighbours and of replicates.

    Parameters
    ----------
    features : DataFrame
        One row a field, as the pass left it.
    folds : Folds
    profiles : mapping
        By path and fold, the file of how that fold's model sees each well.
    seed : int
        Of what is drawn for the null distributions.

    Returns
    -------
    dict
        `neighbours` and `reproducibility`, lists of JSON types.
    """
    return {
        "neighbours": [asdict(one) for one in neighbours(profiles, folds.wells, folds.protocol)],
        "reproducibility": [
            asdict(one) for one in reproducibility(features, folds, profiles, seed=seed)
        ],
    }
