from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import write_run
from PIL import Image

from hts_classify import report
from hts_classify.features import Rule
from hts_classify.features.reference import counts
from hts_classify.report import Record, load_record
from hts_classify.report.explained import explained
from hts_classify.report.overlays import marked, small, thresholded
from hts_classify.report.pictures import Painter, album, data_url
from hts_classify.tiles import TileStore

STATISTIC = "Image_PFTAS_GFP_Band_Off_3"


def pixels(url: str) -> np.ndarray:
    """Decode a picture of the page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def shown(record: Record) -> dict[str, Any] | None:
    """Return what the page shows, on the page's own scale."""
    return explained(record, album(record).brush)


def write_explained(folder: Path, *, said: dict[str, Any] | None = None) -> Path:
    """Write what explains a run that was written by hand: TAS by the wells beside, no CNN's."""
    calls = pd.read_parquet(folder / "predictions.parquet")
    table = calls[["Metadata_Plate", "Metadata_Well", "Path", "Fold", "Class"]].copy()
    table["Rival"] = np.where(table["Class"] == "arrest", "nuclear", "arrest")
    is_tas = table["Path"] == "tas_svm"
    for k in (1, 2, 3):
        table[f"Nearest_Plate_{k}"] = "P1"
        table[f"Nearest_Well_{k}"] = "D0" + str(k + 1)
        table[f"Nearest_Class_{k}"] = "nuclear"
        table[f"Nearest_Distance_{k}"] = k / 3
    table["Statistic"] = np.where(is_tas, STATISTIC, None)
    for k, name in enumerate(("Value", "Class", "Rival")):
        table[f"Statistic_{name}"] = np.where(is_tas, 0.2 + k / 8, np.nan)
    for name, value in (said or {}).items():
        table[name] = value
    table.convert_dtypes().to_parquet(folder / "explanations.parquet", index=False)
    ramp = np.zeros((4, 4), np.uint8)
    ramp[:, 2:] = 255
    maps = [
        ("P1", well, name, 4, 4, ramp.tobytes() if name == "nuclear" else None, 1.0, 1.0)
        for well in calls["Metadata_Well"].unique()
        for name in ("arrest", "nuclear")
    ]
    columns = ["Metadata_Plate", "Metadata_Well", "Class", "Rows", "Columns", "Map"]
    features = pd.read_parquet(folder / "features.parquet")
    for channel in ("DNA", "GFP"):
        features[f"Image_PFTAS_{channel}_Band_Off_3"] = 0.2
    features.to_parquet(folder / "features.parquet", index=False)
    (folder / "predictions").mkdir()
    pd.DataFrame(maps, columns=[*columns, "CoveredY", "CoveredX"]).to_parquet(
        folder / "predictions" / "explained-cnn-fold0-0.parquet", index=False
    )
    return folder


def with_importance(folder: Path) -> Path:
    def row(interval: str, n: int | None, mean: float, spread: float | None) -> dict[str, Any]:
        name = f"Image_PFTAS_GFP_{interval}_On" + ("" if n is None else f"_{n}")
        parts = {"channel": "GFP", "interval": interval, "centre": "On", "neighbours": n}
        return {"name": name, "mean": mean, "spread": spread, **parts}

    groups = [row("Band", None, 0.5, 0.1), row("Mean", None, 0.25, None), row("Lower", None, -1, 0)]
    found = {"folds": 3, "fields": 72, "log_loss": 0.125, "groups": groups}
    found["statistics"] = [row("Band", 3, 0.04, 0.01)]
    file = folder / "comparison.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"importance": found}))
    return folder


def test_a_run_from_before_calls_were_explained_has_no_such_section(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {})
    assert shown(load_record(folder)) is None
    assert "Why each called it so" not in report(folder).read_text()


def test_each_disagreement_shows_what_both_paths_saw(tmp_path: Path) -> None:
    folder = write_explained(write_run(tmp_path, {}))
    found = shown(load_record(folder))
    assert found is not None
    # of 24 wells TAS is wrong on the 4th and 9th, the CNN on the 4th, 6th and 13th
    assert [well["name"] for well in found["wells"]] == ["B07", "C02", "C06"]
    first = found["wells"][0]
    assert list(first["paths"]) == ["tas_svm", "cnn"]
    near = first["paths"]["tas_svm"]["near"]
    assert [one["name"] for one in near] == ["D02", "D03", "D04"]
    assert [one["distance"] for one in near] == ["0.333", "0.667", "1"]
    maps = first["paths"]["cnn"]["maps"]
    assert [bool(one["picture"]) for one in maps] == [one["class"] == "nuclear" for one in maps]
    statistic = first["paths"]["tas_svm"]["statistic"]
    assert (statistic["name"], statistic["channel"]) == ("Band_Off_3", "GFP")
    page = report(folder).read_text()
    section = page[page.index("Why each called it so") :]
    assert "the share of off pixels with 3 on neighbours, is 0.2" in section
    assert "Nowhere in the picture does anything speak for arrest." in section
    assert section.count("<img") >= 3 * (1 + 1 + 1 + 6)
    assert "http" not in section.replace("http://www.w3.org", "")


def test_of_volumes_it_is_said_that_the_picture_is_a_projection(tmp_path: Path) -> None:
    folder = write_explained(write_run(tmp_path, {}))
    assert "maximum projection" not in report(folder).read_text()
    features = pd.read_parquet(folder / "features.parquet")
    features["Image_PFTAS_GFP_Band_Off_26"] = 0.0
    features.to_parquet(folder / "features.parquet", index=False)
    assert "(the volume's maximum projection)" in report(folder).read_text()


def test_unlabelled_wells_stand_last(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {})
    calls = pd.read_parquet(folder / "predictions.parquet")
    calls.loc[calls["Metadata_Well"] == "B07", "Target"] = None
    calls.to_parquet(folder / "predictions.parquet", index=False)
    found = shown(load_record(write_explained(folder)))
    assert found is not None
    assert [(well["name"], well["truth"]) for well in found["wells"]][-1] == ("B07", None)
    assert found["wells"][0]["truth"] is not None


def test_only_the_first_dozen_are_drawn_and_the_page_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {})
    calls = pd.read_parquet(folder / "predictions.parquet")
    calls["Class"] = np.where(calls["Path"] == "cnn", "arrest", "nuclear")
    calls.to_parquet(folder / "predictions.parquet", index=False)
    page = report(write_explained(folder)).read_text()
    assert "The first 12 of 24 disagreements" in page
    assert page.count('class="why"') == 12


def test_without_a_disagreement_the_page_says_so(tmp_path: Path) -> None:
    folder = write_explained(with_importance(write_run(tmp_path, {})), said={"Class": "arrest"})
    page = report(folder).read_text()
    assert "there is no disagreement to explain" in page
    assert "What TAS + SVM goes by" in page
    assert "log-loss, 0.125 on 72 held-out fields of 3 folds" in page
    assert ">Band_On</td>" in page
    assert "<td>-1</td><td>0</td>" in page
    assert "<td>+0.25</td><td>–</td>" in page


def test_what_is_not_defined_is_said(tmp_path: Path) -> None:
    nothing = {"Statistic": None, "Rival": None} | {
        f"Nearest_{what}_{k}": None for what in ("Plate", "Well", "Class") for k in (1, 2, 3)
    }
    page = report(write_explained(write_run(tmp_path, {}), said=nothing)).read_text()
    assert re.search(r"None of the strongest statistics by itself speaks for \w+\.", page)
    assert "The euclidean distance to training wells is not defined." in page
    assert "The cosine distance to training wells is not defined." in page


def test_names_from_a_plate_map_show_as_text(tmp_path: Path) -> None:
    bad = '<script>alert("x")</script>'
    said = {f"Nearest_Class_{k}": bad for k in (1, 2, 3)} | {"Rival": bad}
    page = report(write_explained(write_run(tmp_path, {}), said=said)).read_text()
    assert bad not in page
    assert page.count("&lt;script&gt;") >= 9


def test_pictures_are_small(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {})
    rng = np.random.default_rng(0)
    store = TileStore.create(tmp_path / "large.zarr", 256, (24, 2, 256, 160))
    for row in range(24):
        store.write(row, rng.poisson(200, (2, 256, 160)).astype(np.float32))
    for stale in (folder / "tiles.zarr").iterdir():
        stale.rename(tmp_path / f"{stale.name}.stale")
    (folder / "tiles.zarr").rmdir()
    (tmp_path / "large.zarr").rename(folder / "tiles.zarr")
    found = shown(load_record(write_explained(folder)))
    assert found is not None
    well = found["wells"][0]
    assert pixels(well["picture"]).shape == (96, 60, 3)
    assert pixels(well["paths"]["tas_svm"]["near"][0]["picture"]).shape == (64, 40, 3)
    assert pixels(well["paths"]["tas_svm"]["statistic"]["picture"]).shape == (96, 60)
    assert len(json.dumps(well)) < 80_000


def test_the_thresholded_image_holds_the_pixels_that_the_statistics_count() -> None:
    plane = np.random.default_rng(0).poisson(300, (40, 50)).astype(np.uint16)
    plane[10:20, 10:30] += 400
    from hts_classify import measure

    at = measure(plane)
    by_interval = counts(plane, mu=at.mu, margin=at.margin).sum(axis=2)
    for k, interval in enumerate(("Band", "Lower", "Mean")):
        assert thresholded(plane, interval, Rule()).sum() == by_interval[k, 0]
    fixed = thresholded(plane // 4 * 4, "Lower", Rule("tas", full_scale=1020))
    mu = (plane // 4 * 4)[plane // 4 * 4 > 120].mean()
    np.testing.assert_array_equal(fixed, plane // 4 * 4 > mu - 120)


def test_a_map_lights_the_part_of_a_grey_picture_that_it_is_of() -> None:
    grey = np.full((40, 40, 3), 0.5, np.float32)
    values = np.zeros((2, 2), np.uint8)
    values[:, 1] = 255
    whole = marked(grey, values, (1.0, 1.0))
    np.testing.assert_allclose(whole[:, :8], 0.5, atol=0.01)
    assert (whole[:, -8:, 0] > 0.75).all()  # more red,
    assert (whole[:, -8:, 2] < 0.25).all()  # and less blue
    centre = marked(grey, values, (0.5, 0.5))
    np.testing.assert_allclose(centre[:, -9:], 0.5)
    np.testing.assert_allclose(centre[:9], 0.5)
    assert centre[20, 28, 0] > 0.75


def test_one_channel_is_grey_and_more_have_their_colours() -> None:
    tile = np.zeros((2, 4, 4), np.float32)
    tile[0, 0], tile[1, 1] = 10, 20
    rgb = Painter.of(np.stack([tile, tile]), ["blue", "green"]).rgb(tile)
    assert rgb[0, 0, 2] > 0.9
    assert rgb[1, 0, 1] > 0.9
    assert rgb[0, 0, :2].max() == rgb[1, 0, ::2].max() == rgb[2:].max() == 0
    grey = Painter.of(tile[None], ["green"]).rgb(tile)
    assert (grey == grey[..., :1]).all()
    assert data_url(grey).startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("shape", [(2, 300, 200), (1, 97, 5), (3, 20, 20)])
def test_what_is_small_keeps_its_mean_and_its_sides(shape: tuple[int, int, int]) -> None:
    tile = np.random.default_rng(0).normal(100, 9, shape).astype(np.float32)
    found = small(tile, 96)
    assert max(found.shape[1:]) == min(96, max(shape[1:]))
    np.testing.assert_allclose(found.mean(axis=(1, 2)), tile.mean(axis=(1, 2)), rtol=0.01)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_cameras_full_scale_does_not_set_otsus_threshold(tmp_path: Path) -> None:
    plain = report(write_explained(write_run(made(tmp_path / "a"), {}))).read_text()
    folder = write_explained(write_run(made(tmp_path / "b"), {}, full_scale=4095))
    pictures = [
        re.findall(r"data:image/png[^\"]+", page) for page in (plain, report(folder).read_text())
    ]
    assert pictures[0]
    assert pictures[0] == pictures[1]
