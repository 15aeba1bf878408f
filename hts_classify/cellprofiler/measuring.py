"""What MeasureThresholdAdjacency measures of images and objects.

Nothing here knows CellProfiler: its images come as arrays with a scale, its objects as label
images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import HTSError, ImageError, UsageError
from ..features import Axes, Rule, Scope, TasResult, measure, measure_objects
from ..vocabulary import INTERVALS
from .choosing import INTENSITIES, MANUAL, Choices
from .levels import file_levels, rounded_levels

__all__ = ["Measured", "image_values", "intervals", "object_values", "prepared"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """An image as the core takes it."""

    pixels: NDArray[Any]
    """uint8 or uint16 where they are grey levels of a file, else float."""
    rule: Rule
    """Its numbers in the unit of the pixels."""
    name: str
    """CellProfiler's name of the image, for errors."""

    @property
    def axes(self) -> Axes:
        """An image or a volume."""
        return "zyx" if self.pixels.ndim == 3 else "yx"


def prepared(
    pixels: NDArray[Any],
    scale: float | None,
    choices: Choices,
    *,
    name: str,
    is_derived: bool = False,
) -> Measured:
    """Scale an image back to its file's grey levels; derived ones are left as they are.

    Parameters
    ----------
    pixels : ndarray of float, shape (y, x) or (z, y, x)
        CellProfiler's image.
    scale : float or None
        Its `scale`.
    choices : Choices
        What the module is set to.
    name : str
        The image's name.
    is_derived : bool, optional
        As for `file_levels`.

    Returns
    -------
    Measured

    Raises
    ------
    ImageError
        When the image has no grey levels of a file, and the thresholds cannot do without.

    Examples
    --------
    >>> raw = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> prepared(raw.astype(np.float32) / 255, 255, Choices(), name="DNA").pixels.dtype.name
    'uint8'
    """
    where = f"image {name}"
    levels = file_levels(pixels, scale, is_derived=is_derived)
    if levels is None and choices.rounds:
        levels = rounded_levels(pixels, scale)
    if levels is not None:
        per_unit = levels.scale if choices.unit == INTENSITIES else 1.0
        return Measured(pixels=levels.values, rule=_rule(choices, per_unit, where), name=name)
    if choices.method != MANUAL:
        raise ImageError(
            "is not made of the grey levels of a file",
            where=where,
            remedy=f"set thresholds by {MANUAL!r}, have derived images rounded, or select the image"
            " as it was loaded",
        )
    if choices.unit == INTENSITIES:
        return Measured(pixels=pixels, rule=_rule(choices, 1.0, where), name=name)
    if scale is None:
        raise ImageError(
            "has no file whose grey levels threshold and margin could be in",
            where=where,
            remedy=f"give them in {INTENSITIES!r}",
        )
    return Measured(pixels=pixels * float(scale), rule=_rule(choices, 1.0, where), name=name)


def image_values(measured: Measured, mask: NDArray[np.bool_] | None = None) -> TasResult | None:
    """Measure an image inside its mask; None where the mask has no pixel.

    Parameters
    ----------
    measured : Measured
        The image.
    mask : ndarray of bool, the image's shape, optional
        Which pixels count. One that hides none is none.

    Returns
    -------
    TasResult or None
        Values in the order of `features_of`, also those of mahotas's definition.

    Raises
    ------
    ImageError, UsageError
        As from `hts_classify.measure`, with the image's name.

    Examples
    --------
    >>> raw = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> image = prepared(raw.astype(np.float32) / 255, 255, Choices(), name="DNA")
    >>> image_values(image).threshold, image_values(image, raw > 99)
    (5.0, None)
    """
    inside = None if mask is None or mask.all() else np.asarray(mask, dtype=bool)
    if inside is not None and not inside.any():
        return None
    try:
        found = measure(measured.pixels, measured.rule, axes=measured.axes, mask=inside)
    except HTSError as error:
        raise _of_image(error, measured.name) from error
    if measured.rule.definition == "standard":
        return found
    return TasResult(
        threshold=found.threshold,
        margin=found.margin,
        mu=found.mu,
        empty=found.empty,
        values=_in_our_order(found.values),
    )


def object_values(
    measured: Measured,
    planes: Iterable[NDArray[Any]],
    count: int,
    *,
    mask: NDArray[np.bool_] | None = None,
    scope: Scope = "object",
) -> NDArray[np.float64]:
    """Measure every object of an image.

    Parameters
    ----------
    measured : Measured
        The image.
    planes : iterable of ndarray of integers, the image's shape
        Label images: several where objects overlap.
    count : int
        How many objects there are: labels are 1 to `count`.
    mask : ndarray of bool, the image's shape, optional
        Which pixels count.
    scope : {"object", "image"}, optional
        Whose pixels set the thresholds; the image's only where no mask hides any.

    Returns
    -------
    ndarray of float64, shape (count, 54), or 162 for volumes
        NaN for objects without a pixel.

    Raises
    ------
    ImageError, UsageError
        As from `hts_classify.measure_objects`, with the image's name.

    Examples
    --------
    >>> raw = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> image = prepared(raw.astype(np.float32) / 255, 255, Choices(), name="DNA")
    >>> object_values(image, [(raw > 3) * 2], 2)[:, 0].tolist()
    [nan, 0.0]
    """
    inside = None if mask is None or mask.all() else np.asarray(mask, dtype=bool)
    if inside is not None and scope == "image":
        raise ImageError(
            "is masked or cropped, and its objects take their thresholds from the whole image",
            where=f"image {measured.name}",
            remedy="have thresholds set in each object, or select the image without its mask",
        )
    values = np.full((count, 162 if measured.axes == "zyx" else 54), np.nan)
    for plane in planes:
        labels = plane if inside is None else np.where(inside, plane, 0)
        try:
            found = measure_objects(
                measured.pixels, labels, measured.rule, axes=measured.axes, scope=scope
            )
        except HTSError as error:
            raise _of_image(error, measured.name) from error
        values[found.labels.astype(np.intp) - 1] = found.values
    return values


def intervals(
    measured: Measured, found: TasResult, mask: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Return the three binary images whose neighbours are counted, by the interval's name.

    Parameters
    ----------
    measured : Measured
        The image.
    found : TasResult
        What was measured of it.
    mask : ndarray of bool, the image's shape, optional
        Which pixels count.

    Examples
    --------
    >>> raw = np.array([[0, 10, 20, 30]], dtype=np.uint8)
    >>> choices = Choices(method=MANUAL, threshold=5, margin=5)
    >>> image = prepared(raw.astype(np.float32) / 255, 255, choices, name="DNA")
    >>> {name: on.tolist() for name, on in intervals(image, image_values(image)).items()}["Lower"]
    [[False, False, True, True]]
    """
    x = measured.pixels.astype(np.float64)
    low, high = found.mu - found.margin, found.mu + found.margin
    cuts = ((x > low) & (x < high), x > low, x > found.mu)
    return {
        name: on if mask is None else on & mask for name, on in zip(INTERVALS, cuts, strict=True)
    }


def _rule(choices: Choices, per_unit: float, where: str) -> Rule:
    try:
        return choices.rule(per_unit)
    except HTSError as error:
        raise UsageError(error.what, where=where, remedy=error.remedy) from error


def _of_image(error: HTSError, name: str) -> HTSError:
    where = f"image {name}"
    return type(error)(error.what, where=where, remedy=error.remedy)


def _in_our_order(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring mahotas's numbers to our order: on before off in each interval.

    mahotas has the off half of all three intervals first; its other half counts the off neighbours
    of on pixels, so that n of theirs are 8 − n (26 − n) that are on.
    """
    off, on = values.reshape(2, 3, -1)
    return np.ascontiguousarray(np.stack([on[:, ::-1], off], axis=1).reshape(-1))
