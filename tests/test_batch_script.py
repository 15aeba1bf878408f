"""Scripts of the documentation run as they stand there."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hts_classify import open_plate, pftas
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import feature_columns

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "profiles.py"


def image_list(folder: Path) -> Path:
    """Write two plates of one design as TIFFs with one LoadData table."""
    rows = []
    for name in ("BR1", "BR2"):
        recipe = Recipe(shape=(64, 64), fields=2, compounds=2, seed=int(name[-1]))
        plate = open_plate(write_plate(folder / f"{name}.zarr", recipe))
        for field in plate.fields:
            row = {"Metadata_Plate": name, "Metadata_Well": field.well}
            row |= {"Metadata_Site": str(field.site)}
            for channel, pixels in zip(plate.channels, plate.read(field), strict=True):
                file = f"{name}_{field.well}_{field.site}_{channel}.tif"
                Image.fromarray(pixels).save(folder / file)
                row |= {f"FileName_{channel}": file, f"PathName_{channel}": "."}
            rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "load_data.csv", index=False)
    return folder / "load_data.csv"


def test_from_a_load_data_table_to_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) < 30
    table, platemap, out = image_list(tmp_path), tmp_path / "map.csv", tmp_path / "out"
    wells = sorted({path.name.split("_")[1] for path in tmp_path.glob("BR?_*.tif")})
    for path in tmp_path.glob(f"BR1_{wells[0]}_1_*.tif"):  # a field of nothing
        Image.new("I;16", (64, 64), 100).save(path)
    kinds = ["negcon" if k % 2 else "treatment" for k in range(len(wells))]
    pd.DataFrame({"well": wells, "control_type": kinds}).to_csv(platemap, index=False)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(table), str(platemap), str(out)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    profiles = pd.read_parquet(out / "profiles.parquet")
    assert capsys.readouterr().out == (
        f"{len(profiles)} wells of 2 plates: {out / 'profiles.parquet'}\n"
    )
    quality = pd.read_parquet(out / "quality.parquet")
    good = quality[quality["Metadata_Flags"] == ""]
    assert 0 < len(good) < len(quality)
    places = ["Metadata_Plate", "Metadata_Well"]
    assert len(profiles) == len(good[places].drop_duplicates())
    assert set(profiles["Metadata_Plate"]) == {"BR1", "BR2"}
    assert "Metadata_control_type" in profiles
    check(profiles, tmp_path, good, dict(zip(wells, kinds, strict=True)))


def check(profiles: pd.DataFrame, folder: Path, good: pd.DataFrame, kinds: dict[str, str]) -> None:
    """Hold every value that is left against the pixels: median of fields, median and MAD."""
    names = [name for name in profiles if name.startswith("Image_")]
    assert 2 < len(names) < 108
    every = feature_columns("pftas", "DNA") + feature_columns("pftas", "GFP")
    for plate, fields in good.groupby("Metadata_Plate"):
        sites = fields.groupby("Metadata_Well")["Metadata_Site"].agg(list)
        values = np.array([statistics(folder, plate, well, own) for well, own in sites.items()])
        controls = np.array([kinds[well] == "negcon" for well in sites.index])
        centre = np.median(values[controls], axis=0)
        spread = 1.4826 * np.median(np.abs(values[controls] - centre), axis=0)
        places = [every.index(name) for name in names if spread[every.index(name)] > 1e-9]
        assert len(places) > len(names) / 2
        own = profiles[profiles["Metadata_Plate"] == plate].set_index("Metadata_Well")
        found = own.loc[sites.index, [every[place] for place in places]].to_numpy()
        expected = (values - centre)[:, places] / spread[places]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def statistics(folder: Path, plate: str, well: str, sites: list[int]) -> np.ndarray:
    """Return the median of the statistics of a well's fields, from their files."""
    fields = []
    for site in sites:
        channels = [
            np.asarray(Image.open(folder / f"{plate}_{well}_{site}_{channel}.tif"))
            for channel in ("DNA", "GFP")
        ]
        fields.append(np.concatenate([pftas(pixels) for pixels in channels]))
    return np.median(fields, axis=0)
