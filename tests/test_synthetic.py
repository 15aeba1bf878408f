"""Simulated plates: the same bytes each time, in stores that others can read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify.errors import UsageError
from hts_classify.plate import find_platemap, open_plate, read_platemap
from hts_classify.synthetic import Format, Recipe, demo_recipe, lay_out, render_field, write_plate

FORMATS: tuple[Format, ...] = ("ome-zarr-0.5", "ome-zarr-0.4", "hdf5")
SMALL = Recipe(setting="mixed", shape=(64, 65), channels=("DNA", "GFP", "Actin"), seed=3)


def name_of(format: Format) -> str:
    return "plate.h5" if format == "hdf5" else "plate.ome.zarr"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path, format: Format) -> None:
    for copy in ("a", "b"):
        write_plate(tmp_path / copy / name_of(format), SMALL, format=format)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    write_plate(tmp_path / "c" / name_of(format), Recipe(**_settings(SMALL, seed=4)), format=format)
    assert bytes_of(tmp_path / "a") != bytes_of(tmp_path / "c")


@pytest.mark.parametrize("format", FORMATS)
def test_every_store_reads_back_what_was_rendered(tmp_path: Path, format: Format) -> None:
    plate = open_plate(write_plate(tmp_path / name_of(format), SMALL, format=format))
    design = {well.well: well for well in lay_out(SMALL)}
    assert plate.wells == tuple(design)
    assert plate.channels == SMALL.channels
    assert plate.info().missing == ()
    assert len(plate.info().rows) * len(plate.info().columns) == 24
    # Last field first: what a field shows does not depend on what was made before it.
    for field in (plate.fields[-1], plate.fields[0]):
        expected = render_field(SMALL, design[field.well], field.site)
        np.testing.assert_array_equal(plate.read(field), expected)


@pytest.mark.parametrize("format", ["ome-zarr-0.5", "ome-zarr-0.4"])
def test_an_independent_reader_finds_the_store_valid(tmp_path: Path, format: Format) -> None:
    pytest.importorskip("fsspec")
    yaozarrs = pytest.importorskip("yaozarrs")
    path = write_plate(tmp_path / "plate.ome.zarr", SMALL, format=format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yaozarrs.validate_zarr_store(str(path))


def test_the_plate_map_fits_the_plate_and_tells_the_design(tmp_path: Path) -> None:
    recipe = Recipe(shape=(64, 64), fields=1)
    path = write_plate(tmp_path / "demo.zarr", recipe)
    found = find_platemap(path)
    assert found == tmp_path / "demo.platemap.csv"
    frame = read_platemap(found, open_plate(path), target="phenotype")
    labelled = frame.dropna(subset="Metadata_phenotype")
    groups = labelled.groupby("Metadata_phenotype")["Metadata_Compound"].nunique()
    assert set(groups.index) == set(recipe.classes)
    assert groups.min() >= 3
    assert 0 < len(labelled) < len(frame)
    controls = frame[frame["Metadata_ControlType"] == "negcon"]
    assert set(controls["Metadata_Compound"]) == {"DMSO", "untreated"}
    assert set(controls["Metadata_phenotype"]) == {"diffuse"}
    assert set(controls["Metadata_Concentration"]) == {0.0}


@pytest.mark.parametrize("setting", ["phenotypes", "texture", "arrangement", "mixed"])
def test_class_goes_together_with_neither_batch_nor_edge(setting: Any) -> None:
    for seed in range(5):
        recipe = Recipe(setting=setting, seed=seed)
        wells = lay_out(recipe)
        rows, columns = max(w.row for w in wells), max(w.column for w in wells)
        frame = pd.DataFrame(
            [(w.phenotype, w.batch, w.row in (0, rows) or w.column in (0, columns)) for w in wells],
            columns=["phenotype", "batch", "edge"],
        )
        assert pd.crosstab(frame["phenotype"], frame["batch"]).nunique(axis=1).eq(1).all()
        assert np.ptp(frame.groupby("phenotype")["edge"].mean()) < 0.2


def test_every_compound_of_a_class_has_a_labelled_well() -> None:
    for seed in range(20):
        for setting in ("phenotypes", "texture", "arrangement", "mixed"):
            wells = lay_out(Recipe(setting=setting, seed=seed))
            named = {(w.phenotype, w.compound) for w in wells if w.labelled}
            assert named == {(w.phenotype, w.compound) for w in wells}


def test_places_differ_from_seed_to_seed() -> None:
    places = {tuple(w.phenotype for w in lay_out(Recipe(seed=seed))) for seed in range(5)}
    assert len(places) == 5


def test_strength_rises_with_the_dose() -> None:
    for well in lay_out(demo_recipe()):
        assert 0 <= well.strength <= 1
    active = [w for w in lay_out(demo_recipe()) if w.phenotype == "nuclear"]
    by_dose = {dose: [w.strength for w in active if w.concentration == dose] for dose in (0.1, 10)}
    assert max(by_dose[0.1]) < 0.5 < min(by_dose[10])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [("GFP",), ("DNA", "GFP", "Actin", "ER", "Mito")])
def test_pixels_use_the_range_of_their_type(dtype: Any, channels: tuple[str, ...]) -> None:
    recipe = Recipe(dtype=dtype, channels=channels)
    pixels = render_field(recipe, lay_out(recipe)[0], 1)
    assert pixels.shape == (len(channels), 256, 256)
    assert pixels.dtype == dtype
    top = np.iinfo(dtype).max
    for channel in pixels:
        assert (channel == top).mean() < 0.01
        assert len(np.unique(channel)) > 25


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"setting": "moods"}, "setting 'moods'; use one of phenotypes"),
        ({"channels": ()}, "one to five"),
        ({"channels": ("DNA", "dna")}, "different names"),
        ({"channels": "DNA"}, "channels 'DNA'; give a tuple"),
        ({"dtype": "float32"}, "uint16"),
        ({"shape": (8, 8)}, "at least 64"),
        ({"replicates": 0}, "replicates=0"),
        ({"concentrations": ()}, "numbers above 0"),
        ({"difficulty": 2}, "from 0 to 1"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_a_recipe_that_makes_no_plate_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe(**setting)


def test_a_path_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        write_plate(tmp_path / "mine.zarr", SMALL)
    with pytest.raises(UsageError, match="at most 1536"):
        write_plate(tmp_path / "big.zarr", Recipe(replicates=200))
    with pytest.raises(UsageError, match="format 'tiff'"):
        write_plate(tmp_path / "p.tiff", SMALL, format="tiff")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.zarr"]


def test_a_plate_map_of_another_plate_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "plate.platemap.csv").write_text("well\nA1\n")
    with pytest.raises(UsageError, match=r"plate\.platemap\.csv: exists already"):
        write_plate(tmp_path / "plate.zarr", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["plate.platemap.csv"]
    assert (tmp_path / "plate.platemap.csv").read_text() == "well\nA1\n"


@pytest.mark.parametrize("format", FORMATS)
def test_the_map_is_written_when_the_plate_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format
) -> None:
    """A run that dies just before the map leaves a whole plate without one."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / name_of(format)
    with monkeypatch.context() as patch:
        patch.setattr("hts_classify.synthetic.write._write_map", die)
        with pytest.raises(KeyboardInterrupt):
            write_plate(path, SMALL, format=format)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert open_plate(path).info().missing == ()


def test_a_run_that_dies_in_the_pixels_leaves_nothing_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hts_classify.synthetic.write.render_field", die)
    with pytest.raises(KeyboardInterrupt):
        write_plate(tmp_path / "plate.zarr", SMALL)
    assert not list(tmp_path.iterdir())


def _settings(recipe: Recipe, **changes: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(recipe), **changes}
