from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hts_classify import PassSettings, extract, open_plate, pftas, tas
from hts_classify.errors import PlateError, UsageError
from hts_classify.plate import Field, Plate
from hts_classify.shards import TILE_ROW, feature_matrix
from hts_classify.tiles import downscale
from hts_classify.vocabulary import SITE, WELL, feature_columns


@pytest.fixture
def broken(tiny_plate: Path, tmp_path: Path) -> Path:
    """A copy of the tiny plate with a missing chunk in one well."""
    plate = tmp_path / "broken.zarr"
    shutil.copytree(tiny_plate, plate)
    well = open_plate(plate).wells[0]
    (found,) = sorted(plate.glob(f"{well[0]}/{int(well[1:])}/0/*/c/1/0/0"))[:1]
    found.unlink()
    return plate


def test_features_and_tiles_are_those_of_the_pixels(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    result = extract(plate, tmp_path, PassSettings(tile_sizes=(32,)))
    for row, field in enumerate(plate.fields):
        pixels = plate.read(field)
        record = result.features.iloc[row]
        assert (record[WELL], record[SITE]) == (field.well, field.site)
        for channel, image in zip(plate.channels, pixels, strict=True):
            values = record[feature_columns("pftas", channel)].to_numpy(float)
            np.testing.assert_array_equal(values, pftas(image))
        tile = result.tiles.view([record[TILE_ROW]])[np.array([0])][0]
        np.testing.assert_array_equal(tile, np.rint(downscale(pixels, (1, 2))))


def test_fixed_thresholds_on_request(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    result = extract(plate, tmp_path, PassSettings(features="tas"))
    image = plate.read(plate.fields[3])[1]
    values = result.features.iloc[3][feature_columns("tas", plate.channels[1])].to_numpy(float)
    np.testing.assert_array_equal(values, tas(image))


def test_the_cameras_full_scale_scales_the_fixed_threshold(
    tiny_plate: Path, tmp_path: Path
) -> None:
    plate = open_plate(tiny_plate)
    result = extract(plate, tmp_path, PassSettings(features="tas", full_scale=60000))
    image = plate.read(plate.fields[3])[1]
    values = result.features.iloc[3][feature_columns("tas", plate.channels[1])].to_numpy(float)
    np.testing.assert_array_equal(values, tas(image, full_scale=60000))
    with pytest.raises(UsageError, match="full_scale=70000; give the camera"):
        extract(plate, tmp_path / "wrong", PassSettings(features="tas", full_scale=70000))
    assert not (tmp_path / "wrong").exists()


def test_fields_brighter_than_the_full_scale_are_left_out_and_say_why(
    tiny_plate: Path, tmp_path: Path
) -> None:
    plate = open_plate(tiny_plate)
    brightest = [max(image.max() for image in plate.read(field)) for field in plate.fields]
    full_scale = int(np.median(brightest))
    result = extract(plate, tmp_path, PassSettings(features="tas", full_scale=full_scale))
    assert len(result.failures) == sum(value > full_scale for value in brightest) > 0
    reasons = pd.read_csv(tmp_path / "failures.csv")["Reason"]
    assert reasons.str.contains(f"above full_scale={full_scale}").all()


def test_a_field_without_foreground_is_flagged(
    tiny_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = open_plate(tiny_plate)
    read = type(plate).read

    def dark_second_channel(self: Plate, field: Field, *channels: object) -> np.ndarray:
        pixels = read(self, field, *channels)
        if field == plate.fields[5]:
            pixels[1] = 0
        return pixels

    monkeypatch.setattr(type(plate), "read", dark_second_channel)
    features = extract(plate, tmp_path, scheduler="synchronous").features
    assert features["Metadata_NoForeground_GFP"].tolist() == [k == 5 for k in range(24)]
    assert not features["Metadata_NoForeground_DNA"].any()


@pytest.mark.parametrize("scheduler", ["synchronous", "processes"])
def test_every_scheduler_leaves_the_same_bytes(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, scheduler: str
) -> None:
    plate = open_plate(tiny_plate)
    (size,) = (int(tiles.name) for tiles in (tiny_run / "tiles.zarr").glob("*[0-9]"))
    extract(plate, tmp_path, PassSettings(tile_sizes=(size,)), scheduler=scheduler)
    for file in ("features.parquet", "quality.parquet", "failures.csv"):
        assert (tmp_path / file).read_bytes() == (tiny_run / file).read_bytes()
    tiles = [p.relative_to(tmp_path) for p in (tmp_path / "tiles.zarr").rglob("*") if p.is_file()]
    assert len(tiles) == len(plate.fields) + 2
    for tile in tiles:
        assert (tmp_path / tile).read_bytes() == (tiny_run / tile).read_bytes()


def test_a_killed_pass_goes_on_where_it_stopped(
    tiny_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = open_plate(tiny_plate)
    finished: list[str] = []

    def stop_after_three(_plate: str, well: str, _cost: dict[str, float]) -> None:
        finished.append(well)
        if len(finished) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(plate, tmp_path, scheduler="synchronous", on_well=stop_after_three)
    again = extract(plate, tmp_path, scheduler="synchronous")
    assert set(again.costs) == {f"tiny/{well}" for well in set(plate.wells) - set(finished)}
    unbroken = extract(plate, tmp_path / "unbroken", scheduler="synchronous")
    pd.testing.assert_frame_equal(again.features, unbroken.features)

    def no_pixels(*_arguments: object) -> None:
        raise AssertionError("a finished pass read pixels")

    monkeypatch.setattr(type(plate), "read", no_pixels)
    third = extract(plate, tmp_path, scheduler="synchronous")
    assert third.costs == {}
    pd.testing.assert_frame_equal(third.features, unbroken.features)


def test_a_missing_chunk_costs_its_field_only(broken: Path, tmp_path: Path) -> None:
    plate = open_plate(broken)
    result = extract(plate, tmp_path / "out")
    (failure,) = result.failures.to_dict("records")
    assert (failure["Metadata_Well"], failure["Metadata_Site"]) == (plate.wells[0], 1)
    assert failure["Channel"] == plate.channels[1]
    assert "missing" in failure["Reason"]
    assert len(result.features) == len(plate.fields) - 1
    assert not np.isnan(feature_matrix(result.features)).any()


def test_a_repaired_field_is_read_again(broken: Path, tiny_plate: Path, tmp_path: Path) -> None:
    extract(open_plate(broken), tmp_path / "out")
    shutil.copytree(tiny_plate, broken, dirs_exist_ok=True)
    result = extract(open_plate(broken), tmp_path / "out")
    assert result.failures.empty
    assert list(result.costs) == [f"tiny/{open_plate(broken).wells[0]}"]


def test_only_the_well_of_a_broken_field_is_tried_again(broken: Path, tmp_path: Path) -> None:
    first = extract(open_plate(broken), tmp_path / "out")
    again = extract(open_plate(broken), tmp_path / "out")
    assert list(again.costs) == [f"tiny/{open_plate(broken).wells[0]}"]
    pd.testing.assert_frame_equal(again.failures, first.failures)


def test_a_plate_whose_copy_is_finished_late_is_the_same_plate(
    tiny_plate: Path, tmp_path: Path
) -> None:
    half = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, half)
    plate = open_plate(half)
    for well in plate.wells[:8]:
        (half / well[0] / str(int(well[1:])) / "0/0/c/0/0/0").unlink()
    assert len(extract(plate, tmp_path / "out").failures) == 8
    shutil.copytree(tiny_plate, half, dirs_exist_ok=True)
    whole = extract(open_plate(half), tmp_path / "out")
    assert whole.failures.empty
    assert set(whole.costs) == {f"tiny/{well}" for well in plate.wells[:8]}


def test_a_lost_tile_is_made_again(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    extract(plate, tmp_path)
    lost = tmp_path / "tiles.zarr/128/c.3.0.0.0"
    before = lost.read_bytes()
    lost.unlink()
    assert list(extract(plate, tmp_path).costs) == [f"tiny/{plate.fields[3].well}"]
    assert lost.read_bytes() == before


def test_a_plate_of_unreadable_fields_is_an_error(tiny_plate: Path, tmp_path: Path) -> None:
    plate = tmp_path / "dead.zarr"
    shutil.copytree(tiny_plate, plate)
    for found in plate.glob("*/*/*/*/c/0/0/0"):
        found.unlink()
    with pytest.raises(PlateError, match="none of 24 fields can be used"):
        extract(open_plate(plate), tmp_path / "out")


def test_a_changed_setting_is_computed_anew_and_nothing_is_mixed(
    tiny_plate: Path, tmp_path: Path
) -> None:
    plate = open_plate(tiny_plate)
    extract(plate, tmp_path)
    fixed = extract(plate, tmp_path, PassSettings(features="tas"))
    assert len(fixed.costs) == len(plate.wells)
    unbroken = extract(plate, tmp_path / "other", PassSettings(features="tas"))
    pd.testing.assert_frame_equal(fixed.features, unbroken.features)


def test_a_changed_field_is_read_again_and_its_neighbours_are_not(
    tiny_plate: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, copy)
    first = extract(open_plate(copy), tmp_path / "out")
    field = open_plate(copy).fields[5]
    chunk = copy / field.path / "0/c/0/0/0"
    other = copy / open_plate(copy).fields[9].path / "0/c/0/0/0"
    chunk.write_bytes(other.read_bytes())
    again = extract(open_plate(copy), tmp_path / "out")
    assert [(name, cost["fields"]) for name, cost in again.costs.items()] == [
        (f"tiny/{field.well}", 1)
    ]
    differs = (again.features != first.features).any(axis=1)
    assert differs.tolist() == [k == 5 for k in range(24)]


def two_plates(tiny_plate: Path, folder: Path) -> list[Plate]:
    """Copies of the tiny plate with other pixels: each field has those of another one."""
    plates = []
    for turn, name in ((0, "a"), (4, "b")):
        copy = folder / f"{name}.zarr"
        shutil.copytree(tiny_plate, copy)
        chunks = sorted(copy.glob("*/*/*/0/c/*/0/0"))
        contents = [chunk.read_bytes() for chunk in chunks]
        for chunk, content in zip(chunks, contents[turn:] + contents[:turn], strict=True):
            chunk.write_bytes(content)
        metadata = copy / "zarr.json"
        metadata.write_text(metadata.read_text().replace('"tiny"', f'"{name}"'))
        plates.append(open_plate(copy))
    return plates


def test_a_tile_that_is_no_longer_the_fields_is_made_again(
    tiny_plate: Path, tmp_path: Path
) -> None:
    plates = two_plates(tiny_plate, tmp_path)
    extract(plates, tmp_path / "out")
    extract(plates[::-1], tmp_path / "out")  # every row is now another field's
    again = extract(plates, tmp_path / "out")
    fresh = extract(plates, tmp_path / "fresh")
    rows = np.arange(48)
    np.testing.assert_array_equal(again.tiles.read(rows), fresh.tiles.read(rows))
    tile = tmp_path / "out/tiles.zarr/128/c.7.0.0.0"
    tile.write_bytes(tile.read_bytes()[:-40])
    assert [cost["fields"] for cost in extract(plates, tmp_path / "out").costs.values()] == [1]


def test_a_plate_is_not_dropped_from_a_pass_by_accident(tiny_plate: Path, tmp_path: Path) -> None:
    plates = two_plates(tiny_plate, tmp_path)
    extract(plates, tmp_path / "out")
    with pytest.raises(UsageError, match="holds a pass over a too"):
        extract(plates[1], tmp_path / "out")


def test_a_field_that_left_the_plate_leaves_the_tables(tiny_plate: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, copy)
    extract(open_plate(copy), tmp_path / "out")
    well = open_plate(copy).wells[0]
    metadata = copy / well[0] / str(int(well[1:])) / "zarr.json"
    content = json.loads(metadata.read_text())
    content["attributes"]["ome"]["well"]["images"].pop()
    metadata.write_text(json.dumps(content))
    again = extract(open_plate(copy), tmp_path / "out")
    fresh = extract(open_plate(copy), tmp_path / "fresh")
    assert len(again.features) == 23
    pd.testing.assert_frame_equal(again.features, fresh.features)
    np.testing.assert_array_equal(again.tiles.read(np.arange(23)), fresh.tiles.read(np.arange(23)))


@pytest.mark.parametrize("byte", [0.1, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_damaged_shard_is_made_again(tiny_plate: Path, tmp_path: Path, byte: float) -> None:
    plate = open_plate(tiny_plate)
    extract(plate, tmp_path)
    shard = tmp_path / "features" / "tiny" / f"{plate.wells[3]}.parquet"
    whole, table = shard.read_bytes(), pq.read_table(shard)
    at = int(byte * len(whole))
    shard.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
    extract(plate, tmp_path)
    # some bytes of the footer mean nothing: what is read is what was written all the same
    assert shard.read_bytes() == whole or pq.read_table(shard).equals(table)


def test_a_shard_with_a_damaged_name_of_a_column_is_made_again(
    tiny_plate: Path, tmp_path: Path
) -> None:
    plate = open_plate(tiny_plate)
    extract(plate, tmp_path)
    shard = tmp_path / "features" / "tiny" / f"{plate.wells[3]}.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(b"Metadata_Well", b"\xb2etadata_Well"))
    extract(plate, tmp_path)
    assert shard.read_bytes() == whole


def test_extract_leaves_a_finished_run_as_it_is(tiny_plate: Path, tiny_run: Path) -> None:
    with pytest.raises(UsageError, match="holds a run over another pass"):
        extract(open_plate(tiny_plate), tiny_run, PassSettings(features="tas"))
