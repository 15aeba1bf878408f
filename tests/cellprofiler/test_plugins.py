"""The modules in a real headless CellProfiler on the BBBC013 TIFFs, value by value."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import mahotas
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from pipelines import Run

import hts_classify
from hts_classify.files import write_json
from hts_classify.models.calibrate import proba
from hts_classify.models.svm import TasSvm
from hts_classify.vocabulary import feature_columns

pytestmark = pytest.mark.cellprofiler

CHANNELS = ("GFP", "DNA")
ELSEWHERE = "Elsewhere...|"
AT_MOST = 1e-9

MEASURE = "MeasureThresholdAdjacency"
SMOOTHED = {
    "Select the input image": "GFP",
    "Name the output image": "Smoothed",
    "Select smoothing method": "Gaussian Filter",
    "Calculate artifact diameter automatically?": "No",
    "Typical artifact diameter": 4,
}
OBJECTS = {"Measure within objects?": "Yes", "Select objects to measure": "Nuclei, Cells"}


def pixels_of(file: Path) -> NDArray[Any]:
    with Image.open(file) as image:
        return np.asarray(image)


class Done(NamedTuple):
    """What one run of CellProfiler left."""

    process: subprocess.CompletedProcess[str]
    folder: Path
    images: pd.DataFrame
    raw: dict[str, list[NDArray[Any]]]
    """By channel, the pixels of each image set as Pillow reads them."""
    model: TasSvm

    def objects(self, name: str) -> pd.DataFrame:
        return read(self.folder / "out" / f"MyExpt_{name}.csv")

    def saved(self, name: str, k: int) -> NDArray[Any]:
        """What SaveImages wrote of image set `k`, which counts from 1."""
        return np.asarray(np.load(self.folder / "out" / f"{name}{k}.npy"))


def read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file)


def load_data(table: Path, base: Path) -> tuple[str, dict[str, Any]]:
    return "LoadData", {
        "Input data file location": f"{ELSEWHERE}{table.parent}",
        "Name of the file": table.name,
        "Base image location": f"{ELSEWHERE}{base}",
    }


def save_objects(name: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            "ConvertObjectsToImage",
            {
                "Select the input objects": name,
                "Name the output image": f"{name}Labels",
                "Select the color format": "uint16",
            },
        ),
        save_image(f"{name}Labels", name),
    ]


def save_image(image: str, name: str) -> tuple[str, dict[str, Any]]:
    return "SaveImages", {
        "Select the image to save": image,
        "Select method for constructing file names": "Sequential numbers",
        "Enter single file name": name,
        "Number of digits": 1,
        "Saved file format": "npy",
        "When to save": "Every cycle",
        "Output file location": "Default Output Folder|",
    }


def train(folder: Path, raw: dict[str, list[NDArray[Any]]], targets: list[str]) -> TasSvm:
    """Save a model as a run does: its SVM, and what it must be given."""
    columns = [[hts_classify.pftas(image) for image in raw[name]] for name in CHANNELS]
    features = np.concatenate(columns, axis=1)
    order, model = np.arange(len(targets)), TasSvm()
    model.fit(features, targets, inner=[(order[::2], order[1::2])], seed=0)
    folder.mkdir()
    model.save(folder)
    card = {"channels": CHANNELS, "dtype": "uint8", "features": "pftas", "full_scale": None}
    view = {"level": 0, "z": "max", "illumination": []}
    write_json(folder / "inputs.json", card | {"view": view, "volumes": False})
    return model


@pytest.fixture(scope="module")
def done(shared_data: Path, run_pipeline: Run, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Run six image sets, of both phenotypes, through all that is compared."""
    base, folder = shared_data / "bbbc013", tmp_path_factory.mktemp("bbbc013")
    table, platemap = pd.read_csv(base / "load_data.csv"), pd.read_csv(base / "platemap.csv")
    raw = {
        name: [pixels_of(base / "tiff" / file) for file in table[f"Image_FileName_{name}"]]
        for name in CHANNELS
    }
    well = next(name for name in platemap if name.lower() in ("well", "metadata_well"))
    known = dict(zip(platemap[well], platemap["phenotype"], strict=True))
    targets = [known[name] for name in table["Metadata_Well"]]
    model = train(folder / "models", raw, targets)
    kept = table.iloc[[0, 1, 2, 13, 22, 23]]
    kept.to_csv(folder / "load_data.csv", index=False)
    modules = [
        load_data(folder / "load_data.csv", base),
        (
            "IdentifyPrimaryObjects",
            {"Select the input image": "DNA"}
            | {"Name the primary objects to be identified": "Nuclei"},
        ),
        (
            "ExpandOrShrinkObjects",
            {"Select the input objects": "Nuclei"}
            | {
                "Name the output objects": "Cells",
                "Number of pixels by which to expand or shrink": 6,
            }
            | {"Select the operation": "Expand objects by a specified number of pixels"},
        ),
        (MEASURE, {"Select images to measure": "GFP, DNA"} | OBJECTS),
        (
            MEASURE,
            {"Select images to measure": "DNA, GFP"}
            | OBJECTS
            | {"How to set threshold and margin": "Fixed by the camera's full scale (TAS)"}
            | {"Set thresholds of objects in": "The whole image"}
            | {"What is outside the image": "Reflected"},
        ),
        (
            "MaskImage",
            {"Select the input image": "GFP", "Name the output image": "Masked"}
            | {"Select object for mask": "Cells"},
        ),
        ("Smooth", SMOOTHED),
        (MEASURE, {"Select images to measure": "Masked"}),
        (
            MEASURE,
            {"Select images to measure": "Smoothed"}
            | {"How to set threshold and margin": "Manual threshold and margin (TAS)"}
            | {"Threshold and margin are in": "CellProfiler's intensities (0 to 1)"}
            | {"Threshold": 0.1, "Margin": 0.05},
        ),
        (
            "Crop",
            {"Select the input image": "DNA", "Name the output image": "Cropped"}
            | {"Left and right rectangle positions": "100,421"}
            | {"Top and bottom rectangle positions": "50,350"}
            | {"Remove empty rows and columns?": "All"},
        ),
        (MEASURE, {"Select images to measure": "Cropped", "Definition": "mahotas"}),
        (
            "ClassifyImagesHTS",
            {"+": {"add_channel": 1}}
            | {"Folder of the model": f"{ELSEWHERE}{folder / 'models'}"}
            | {"Channel of the model": ["DNA", "GFP"], "Select its image": ["DNA", "GFP"]},
        ),
        *save_objects("Nuclei"),
        *save_objects("Cells"),
        save_image("Smoothed", "Smoothed"),
        ("ExportToSpreadsheet", {}),
    ]
    process = run_pipeline(folder, modules)
    assert not process.returncode, process.stderr[-3000:]
    images = read(folder / "out" / "MyExpt_Image.csv")
    raw = {name: [found[k] for k in kept.index] for name, found in raw.items()}
    return Done(process, folder, images, raw, model)


def column_of(table: pd.DataFrame, name: str, objects: str = "Image") -> pd.Series:
    """Return a column by its name in the vocabulary, whose first word files leave out."""
    return table[name.removeprefix(f"{objects}_")]


def test_each_image_set_was_measured_without_an_error(done: Done) -> None:
    assert len(done.images) == 6
    assert not done.images.filter(like="ModuleError").to_numpy().any()


@pytest.mark.parametrize("channel", CHANNELS)
def test_image_measurements_are_those_of_the_api_on_the_same_file(done: Done, channel: str) -> None:
    for k, raw in enumerate(done.raw[channel]):
        for kind, expected in (
            ("pftas", hts_classify.pftas(raw)),
            ("tas", hts_classify.tas(raw, border="reflect")),
        ):
            names = feature_columns(kind, channel)
            found = [column_of(done.images, name)[k] for name in names]
            np.testing.assert_allclose(found, expected, rtol=0, atol=AT_MOST)


@pytest.mark.parametrize("objects", ["Nuclei", "Cells"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_object_measurements_are_those_of_the_api_with_the_same_labels(
    done: Done, channel: str, objects: str
) -> None:
    table, seen = done.objects(objects), 0
    for k, raw in enumerate(done.raw[channel], start=1):
        labels = done.saved(objects, k)
        own = table[table["ImageNumber"] == k].sort_values("ObjectNumber")
        assert own["ObjectNumber"].tolist() == np.unique(labels)[1:].tolist()
        for kind, expected in (
            ("pftas", hts_classify.pftas(raw, labels=labels)),
            ("tas", hts_classify.tas(raw, labels=labels, scope="image", border="reflect")),
        ):
            names = feature_columns(kind, channel, objects=objects)
            found = np.column_stack([column_of(own, name, objects) for name in names])
            np.testing.assert_allclose(found, expected, rtol=0, atol=AT_MOST)
        seen += len(own)
    assert seen > 300


def test_a_masked_image_is_measured_within_its_mask(done: Done) -> None:
    for k, raw in enumerate(done.raw["GFP"], start=1):
        expected = hts_classify.pftas(raw, mask=done.saved("Cells", k) > 0)
        names = feature_columns("pftas", "Masked")
        found = [column_of(done.images, name)[k - 1] for name in names]
        np.testing.assert_allclose(found, expected, rtol=0, atol=AT_MOST)


def test_a_cropped_image_by_mahotass_definition_has_mahotass_numbers(done: Done) -> None:
    for k, raw in enumerate(done.raw["DNA"]):
        off, on = mahotas.features.pftas(raw[50:350, 100:421]).reshape(2, 3, 9)
        expected = np.stack([on[:, ::-1], off], axis=1).ravel()
        names = feature_columns("pftas", "Cropped")
        found = [column_of(done.images, name)[k] for name in names]
        np.testing.assert_allclose(found, expected, rtol=0, atol=AT_MOST)


def test_a_calculated_image_is_measured_at_the_intensities_that_were_entered(done: Done) -> None:
    for k in range(1, 7):
        smoothed = done.saved("Smoothed", k)
        assert smoothed.dtype == np.float32
        expected = hts_classify.tas(smoothed, threshold=0.1, margin=0.05)
        names = feature_columns("tas", "Smoothed")
        found = [column_of(done.images, name)[k - 1] for name in names]
        np.testing.assert_allclose(found, expected, rtol=0, atol=AT_MOST)
        halves = np.reshape(found, (6, 9)).sum(axis=1)
        np.testing.assert_allclose(halves, 1)  # none is empty, so that all are compared


def test_calls_are_the_saved_models(done: Done) -> None:
    columns = [[hts_classify.pftas(image) for image in done.raw[name]] for name in CHANNELS]
    scores = done.model.scores(np.concatenate(columns, axis=1))
    probable = proba(scores, done.model.temperature)
    classes = np.array(done.model.classes)
    assert done.images["HTS_Class_Svm"].tolist() == classes[scores.argmax(axis=1)].tolist()
    assert set(done.images["HTS_Class_Svm"]) == set(classes)
    for k, one in enumerate(classes):
        for kind, expected in (("Score", scores), ("Proba", probable)):
            found = done.images[f"HTS_{kind}_Svm_{one}"]
            np.testing.assert_allclose(found, expected[:, k], rtol=0, atol=AT_MOST)


def test_16_bit_files_keep_their_grey_levels(
    shared_data: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    files = sorted((shared_data / "jump_16bit").glob("*.tif*"))
    assert files
    names = [f"Ch{k}" for k in range(len(files))]
    row = {f"Image_FileName_{name}": file.name for name, file in zip(names, files, strict=True)}
    row |= {f"Image_PathName_{name}": str(files[0].parent) for name in names}
    pd.DataFrame([row]).to_csv(tmp_path / "load_data.csv", index=False)
    chosen = ", ".join(names)
    manual = {"How to set threshold and margin": "Manual threshold and margin (TAS)"}
    modules = [
        load_data(tmp_path / "load_data.csv", tmp_path),
        (MEASURE, {"Select images to measure": chosen}),
        (MEASURE, {"Select images to measure": chosen, "Threshold": 900, "Margin": 321} | manual),
        ("ExportToSpreadsheet", {}),
    ]
    process = run_pipeline(tmp_path, modules)
    assert not process.returncode, process.stderr[-3000:]
    table = read(tmp_path / "out" / "MyExpt_Image.csv")
    for name, file in zip(names, files, strict=True):
        raw = pixels_of(file)
        assert raw.dtype == np.uint16
        for kind, expected in (
            ("pftas", hts_classify.pftas(raw)),
            ("tas", hts_classify.tas(raw, threshold=900, margin=321)),
        ):
            found = [column_of(table, column)[0] for column in feature_columns(kind, name)]
            np.testing.assert_allclose(found, expected, rtol=0, atol=AT_MOST)


def test_a_calculated_image_without_a_threshold_is_an_error_that_names_it(
    shared_data: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    base = shared_data / "bbbc013"
    pd.read_csv(base / "load_data.csv").head(1).to_csv(tmp_path / "load_data.csv", index=False)
    modules = [
        load_data(tmp_path / "load_data.csv", base),
        ("Smooth", SMOOTHED),
        (MEASURE, {"Select images to measure": "Smoothed"}),
        ("ExportToSpreadsheet", {}),
    ]
    process = run_pipeline(tmp_path, modules)
    assert process.returncode == 1
    said = process.stderr + process.stdout
    assert "image Smoothed: is not made of the grey levels of a file; set thresholds by" in said
