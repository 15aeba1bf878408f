"""MeasureThresholdAdjacency against a module that calls mahotas, in one CellProfiler pipeline.

::

    HTS_CLASSIFY_CELLPROFILER=cp/bin/python python benchmarks/cellprofiler_module.py

on the 24 control wells of BBBC013 as TIFFs (the whole plate is there as a Zarr only, which
CellProfiler 4 does not read): two channels of 640 x 640, 8 bits. Both modules measure whole images
with the same statistics (parameter-free, mahotas's definition for mahotas) and write 108
measurements an image set. What is timed is each module's `run`, and in it what CellProfiler takes
to write measurements to its HDF5 file, which is the same for both and no module's own. `--objects`
measures nuclei as well, for which the other module crops each object and calls mahotas on it, as
CellProfiler's MeasureTexture does with mahotas's Haralick features.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]

PEER = '''
"""The same statistics by mahotas, as somebody would write the module with it."""
import mahotas.features
import numpy as np
import skimage.measure
import skimage.util
from cellprofiler_core.constants.measurement import COLTYPE_FLOAT
from cellprofiler_core.module import Module
from cellprofiler_core.setting import Binary
from cellprofiler_core.setting.subscriber import ImageListSubscriber, LabelListSubscriber


class MeasureTasMahotas(Module):
    """The same statistics by mahotas."""

    module_name = "MeasureTasMahotas"
    category = "Measurement"
    variable_revision_number = 1

    def create_settings(self):
        self.images_list = ImageListSubscriber("Select images to measure", [])
        self.wants_objects = Binary("Measure within objects?", False)
        self.objects_list = LabelListSubscriber("Select objects to measure", [])

    def settings(self):
        return [self.images_list, self.wants_objects, self.objects_list]

    def names(self, image):
        return [f"Mahotas_{image}_{k}" for k in range(54)]

    def get_measurement_columns(self, pipeline):
        objects = self.objects_list.value if self.wants_objects.value else []
        return [(name, feature, COLTYPE_FLOAT) for name in ["Image", *objects]
                for image in self.images_list.value for feature in self.names(image)]

    def run(self, workspace):
        for name in self.images_list.value:
            image = workspace.image_set.get_image(name, must_be_grayscale=True)
            pixels = skimage.util.img_as_ubyte(image.pixel_data)
            add = workspace.measurements.add_measurement
            for feature, value in zip(self.names(name), mahotas.features.pftas(pixels)):
                add("Image", feature, value)
            if self.wants_objects.value:
                for objects_name in self.objects_list.value:
                    labels = workspace.object_set.get_objects(objects_name).segmented
                    props = skimage.measure.regionprops(labels, pixels)
                    rows = [mahotas.features.pftas(p["intensity_image"]) for p in props]
                    values = np.array(rows).reshape(-1, 54)
                    for feature, column in zip(self.names(name), values.T):
                        add(objects_name, feature, column)
'''

CLOCK = '''
"""Writes down what each `run` takes, and what of it is CellProfiler's writing of measurements."""
import json
import os
import time

from cellprofiler_core.measurement import Measurements

spent = 0.0
plain = Measurements.add_measurement


def add_measurement(self, *arguments, **options):
    global spent
    begun = time.perf_counter()
    try:
        return plain(self, *arguments, **options)
    finally:
        spent += time.perf_counter() - begun


Measurements.add_measurement = add_measurement


def clocked(run):
    def timed(self, workspace):
        global spent
        spent, begun = 0.0, time.perf_counter()
        run(self, workspace)
        whole = time.perf_counter() - begun
        with open(os.environ["CLOCK"], "a") as file:
            print(json.dumps([self.module_name, whole, spent]), file=file)
    return timed
'''


def load_data(base: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the plan of LoadData for the table of the control wells."""
    pd.read_csv(base / "load_data.csv").to_csv(folder / "load_data.csv", index=False)
    return "LoadData", {
        "Input data file location": f"Elsewhere...|{folder}",
        "Name of the file": "load_data.csv",
        "Base image location": f"Elsewhere...|{base}",
    }


def plugins(folder: Path) -> None:
    """Write both modules, with a clock around the `run` of each."""
    from hts_classify.cellprofiler import install

    folder.mkdir()
    install(folder)
    (folder / "classifyimageshts.py").unlink()
    (folder / "measuretasmahotas.py").write_text(PEER)
    (folder / "_clock.py").write_text(CLOCK)  # CellProfiler does not load what begins with _
    for name in ("MeasureThresholdAdjacency", "MeasureTasMahotas"):
        with (folder / f"{name.lower()}.py").open("a") as file:
            file.write(f"\n\nimport _clock\n\n{name}.run = _clock.clocked({name}.run)\n")


def measure(python: str, base: Path, *, objects: bool, sets: int) -> pd.DataFrame:
    """Run the pipeline and return what each module took for each image set, in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugins(folder / "plugins")
        chosen = {"Select images to measure": "GFP, DNA"}
        if objects:
            chosen |= {"Measure within objects?": "Yes", "Select objects to measure": "Nuclei"}
        nuclei = {"Select the input image": "DNA"}
        nuclei |= {"Name the primary objects to be identified": "Nuclei"}
        modules: list[Any] = [
            load_data(base, folder),
            *([("IdentifyPrimaryObjects", nuclei)] if objects else []),
            # so that neither is the one that reads the images
            ("MeasureImageIntensity", {"Select images to measure": "GFP, DNA"}),
            ("MeasureTasMahotas", chosen),
            ("MeasureThresholdAdjacency", chosen),
        ]
        plan, pipeline = folder / "plan.json", folder / "pipeline.cppipe"
        plan.write_text(json.dumps({"plugins": str(folder / "plugins"), "modules": modules}))
        making = [python, str(ROOT / "tests" / "cellprofiler" / "pipelines.py")]
        environment = os.environ | {"CLOCK": str(folder / "clock.jsonl")}
        subprocess.run(
            [*making, str(plan), str(pipeline)], check=True, env=environment, capture_output=True
        )
        running = [python, "-m", "cellprofiler", "-c", "-r", "-p", str(pipeline), "-f", "1"]
        running += ["-l", str(sets), "--plugins-directory", str(folder / "plugins")]
        subprocess.run(
            [*running, "-o", str(folder / "out")], check=True, env=environment, capture_output=True
        )
        lines = (folder / "clock.jsonl").read_text().splitlines()
    table = pd.DataFrame([json.loads(line) for line in lines], columns=["module", "run", "writing"])
    table["own"] = table["run"] - table["writing"]
    return table


def main() -> None:
    """Measure, and print medians over the image sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", action="store_true", help="measure nuclei as well")
    parser.add_argument("--sets", type=int, default=24, help="image sets (default 24)")
    options = parser.parse_args()
    python = os.environ.get("HTS_CLASSIFY_CELLPROFILER")
    data = Path(os.environ.get("HTS_CLASSIFY_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not python or not data.is_dir():
        sys.exit("name CellProfiler's Python: HTS_CLASSIFY_CELLPROFILER; data: HTS_CLASSIFY_DATA")
    table = measure(python, data / "bbbc013", objects=options.objects, sets=options.sets)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};", end=" ")
    print(f"{options.sets} image sets, objects: {options.objects}; ms, median (5% to 95%)")
    middle = {}
    for module, own in table.groupby("module"):
        for what in ("own", "writing", "run"):
            low, mid, high = np.percentile(own[what] * 1e3, [5, 50, 95])
            middle[module, what] = mid
            print(f"{module:26} {what:8} {mid:9.2f} ({low:.2f} to {high:.2f})")
    for what in ("own", "run"):
        times = middle["MeasureTasMahotas", what] / middle["MeasureThresholdAdjacency", what]
        print(f"{what}: {times:.1f} times as fast")


if __name__ == "__main__":
    main()
