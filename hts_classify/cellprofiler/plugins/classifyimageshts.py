"""CellProfiler's module ClassifyImagesHTS; `hts_classify.cellprofiler.calling` does the work."""

from __future__ import annotations

import logging
from typing import Any

from cellprofiler_core.constants.measurement import COLTYPE_FLOAT, COLTYPE_VARCHAR
from cellprofiler_core.module import Module
from cellprofiler_core.setting import (
    Binary,
    Divider,
    HiddenCount,
    SettingsGroup,
    ValidationError,
)
from cellprofiler_core.setting.do_something import DoSomething, RemoveSettingButton
from cellprofiler_core.setting.subscriber import ImageSubscriber
from cellprofiler_core.setting.text import Alphanumeric, Directory, Text

try:
    from hts_classify.cellprofiler import calling
    from hts_classify.errors import HTSError
except ImportError as error:
    raise ImportError(
        f"ClassifyImagesHTS needs hts_classify in CellProfiler's Python ({error}):"
        " python -m pip install --no-deps hts_classify scikit-learn skops"
    ) from error

IMAGE = "Image"
FIXED = 4
"""Settings before those of the channels."""


class ClassifyImagesHTS(Module):
    """\
ClassifyImagesHTS
=================

**ClassifyImagesHTS** says which class each image set is of, by a model that ``hts-classify`` has
trained: threshold adjacency statistics of whole fields (see **MeasureThresholdAdjacency**) into a
support vector machine. Its calls are those that ``hts-classify predict`` writes for fields.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          YES          NO
============ ============ ===============

The model is the ``models`` folder of a run. Runs that were normalised by each plate's controls
(``--normalise``) cannot be used here, since one image set has no controls. CellProfiler's Python
needs scikit-learn, of the version that wrote the model or a later one, and skops.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *HTS_Class_<name>:* the class with the highest score.
-  *HTS_Score_<name>_<class>:* the decision value of each class.
-  *HTS_Proba_<name>_<class>:* what the model deems probable, by the temperature that its run found.

Whether a well is unlike every class that was learned from is not looked at here;
``hts-classify predict`` does.
"""

    module_name = "ClassifyImagesHTS"
    category = "Measurement"
    variable_revision_number = 1

    def create_settings(self) -> None:
        """Make the settings."""
        self.folder = Directory(
            "Folder of the model",
            allow_metadata=False,
            doc="The ``models`` folder of a run directory of hts-classify; it holds inputs.json,"
            " tas_svm.json and tas_svm.skops.",
        )
        self.calls = Alphanumeric(
            "Name the calls",
            "Svm",
            doc="Part of the measurements' names. Two models in one pipeline need two names.",
        )
        self.rounds = Binary(
            "Round calculated images to grey levels?",
            False,
            doc='"Yes" rounds an image that another module has calculated, as by an illumination'
            " correction, to the grey levels of the file that it was made from. Right only if the"
            " model learned from such images.",
        )
        self.channels: list[Any] = []
        self.count = HiddenCount(self.channels)
        self.add_channel(removable=False)
        self.adder = DoSomething("", "Add another channel", self.add_channel)

    def add_channel(self, removable: bool = True) -> None:
        """Add a channel of the model and the image for it."""
        group = SettingsGroup()
        if removable:
            group.append("divider", Divider(line=False))
        group.append(
            "channel",
            Text("Channel of the model", "", doc="Its name in the run, as the report shows it."),
        )
        group.append(
            "image", ImageSubscriber("Select its image", "None", doc="The image of this channel.")
        )
        if removable:
            group.append(
                "remover", RemoveSettingButton("", "Remove this channel", self.channels, group)
            )
        self.channels.append(group)

    def settings(self) -> list[Any]:
        """Return the settings in the order in which pipelines store them."""
        found = [self.folder, self.calls, self.rounds, self.count]
        for group in self.channels:
            found += [group.channel, group.image]
        return found

    def prepare_settings(self, setting_values: list[str]) -> None:
        """Make room for the channels that a pipeline stores."""
        count = int(setting_values[FIXED - 1])
        del self.channels[count:]
        while len(self.channels) < count:
            self.add_channel()

    def visible_settings(self) -> list[Any]:
        """Return the settings that are shown."""
        shown = [self.folder, self.calls, self.rounds]
        for group in self.channels:
            shown += group.visible_settings()
        return [*shown, self.adder]

    @property
    def model(self) -> calling.SavedModel:
        """What the model must be given; read anew each time, as the folder may change."""
        return calling.SavedModel.read(self.folder.get_absolute_path())

    def validate_module(self, pipeline: Any) -> None:
        """Refuse a folder without a usable model, and images that are not its channels."""
        try:
            model = self.model
            calling.measurements(model.classes, self.calls.value)
        except HTSError as error:
            raise ValidationError(str(error), self.folder) from error
        try:
            model.check_channels([group.channel.value for group in self.channels])
        except HTSError as error:
            raise ValidationError(str(error), self.channels[0].channel) from error
        for module in pipeline.modules():
            if module.module_num >= self.module_num:
                break
            if module.module_name == self.module_name and module.calls.value == self.calls.value:
                raise ValidationError(
                    f"Module {module.module_num} has calls of this name", self.calls
                )

    def _names(self) -> dict[str, dict[str, str]]:
        """Return the names of measurements; none while the folder is not a usable model's."""
        try:
            return calling.measurements(self.model.classes, self.calls.value)
        except HTSError:
            return {}  # validate_module says why

    def get_categories(self, pipeline: Any, object_name: str) -> list[str]:
        """Return HTS for the image."""
        return [calling.CATEGORY] if object_name == IMAGE else []

    def get_measurements(self, pipeline: Any, object_name: str, category: str) -> list[str]:
        """Return the measurements' names after the category's."""
        if category not in self.get_categories(pipeline, object_name):
            return []
        stem = f"{calling.CATEGORY}_"
        return [
            name.removeprefix(stem) for kind in self._names().values() for name in kind.values()
        ]

    def get_measurement_columns(self, pipeline: Any) -> list[tuple[str, str, str]]:
        """Return every measurement with its type."""
        return [
            (IMAGE, name, COLTYPE_VARCHAR if kind == "Class" else COLTYPE_FLOAT)
            for kind, names in self._names().items()
            for name in names.values()
        ]

    def prepare_run(self, workspace: Any) -> bool:
        """Load the model once, so that what is wrong with it shows before the first image."""
        if workspace.pipeline.in_batch_mode():
            return True
        try:
            self.model.load()
        except HTSError as error:
            logging.error("%s: %s", self.module_name, error)
            return False
        return True

    def prepare_group(self, workspace: Any, grouping: Any, image_numbers: Any) -> bool:
        """Load the model where the images of a group are about to be called."""
        self._saved = self.model
        self._trained = self._saved.load()
        return True

    def run(self, workspace: Any) -> None:
        """Call one image set."""
        if getattr(self, "_trained", None) is None:
            self.prepare_group(workspace, None, None)
        images = {}
        for group in self.channels:
            name = group.image.value
            image = workspace.image_set.get_image(name, must_be_grayscale=True)
            images[group.channel.value] = calling.Channel(
                name=name,
                pixels=image.pixel_data,
                scale=image.scale,
                is_derived=image.has_parent_image,
                mask=image.mask if image.has_mask else None,
            )
        found = self._saved.call(self._trained, images, rounds=self.rounds.value)
        names = calling.measurements(self._saved.classes, self.calls.value)
        add = workspace.measurements.add_measurement
        add(IMAGE, names["Class"][""], found.call)
        for kind, values in (("Score", found.scores), ("Proba", found.proba)):
            for one, value in values.items():
                add(IMAGE, names[kind][one], value)
        if self.show_window:
            workspace.display_data.call = found

    def display(self, workspace: Any, figure: Any) -> None:
        """Show the scores of the classes, the one called first."""
        found = workspace.display_data.call
        figure.set_subplots((1, 1))
        rows = [
            [one, f"{found.scores[one]:.3f}", f"{found.proba[one]:.3f}"]
            for one in sorted(found.scores, key=lambda one: -found.scores[one])
        ]
        figure.subplot_table(
            0, 0, rows, col_labels=["Class", "Score", "Proba"], title=f"Called {found.call}"
        )

    def prepare_to_create_batch(self, workspace: Any, fn_alter_path: Any) -> bool:
        """Write the folder as the machines of a cluster see it."""
        self.folder.alter_for_create_batch_files(fn_alter_path)
        return True

    def volumetric(self) -> bool:
        """Say that volumes are called, too."""
        return True
