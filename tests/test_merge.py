"""A pass in parts, merged, is the pass in one go: the same bytes, or an error that says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from hts_classify import PassSettings, export, extract, open_plate
from hts_classify.errors import DataError, HTSError, UsageError
from hts_classify.extract import merge as merging
from hts_classify.extract.batches import by_groups, by_number
from hts_classify.extract.merge import IncompleteError, merge
from hts_classify.files import place
from hts_classify.plate import ImageSets, Plate
from hts_classify.predict import PredictSettings, predict
from hts_classify.run import RunSettings, run

HALVES = ((1, 5), (6, 13), (14, 24))
"""Three parts of the tiny plate, whose borders cut wells."""


def hashes(out: Path) -> dict[str, str]:
    """Hash all files but the parts, and what may differ from pass to pass."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and path.name != "timings.json"
        and path.relative_to(out).parts[0] != "parts"
    }


def do_parts(
    plates: Sequence[Plate],
    out: Path,
    settings: PassSettings = PassSettings(),  # noqa: B008
    cuts: Sequence[tuple[int, int]] = HALVES,
) -> None:
    for first, last in cuts:
        part = out / "parts" / f"{first:05d}-{last:05d}"
        extract(plates, part, settings, image_sets=ImageSets(first=first, last=last))


@pytest.fixture
def parts(tiny_plate: Path, tmp_path: Path) -> Path:
    """A folder with the parts of the tiny plate."""
    do_parts([open_plate(tiny_plate)], tmp_path / "out")
    return tmp_path / "out"


def test_parts_that_cut_wells_make_the_bytes_of_one_pass(
    holed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = open_plate(holed)
    settings = PassSettings(tile_sizes=(16, 32))
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    single = extract(plate, "out", settings)
    monkeypatch.chdir(tmp_path / "many")
    do_parts([plate], Path("out"), settings)
    merged = merge("out", remove_parts=True)
    assert hashes(tmp_path / "many" / "out") == hashes(tmp_path / "one" / "out")
    assert merged.stamp == single.stamp
    assert len(merged.failures) == 1
    assert not (tmp_path / "many" / "out" / "parts").exists()


@pytest.mark.parametrize("by", ["images", "wells"])
def test_objects_and_crops_are_cut_between_wells(tiny_plate: Path, tmp_path: Path, by: str) -> None:
    labelled = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, labelled)
    plate = open_plate(labelled)
    for number, field in enumerate(plate.fields):
        labels = np.zeros((64, 64), np.uint16)
        labels[20:40, 20 : 40 + number % 5] = 1
        add_label(labelled / field.path, labels)
    plate = open_plate(labelled)
    settings = PassSettings(labels="cells", crops="objects", crop_size=16, crops_per_field=2)
    extract(plate, tmp_path / "one", settings)
    if by == "images":
        batches = by_number([plate], 5, together=True)
        assert [len(batch.image_sets) for batch in batches] == [4] * 6
    else:
        batches = by_groups([plate], ["Well"], together=True)
        assert [batch.name for batch in batches] == list(plate.wells)
    for batch in batches:
        (_, first, *rest) = batch.flags
        if by == "images":
            wanted = ImageSets(first=int(first), last=int(rest[1]))
        else:
            key, _, value = first.partition("=")
            wanted = ImageSets(groups=((key, value),))
        extract(plate, tmp_path / "many" / "parts" / batch.name, settings, image_sets=wanted)
    merge(tmp_path / "many")
    assert hashes(tmp_path / "many") == hashes(tmp_path / "one")
    assert (tmp_path / "many" / "objects.parquet").exists()
    with pytest.raises(UsageError, match=r"1 of the 2 fields of well \w+ are meant"):
        extract(plate, tmp_path / "cut", settings, image_sets=ImageSets(last=3))
    assert not (tmp_path / "cut").exists()


def add_label(image: Path, labels: np.ndarray) -> None:
    """Give a field of an OME-Zarr 0.5 plate a label image."""
    import zarr

    group = zarr.open_group(image, mode="a")
    held = group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["cells"]}})
    axes = [{"name": name, "type": "space"} for name in "yx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}]
    multiscales = [{"axes": axes, "datasets": levels}]
    cells = held.create_group(
        "cells", attributes={"ome": {"version": "0.5", "multiscales": multiscales}}
    )
    cells.create_array("0", data=labels)


def test_a_part_knows_what_it_is_for(parts: Path, tiny_plate: Path) -> None:
    plate, part = open_plate(tiny_plate), parts / "parts" / "00001-00005"
    before = hashes(part)
    with pytest.raises(UsageError, match="holds a part of a pass: image sets 1-5"):
        extract(plate, part)
    with pytest.raises(UsageError, match="holds another run: image_sets"):
        extract(plate, part, image_sets=ImageSets(first=2, last=5))
    with pytest.raises(UsageError, match="-f 25 is past the last image set, which is 24"):
        extract(plate, parts / "parts" / "late", image_sets=ImageSets(first=25))
    assert not (parts / "parts" / "late").exists()
    assert extract(plate, part, image_sets=ImageSets(last=5)).costs == {}  # nothing is read again
    assert hashes(part) == before
    merge(parts)
    with pytest.raises(UsageError, match=r"is not empty, and no part\.json says"):
        extract(plate, parts, image_sets=ImageSets(last=5))


Damage = Callable[[Path], object]


def gone(parts: Path) -> None:
    shutil.rmtree(parts / "00006-00013")


def early(parts: Path) -> None:
    shutil.rmtree(parts / "00006-00013" / "features")


def nowhere(parts: Path) -> None:
    (parts / "00006-00013" / "timings.json").unlink()


def shardless(parts: Path) -> None:
    sorted((parts / "00006-00013" / "features").glob("*/*.parquet"))[1].unlink()


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shard(parts: Path) -> None:
    flipped(sorted((parts / "00006-00013" / "features").glob("*/*.parquet"))[1])


def tile(parts: Path) -> None:
    flipped(parts / "00006-00013" / "tiles.zarr" / "128" / "c.7.0.0.0")


def tileless(parts: Path) -> None:
    (parts / "00006-00013" / "tiles.zarr" / "128" / "c.7.0.0.0").unlink()


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (gone, "8 of 24 .*: 6-13;"),
        (early, "8 of 24 .*: 6-13 "),
        (nowhere, "8 of 24 .*: 6-13 "),
        (shardless, "2 of 24 .*: 7-8 "),
        (shard, "2 of 24 .*: 7-8 "),
        (tile, "1 of 24 .*: 8 "),
        (tileless, "1 of 24 .*: 8 "),
    ],
)
def test_what_is_missing_is_found_by_its_content_and_running_the_part_again_mends_it(
    parts: Path, tiny_plate: Path, tmp_path: Path, damage: Damage, lost: str
) -> None:
    damage(parts / "parts")
    plan = [
        {"part": f"{a:05d}-{b:05d}", "image_sets": [[a, b]], "command": f"do {a}"}
        for a, b in HALVES
    ]
    (parts / "parts" / "batch.json").write_text(json.dumps({"commands": plan}))
    with pytest.raises(IncompleteError, match=f"{lost}.*run again: do 6") as caught:
        merge(parts)
    assert caught.value.commands == ("do 6",)
    assert not hashes(parts)  # nothing is written
    plate = open_plate(tiny_plate)
    do_parts([plate], parts, cuts=HALVES[1:2])
    merge(parts)
    extract(plate, tmp_path / "one")
    assert hashes(parts) == hashes(tmp_path / "one")


def test_a_part_that_never_began_is_not_missed_where_another_has_its_fields(parts: Path) -> None:
    first = parts / "parts" / "00001-00005"
    shutil.copytree(first, first.with_name("begun"))
    shutil.rmtree(first.with_name("begun") / "features")
    (first.with_name("begun") / "timings.json").unlink()
    assert len(merge(parts).features) == 24


def test_fields_that_have_changed_since_are_missing(tiny_plate: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, copy)
    do_parts([open_plate(copy)], tmp_path / "out")
    chunk = sorted(copy.glob("*/*/0/0/c/0/0/0"))[-1]
    shutil.copy(sorted(copy.glob("*/*/0/0/c/0/0/0"))[0], chunk)
    with pytest.raises(IncompleteError, match=r"1 of 24 image sets .*: 23 "):
        merge(tmp_path / "out")


def doubled(parts: Path, plate: Plate) -> None:
    extract(plate, parts / "again", image_sets=ImageSets(first=5, last=6))


def other_settings(parts: Path, plate: Plate) -> None:
    shutil.rmtree(parts / "00006-00013")
    wanted = ImageSets(first=6, last=13)
    extract(plate, parts / "00006-00013", PassSettings(features="tas"), image_sets=wanted)


def other_version(parts: Path, plate: Plate) -> None:
    file = parts / "00006-00013" / "part.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": "0.0.9"}))


def other_plate(parts: Path, plate: Plate) -> None:
    elsewhere = parts.parent.parent / "elsewhere" / "tiny.zarr"
    shutil.copytree(plate.path, elsewhere)
    shutil.rmtree(parts / "00006-00013")
    wanted = ImageSets(first=6, last=13)
    extract(open_plate(elsewhere), parts / "00006-00013", image_sets=wanted)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (doubled, r"image sets 5 are in 00001-00005 and in again; delete"),
        (
            other_settings,
            r"00006-00013: is a part .* settings.features was 'pftas' there, and here",
        ),
        (other_version, r"00006-00013: a part from version 0\.0\.9 of hts_classify; this is"),
        (other_plate, r"00006-00013: is a part of another pass .* plate tiny was"),
    ],
)
def test_parts_that_do_not_go_together_are_named_and_nothing_is_written(
    parts: Path, tiny_plate: Path, wrong: Callable[[Path, Plate], None], words: str
) -> None:
    wrong(parts / "parts", open_plate(tiny_plate))
    with pytest.raises(DataError, match=words):
        merge(parts)
    assert not hashes(parts)


@pytest.mark.parametrize("content", ["{", "[]", '{"commands": 3}', '{"commands": [{}]}'])
def test_a_damaged_plan_does_not_cost_the_parts(parts: Path, content: str) -> None:
    (parts / "parts" / "batch.json").write_text(content)
    shutil.rmtree(next((parts / "parts").glob("*/")))
    with pytest.raises(DataError, match=r"batch\.json: is damaged; delete the file and call batch"):
        merge(parts)


def test_without_parts_there_is_nothing_to_merge(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no parts; run the commands of hts-classify batch"):
        merge(tmp_path)


@pytest.mark.parametrize("moment", [0, 3, 11, 12])
def test_a_merge_that_stops_anywhere_is_repeated(
    parts: Path, tiny_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    plate = open_plate(tiny_plate)
    joined = merging._join_shard
    calls = []

    def stops(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > moment:
            raise KeyboardInterrupt
        joined(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(merging, "_join_shard", stops)
        if moment == 12:
            patch.setattr(merging, "collect", stops)
        with pytest.raises(KeyboardInterrupt):
            merge(parts)
    assert not (parts / "features.parquet").exists()
    assert not list(parts.rglob(".*.part"))
    merge(parts)
    extract(plate, tmp_path / "one")
    assert hashes(parts) == hashes(tmp_path / "one")


def test_parts_on_an_object_store_are_merged_there(
    bucket: str, tiny_plate: Path, tmp_path: Path
) -> None:
    plate = open_plate(tiny_plate)
    for first, last in HALVES:
        wanted = ImageSets(first=first, last=last)
        extract(plate, f"{bucket}/out/parts/{first}", image_sets=wanted)
    merge(f"{bucket}/out", remove_parts=True)
    out = place(f"{bucket}/out")
    extract(plate, tmp_path / "one")
    for name in ("features.parquet", "quality.parquet", "tiles.zarr/128/c.7.0.0.0"):
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    with pytest.raises(UsageError, match="holds no parts"):
        merge(f"{bucket}/out")


KILLED = """
import os, signal, sys
from pathlib import Path
from hts_classify.extract.merge import merge

left, replace = int(sys.argv[2]), Path.replace


def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)


Path.replace = counted
merge(sys.argv[1])
"""


def test_a_merge_that_is_killed_between_two_files_is_repeated(
    parts: Path, tiny_plate: Path, tmp_path: Path
) -> None:
    for moment in (5, 31, 42):  # among tiles and shards, and between the tables
        command = [sys.executable, "-P", "-c", KILLED, str(parts), str(moment)]
        assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == -9
    assert list(parts.glob("**/.*.part"))
    merge(parts)
    extract(open_plate(tiny_plate), tmp_path / "one")
    assert hashes(parts) == hashes(tmp_path / "one")


def test_costs_are_those_of_all_parts_together(parts: Path) -> None:
    def cost(folder: Path) -> Mapping[str, Mapping[str, float]]:
        held: Mapping[str, Mapping[str, float]] = json.loads((folder / "timings.json").read_text())[
            "wells"
        ]
        return held

    of_parts = [cost(path) for path in sorted((parts / "parts").iterdir())]
    merge(parts)
    merge(parts)  # once more adds nothing
    merged = cost(parts)
    for name in ("fields", "read_s", "wall_s"):
        expected = sum(well[name] for part in of_parts for well in part.values())
        assert sum(well[name] for well in merged.values()) == pytest.approx(expected)
    assert sum(well["fields"] for well in merged.values()) == 24


def forbid_reading(monkeypatch: pytest.MonkeyPatch, plate: Plate) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a field is read")

    monkeypatch.setattr(type(plate), "read", refuse)


def test_a_run_and_a_call_of_models_go_on_from_what_was_merged(
    tiny_plate: Path,
    tiny_run: Path,
    quick: RunSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plate = open_plate(tiny_plate)
    size = next(int(path.name) for path in (tiny_run / "tiles.zarr").glob("*[0-9]"))
    settings = PassSettings(scale=(1, 8)) if size == 8 else PassSettings(tile_sizes=(size,))
    out, calls = tmp_path / "out", tmp_path / "calls"
    do_parts([plate], out, settings)
    merge(out)
    export(out, kinds=["profiles"])  # looked at before the run
    for first, last in HALVES:
        wanted = PredictSettings(device="cpu", image_sets=ImageSets(first=first, last=last))
        part = calls / "parts" / f"{first:05d}-{last:05d}"
        found = predict(tiny_run / "models", tiny_plate, wanted, out=part)
        assert len(found.features) == last - first + 1
    merge(calls)
    forbid_reading(monkeypatch, plate)
    run(tiny_plate, quick, out=out)
    for name in ("features.parquet", "folds.csv", "predictions.parquet"):
        assert (out / name).read_bytes() == (tiny_run / name).read_bytes()
    found = predict(tiny_run / "models", tiny_plate, PredictSettings(device="cpu"), out=calls)
    assert len(found.features) == 24
    assert found.costs == {}
    assert (calls / "predictions.csv").exists()


def test_a_run_does_not_take_a_pass_of_another_kind_or_a_part(
    parts: Path, tiny_plate: Path, quick: RunSettings
) -> None:
    with pytest.raises(UsageError, match="holds a part of a pass"):
        run(tiny_plate, quick, out=parts / "parts" / "00001-00005")
    merge(parts)
    before = hashes(parts)
    with pytest.raises(UsageError, match=r"a pass of another kind.*\(--tile-size 256 makes"):
        run(tiny_plate, quick, out=parts)
    assert hashes(parts) == before


def test_a_part_without_a_single_good_field_is_a_part(tiny_plate: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, copy)
    for chunk in sorted(copy.glob("A/2/*/0/c/1/0/0")):
        chunk.unlink()
    plate = open_plate(copy)
    assert plate.wells[0] == "A02"
    part = extract(plate, tmp_path / "out" / "parts" / "a", image_sets=ImageSets(last=2))
    assert (len(part.features), len(part.failures)) == (0, 2)
    extract(plate, tmp_path / "out" / "parts" / "b", image_sets=ImageSets(first=3))
    merged = merge(tmp_path / "out")
    assert (len(merged.features), len(merged.failures)) == (22, 2)


def test_batches_of_one_size_cover_every_image_set_once(tiny_plate: Path) -> None:
    plate = open_plate(tiny_plate)
    for size, together in [(1, False), (1, True), (7, False), (7, True), (24, True), (99, False)]:
        batches = by_number([plate], size, together=together)
        covered = [n for batch in batches for n in batch.image_sets]
        assert covered == list(range(1, 25))
        names = [batch.name for batch in batches]
        assert len(set(names)) == len(names)
        if together:
            assert all(len(batch.image_sets) % 2 == 0 for batch in batches)
        else:
            assert {len(batch.image_sets) for batch in batches[:-1]} <= {size}
    with pytest.raises(HTSError, match="0 images a batch"):
        by_number([plate], 0, together=False)
