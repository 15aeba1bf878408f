"""Flags choose what they choose in a real CellProfiler, and the done file says the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pipelines
import pytest
from PIL import Image

from hts_classify.commands import main

pytestmark = pytest.mark.cellprofiler

ROWS = ["P1,A01,1", "P1,B02,2", "P1,B02,1", "P2,B02,1", "", "P2,A01,1", "P2,C07,1"]
"""In the order of groups by plate, and no other."""


@pytest.mark.parametrize("grouped", [False, True])
def test_image_sets_are_those_that_cellprofiler_runs(
    cellprofiler_python: str, tmp_path: Path, grouped: bool
) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 4096, (64, 64), np.uint16)).save(tmp_path / "a.png")
    head = "Metadata_Plate,Metadata_Well,Metadata_Site,Image_PathName_DNA,Image_FileName_DNA"
    table = tmp_path / "load_data.csv"
    table.write_text("\n".join([head, *(row and f"{row},.,a.png" for row in ROWS)]) + "\n")
    load = {
        "Input data file location": f"Elsewhere...|{tmp_path}",
        "Name of the file": table.name,
        "Base image location": f"Elsewhere...|{tmp_path}",
        "Group images by metadata?": grouped,
    }
    if grouped:
        load["Select metadata tags for grouping"] = "Plate"
    plan = {"plugins": str(tmp_path), "modules": [("LoadData", load), ("ExportToSpreadsheet", {})]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    pipeline = tmp_path / "pipeline.cppipe"
    making = [cellprofiler_python, pipelines.__file__, str(tmp_path / "plan.json"), str(pipeline)]
    subprocess.run(making, check=True, capture_output=True, timeout=120)
    calls = [["-f", "2", "-l", "5"], ["-f", "9"]]
    if grouped:
        calls = [["-f", "2", "-l", "99", "-g", "Metadata_Plate=P1"]]
    for k, flags in enumerate(calls):
        out, own = tmp_path / f"out{k}", tmp_path / f"own{k}"
        theirs, ours = tmp_path / f"theirs{k}", tmp_path / f"ours{k}"
        command = [cellprofiler_python, "-m", "cellprofiler", "-c", "-r"]
        command += ["-p", str(pipeline), "-o", str(out), "-d", str(theirs)]
        done = subprocess.run([*command, *flags], capture_output=True, timeout=120)
        arguments = ["extract", "--data-file", str(table), "-o", str(own), "-d", str(ours)]
        code = main([*arguments, *flags, "--tile-size", "16"])
        assert (code == 0) == (done.returncode == 0)
        assert ours.read_text() == theirs.read_text()
        if code == 0:
            keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
            expected = pd.read_csv(out / "MyExpt_Image.csv")[keys].sort_values(keys)
            found = pd.read_parquet(own / "features.parquet")[keys].sort_values(keys)
            assert found.to_numpy().tolist() == expected.to_numpy().tolist()
