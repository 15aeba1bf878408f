from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify import RunSettings, report, run
from hts_classify.explain import _packed, explanations
from hts_classify.models import load
from hts_classify.tiles import TileStore
from hts_classify.vocabulary import PATHS, PLATE, WELL

CALLS = [PLATE, WELL, "Path", "Fold", "Class", "Rival"]


def explained(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "explanations.parquet")


def kept(out: Path, step: str, kind: str = "explained") -> pd.DataFrame:
    (file,) = (out / "predictions").glob(f"{kind}-{step}-*.parquet")
    return pd.read_parquet(file)


@pytest.fixture(scope="module")
def unlabelled_run(
    tiny_plate: Path, quick: RunSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A run in which two wells have no class."""
    folder = tmp_path_factory.mktemp("unlabelled")
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    idle = platemap.index[platemap["phenotype"] == "fine"][:1].union(
        platemap.index[platemap["phenotype"] == "coarse"][:1]
    )
    platemap.loc[idle, "phenotype"] = None
    platemap.to_csv(folder / "map.csv", index=False)
    settings = replace(quick, platemap=folder / "map.csv", folds=2)
    return run(tiny_plate, settings, out=folder / "out"), sorted(platemap.loc[idle, "well"])


def test_every_call_has_its_row(tiny_run: Path) -> None:
    table = explained(tiny_run)
    calls = pd.read_parquet(tiny_run / "predictions.parquet")
    calls = calls[calls["Level"] == "well"]
    assert len(table) == len(calls) == 24
    both = table.merge(calls, on=[PLATE, WELL, "Path", "Fold"], suffixes=("", "_called"))
    assert len(both) == 24
    assert (both["Class"] == both["Class_called"]).all()
    assert len(pd.read_csv(tiny_run / "explanations.csv")) == 24


def test_the_nearest_wells_are_training_wells_of_that_fold_by_its_own_model(
    tiny_run: Path,
) -> None:
    folds = pd.read_csv(tiny_run / "folds.csv").set_index([PLATE, WELL])
    for path in PATHS:
        for row in explained(tiny_run).query("Path == @path").to_dict("records"):
            seen = kept(tiny_run, f"{path}-fold{row['Fold']}", "profiles").set_index(WELL)
            points = seen[[c for c in seen if c.startswith("Profile_")]].to_numpy(float)
            own = points[seen.index.get_loc(row[WELL])]
            if path == "tas_svm":
                apart = np.linalg.norm(points - own, axis=1)
            else:
                lengths = np.linalg.norm(points, axis=1) * np.linalg.norm(own)
                apart = 1 - points @ own / lengths
            found = pd.Series(apart, seen.index)[seen["Trained"].to_numpy()].sort_values()
            assert row["Nearest_Distance_1"] == pytest.approx(found.iloc[0], abs=1e-6)
            assert found[row["Nearest_Well_3"]] == pytest.approx(found.iloc[2], abs=1e-6)
            near = folds.loc[(row["Nearest_Plate_1"], row["Nearest_Well_1"])]
            assert near["Target"] == row["Nearest_Class_1"]
            assert near["Fold"] != row["Fold"]


def test_wells_without_a_class_are_explained_by_the_models_of_all_wells(
    unlabelled_run: tuple[Path, list[str]],
) -> None:
    out, idle = unlabelled_run
    table = explained(out)
    own = table[table["Fold"] == -1]
    assert sorted(own[WELL]) == sorted(2 * idle)
    assert own["Nearest_Well_3"].notna().all()
    assert not own["Nearest_Well_1"].isin(idle).any()
    maps = kept(out, "cnn-all")
    assert sorted(maps[WELL].unique()) == idle
    assert len(kept(out, "tas_svm-all")) == 0  # no class, no loss
    importance = json.loads((out / "comparison.json").read_text())["importance"]
    assert importance["folds"] == 2
    assert importance["fields"] == 20
    assert report(out).exists()


def test_importance_is_of_held_out_fields_of_every_fold(tiny_run: Path) -> None:
    importance = json.loads((tiny_run / "comparison.json").read_text())["importance"]
    assert importance["fields"] == 24
    assert len(importance["groups"]) == 2 * 3 * 2
    means = [one["mean"] for one in importance["statistics"]]
    assert means == sorted(means, reverse=True)
    name = importance["groups"][0]["name"]
    rises = [
        kept(tiny_run, f"tas_svm-fold{k}").set_index("Name").loc[name, "Rise"]
        for k in range(importance["folds"])
    ]
    assert importance["groups"][0]["mean"] == pytest.approx(np.mean(rises))
    assert importance["groups"][0]["spread"] == pytest.approx(np.std(rises, ddof=1))


def test_a_fits_maps_are_those_of_the_first_field_of_the_wells_that_it_calls(
    unlabelled_run: tuple[Path, list[str]],
) -> None:
    out, idle = unlabelled_run
    features = pd.read_parquet(out / "features.parquet")
    model: Any = load("cnn", out / "models", device="cpu")
    (size,) = (path.name for path in (out / "tiles.zarr").iterdir() if path.name.isdigit())
    store = TileStore(out / "tiles.zarr", int(size))
    maps = kept(out, "cnn-all")
    assert len(maps) == 2 * len(model.classes)
    for well in idle:
        first = features.loc[features[WELL] == well, "Metadata_Tile"].iloc[:1].to_numpy()
        expected = model.maps(store.read(first)).values[0]
        for name, one in zip(model.classes, expected, strict=True):
            (row,) = maps[(maps[WELL] == well) & (maps["Class"] == name)].to_dict("records")
            if not one.any():
                assert row["Map"] is None
                continue
            held = np.frombuffer(row["Map"], np.uint8).reshape(row["Rows"], row["Columns"])
            np.testing.assert_allclose(held / 255, one, atol=1 / 254)


def test_a_step_without_its_explanation_is_done_again(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(tiny_run, again)
    (file,) = (again / "predictions").glob("explained-tas_svm-fold1-*.parquet")
    content = file.read_bytes()
    file.unlink()
    run(tiny_plate, quick, out=again)
    assert file.read_bytes() == content


def test_its_time_is_noted_and_is_neither_training_nor_inference(tiny_run: Path) -> None:
    fits = json.loads((tiny_run / "timings.json").read_text())["fits"]
    assert all(fit["explain_s"] >= 0 for fit in fits.values())
    assert fits["cnn-fold0"]["explain_s"] > 0
    assert {"train_s", "score_s"} < set(fits["cnn-fold0"])


def rows(path: str, call: str, a: float, b: float, c: float, well: str = "A01") -> dict[str, Any]:
    row = {PLATE: "P", WELL: well, "Path": path, "Fold": 0, "Level": "well", "Class": call}
    return row | {"Score_a": a, "Score_b": b, "Score_c": c}


def test_the_rival_is_the_other_paths_call_or_the_second_best() -> None:
    calls = pd.DataFrame(
        [
            rows("tas_svm", "a", 3, 1, 2),
            rows("cnn", "b", 1, 3, 2),
            rows("tas_svm", "a", 3, 1, 2, "A02"),
            rows("cnn", "a", 3, 2, np.nan, "A02"),
            rows("tas_svm", "a", 3, np.nan, np.nan, "A03"),
            rows("cnn", "a", 3, 2, 1, "A03"),
        ]
    )
    seen = pd.DataFrame(
        {PLATE: "P", WELL: ["A01", "A02", "A03", "B01"], "Profile_0": [1.0, 2, 3, 4]}
    )
    seen["Trained"] = [False, False, False, True]
    wells = pd.DataFrame({PLATE: "P", WELL: ["B01"], "Target": ["a"]})
    features = pd.DataFrame({PLATE: "P", WELL: seen[WELL], "Image_PFTAS_DNA_Band_On_0": 0.5})
    profiles = {(path, 0): seen for path in PATHS}
    found = explanations(calls, profiles, features, wells, [])[CALLS]
    found = found.set_index([WELL, "Path"])["Rival"]
    assert found["A01", "tas_svm"] == "b"
    assert found["A01", "cnn"] == "a"
    assert found["A02", "tas_svm"] == "c"
    assert found["A02", "cnn"] == "b"
    assert pd.isna(found["A03", "tas_svm"])


def test_maps_are_kept_no_finer_than_needed_and_none_that_is_empty() -> None:
    fine = np.zeros((70, 50), np.float32)
    fine[:3, :3] = 1
    y, x, bits = _packed(fine)
    assert (y, x) == (24, 17)
    values = np.frombuffer(bits or b"", np.uint8).reshape(y, x)
    assert values[0, 0] == 255
    assert values.sum() == 255
    assert _packed(np.zeros((4, 6), np.float32)) == (4, 6, None)
