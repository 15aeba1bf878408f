"""Which fields are not fit to be classified: out of focus, saturated, or empty.

Sharpness is held against the plate's own other fields, since what a sharp field's Laplacian
varies by depends on stain, cells and camera. A treatment that changes the cells changes it too:
so the rule is coarse, it flags, and only `--exclude-flagged` leaves a field out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from ..vocabulary import METADATA, PLATE, figure_column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FLAGS", "flags"]

FLAGS: Final = f"{METADATA}Flags"
"""Column that says what is wrong with a field; empty where nothing is."""

_LEAST_FIELDS: Final = 12  # of a plate, to say what is usual on it
_SPREADS: Final = 5.0  # robust standard deviations below the plate's median …
_LESS: Final = 3.0  # … and at least so many times less sharp than it
_SATURATED: Final = 1.0  # percent of pixels
_NORMAL: Final = 1.4826  # standard deviations in a median absolute deviation


def flags(quality: pd.DataFrame, channels: Sequence[str]) -> list[str]:
    """Say what is wrong with each field.

    A channel is out of focus when the logarithm of its Laplacian's variance is more than five
    robust standard deviations below the median of its plate and the variance less than a third of
    that median (plates of twelve fields or more); saturated with more than 1 % of its pixels at
    the full scale; without foreground when no pixel is above its threshold.

    Parameters
    ----------
    quality : DataFrame
        One row a field, with the columns of `vocabulary.figure_columns`.
    channels : sequence of str
        Channels to look at.

    Returns
    -------
    list of str
        `out of focus (DNA); saturated (GFP)`, or nothing, for each row.

    References
    ----------
    Pech-Pacheco et al., ICPR 2000 (variance of the Laplacian); Bray et al., J Biomol Screen
    2012, 17:266 (workflow of quality control for high-content screens).
    """
    found: dict[str, list[list[str]]] = {
        "out of focus": [[] for _ in range(len(quality))],
        "saturated": [[] for _ in range(len(quality))],
        "without foreground": [[] for _ in range(len(quality))],
    }
    for channel in channels:
        hits = {
            "out of focus": _blurred(quality, figure_column("LaplacianVariance", channel)),
            "saturated": quality[figure_column("PercentSaturated", channel)] > _SATURATED,
            "without foreground": quality[figure_column("PercentForeground", channel)] == 0,
        }
        for what, hit in hits.items():
            for row in np.flatnonzero(hit):
                found[what][row].append(channel)
    return [
        "; ".join(f"{what} ({', '.join(rows[k])})" for what, rows in found.items() if rows[k])
        for k in range(len(quality))
    ]


def _blurred(quality: pd.DataFrame, column: str) -> pd.Series[bool]:
    """Find fields that are much less sharp than their plate."""
    sharp = np.log(quality[column].clip(lower=1e-9))
    plates = sharp.groupby(quality[PLATE])
    below = plates.transform("median") - sharp
    spread = _NORMAL * below.abs().groupby(quality[PLATE]).transform("median")
    enough = plates.transform("size") >= _LEAST_FIELDS
    blurred: pd.Series[bool] = enough & (below > _SPREADS * spread) & (below > np.log(_LESS))
    return blurred
