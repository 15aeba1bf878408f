"""Fifty seeded damages to a plate of each kind: what the pass makes of them.

A damage is **recorded** (`failures.csv`), **refused** (no pass, one line that says why), without
**effect**, or **unseen**: a field's numbers are others and nothing says so. What `convert` writes
has a checksum on all pixels, so that none of theirs goes unseen but the one that no file format
can show: two whole chunks that changed places.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import h5py
import numcodecs
import numpy as np
import pandas as pd
import pytest
import zarr
from damage import Damage, Place, damage_folder, damage_hdf5
from PIL import Image

from hts_classify import open_plate
from hts_classify.commands import main
from hts_classify.convert import convert
from hts_classify.shards import TILE_ROW
from hts_classify.tiles import TileStore
from hts_classify.vocabulary import SITE, WELL

_WELLS: Final = ("A/1", "A/2", "B/1", "B/3")
_FIELDS: Final = frozenset(
    (f"{row}{int(column):02d}", site)
    for (row, column), site in product((well.split("/") for well in _WELLS), (1, 2))
)
_TILE: Final = 16
_SEEDS: Final = 50
_CONVERTED: Final = {
    "convert 0.5": {"format": "ome-zarr-0.5"},
    "convert 0.5 shards": {"format": "ome-zarr-0.5", "shards": True},
    "convert 0.4": {"format": "ome-zarr-0.4"},
    "convert hdf5": {"format": "hdf5"},
}
_UNCHECKED: Final = {
    "plain 0.4": None,
    "zstd 0.4": numcodecs.Zstd(1),
    "blosc 0.4": numcodecs.Blosc(),
}
_FLIPS: Final = {"flip", "flips", "pixel flip", "pixel flips"}
_FITTING: Final = {"flip", "flips", "zeros", "hole", "swap"}
"""Damages that leave as many bytes as there were."""


@dataclass(frozen=True)
class Found:
    """What a pass left."""

    code: int
    said: str
    fields: Mapping[Place, str]
    """A hash of the numbers and the tile of each field."""
    failed: frozenset[tuple[str, int | None]]

    def names(self, at: Place) -> bool:
        """Tell whether a field, or its well, is among the failures."""
        return bool({at, (at[0], None)} & self.failed)


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Plates of the same pixels: without checksums, and as `convert` makes them of those."""
    folder = tmp_path_factory.mktemp("whole")
    made = {
        name: _write_plain(folder / f"{name.partition(' ')[0]}.zarr", compressor)
        for name, compressor in _UNCHECKED.items()
    }
    source = open_plate(made["plain 0.4"])
    for number, (name, how) in enumerate(_CONVERTED.items()):
        suffix = "h5" if how["format"] == "hdf5" else "zarr"
        made[name] = convert(source, folder / f"made{number}.{suffix}", **how).path
    return made


@pytest.fixture
def scan(capsys: pytest.CaptureFixture[str]) -> Callable[[Path, Path], Found]:
    """Run the pass as its command does."""

    def _scan(plate: Path, out: Path) -> Found:
        asked = ["--tile-size", str(_TILE), "--scheduler", "synchronous", "-o", str(out)]
        code = main(["extract", str(plate), *asked])
        said = capsys.readouterr().err
        if code not in (0, 3):
            return Found(code, said, {}, frozenset())
        return Found(code, said, _digests(out), _failed(out))

    return _scan


@pytest.mark.filterwarnings("ignore::hts_classify.errors.HTSWarning")  # of metadata that are odd
@pytest.mark.parametrize("name", [*_CONVERTED, *_UNCHECKED])
def test_no_damage_that_the_store_can_show_goes_unseen(
    name: str,
    plates: dict[str, Path],
    scan: Callable[[Path, Path], Found],
    tmp_path: Path,
) -> None:
    clean = scan(plates[name], tmp_path / "clean")
    assert (clean.code, clean.fields.keys()) == (0, _FIELDS), clean.said
    outcomes: dict[str, list[Damage]] = {}
    for seed in range(_SEEDS):
        plate, out = tmp_path / f"{seed}{plates[name].suffix}", tmp_path / f"out-{seed}"
        damage = _damaged(plates[name], plate, seed)
        found = scan(plate, out)
        outcome = _outcome(damage, found, clean, f"seed {seed}: {damage.kind} in {damage.where}")
        if outcome == "unseen" and not damage.pixels:
            _check_described(plate, found)
        outcomes.setdefault(outcome, []).append(damage)
    print(_tell(name, outcomes))
    unseen = Counter(damage.kind for damage in outcomes["unseen"] if damage.pixels)
    swaps = sum(damage.kind == "swap" for damages in outcomes.values() for damage in damages)
    assert unseen.pop("swap") == swaps  # no file format shows these
    assert not unseen if name in _CONVERTED else unseen.keys() <= _FITTING
    if name == "plain 0.4":
        assert unseen == _count(outcomes, _FITTING - {"swap"}), "what is not encoded always decodes"


@pytest.mark.parametrize("entry", [None, 0, "1", {}, {"acquisition": 0}])
def test_an_image_without_a_path_is_recorded_and_moves_no_other_to_its_site(
    entry: object, plates: dict[str, Path], scan: Callable[[Path, Path], Found], tmp_path: Path
) -> None:
    plate = tmp_path / "plate.zarr"
    shutil.copytree(plates["convert 0.5"], plate)
    metadata = json.loads((plate / "A/2/zarr.json").read_bytes())
    metadata["attributes"]["ome"]["well"]["images"][0] = entry
    (plate / "A/2/zarr.json").write_text(json.dumps(metadata))
    found = scan(plate, tmp_path / "out")
    assert (found.code, found.failed) == (3, {("A02", None)})
    assert found.fields.keys() == {at for at in _FIELDS if at[0] != "A02"}


@pytest.mark.filterwarnings("ignore::hts_classify.errors.HTSWarning")
def test_a_well_without_a_path_is_refused(
    plates: dict[str, Path], scan: Callable[[Path, Path], Found], tmp_path: Path
) -> None:
    plate = tmp_path / "plate.zarr"
    shutil.copytree(plates["convert 0.5"], plate)
    metadata = json.loads((plate / "zarr.json").read_bytes())
    metadata["attributes"]["ome"]["plate"]["wells"][1] = None
    (plate / "zarr.json").write_text(json.dumps(metadata))
    found = scan(plate, tmp_path / "out")
    assert (found.code, "well path None" in found.said) == (1, True)


def test_an_hdf5_chunk_without_compression_that_is_too_short_is_not_filled_from_memory(
    plates: dict[str, Path], scan: Callable[[Path, Path], Found], tmp_path: Path
) -> None:
    plate = tmp_path / "plate.h5"
    shutil.copy(plates["convert hdf5"], plate)
    with h5py.File(plate, "r+") as file:
        pixels = file["A/1/0"][...]
        del file["A/1/0"]
        dataset = file.create_dataset("A/1/0", data=pixels, chunks=(1, 64, 64), shuffle=True)
        dataset.attrs["axes"] = "cyx"
        dataset.id.write_direct_chunk((1, 0, 0), pixels[1].tobytes()[:-1000])
    assert scan(plate, tmp_path / "out").failed == {("A01", 1)}


@pytest.mark.parametrize("begin", [1000, 3000])
def test_png_files_are_held_against_their_checksums(
    begin: int, plates: dict[str, Path], scan: Callable[[Path, Path], Found], tmp_path: Path
) -> None:
    rows = ["Metadata_Well,FileName_DNA"]
    plate = open_plate(plates["plain 0.4"])
    for field in plate.fields[::2]:
        Image.fromarray(plate.read(field)[0]).save(tmp_path / f"{field.well}.png")
        rows.append(f"{field.well},{field.well}.png")
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    assert scan(tmp_path / "list.csv", tmp_path / "clean").code == 0
    content = bytearray((tmp_path / "B01.png").read_bytes())
    content[begin : begin + 512] = bytes(512)
    (tmp_path / "B01.png").write_bytes(content)
    assert scan(tmp_path / "list.csv", tmp_path / "out").failed == {("B01", 1)}


def test_hdf5_that_is_converted_has_checksums_on_its_metadata_too(
    plates: dict[str, Path],
) -> None:
    content = plates["convert hdf5"].read_bytes()
    assert content[8] == 3, "its superblock is of HDF5 1.10"
    assert b"GCOL" not in content, "no heap, which has no checksum and which damage makes endless"


def _outcome(damage: Damage, found: Found, clean: Found, about: str) -> str:
    """Say what became of a damage, and check all that must hold whatever it is."""
    about = f"{about}: exit {found.code}, {found.said}"
    assert "Traceback" not in found.said, about
    assert found.code in (0, 1, 2, 3), about
    if found.code in (1, 2):
        assert found.said.splitlines()[-1].startswith("hts-classify: "), about
        assert damage.fields == _FIELDS, f"one field stopped the whole plate: {about}"
        return "refused"
    assert (found.code == 3) == bool(found.failed), about
    untouched = clean.fields.keys() - damage.fields
    assert {at: found.fields.get(at) for at in untouched} == {
        at: clean.fields[at] for at in untouched
    }, about
    if damage.pixels:  # what the metadata promise is read or recorded, never left out in silence
        gone = {at for at in _FIELDS - found.fields.keys() if not found.names(at)}
        assert not gone, about
    unsaid = {at for at in _FIELDS if not found.names(at)}
    if any(found.fields.get(at, clean.fields[at]) != clean.fields[at] for at in unsaid):
        return "unseen"
    if unsaid - found.fields.keys() and not found.failed:
        return "unseen"
    return "recorded" if found.failed else "without effect"


def _damaged(whole: Path, plate: Path, seed: int) -> Damage:
    if whole.is_file():
        shutil.copy(whole, plate)
        return damage_hdf5(plate, seed, _FIELDS)
    shutil.copytree(whole, plate)
    return damage_folder(plate, seed, _FIELDS)


def _check_described(plate: Path, found: Found) -> None:
    """Check that fields whose numbers changed are what the damaged metadata now describe."""
    ours = open_plate(plate)
    assert {(field.well, field.site) for field in ours.fields} >= found.fields.keys()
    for field in ours.fields:
        if (field.well, field.site) in found.fields:
            if plate.is_file():
                with h5py.File(plate) as file:
                    theirs = file[field.path][...]
            else:
                image = zarr.open_group(plate, mode="r", path=field.path)
                described = image.attrs.get("ome", image.attrs)
                theirs = image[described["multiscales"][0]["datasets"][0]["path"]][...]
            np.testing.assert_array_equal(ours.read(field), theirs)


def _count(outcomes: Mapping[str, list[Damage]], kinds: Container[str]) -> Counter[str]:
    every = (damage.kind for damages in outcomes.values() for damage in damages)
    return Counter(kind for kind in every if kind in kinds)


def _tell(name: str, outcomes: Mapping[str, list[Damage]]) -> str:
    """Say plainly how many went unseen."""
    lines = []
    for outcome in ("recorded", "refused", "without effect", "unseen"):
        damages = outcomes.get(outcome, [])
        kinds = sorted(Counter(damage.kind for damage in damages).items())
        named = ", ".join(f"{number} {kind}" for kind, number in kinds)
        lines.append(f"  {outcome}: {len(damages)} ({named})")
    unseen = sum(damage.kind in _FLIPS for damage in outcomes.get("unseen", []))
    lines.append(f"  of {_count(outcomes, _FLIPS).total()} flips of pixels {unseen} went unseen")
    return "\n".join([name, *lines])


def _digests(out: Path) -> dict[Place, str]:
    """Hash the numbers and the tile of each field that a pass left."""
    features = pd.read_parquet(out / "features.parquet")
    quality = pd.read_parquet(out / "quality.parquet").drop(columns="Metadata_Flags")
    found: dict[Place, str] = {}
    tiles = TileStore(out / "tiles.zarr", _TILE).read(features[TILE_ROW].to_numpy(np.intp))
    numbers = [
        table.select_dtypes("number").drop(columns=TILE_ROW) for table in (features, quality)
    ]
    for k, (well, site) in enumerate(zip(features[WELL], features[SITE], strict=True)):
        content = hashlib.sha256(tiles[k].tobytes())
        for table in numbers:
            content.update(table.iloc[k].drop(SITE).to_numpy(float).tobytes())
        found[str(well), int(site)] = content.hexdigest()
    return found


def _failed(out: Path) -> frozenset[tuple[str, int | None]]:
    table = pd.read_csv(out / "failures.csv")
    sites = [None if pd.isna(site) else int(site) for site in table[SITE]]
    return frozenset(zip(table[WELL].astype(str), sites, strict=True))


def _write_plain(path: Path, compressor: object) -> Path:
    """Write a plate of 4 wells × 2 fields × 2 channels × 64² uint16 without checksums."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    wells = [
        {"path": well, "rowIndex": "AB".index(well[0]), "columnIndex": int(well[2]) - 1}
        for well in _WELLS
    ]
    root.attrs["plate"] = {
        "version": "0.4",
        "rows": [{"name": row} for row in "AB"],
        "columns": [{"name": str(column)} for column in (1, 2, 3)],
        "wells": wells,
    }
    rng = np.random.default_rng(0)
    for well in _WELLS:
        group = root.create_group(well)
        group.attrs["well"] = {"version": "0.4", "images": [{"path": "0"}, {"path": "1"}]}
        for site in "01":
            image = group.create_group(site)
            transform = {"type": "scale", "scale": [1.0, 0.65, 0.65]}
            datasets = [{"path": "0", "coordinateTransformations": [transform]}]
            axes = [
                {"name": "c", "type": "channel"},
                {"name": "y", "type": "space", "unit": "micrometer"},
                {"name": "x", "type": "space", "unit": "micrometer"},
            ]
            image.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
            image.attrs["omero"] = {"channels": [{"label": "DNA"}, {"label": "GFP"}]}
            image.create_array(
                "0",
                data=_pixels(rng),
                chunks=(1, 64, 64),
                compressors=compressor,
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
    return path


def _pixels(rng: np.random.Generator) -> np.ndarray:
    """Draw two channels of bright squares on a noisy ground."""
    bright = np.kron(rng.random((2, 8, 8)) < 0.2, np.ones((8, 8)))
    return rng.poisson(200 + 900 * bright).astype("uint16")
