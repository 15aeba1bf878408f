"""`hts-classify info`: what a plate holds, and what a run would hit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hts_classify.commands import main
from hts_classify.plate import Field
from hts_classify.writers import Outline, open_writer

Said = Callable[..., str]


@pytest.fixture
def copy(tiny_plate: Path, tmp_path: Path) -> Path:
    """A copy of the tiny plate, to damage."""
    path = tmp_path / "copy.zarr"
    shutil.copytree(tiny_plate, path)
    return path


@pytest.fixture
def info(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run `hts-classify info`; check its exit code, return what it said."""

    def run(*arguments: object, code: int = 0) -> str:
        assert main(["info", *map(str, arguments)]) == code
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


def uneven_plate(path: Path) -> Path:
    """Write a plate whose fields differ in size, planes and label images."""
    outline = Outline(
        name="Uneven",
        rows=("A", "B"),
        columns=("1", "2", "3"),
        channels=("DNA",),
        pixel_size=(0.5, 0.5),
    )
    fields = [Field("A01", site, "") for site in (1, 2, 3, 4)] + [Field("B03", 1, "")]
    shapes = [(1, 3, 40, 40)] * 3 + [(1, 3, 40, 44), (1, 2, 40, 40)]
    with open_writer(path, outline) as writer:
        for field, shape in zip(fields, shapes, strict=True):
            cells = [np.ones(shape[1:], np.uint8)]
            labels = {} if field.site == 2 else {"cells": cells}
            writer.write(field, [np.ones(shape, np.uint16)], labels=labels)
        writer.finish(fields)
    return path


def test_info_lists_what_the_metadata_say(tmp_path: Path, info: Said) -> None:
    said = info(uneven_plate(tmp_path / "uneven.zarr"))
    for words in (
        r"wells +2\n",
        r"fields +5 \(1 to 4 a well\)",
        r"pixels +40 × 40 uint16; others 40 × 44",
        r"pixel size +0\.5 × 0\.5 µm",
        r"levels +1\n",
        r"planes +3\n",
        r"time points +1\n",
        r"labels +cells",
        r"on disk +not looked at \(--check\)",
        r"missing +nothing by the metadata",
        r"note +3 planes: their maximum projection",
    ):
        assert re.search(words, said), words


def test_fields_that_are_unlike_the_others_are_named(tmp_path: Path, info: Said) -> None:
    said = info("--check", uneven_plate(tmp_path / "uneven.zarr"))
    for words in (
        "unlike: well A01 field 2: no label image 'cells'",
        "unlike: well A01 field 4: 40×44 pixels",
        "unlike: well B03 field 1: 2 planes, not 3",
        "5 of 5 fields can be used",
    ):
        assert words in said
    assert re.search(r"A +4 +\.\nB +\. +1\n", said)


def test_a_clean_plate_is_exit_0(tiny_plate: Path, info: Said) -> None:
    said = info("--check", tiny_plate)
    assert re.search(r"missing +nothing\n", said)
    assert re.search(r"on disk +\d.* kB", said)
    assert "unlike" not in said
    assert said.endswith("24 of 24 fields can be used\n")


def test_a_chunk_that_would_read_as_zeros_is_exit_3(copy: Path, info: Said) -> None:
    chunk = sorted(copy.glob("*/*/1/0/c/1/0/0"))[0]
    well = chunk.relative_to(copy).parts[:2]
    chunk.unlink()
    said = info("--check", copy, code=3)
    name = f"{well[0]}{int(well[1]):02d}"
    assert re.search(rf"missing: well {name} field 2: chunk \S+ is missing \(channel GFP\)", said)
    assert "1/2" in said
    assert said.endswith("23 of 24 fields can be used\n")
    assert "nothing by the metadata" in info(copy)


def test_wells_fields_and_types_that_are_not_as_promised_are_named(copy: Path, info: Said) -> None:
    wells = sorted(path.parent for path in copy.glob("*/*/zarr.json"))
    shutil.rmtree(wells[0])
    (wells[1] / "0" / "zarr.json").write_text("{")
    array = wells[2] / "1" / "0" / "zarr.json"
    content = json.loads(array.read_text())
    array.write_text(json.dumps(content | {"data_type": "uint8"}))
    said = info("--check", copy, code=3)
    for words in (
        r"missing: well \w+: ",
        r"field 1: .*JSON",
        r"field 2: pixels are uint8, the plate's are uint16",
        r"0/\?",
        r"20 of 22 fields can be used",
    ):
        assert re.search(words, said), words
    assert re.search(r"missing +3\n", info(copy))


def test_a_plate_that_no_run_could_use_is_exit_1(copy: Path, info: Said) -> None:
    for chunk in copy.glob("*/*/*/0/c/0/0/0"):
        chunk.unlink()
    assert "0 of 24 fields can be used" in info("--check", copy, code=1)
    root = copy / "zarr.json"
    content = json.loads(root.read_text())
    content["attributes"]["ome"]["version"] = "0.9"
    root.write_text(json.dumps(content))
    assert "0.9" in info("--check", copy, code=1)


def test_many_faults_are_counted(copy: Path, info: Said) -> None:
    for chunk in copy.glob("*/*/*/0/c/0/0/0"):
        chunk.unlink()
    said = info("--check", copy, code=1)
    assert said.count("missing: well") == 20
    assert "missing: and 4 more" in said


def test_info_needs_a_plate_or_kernels(tiny_plate: Path, info: Said) -> None:
    assert "required" in info(code=2)
    assert "not allowed" in info(tiny_plate, "--kernels", code=2)
