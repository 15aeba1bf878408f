"""AnnData of wells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exported import labelled
from pycytominer.cyto_utils import load_profiles

from hts_classify import PassSettings, export, extract
from hts_classify.errors import UsageError

anndata = pytest.importorskip("anndata")


@pytest.fixture
def made(tiny_run: Path, tmp_path: Path) -> Any:
    (file,) = export(tiny_run, tmp_path, kinds=["anndata"])
    assert file.name == "wells.h5ad"
    return anndata.read_h5ad(file)


def test_wells_by_features(made: Any, tiny_run: Path, tmp_path: Path) -> None:
    wells = pd.read_parquet(export(tiny_run, tmp_path / "p", kinds=["profiles"])[1])
    np.testing.assert_array_equal(made.X, wells[list(made.var_names)].to_numpy())
    assert made.obs["Metadata_Well"].tolist() == wells["Metadata_Well"].tolist()
    assert made.obs["Metadata_Compound"].tolist() == wells["Metadata_Compound"].tolist()
    assert made.obs["Metadata_Concentration"].dtype == float
    last = made.var.loc["Image_PFTAS_GFP_Lower_Off_8"]
    assert last.to_dict() == {
        "kind": "PFTAS",
        "channel": "GFP",
        "interval": "Lower",
        "half": "Off",
        "neighbours": 8,
    }


def test_calls_and_scores_of_each_path(made: Any, tiny_run: Path) -> None:
    calls = pd.read_parquet(tiny_run / "predictions.parquet")
    wells = calls[calls["Level"] == "well"].set_index(["Path", "Metadata_Well"])
    for path in ("tas_svm", "cnn"):
        own = wells.loc[path].loc[made.obs["Metadata_Well"]]
        assert made.obs[f"Class_{path}"].tolist() == own["Class"].tolist()
        scores = made.obsm[f"scores_{path}"]
        assert list(scores) == ["coarse", "fine", "medium"]
        names = [f"Score_{name}" for name in scores]
        np.testing.assert_array_equal(scores.to_numpy(), own[names].to_numpy())


def test_settings_are_those_of_the_run(made: Any, tiny_run: Path) -> None:
    held = json.loads((tiny_run / "run.json").read_text())
    assert json.loads(made.uns["settings"]) == held


def test_a_pass_has_no_calls(tmp_path: Path) -> None:
    extract(labelled(tmp_path / "p.zarr"), tmp_path / "out", PassSettings(tile_sizes=(32,)))
    made = anndata.read_h5ad(export(tmp_path / "out", kinds=["anndata"])[0])
    assert made.shape == (4, 108)
    assert list(made.obs) == ["Metadata_Plate", "Metadata_Well", "Metadata_Fields"]
    assert not made.obsm
    assert json.loads(made.uns["settings"])["settings"]["features"] == "pftas"


def test_slashes_in_names_of_columns_and_classes_make_no_folders(
    tiny_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy)
    calls = pd.read_parquet(copy / "predictions.parquet")
    calls = calls.rename(columns={"Score_fine": "Score_a/b", "Score_medium": "Score_a_b"})
    calls.insert(0, "Metadata_dose (ug/ml)", "3")
    calls.to_parquet(copy / "predictions.parquet")
    made = anndata.read_h5ad(export(copy, kinds=["anndata"])[0])
    assert made.obs["Metadata_dose (ug_ml)"].tolist() == ["3"] * 12
    own = calls[(calls["Level"] == "well") & (calls["Path"] == "cnn")].set_index("Metadata_Well")
    scores = own.loc[made.obs["Metadata_Well"], ["Score_coarse", "Score_a/b", "Score_a_b"]]
    assert list(made.obsm["scores_cnn"]) == ["coarse", "a_b_2", "a_b"]
    np.testing.assert_array_equal(made.obsm["scores_cnn"].to_numpy(), scores.to_numpy())


def test_pycytominer_takes_it_too(tiny_run: Path, tmp_path: Path) -> None:
    table = load_profiles(export(tiny_run, tmp_path, kinds=["anndata"])[0])
    assert table.filter(like="Image_PFTAS_").shape == (12, 108)


def test_without_anndata_it_is_refused_before_any_work(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hts_classify.exports.annotated.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'hts_classify\[anndata\]'"):
        export(tiny_run, tmp_path / "x", kinds=["csv", "anndata"])
    assert not (tmp_path / "x").exists()
    assert export(tiny_run, tmp_path / "x", kinds=["profiles"])
