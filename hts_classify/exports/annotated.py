"""Profiles as AnnData, for scanpy and its kin: wells by features, in one `.h5ad`.

`X` holds the features of `wells.parquet`; `obs` what is known of each well and how each path calls
it; `var` what each feature is; `obsm["scores_<path>"]` the scores of each class; `uns["settings"]`
the settings of the run, as JSON. Names of columns have `_` for `/`, which HDF5 takes for a folder.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..files import whole
from ..vocabulary import (
    CALL,
    LEVEL,
    MARGIN,
    METADATA,
    PATH,
    PLATE,
    SCORE,
    WELL,
    columns_with,
)
from .held import Measured
from .image_sets import unused
from .profiles import well_profiles

if TYPE_CHECKING:
    import anndata
    import pandas as pd

__all__ = ["check_anndata", "to_anndata", "write_anndata"]


def check_anndata() -> None:
    """Refuse before any work where anndata is not installed.

    Raises
    ------
    UsageError
    """
    if find_spec("anndata") is None:
        raise UsageError(
            "--as anndata, and anndata is not installed",
            remedy="pip install 'hts_classify[anndata]', or leave it out",
        )


def to_anndata(measured: Measured) -> anndata.AnnData:
    """Make an AnnData of the wells.

    Returns
    -------
    anndata.AnnData
        Shape (wells, features). Observations are numbered from 0, since pycytominer reads no
        other names; `obs` says which well each is.
    """
    import anndata
    import pandas as pd

    table = well_profiles(measured)
    obs = table[columns_with(METADATA, table)]
    obs.index = pd.Index([str(row) for row in range(len(obs))], dtype=object)
    scores: dict[str, pd.DataFrame] = {}
    for path, own in _calls(measured).items():
        aligned = obs[[PLATE, WELL]].merge(own, on=[PLATE, WELL], how="left").set_index(obs.index)
        obs = obs.join(aligned[[CALL, MARGIN]].add_suffix(f"_{path}"))
        classes = columns_with(SCORE, aligned)
        named = aligned[classes].rename(columns=lambda c: c[len(SCORE) :])
        scores[f"scores_{path}"] = _without_slashes(named)
    return anndata.AnnData(
        X=table[measured.features].to_numpy(np.float64),
        obs=_storable(_without_slashes(obs)),
        var=_variables(measured.features),
        obsm=scores,
        uns={"settings": json.dumps(measured.settings, sort_keys=True)},
    )


def write_anndata(path: Path, measured: Measured) -> None:
    """Write the wells as `.h5ad`, whole or not at all."""
    made = to_anndata(measured)
    with whole(path) as part:
        made.write_h5ad(part)


def _calls(measured: Measured) -> dict[str, pd.DataFrame]:
    """Return the well rows of each path."""
    calls = measured.calls
    if calls is None:
        return {}
    wells = calls[calls[LEVEL] == "well"]
    return {str(path): wells[wells[PATH] == path] for path in wells[PATH].drop_duplicates()}


def _variables(names: list[str]) -> pd.DataFrame:
    """Say what each feature is, by the parts of its name."""
    import pandas as pd

    parts = [name.split("_") for name in names]
    return pd.DataFrame(
        {
            "kind": [part[1] for part in parts],
            "channel": [part[2] for part in parts],
            "interval": [part[3] for part in parts],
            "half": [part[4] for part in parts],
            "neighbours": [int(part[5]) for part in parts],
        },
        index=pd.Index(names, dtype=object),
    )


def _without_slashes(table: pd.DataFrame) -> pd.DataFrame:
    """Rename columns that HDF5 could not hold; names that are taken get numbers."""
    names = {str(name): str(name) for name in table if "/" not in str(name)}
    for title in [str(name) for name in table if "/" in str(name)]:
        names[title] = unused(title.replace("/", "_"), names.values())
    return table.rename(columns=names)


def _storable(obs: pd.DataFrame) -> pd.DataFrame:
    """Make text of what is neither a number nor a truth value; what is missing stays so."""
    columns: dict[Any, Any] = {
        name: column.astype("category")
        for name, column in obs.items()
        if column.dtype.kind not in "iufb"
    }
    return obs.assign(**columns)
