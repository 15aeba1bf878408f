"""Any plate into ours: the same pixels, channels and sizes, whatever happens on the way."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hts_classify.convert import convert
from hts_classify.errors import FieldError, PlateError, UsageError
from hts_classify.plate import Field, Plate, View, open_plate
from hts_classify.plate.wrapped import WrappedPlate
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.writers import Format, Outline, open_writer

CHAIN: tuple[tuple[str, Format], ...] = (
    ("one.zarr", "ome-zarr-0.5"),
    ("two.h5", "hdf5"),
    ("three.zarr", "ome-zarr-0.4"),
    ("four.zarr", "ome-zarr-0.5"),
)
EVERYTHING = View(z="all", time="all")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same(new: Plate, old: Plate) -> None:
    """Compare what two plates show."""
    assert (new.name, new.channels, new.dtype) == (old.name, old.channels, old.dtype)
    mine, theirs = new.info(), old.info()
    assert mine.missing == ()
    assert mine.pixel_size == theirs.pixel_size
    assert (mine.rows, mine.label_names) == (theirs.rows, theirs.label_names)
    assert (mine.planes, mine.timepoints) == (theirs.planes, theirs.timepoints)
    pairs = list(zip(new.fields, old.fields, strict=True))
    for one, other in pairs:
        assert (one.well, one.site, one.timepoint) == (other.well, other.site, other.timepoint)
        np.testing.assert_array_equal(new.read(one), old.read(other))
        assert new.label_names(one) == old.label_names(other)
        for name in new.label_names(one):
            np.testing.assert_array_equal(new.read_label(one, name), old.read_label(other, name))


@dataclass(frozen=True, slots=True, eq=False)
class Watched(WrappedPlate):
    """A plate whose reads are noted, and fail where they are told to."""

    read_fields: list[Field] = field(default_factory=list)
    faults: dict[int, list[BaseException]] = field(default_factory=dict)
    """What each read by its number raises, one after the other."""

    def read(self, field: Field, channels: Any = None) -> NDArray[Any]:
        at = self.fields.index(field)
        if self.faults.get(at):
            raise self.faults[at].pop(0)
        self.read_fields.append(field)
        return self.plate.read(field, channels)


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two wells, three planes, two time points, with label images in one well."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("lively") / "lively.zarr"
    outline = Outline(
        name="Lively",
        rows=("A", "B"),
        columns=("1", "2"),
        channels=("DNA", "GFP"),
        pixel_size=(0.3, 0.4),
    )
    fields = [Field("A01", 1, ""), Field("A01", 2, ""), Field("B02", 1, "")]
    with open_writer(path, outline, format="ome-zarr-0.4") as writer:
        for at in fields:
            frames = [rng.integers(0, 4000, (2, 3, 40, 50), np.uint16) for _ in range(2)]
            cells = [rng.integers(0, 90, (3, 40, 50), np.uint32) for _ in range(2)]
            writer.write(at, frames, times=2, labels={"cells": cells} if at.site == 1 else {})
        writer.finish(fields)
    return path


def test_a_round_trip_through_every_format_loses_nothing(lively: Path, tmp_path: Path) -> None:
    old = open_plate(lively, view=EVERYTHING)
    for name, format in CHAIN:
        made = convert(open_plate(lively, view=EVERYTHING), tmp_path / name, format=format)
        assert (made.images, made.failures) == (3, ())
        assert_same(open_plate(made.path, view=EVERYTHING), old)
        lively = made.path
    assert bytes_of(tmp_path / "one.zarr") == bytes_of(tmp_path / "four.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(name for name, _ in CHAIN)


def test_what_the_view_shows_is_what_is_written(lively: Path, tmp_path: Path) -> None:
    view = View(channels=("Hoechst", "EGFP"), z=1, time=1)
    old = open_plate(lively, view=view)
    new = open_plate(convert(old, tmp_path / "new.zarr").path)
    assert new.channels == ("Hoechst", "EGFP")
    assert (new.info().planes, new.info().timepoints) == (1, 1)
    for one, other in zip(new.fields, old.fields, strict=True):
        assert one.timepoint == 0
        np.testing.assert_array_equal(new.read(one), old.read(other))


@pytest.mark.parametrize(
    "place", ["bbbc013/controls_v05.ome.zarr", "bbbc013/plate_v04.ome.zarr", "ome2024_hcs/hcs.zarr"]
)
def test_real_plates_go_through_every_format(shared_data: Path, tmp_path: Path, place: str) -> None:
    source, chain = shared_data / place, CHAIN
    if "plate_v04" in place:  # the largest: once
        chain = CHAIN[:1]
    old = open_plate(source)
    for name, format in chain:
        made = convert(open_plate(source), tmp_path / name, format=format)
        assert made.failures == ()
        new = open_plate(made.path)
        assert_same(new, old)
        assert new.info().columns == old.info().columns
        source = made.path
    if len(chain) > 1:
        assert bytes_of(tmp_path / "one.zarr") == bytes_of(tmp_path / "four.zarr")


def test_an_image_list_becomes_a_plate(shared_data: Path, tmp_path: Path) -> None:
    old = open_plate(shared_data / "bbbc013" / "load_data.csv")
    made = convert(old, tmp_path / "new.zarr")
    new = open_plate(made.path)
    assert (made.failures, new.wells, new.channels) == ((), old.wells, old.channels)
    for one, other in zip(new.fields, old.fields, strict=True):
        np.testing.assert_array_equal(new.read(one), old.read(other))


@pytest.mark.parametrize("shards", [False, True])
def test_an_interrupted_conversion_goes_on_and_ends_the_same(
    tiny_plate: Path, tmp_path: Path, shards: bool
) -> None:
    whole = convert(open_plate(tiny_plate), tmp_path / "a" / "p.zarr", shards=shards).path
    stopped = Watched(open_plate(tiny_plate), faults={15: [KeyboardInterrupt()]})
    with pytest.raises(KeyboardInterrupt):
        convert(stopped, tmp_path / "p.zarr", shards=shards)
    assert [path.name for path in tmp_path.glob("p*")] == ["p.zarr.part"]
    again = Watched(open_plate(tiny_plate))
    convert(again, tmp_path / "p.zarr", shards=shards)
    assert len(stopped.read_fields) >= 14
    assert not set(stopped.read_fields) & set(again.read_fields)
    assert bytes_of(tmp_path / "p.zarr") == bytes_of(whole)
    assert [path.name for path in tmp_path.glob("p*")] == ["p.zarr"]


def test_another_setting_or_source_starts_anew(tiny_plate: Path, tmp_path: Path) -> None:
    def stop_at_ten() -> Watched:
        return Watched(open_plate(tiny_plate), faults={10: [KeyboardInterrupt()]})

    for change in ("setting", "source"):
        with pytest.raises(KeyboardInterrupt):
            convert(stop_at_ten(), tmp_path / "p.zarr")
        path = tiny_plate
        if change == "source":
            path = tmp_path / "tiny.zarr"
            shutil.copytree(tiny_plate, path)
            chunk = next(iter(sorted(path.glob("*/*/0/0/c/0/0/0"))))
            os.utime(chunk, (1, 1))
        again = Watched(open_plate(path))
        made = convert(again, tmp_path / "p.zarr", levels=3 if change == "setting" else None)
        assert len(again.read_fields) == len(again.fields)
        shutil.rmtree(made.path)


def test_a_killed_conversion_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    recipe = Recipe(setting="texture", shape=(300, 300), fields=2)
    source = write_plate(tmp_path / "source.zarr", recipe)
    whole = convert(open_plate(source), tmp_path / "whole.zarr").path
    code = (
        "import sys; from hts_classify.convert import convert;"
        "from hts_classify.plate import open_plate; print('ready', flush=True);"
        "convert(open_plate(sys.argv[1]), sys.argv[2])"
    )
    target, work = tmp_path / "new.zarr", tmp_path / "new.zarr.part"
    rng = np.random.default_rng(8)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(source), str(target)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        with child, child.stdout:
            child.stdout.readline()
            while not list(work.glob("plate/*/*")) and child.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.15))
            child.send_signal(signal.SIGKILL)
        if target.exists():
            break
        assert (work / "convert.json").is_file()
    if not target.exists():
        convert(open_plate(source), target)
    assert bytes_of(target) == bytes_of(whole)
    assert not work.exists()


def test_what_cannot_be_read_is_left_out_and_listed(tiny_plate: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, path)
    wells = sorted(path.glob("*/*/zarr.json"))
    (wells[0].parent / "0/0/c/1/0/0").unlink()
    wells[1].unlink()
    old = open_plate(path)
    made = convert(old, tmp_path / "new.zarr")
    assert made.images == 21
    with made.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert made.table == tmp_path / "new.zarr.failures.csv"
    assert [bool(row["Metadata_Site"]) for row in rows] == [False, True]
    assert rows[1]["Channel"] == "GFP"
    assert "missing" in rows[1]["Reason"]
    assert {row["Metadata_Plate"] for row in rows} == {"tiny"}
    new = open_plate(made.path)
    assert new.info().missing == ()
    kept = [f for f in old.fields if (f.well, str(f.site)) != (rows[1]["Metadata_Well"], "1")]
    for one, other in zip(new.fields, kept, strict=True):
        np.testing.assert_array_equal(new.read(one), old.read(other))


def test_a_storage_that_answers_late_costs_no_field(
    tiny_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hts_classify.plate.patience.WAITS", [0.0, 0.0])
    late = FieldError("too slow", transient=True)
    faults: dict[int, list[BaseException]] = {
        3: [ConnectionError("reset"), late],
        5: [ConnectionError("gone")] * 3,
        7: [FieldError("corrupt", channel="DNA")],
    }
    made = convert(Watched(open_plate(tiny_plate), faults=faults), tmp_path / "new.zarr")
    said = [(failure.channel, failure.reason) for failure in made.failures]
    assert said == [("", "the storage does not answer (gone)"), ("DNA", "corrupt")]


def test_a_plate_without_a_readable_field_leaves_nothing(tiny_plate: Path, tmp_path: Path) -> None:
    faults: dict[int, list[BaseException]] = {n: [FieldError("rotten")] for n in range(24)}
    with pytest.raises(PlateError, match="rotten"):
        convert(Watched(open_plate(tiny_plate), faults=faults), tmp_path / "new.zarr")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_hdf5_leaves_nothing(tiny_plate: Path, tmp_path: Path) -> None:
    stopped = Watched(open_plate(tiny_plate), faults={15: [KeyboardInterrupt()]})
    with pytest.raises(KeyboardInterrupt):
        convert(stopped, tmp_path / "p.h5", format="hdf5")
    assert not list(tmp_path.iterdir())


def test_places_that_are_taken_or_far_are_refused(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        convert(plate, tmp_path / "mine.zarr")
    with pytest.raises(UsageError, match="local path"):
        convert(plate, "s3://bucket/plate.zarr")
    (tmp_path / "new.zarr.part").mkdir()
    (tmp_path / "new.zarr.part" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="in the way"):
        convert(plate, tmp_path / "new.zarr")
    assert (tmp_path / "new.zarr.part" / "thesis.txt").exists()
