"""Image lists through the pass, a run and `predict`: what their tables say arrives."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hts_classify.extract import PassSettings, extract
from hts_classify.extract.batches import by_groups
from hts_classify.plate import (
    ImageSets,
    View,
    choose_image_sets,
    find_platemap,
    open_plate,
    read_platemap,
)
from hts_classify.predict import PredictSettings, predict
from hts_classify.prepare import prepare
from hts_classify.progress import Progress
from hts_classify.run import RunSettings, run

SMALL = PassSettings(tile_sizes=(32,))


class Notes(Progress):
    """What a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def listed(tiny_plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny plate as TIFF files, its plate map and illumination functions in the same table."""
    folder = tmp_path_factory.mktemp("listed")
    plate = open_plate(tiny_plate)
    platemap = find_platemap(tiny_plate)
    assert platemap is not None
    wells = read_platemap(platemap, plate).set_index("Metadata_Well").astype(str)
    rows = []
    for field in plate.fields:
        row = {"Metadata_Plate": "BR1", "Metadata_Well": field.well, "Metadata_Site": field.site}
        row |= wells.drop(columns="Metadata_Plate").loc[field.well].to_dict()
        row["Metadata_AbsTime"] = f"{field.well}.{field.site}"
        for channel, pixels in zip(plate.channels, plate.read(field), strict=True):
            name = f"{field.well}_{field.site}_{channel}.tif"
            Image.fromarray(pixels).save(folder / name)
            row[f"FileName_Orig{channel}"] = name
            row[f"FileName_Illum{channel}"] = f"Illum{channel}.npy"
        rows.append(row)
    for channel in plate.channels:
        np.save(folder / f"Illum{channel}.npy", np.full(plate.field_shape, 2, "float32"))
    with (folder / "load_data.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "load_data.csv"


def test_features_carry_what_the_table_says(listed: Path, tmp_path: Path) -> None:
    plate = open_plate(listed)
    result = extract(plate, tmp_path / "out", SMALL, scheduler="synchronous")
    table = pd.read_csv(listed, dtype=str)
    kept = pd.read_parquet(tmp_path / "out" / "features.parquet")
    for name in ("Metadata_Compound", "Metadata_phenotype", "Metadata_AbsTime"):
        assert kept[name].tolist() == table[name].tolist() == result.features[name].tolist()
    assert list(kept).count("Metadata_Well") == 1
    names = [name for name in kept if not name.startswith("Metadata_")]
    assert all(name.startswith("Image_PFTAS_Orig") for name in names)


def test_a_corrected_table_has_nothing_read_again(listed: Path, tmp_path: Path) -> None:
    own = listed.with_name("corrected.csv")
    own.write_text(listed.read_text())
    extract(open_plate(own), tmp_path / "out", SMALL, scheduler="synchronous")
    shards = sorted((tmp_path / "out" / "features").rglob("*.parquet"))
    before = [shard.read_bytes() for shard in shards]
    first = next(iter(open_plate(own).metadata.values()))
    own.write_text(listed.read_text().replace(first["Metadata_phenotype"], "renamed"))
    again = extract(open_plate(own), tmp_path / "out", SMALL, scheduler="synchronous")
    assert again.costs == {}
    assert [shard.read_bytes() for shard in shards] == before
    assert "renamed" in set(again.features["Metadata_phenotype"])


def test_lost_files_stand_in_the_failures_with_line_and_channel(
    listed: Path, tmp_path: Path
) -> None:
    lines = listed.read_text().splitlines()
    cells = next(csv.reader([lines[4]]))
    first = next(index for index, cell in enumerate(cells) if cell.endswith(".tif"))
    own = listed.with_name("lost.csv")
    own.write_text("\n".join(lines).replace(cells[first], "gone.tif"))
    result = extract(open_plate(own), tmp_path / "out", SMALL, scheduler="synchronous")
    failures = pd.read_csv(tmp_path / "out" / "failures.csv")
    assert failures["Channel"].tolist() == ["OrigDNA"]
    assert failures["Reason"].str.match(r"line 5: file .*gone\.tif is missing").all()
    assert len(result.features) == len(lines) - 2


def test_a_list_is_its_own_plate_map_in_a_run(
    listed: Path, quick: RunSettings, tmp_path: Path
) -> None:
    notes = Notes()
    out = run(listed, replace(quick, folds=2), out=tmp_path / "run", progress=notes)
    assert "load_data.csv is the plate map too, by its Metadata_ columns" in notes.said
    corrected = "illumination corrected as the image list says: OrigDNA by IllumDNA.npy"
    assert any(note.startswith(corrected) for note in notes.said)
    description = json.loads((out / "run.json").read_text())
    assert description["illumination"] == {"BR1": ["OrigDNA", "OrigGFP"]}
    calls = pd.read_parquet(out / "predictions.parquet")
    table = pd.read_csv(listed, dtype=str).drop_duplicates("Metadata_Well")
    expected = table.set_index("Metadata_Well")["Metadata_phenotype"]
    wells = calls[calls["Level"] == "well"].set_index("Metadata_Well")
    assert (wells["Metadata_phenotype"] == expected.reindex(wells.index)).all()

    said, settings = Notes(), PredictSettings(device="cpu", view=View(illumination=None))
    predict(out / "models", listed, settings, out=tmp_path / "calls", progress=said)
    assert "the image list's own illumination functions are not applied" in said.said
    assert any("illumination [], the models learned ['OrigDNA'" in note for note in said.said)
    called = pd.read_parquet(tmp_path / "calls" / "predictions.parquet")
    about = called[called["Level"] == "well"].set_index("Metadata_Well")["Metadata_phenotype"]
    assert (about == expected.reindex(about.index)).all()


def test_a_plate_map_wins_over_the_list_and_it_is_said(
    listed: Path, quick: RunSettings, tmp_path: Path
) -> None:
    table = pd.read_csv(listed, dtype=str).drop_duplicates("Metadata_Well")
    own = table[["Metadata_Well", "Metadata_Compound", "Metadata_phenotype"]].copy()
    changed = own["Metadata_phenotype"].iloc[0]
    other = next(name for name in own["Metadata_phenotype"].dropna() if name != changed)
    own.iloc[0, 2] = other
    own.to_csv(tmp_path / "map.csv", index=False)
    job = prepare([listed], replace(quick, platemap=tmp_path / "map.csv"), out=tmp_path / "run")
    assert job.wells["Metadata_phenotype"].iloc[0] == other
    assert (
        "BR1: Metadata_phenotype is the plate map's; the image list says otherwise of 1 well"
        in job.notes
    )


def test_sites_in_two_spellings_are_one_group(listed: Path, tmp_path: Path) -> None:
    table = pd.read_csv(listed, dtype=str)
    padded = table["Metadata_Well"] == table["Metadata_Well"].iloc[0]
    table.loc[padded, "Metadata_Site"] = "0" + table["Metadata_Site"]
    table.to_csv(listed.with_name("padded.csv"), index=False)
    plate = open_plate(listed.with_name("padded.csv"))
    batches = by_groups([plate], ["Site"], together=False)
    assert [batch.flags for batch in batches] == [
        ("-g", "Metadata_Site=1"),
        ("-g", "Metadata_Site=2"),
    ]
    for batch in batches:
        (pair,) = [flag.partition("=") for flag in batch.flags[1:]]
        chosen = choose_image_sets([plate], ImageSets(groups=((pair[0], pair[2]),)))
        assert tuple(sorted(chosen.values())) == batch.image_sets
