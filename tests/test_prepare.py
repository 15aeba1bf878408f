from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch

from hts_classify import RunSettings, View, run
from hts_classify.errors import DesignError, HTSError, UsageError
from hts_classify.extract import plan
from hts_classify.models import CnnSettings
from hts_classify.models.settings import Learning
from hts_classify.prepare import prepare
from hts_classify.synthetic import Recipe, write_plate


def test_a_file_of_weights_is_known_by_its_content(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "start.safetensors"
    shutil.copy(tiny_run / "models" / "cnn.safetensors", weights)
    cnn = replace(quick.cnn, weights=str(weights))
    prepare([tiny_plate], replace(quick, cnn=cnn), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["settings"]["cnn"]["weights"] == "start.safetensors"
    tensors = safetensors.torch.load_file(weights)
    tensors["head.bias"] += 1
    safetensors.torch.save_file(tensors, weights)
    with pytest.raises(UsageError, match="holds another run: weights was"):
        prepare([tiny_plate], replace(quick, cnn=cnn), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        ({}, (256, 256)),
        ({"tile_size": 64}, (64, 64)),
        ({"cnn": CnnSettings(network="mobilenet_v2")}, (224, 224)),
        ({"cnn": CnnSettings(network="jackal")}, (65, 65)),  # an eighth of 520
        ({"cnn": CnnSettings(network="jackal"), "tile_size": 100}, (100, 100)),
        ({"cnn": CnnSettings(network="jackal"), "crops": "grid"}, (128, 128)),  # for pictures
    ],
)
def test_tiles_are_as_large_as_the_network_usually_takes(
    quick: RunSettings, tmp_path: Path, change: dict[str, object], shape: tuple[int, int]
) -> None:
    recipe = Recipe(setting="texture", shape=(520, 520), fields=1, compounds=3, replicates=1)
    plate = write_plate(tmp_path / "large.zarr", recipe)
    settings = replace(quick, **change)  # type: ignore[arg-type]
    job = prepare([plate], settings, tmp_path / "out")
    assert plan(job.plates, job.asked)[1].tiles == (shape,)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["settings"]["tile_size"] == max(shape)


def test_settings_of_a_network_are_compared_one_by_one(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path
) -> None:
    cnn = replace(quick.cnn, learning=Learning(steps=5, epochs=1, patience=1))
    with pytest.raises(UsageError, match=r"settings\.cnn\.learning\.steps was 4 and is now 5;"):
        run(tiny_plate, replace(quick, cnn=cnn), out=tiny_run)


def test_where_tiles_are_kept_makes_no_other_run(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    before = (tmp_path / "run" / "predictions.parquet").read_bytes()
    cnn = replace(quick.cnn, cache_mib=0)
    run(tiny_plate, replace(quick, cnn=cnn), out=tmp_path / "run")
    assert (tmp_path / "run" / "predictions.parquet").read_bytes() == before


def test_another_run_does_not_go_into_the_same_folder(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"holds another run: settings\.seed was 0 and is now 1;"):
        run(tiny_plate, replace(quick, seed=1), out=tiny_run)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"is not empty, and no run\.json says what it holds"):
        run(tiny_plate, quick, out=tmp_path)


def edited(plate: Path, folder: Path, edit: str) -> Path:
    """Write the plate's map with a mistake in it."""
    platemap = pd.read_csv(plate.with_name("tiny.platemap.csv"), dtype=str)
    if edit == "one class":
        platemap["phenotype"] = "fine"
    elif edit == "twice":
        platemap = pd.concat([platemap, platemap.iloc[:1].assign(phenotype="other")])
    elif edit == "single group":
        platemap.loc[platemap["phenotype"] == "fine", "compound"] = "CPD-X"
    platemap.to_csv(folder / "map.csv", index=False)
    return folder / "map.csv"


@pytest.mark.parametrize(
    ("edit", "change", "match"),
    [
        ("", {"target": "moa"}, "moa"),
        ("one class", {}, r"one class \(fine\)"),
        ("twice", {}, "comes 2 times, with phenotype"),
        ("single group", {}, "--unscored-class fine"),
        ("", {"split": "field"}, "fields of one well"),
        ("", {"split": "orbit"}, "orbit"),
        ("", {"unscored": ("x",)}, "'x' is no class"),
        ("", {"view": View(channels=("A",))}, "channel"),
        ("", {"tile_size": 4}, "tile size 4"),
        ("", {"tile_size": 0}, "tile size 0"),
        ("", {"cnn": CnnSettings(network="inception_v3")}, "64 × 64 pixels; inception_v3 takes 75"),
        ("", {"cnn": CnnSettings(network="jackal")}, "8 × 8; a CNN needs 16"),
        ("", {"cnn": CnnSettings(weights="no.pth")}, "no.pth: no such file of weights"),
        ("", {"cnn": CnnSettings(scaling="controls")}, "tiny has no negative control"),
        ("", {"normalise": "tvn"}, "tiny has no negative control .*--normalise takes 8 or more"),
        ("", {"normalise": "spherize"}, "'spherize'; use auto or none or standard or robust or"),
        ("", {"device": "gpu"}, "'gpu'; use auto, cpu"),
        ("", {"device": "cpu,auto"}, "name each, or auto alone"),
        ("", {"device": "cuda:99"}, "use .*c"),
        ("", {"aggregate": "mode"}, "use mean or median"),
        ("", {"folds": 1}, "folds"),
        ("", {"crops": "grid", "crop_size": 65}, "smaller than a crop of 65 × 65; ask for others"),
        ("", {"crops": "grid", "crop_size": 32, "crops_per_field": 5}, "ask for a square number"),
        ("", {"crops": "grid", "crop_size": 62, "crops_per_field": 16}, "ask for 1 to 3"),
        ("", {"crops": "grid", "crop_size": 12}, "crops of 12 × 12 pixels; compact takes 16 or"),
        (
            "",
            {"crops": "grid", "crop_size": 32, "cnn": CnnSettings(network="inception_v3")},
            "crops of 32 × 32 pixels; inception_v3 takes 75 or more; ask for a larger --crop-size",
        ),
        ("", {"crops": "objects"}, "name one with --labels"),
        ("", {"crop_size": 32}, "16 crops of 32 pixels are described, and none asked for"),
        ("", {"crops": "objects", "labels": "nuclei"}, "no field has a label image 'nuclei'; they"),
        ("", {"crops": "tiles"}, "use none, grid or objects"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    tiny_plate: Path,
    quick: RunSettings,
    tmp_path: Path,
    edit: str,
    change: dict[str, object],
    match: str,
) -> None:
    platemap = edited(tiny_plate, tmp_path, edit)
    settings = replace(quick, platemap=platemap, **change)  # type: ignore[arg-type]
    with pytest.raises(HTSError, match=match) as caught:
        run(tiny_plate, settings, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_plate_without_a_map_says_so(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    shutil.copytree(tiny_plate, tmp_path / "bare.zarr")
    with pytest.raises(UsageError, match=r"no plate map; name one with --platemap"):
        run(tmp_path / "bare.zarr", quick)


def test_a_full_scale_without_meaning_is_refused_before_the_folder_is_claimed(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    for wrong in (replace(quick, full_scale=70000), replace(quick, features="tas", full_scale=0)):
        with pytest.raises(UsageError, match="full_scale"):
            run(tiny_plate, wrong, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_directory_by_url_is_refused(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="a run directory by URL; extract takes one"):
        run(tiny_plate, quick, out="s3://bucket/run")
    assert not list(tmp_path.iterdir())


def with_controls(plate: Path, file: Path, controls: dict[str, str | None]) -> Path:
    """Write the plate's map with these wells as negative controls, each of this class."""
    platemap = pd.read_csv(plate.with_name("tiny.platemap.csv"), dtype=str)
    platemap["control_type"] = np.where(platemap["well"].isin(controls), "negcon", "treatment")
    for well, name in controls.items():
        platemap.loc[platemap["well"] == well, "phenotype"] = name
    platemap.to_csv(file, index=False)
    return file


def test_controls_that_inner_splits_judge_are_counted_before_anything_is_read(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    wells = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    named = dict(wells[["well", "phenotype"]].head(5).itertuples(index=False, name=None))
    asked = replace(quick, split="well", normalise="robust")
    judged = with_controls(tiny_plate, tmp_path / "judged.csv", named)
    with pytest.raises(DesignError, match="nor an inner split judges; --normalise takes 3 or more"):
        prepare([tiny_plate], replace(asked, platemap=judged), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    idle = with_controls(tiny_plate, tmp_path / "idle.csv", dict.fromkeys([*named][:3]))
    prepare([tiny_plate], replace(asked, platemap=idle), tmp_path / "b")
    some = prepare([tiny_plate], replace(asked, normalise="auto", platemap=idle), tmp_path / "c")
    (note,) = [note for note in some.notes if note.startswith("normalisation")]
    assert note == (
        "normalisation is chosen from none; of the negative controls of some plate 3 are left"
        " where they are not tested, and tvn takes 8"
    )
