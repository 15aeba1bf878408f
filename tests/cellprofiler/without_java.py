"""What the modules do in CellProfiler's own Python, where no image has to be read from a file.

`python without_java.py plugins function …` prints what the function returns, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from hts_classify import measure, measure_objects
from hts_classify.vocabulary import feature_columns


class Recorder:
    """A figure that remembers what was shown on it."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def call(*where: Any, title: str = "", **_: Any) -> str:
            shown = [w.shape if hasattr(w, "shape") else w for w in where]
            kind = where[2].dtype.kind if len(where) > 2 and hasattr(where[2], "dtype") else ""
            self.said.append([name, shown, title, kind])
            return name

        return call


def prepare(plugins: str) -> None:
    """Start CellProfiler's library, without a window and without Java."""
    import cellprofiler_core.preferences as preferences

    preferences.set_headless()
    sys.path.insert(0, plugins)


def module(number: int = 1, **settings: Any) -> Any:
    """Return MeasureThresholdAdjacency with these settings."""
    from measurethresholdadjacency import MeasureThresholdAdjacency

    made = MeasureThresholdAdjacency()
    made.set_module_num(number)
    made.show_window = False
    for name, value in settings.items():
        getattr(made, name).value = value
    return made


def workspace(made: Any, images: dict[str, Any], labels: dict[str, Any], **options: Any) -> Any:
    """Return what a module is run on: images of 8 bits, as read from files."""
    from cellprofiler_core.image import Image, ImageSetList
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.object import Objects, ObjectSet
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.workspace import Workspace

    pipeline, sets, objects = Pipeline(), ImageSetList(), ObjectSet()
    pipeline.add_module(made)
    image_set = sets.get_image_set(1)
    for name, raw in images.items():
        pixels = raw.astype(np.float32) / np.float32(255)
        pipeline.set_volumetric(raw.ndim == 3)
        image_set.add(name, Image(pixels, scale=255, dimensions=raw.ndim, **options))
    for name, held in labels.items():
        one = Objects()
        if isinstance(held, list):
            one.set_ijv(np.array(held), shape=next(iter(images.values())).shape)
        else:
            one.segmented = held
        objects.add_objects(one, name)
    measurements = Measurements()
    measurements.next_image_set(1)
    return Workspace(pipeline, made, image_set, objects, measurements, sets)


def values(space: Any, names: list[str], objects: str) -> Any:
    """Return measurements by the vocabulary's names: one row, or a row an object."""
    found = [
        space.measurements.get_current_measurement(objects, name.removeprefix(f"{objects}_"))
        for name in names
    ]
    return np.array(found).T


def random_field(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def volumes() -> Any:
    """Measure a volume and its objects."""
    raw, labels = random_field(6, 20, 22), np.zeros((6, 20, 22), np.int32)
    labels[1:4, 2:9, 3:9], labels[3:6, 12:19, 4:20] = 1, 2
    made = module(images_list="GFP", wants_objects=True, objects_list="Cells")
    space = workspace(made, {"GFP": raw}, {"Cells": labels})
    made.run(space)
    names = feature_columns("pftas", "GFP", neighbours=26)
    of_cells = feature_columns("pftas", "GFP", neighbours=26, objects="Cells")
    columns = made.get_measurement_columns(space.pipeline)
    return {
        "columns": len(columns),
        "image": bool((values(space, names, "Image") == measure(raw, axes="zyx").values).all()),
        "objects": bool(
            (
                values(space, of_cells, "Cells") == measure_objects(raw, labels, axes="zyx").values
            ).all()
        ),
    }


def unusual_objects() -> Any:
    """Measure objects that overlap, one without pixels, and a set of none."""
    raw = random_field(30, 30)
    boxes = {1: (2, 12, 3, 14), 3: (8, 20, 10, 25)}
    ijv = [
        (i, j, label)
        for label, (top, bottom, left, right) in boxes.items()
        for i in range(top, bottom)
        for j in range(left, right)
    ]
    made = module(images_list="GFP", wants_objects=True, objects_list="Cells, None1")
    space = workspace(made, {"GFP": raw}, {"Cells": ijv, "None1": np.zeros((30, 30), int)})
    made.run(space)
    found = values(space, feature_columns("pftas", "GFP", objects="Cells"), "Cells")
    right = []
    for label, (top, bottom, left, right_edge) in boxes.items():
        mask = np.zeros(raw.shape, bool)
        mask[top:bottom, left:right_edge] = True
        right.append(bool((found[label - 1] == measure(raw, mask=mask).values).all()))
    return {"right": right, "nan": bool(np.isnan(found[1]).all()), "rows": len(found)}


def a_smaller_image() -> Any:
    """Measure objects that reach beyond an image: what is beyond is masked."""
    raw, labels = random_field(20, 20), np.zeros((30, 30), int)
    labels[5:28, 5:28] = 1
    made = module(images_list="GFP", wants_images=False, wants_objects=True, objects_list="Cells")
    space = workspace(made, {"GFP": raw}, {"Cells": labels})
    made.run(space)
    found = values(space, feature_columns("pftas", "GFP", objects="Cells"), "Cells")
    padded = np.zeros((30, 30), np.uint8)
    padded[:20, :20] = raw
    inside = np.zeros((30, 30), bool)
    inside[5:20, 5:20] = True
    return bool((found[0] == measure(padded, mask=inside).values).all())


def without_a_pixel() -> Any:
    """Measure an image that is masked all over."""
    made = module(images_list="GFP")
    space = workspace(made, {"GFP": random_field(9, 9)}, {}, mask=np.zeros((9, 9), bool))
    made.run(space)
    return bool(np.isnan(values(space, feature_columns("pftas", "GFP"), "Image")).all())


def lists() -> Any:
    """Return what CellProfiler's lists of measurements offer, and whether all are columns."""
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.setting import Measurement

    made = module(images_list="GFP, DNA", wants_objects=True, objects_list="Cells")
    pipeline = Pipeline()
    pipeline.add_module(made)
    columns = {(name, feature) for name, feature, _ in made.get_measurement_columns(pipeline)}
    offered = set()
    for name in ("Image", "Cells", "Nuclei"):
        setting = Measurement("?", lambda name=name: name)
        for category in made.get_categories(pipeline, name):
            for group in made.get_measurements(pipeline, name, category):
                for n in made.get_measurement_scales(pipeline, name, category, group, None):
                    value = setting.construct_value(category, group, None, n)
                    offered.add((name, value))
                    setting.value = value
                    assert setting.get_scale(pipeline) == n
                    assert setting.get_feature_name(pipeline) == group
    return {"same": offered == columns, "count": len(columns), "one": sorted(columns)[0]}


def display() -> Any:
    """Return what is shown of two images."""
    made = module(images_list="GFP, DNA")
    made.show_window = True
    raw = random_field(12, 14)
    space = workspace(made, {"GFP": raw, "DNA": raw}, {})
    made.run(space)
    figure = Recorder()
    made.display(space, figure)
    return figure.said


def complaints() -> Any:
    """Return what settings that contradict each other are answered."""
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.setting import ValidationError

    said = {}
    for name, settings in {
        "none": {},
        "objects": {"images_list": "GFP", "wants_objects": True},
        "nothing": {"images_list": "GFP", "wants_images": False},
        "mahotas": {"images_list": "GFP", "wants_objects": True, "objects_list": "Cells"}
        | {"definition": "mahotas"},
        "names": {"images_list": "Orig_GFP, OrigGFP"},
    }.items():
        pipeline, made = Pipeline(), module(**settings)
        pipeline.add_module(made)
        try:
            made.validate_module(pipeline)
        except ValidationError as error:
            said[name] = str(error)
    pipeline = Pipeline()
    for number in (1, 2):
        pipeline.add_module(module(number, images_list="GFP, DNA"))
    try:
        pipeline.modules()[1].validate_module(pipeline)
    except ValidationError as error:
        said["twice"] = str(error)
    other = module(2, images_list="GFP", method="Fixed by the camera's full scale (TAS)")
    pipeline.remove_module(2)
    pipeline.add_module(other)
    other.validate_module(pipeline)  # TAS beside PFTAS is fine
    try:
        other.validate_module_warnings(pipeline)
    except ValidationError as error:
        said["made"] = str(error)
    return said


def help_texts() -> Any:
    """Return the lengths of the help of each module, and what docutils complains of."""
    from classifyimageshts import ClassifyImagesHTS

    found = {}
    for made in (module(), ClassifyImagesHTS()):
        text = made.get_help()
        found[made.module_name] = [len(text), text.count("system-message")]
        undocumented = [
            setting.text
            for setting in made.settings()
            if not getattr(setting, "doc", "") and type(setting).__name__ != "HiddenCount"
        ]
        found[made.module_name].append(undocumented)
    return found


def classifier(folder: str, **channels: str) -> Any:
    """Return ClassifyImagesHTS with a folder and an image for each channel."""
    from classifyimageshts import ClassifyImagesHTS

    made = ClassifyImagesHTS()
    made.set_module_num(1)
    made.show_window = True
    made.folder.value = f"Elsewhere...|{folder}"
    while len(made.channels) < len(channels):
        made.add_channel()
    for group, (channel, image) in zip(made.channels, channels.items(), strict=True):
        group.channel.value, group.image.value = channel, image
    return made


def calls(folder: str) -> Any:
    """Call one image set, and show it."""
    raw = random_field(40, 50)
    made = classifier(folder, DNA="OrigDNA", GFP="OrigGFP")
    space = workspace(made, {"OrigDNA": raw, "OrigGFP": raw.T.copy().reshape(40, 50)}, {})
    made.validate_module(space.pipeline)
    assert made.prepare_run(space)
    made.run(space)
    columns = made.get_measurement_columns(space.pipeline)
    offered = {
        f"{category}_{name}"
        for category in made.get_categories(space.pipeline, "Image")
        for name in made.get_measurements(space.pipeline, "Image", category)
    }
    assert offered == {name for _, name, _ in columns}
    figure = Recorder()
    made.display(space, figure)
    return {
        "values": {
            name: space.measurements.get_current_image_measurement(name) for _, name, _ in columns
        },
        "types": [kind for _, _, kind in columns],
        "shown": [name for name, *_ in figure.said],
    }


def refusals(folder: str, other: str) -> Any:
    """Return what a model or channels that do not fit are answered, before any image is read."""
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.setting import ValidationError

    said = []
    for made in (
        classifier(other, DNA="OrigDNA", GFP="OrigGFP"),
        classifier(f"{other}/none", DNA="OrigDNA", GFP="OrigGFP"),
        classifier(folder, DNA="OrigDNA"),
        classifier(folder, DNA="OrigDNA", RNA="OrigGFP"),
    ):
        pipeline = Pipeline()
        pipeline.add_module(made)
        try:
            made.validate_module(pipeline)
        except ValidationError as error:
            said.append(str(error))
    return said


def light() -> Any:
    """Return which heavy packages measuring has imported."""
    module()
    return sorted({"torch", "dask", "zarr", "pandas", "sklearn"} & sys.modules.keys())


if __name__ == "__main__":
    prepare(sys.argv[1])
    print()
    print(json.dumps(globals()[sys.argv[2]](*sys.argv[3:])))
