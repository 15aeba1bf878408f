"""Profiles in the hands of the real pycytominer and copairs, against pandas and numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from copairs.map import average_precision, mean_average_precision
from exported import measured_objects
from pycytominer import aggregate, annotate, feature_select, normalize
from pycytominer.cyto_utils import infer_cp_features, load_profiles

from hts_classify import PassSettings, export, extract, open_plate
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import feature_columns


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pass over a plate with negative controls, exported with its map."""
    folder = tmp_path_factory.mktemp("screen")
    plate = write_plate(folder / "p.zarr", Recipe(shape=(64, 64), fields=3, compounds=3))
    extract(open_plate(plate), folder / "out", PassSettings(tile_sizes=(32,)))
    export(folder / "out", kinds=["profiles"], platemap=folder / "p.platemap.csv")
    return folder


def by_well(fields: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return medians over fields by NumPy alone."""
    rows = {
        place: np.median(own[names].to_numpy(float), axis=0)
        for place, own in fields.groupby(["Metadata_Plate", "Metadata_Well"])
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def test_pycytominer_infers_the_features_and_nothing_else(screen: Path) -> None:
    expected = feature_columns("pftas", "DNA") + feature_columns("pftas", "GFP")
    for name in ("fields", "wells"):
        table = load_profiles(screen / "out" / "export" / f"{name}.parquet")
        assert infer_cp_features(table, image_features=True) == expected
        rest = infer_cp_features(table, metadata=True)
        assert [*rest, *expected] == list(table)


def test_aggregating_and_annotating_gives_the_wells(screen: Path) -> None:
    folder = screen / "out" / "export"
    fields, wells = (pd.read_parquet(folder / f"{name}.parquet") for name in ("fields", "wells"))
    names = infer_cp_features(fields, image_features=True)
    made = aggregate(fields, image_features=True)
    pd.testing.assert_frame_equal(made[names], wells[names])
    np.testing.assert_array_equal(by_well(fields, names).to_numpy(), wells[names].to_numpy())
    assert set(wells["Metadata_Fields"]) == {3}
    own = annotate(
        made, screen / "p.platemap.csv", join_on=["Metadata_well", "Metadata_Well"]
    ).sort_values("Metadata_Well", ignore_index=True)
    for theirs, ours in (("compound", "Compound"), ("concentration", "Concentration")):
        assert own[f"Metadata_{theirs}"].tolist() == wells[f"Metadata_{ours}"].tolist()
    assert own["Metadata_phenotype"].fillna("").tolist() == (
        wells["Metadata_phenotype"].fillna("").tolist()
    )


def test_normalising_by_controls_is_median_and_mad(screen: Path) -> None:
    file = screen / "out" / "export" / "wells.parquet"
    wells = pd.read_parquet(file)
    names = infer_cp_features(wells, image_features=True)
    made = normalize(
        file,
        image_features=True,
        method="mad_robustize",
        samples="Metadata_ControlType == 'negcon'",
        mad_robustize_epsilon=0,
    )
    controls = wells.loc[wells["Metadata_ControlType"] == "negcon", names].to_numpy()
    centre = np.median(controls, axis=0)
    spread = 1.4826 * np.median(np.abs(controls - centre), axis=0)
    varying = spread > 1e-12
    assert varying.sum() > 60
    expected = (wells[names].to_numpy() - centre)[:, varying] / spread[varying]
    np.testing.assert_allclose(made[names].to_numpy()[:, varying], expected, rtol=1e-4, atol=1e-9)


def test_selected_features_are_scored_by_copairs(screen: Path) -> None:
    scaled = normalize(screen / "out" / "export" / "wells.parquet", image_features=True)
    steps = ["variance_threshold", "correlation_threshold", "drop_na_columns"]
    chosen = feature_select(scaled, image_features=True, operation=steps)
    names = infer_cp_features(chosen, image_features=True)
    assert 1 < len(names) < 108
    about = chosen[infer_cp_features(chosen, metadata=True)]
    values = chosen[names].to_numpy()
    unit = ["Metadata_Compound"]
    found = average_precision(about, values, unit, [], [], unit, progress_bar=False)
    by_hand = [
        precision(values, k, (about[unit] == about[unit].iloc[k]).all(axis=1).to_numpy())
        for k in range(len(about))
    ]
    np.testing.assert_allclose(found["average_precision"], by_hand, atol=1e-6)
    summed = mean_average_precision(
        found, unit, null_size=500, threshold=0.05, seed=0, progress_bar=False
    )
    assert len(summed) == len(about.drop_duplicates(unit))


def precision(points: np.ndarray, query: int, kin: np.ndarray) -> float:
    """Average precision from its definition, by cosines."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    others = np.flatnonzero(np.arange(len(points)) != query)
    ranking = others[np.argsort(-(unit[others] @ unit[query]), kind="stable")]
    hits = kin[ranking]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def test_objects_are_single_cells_to_pycytominer(tmp_path: Path) -> None:
    out = measured_objects(tmp_path)
    files = export(out, kinds=["profiles"])
    assert [file.name for file in files] == ["fields.parquet", "wells.parquet", "objects.parquet"]
    cells = load_profiles(files[-1])
    names = infer_cp_features(cells)  # Cells_ it knows of itself
    assert names == ["Cells_AreaShape_Area"] + [
        name
        for channel in ("DNA", "GFP")
        for name in feature_columns("pftas", channel, objects="Cells")
    ]
    wells = aggregate(cells, compute_object_count=True)
    assert wells["Metadata_Object_Count"].tolist() == [6] * 4
    np.testing.assert_array_equal(by_well(cells, names).to_numpy(), wells[names].to_numpy())
    assert len(normalize(wells)) == 4


def test_a_run_s_wells_carry_its_map_fold_and_role(tiny_run: Path, tmp_path: Path) -> None:
    wells = pd.read_parquet(export(tiny_run, tmp_path, kinds=["profiles"])[1])
    folds = pd.read_csv(tiny_run / "folds.csv")
    both = wells.merge(folds, on=["Metadata_Plate", "Metadata_Well"], validate="1:1")
    assert len(both) == len(wells) == len(folds)
    assert both["Metadata_Fold"].tolist() == both["Fold"].tolist()
    assert both["Metadata_Role"].tolist() == both["Role"].tolist()
    assert both["Metadata_phenotype"].tolist() == both["Target"].tolist()
