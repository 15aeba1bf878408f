"""CellProfiler's module MeasureThresholdAdjacency; `hts_classify.cellprofiler` does the work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from cellprofiler_core.constants.measurement import COLTYPE_FLOAT
from cellprofiler_core.module import Module
from cellprofiler_core.setting import Binary, Divider, ValidationError
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.subscriber import ImageListSubscriber, LabelListSubscriber
from cellprofiler_core.setting.text import Float, Integer
from cellprofiler_core.utilities.core.object import size_similarly

try:
    from hts_classify.cellprofiler import choosing, measuring, naming
    from hts_classify.errors import HTSError
except ImportError as error:
    raise ImportError(
        f"MeasureThresholdAdjacency needs hts_classify in CellProfiler's Python ({error}):"
        " python -m pip install --no-deps hts_classify"
    ) from error

IMAGE = "Image"


class MeasureThresholdAdjacency(Module):
    """\
MeasureThresholdAdjacency
=========================

**MeasureThresholdAdjacency** measures threshold adjacency statistics (TAS): how the bright pixels
of an image, or of each object, lie beside each other. They tell patterns of staining apart without
any segmentation, and are fast.

Three binary images are made of each image. With *T* a threshold, *m* a margin and *mu* the mean of
the pixels above *T*, a pixel is on where its grey level is

-  *Band:* between *mu* - *m* and *mu* + *m*;
-  *Lower:* above *mu* - *m*;
-  *Mean:* above *mu*.

In each of them, the module counts how many neighbours of a pixel are on: 0 to 8 (in volumes 0 to
26), for pixels that are on themselves and for those that are off.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          YES          YES
============ ============ ===============

Grey levels
^^^^^^^^^^^

CellProfiler scales images to intensities from 0 to 1. This module scales them back to the grey
levels of their file, so that its numbers are those of ``hts-classify`` and of
``hts_classify.tas`` for the same file. An image that another module has calculated (smoothed,
corrected for illumination) has no such levels: for it, give a threshold and a margin by hand, or
have it rounded to the grey levels of the file that it was made from. Crop, Mask and ColorToGray
leave grey levels as they are.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *PFTAS_<image>_<Band|Lower|Mean>_<On|Off>_<n>* (or *TAS_...*, where thresholds are fixed): of
   the pixels that are on (off), the proportion that has *n* neighbours that are on. There are 54
   for each image, and for each image in each set of objects; 162 in volumes. An image's name is
   written with its letters and digits only. A half without pixels is zeros; objects without a pixel
   are not a number.

References
^^^^^^^^^^

-  Hamilton NA, Pantelic RS, Hanson K, Teasdale RD (2007) "Fast automated cell phenotype image
   classification", *BMC Bioinformatics* 8:110.
-  Coelho LP et al. (2010) "Structured Literature Image Finder", *LNCS* 6004:23.
"""

    module_name = "MeasureThresholdAdjacency"
    category = "Measurement"
    variable_revision_number = 1

    def create_settings(self) -> None:
        """Make the settings."""
        self.images_list = ImageListSubscriber(
            "Select images to measure", [], doc="Select the grayscale images to measure."
        )
        self.wants_images = Binary(
            "Measure whole images?", True, doc="Measure each image as a whole, within its mask."
        )
        self.wants_objects = Binary(
            "Measure within objects?",
            False,
            doc="Measure each image within each object. Every set of objects is measured in every"
            " image that is selected. Pixels of other objects count as off.",
        )
        self.objects_list = LabelListSubscriber(
            "Select objects to measure",
            [],
            doc='*(Used only when "Measure within objects?" is "Yes")* Select the sets of objects.',
        )
        self.divider = Divider(line=True)
        self._create_thresholds()
        self._create_definition()

    def _create_thresholds(self) -> None:
        self.method = Choice(
            "How to set threshold and margin",
            list(choosing.METHODS),
            value=choosing.OTSU,
            doc=f"""\
-  *{choosing.OTSU}:* *T* is Otsu's threshold of the image (or the object), *m* the standard
   deviation of the pixels above it. What a run of hts-classify takes.
-  *{choosing.OTSU_MANUAL}:* *T* is entered.
-  *{choosing.CAMERA}:* *T* and *m* are Hamilton's, 30 on a scale up to 255, scaled to the
   brightest value that the camera writes.
-  *{choosing.MANUAL}:* *T* and *m* are entered; works for calculated images, too.
""",
        )
        self.full_scale = Integer(
            "Brightest value that the camera writes",
            0,
            minval=0,
            maxval=65535,
            doc=f'*(Used only with "{choosing.CAMERA}")* For example 4095 for 12 bits. 0 takes'
            " what the type of the file's pixels holds, 255 or 65535. A pixel above it is an"
            " error.",
        )
        self.unit = Choice(
            "Threshold and margin are in",
            list(choosing.UNITS),
            value=choosing.GREY_LEVELS,
            doc="*(Used only with manual thresholds)* Grey levels of the file, as 0 to 255, or"
            " intensities as CellProfiler shows them, from 0 to 1.",
        )
        self.threshold = Float(
            "Threshold", 0.0, doc="*(Used only with manual thresholds)* Pixels above it set *mu*."
        )
        self.margin = Float(
            "Margin",
            0.0,
            minval=0,
            doc=f'*(Used only with "{choosing.MANUAL}")* Half the width of the interval *Band*.',
        )
        self.scope = Choice(
            "Set thresholds of objects in",
            list(choosing.SCOPES),
            doc="*(Used only for objects)* Whose pixels set *T*, *m* and *mu*: each object's own,"
            " or all of the image's.",
        )
        self.rounds = Binary(
            "Round calculated images to grey levels?",
            False,
            doc='"Yes" rounds an image that another module has calculated to the grey levels of'
            " the file that it was made from. Then every way to set thresholds works for it.",
        )

    def _create_definition(self) -> None:
        self.definition = Choice(
            "Definition",
            list(choosing.DEFINITIONS),
            doc="*Standard*, or as *mahotas* 1.4.19 calculates them: to the last bit, and only for"
            " whole images without a mask.",
        )
        self.border = Choice(
            "What is outside the image",
            list(choosing.BORDERS),
            doc="*(Used only with the standard definition)* *Off* neighbours, or the image's edge"
            " once more (*Reflected*, as mahotas has it).",
        )

    def settings(self) -> list[Any]:
        """Return the settings in the order in which pipelines store them."""
        return [
            self.images_list,
            self.wants_images,
            self.wants_objects,
            self.objects_list,
            self.method,
            self.full_scale,
            self.unit,
            self.threshold,
            self.margin,
            self.scope,
            self.rounds,
            self.definition,
            self.border,
        ]

    def visible_settings(self) -> list[Any]:
        """Return the settings that have a meaning beside the others."""
        shown = [self.images_list, self.wants_images, self.wants_objects]
        if self.wants_objects.value:
            shown += [self.objects_list]
        shown += [self.divider, self.method]
        if self.method.value == choosing.CAMERA and not self._is_mahotas:
            shown += [self.full_scale]
        if self.method.value in (choosing.OTSU_MANUAL, choosing.MANUAL):
            shown += [self.unit, self.threshold]
        if self.method.value == choosing.MANUAL:
            shown += [self.margin]
        if self.wants_objects.value:
            shown += [self.scope]
        shown += [self.rounds, self.definition]
        return shown if self._is_mahotas else [*shown, self.border]

    @property
    def _is_mahotas(self) -> bool:
        return choosing.DEFINITIONS[self.definition.value] == "mahotas"

    @property
    def choices(self) -> choosing.Choices:
        """What the settings say."""
        return choosing.Choices(
            method=self.method.value,
            threshold=self.threshold.value,
            margin=self.margin.value,
            unit=self.unit.value,
            full_scale=self.full_scale.value,
            definition=self.definition.value,
            border=self.border.value,
            scope=self.scope.value,
            rounds=self.rounds.value,
        )

    @property
    def measured(self) -> list[str]:
        """`Image` and the names of the sets of objects, as far as they are measured."""
        whole = [IMAGE] if self.wants_images.value else []
        return whole + (list(self.objects_list.value) if self.wants_objects.value else [])

    def validate_module(self, pipeline: Any) -> None:
        """Refuse settings that contradict each other, or another module of this kind."""
        images = self.images_list.value
        if not images:
            raise ValidationError("No images selected", self.images_list)
        if not self.wants_images.value and not self.wants_objects.value:
            raise ValidationError("Neither images nor objects are measured", self.wants_images)
        if self.wants_objects.value:
            if not self.objects_list.value:
                raise ValidationError("No objects selected", self.objects_list)
            if self._is_mahotas:
                raise ValidationError(
                    "mahotas's definition has no objects; use the standard one", self.definition
                )
        try:
            naming.checked_words(images)
            self.choices.rule()
        except HTSError as error:
            raise ValidationError(str(error), self.images_list) from error
        ours = {(column[0], column[1]) for column in self.get_measurement_columns(pipeline)}
        for module in pipeline.modules():
            if module.module_num >= self.module_num:
                break
            if module.module_name != self.module_name:
                continue
            for column in module.get_measurement_columns(pipeline):
                if (column[0], column[1]) in ours:
                    raise ValidationError(
                        f"Module {module.module_num} measures {column[1]} too; select other images",
                        self.images_list,
                    )

    def validate_module_warnings(self, pipeline: Any) -> None:
        """Warn of images that no module loads, where thresholds need grey levels of a file."""
        if self.method.value == choosing.MANUAL or self.rounds.value:
            return
        for image in self.images_list.value:
            if not any(module.is_image_from_file(image) for module in pipeline.modules()):
                raise ValidationError(
                    f"{image} is made by another module. If that calculates intensities (it does"
                    f' not crop or mask alone), choose "{choosing.MANUAL}", or round it to grey'
                    " levels",
                    self.method,
                )

    def get_categories(self, pipeline: Any, object_name: str) -> list[str]:
        """Return PFTAS or TAS for what is measured."""
        return [self.choices.kind.upper()] if object_name in self.measured else []

    def get_measurements(self, pipeline: Any, object_name: str, category: str) -> list[str]:
        """Return `GFP_Band_On` and so on; the numbers of neighbours are scales."""
        if category not in self.get_categories(pipeline, object_name):
            return []
        return naming.groups_of(self.images_list.value)

    def get_measurement_scales(
        self, pipeline: Any, object_name: str, category: str, measurement: str, image_name: str
    ) -> list[str]:
        """Return the numbers of neighbours."""
        if measurement not in self.get_measurements(pipeline, object_name, category):
            return []
        return [str(n) for n in range(27 if pipeline.volumetric() else 9)]

    def get_measurement_columns(self, pipeline: Any) -> list[tuple[str, str, str]]:
        """Return every measurement with its type."""
        is_volume = pipeline.volumetric()
        choices = self.choices
        return [
            (name, feature, COLTYPE_FLOAT)
            for name in self.measured
            for image in self.images_list.value
            for feature in naming.features_of(choices, image, is_volume=is_volume)
        ]

    def run(self, workspace: Any) -> None:
        """Measure one image set."""
        shown = []
        for name in self.images_list.value:
            image = workspace.image_set.get_image(name, must_be_grayscale=True)
            measured = measuring.prepared(
                image.pixel_data,
                image.scale,
                self.choices,
                name=name,
                is_derived=image.has_parent_image,
            )
            mask = image.mask if image.has_mask else None
            if self.wants_images.value:
                self._measure_image(workspace, measured, mask)
            if self.wants_objects.value:
                for objects_name in self.objects_list.value:
                    self._measure_objects(workspace, measured, mask, objects_name)
            if self.show_window:
                shown.append(self._shown(measured, mask))
        if self.show_window:
            workspace.display_data.images = shown

    def _measure_image(self, workspace: Any, measured: measuring.Measured, mask: Any) -> None:
        found = measuring.image_values(measured, mask)
        features = self._features(measured)
        values = [np.nan] * len(features) if found is None else found.values.tolist()
        for feature, value in zip(features, values):  # noqa: B905
            workspace.measurements.add_measurement(IMAGE, feature, value)

    def _measure_objects(
        self, workspace: Any, measured: measuring.Measured, mask: Any, objects_name: str
    ) -> None:
        objects = workspace.object_set.get_objects(objects_name)
        planes = [labels for labels, _ in objects.get_labels()]
        pixels, inside = fitted(objects, planes[0], measured.pixels, mask)
        values = measuring.object_values(
            replace(measured, pixels=pixels),
            planes,
            objects.count,
            mask=inside,
            scope=choosing.SCOPES[self.scope.value],
        )
        for feature, column in zip(self._features(measured), values.T):  # noqa: B905
            workspace.measurements.add_measurement(objects_name, feature, column)

    def _features(self, measured: measuring.Measured) -> list[str]:
        return naming.features_of(self.choices, measured.name, is_volume=measured.pixels.ndim == 3)

    def _shown(self, measured: measuring.Measured, mask: Any) -> tuple[str, Any, dict[str, Any]]:
        found = measuring.image_values(measured, mask)
        cuts = {} if found is None else measuring.intervals(measured, found, mask)
        return measured.name, measured.pixels, cuts

    def display(self, workspace: Any, figure: Any) -> None:
        """Show each image beside its three intervals."""
        images = workspace.display_data.images
        figure.set_subplots((4, len(images)), dimensions=images[0][1].ndim)
        for row, (name, pixels, cuts) in enumerate(images):
            first = figure.subplot_imshow_grayscale(
                0, row, pixels.astype(np.float32), title=name, normalize=True
            )
            for column, (interval, on) in enumerate(cuts.items(), start=1):
                figure.subplot_imshow_bw(
                    column,
                    row,
                    on,
                    title=f"{name}: {interval}",
                    sharexy=first,
                )

    def volumetric(self) -> bool:
        """Say that volumes are measured, too."""
        return True


def fitted(objects: Any, labels: Any, pixels: Any, mask: Any) -> tuple[Any, Any]:
    """Bring an image and its mask to the shape of objects, as CellProfiler's own modules do.

    An image that is larger is cropped as the objects' own was; what it does not cover is masked.
    """
    if labels.shape == pixels.shape:
        return pixels, mask
    if objects.has_parent_image:
        try:
            crop = objects.parent_image.crop_image_similarly
            return crop(pixels), None if mask is None else crop(mask)
        except ValueError:
            pass
    sized, is_real = size_similarly(labels, pixels)
    return sized, is_real if mask is None else size_similarly(labels, mask)[0] & is_real
