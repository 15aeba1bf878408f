"""What ClassifyImagesHTS applies: the TAS model of a run, from the run's `models/` folder.

`SavedModel.read` looks at JSON alone, so that CellProfiler can be told of every measurement, and
everything that does not fit, before scikit-learn is there or a pixel is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ModelError, UsageError
from ..features import Axes, Rule, measure
from ..models.calibrate import proba
from ..models.card import read_card
from ..vocabulary import CALL, PROBA, SCORE
from .levels import file_levels, rounded_levels

if TYPE_CHECKING:
    from ..models.svm import TasSvm

__all__ = ["CATEGORY", "Call", "Channel", "SavedModel", "measurements"]

CATEGORY: Final = "HTS"
"""Of the measurements in CellProfiler."""

_INPUTS: Final = ("channels", "dtype", "features", "full_scale", "view", "volumes")
_SVM: Final = ("classes", "chosen", "versions")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Channel:
    """An image of CellProfiler that is a channel of the model."""

    name: str
    """CellProfiler's name of the image."""
    pixels: NDArray[Any]
    """From 0 to 1, shape (y, x) or (z, y, x)."""
    scale: float | None
    """Its `scale`."""
    is_derived: bool = False
    """Another image is its parent."""
    mask: NDArray[np.bool_] | None = None
    """Its mask, which may hide nothing: models learned from whole fields."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """What a model says of one image set."""

    call: str
    """The class with the highest score."""
    scores: dict[str, float]
    """By class, as in the predictions of a run."""
    proba: dict[str, float]
    """By class; what the model deems probable, which adds up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """The TAS model of a run, and what it must be given."""

    folder: Path
    """`models/` of the run directory."""
    channels: tuple[str, ...]
    """In the order in which the model takes them."""
    classes: tuple[str, ...]
    dtype: str
    """Pixels that it learned from: uint8 or uint16."""
    volumes: bool
    """It learned from volumes."""
    rule: Rule
    """How statistics are taken."""
    scikit_learn: str
    """The version that wrote it."""

    @classmethod
    def read(cls, folder: str | Path) -> SavedModel:
        """Read what a saved model must be given; the model itself is not loaded.

        Parameters
        ----------
        folder : path
            `models/` of a run directory.

        Raises
        ------
        ModelError
            When there is no model, or one that needs more than the images: controls that set a
            plate's scale, another level of an image pyramid.
        """
        folder = Path(folder)
        if not (folder / "inputs.json").exists():
            raise ModelError(
                "holds no models (inputs.json is absent)",
                where=str(folder),
                remedy="name the models/ folder of a finished run of hts-classify",
            )
        inputs = read_card(folder / "inputs.json", _INPUTS)
        card = read_card(folder / "tas_svm.json", _SVM)
        method = card["chosen"].get("normalise")
        if method != "none":
            raise ModelError(
                f"its TAS model is normalised by each plate's negative controls ({method}), which"
                " one image set does not have",
                where=str(folder),
                remedy="use hts-classify predict, or a run with --normalise none",
            )
        if level := inputs["view"].get("level"):
            raise ModelError(
                f"its models learned from level {level} of image pyramids",
                where=str(folder),
                remedy="use hts-classify predict, or a run with --level 0",
            )
        full_scale = inputs["full_scale"] if inputs["features"] == "tas" else None
        return cls(
            folder=folder,
            channels=tuple(inputs["channels"]),
            classes=tuple(card["classes"]),
            dtype=inputs["dtype"],
            volumes=inputs["volumes"],
            rule=Rule(inputs["features"], full_scale=full_scale),
            scikit_learn=str(card["versions"].get("scikit-learn", "")),
        )

    def check_channels(self, given: Sequence[str]) -> None:
        """Refuse channels that are not the model's, each once.

        Raises
        ------
        UsageError
        """
        wanted = ", ".join(self.channels)
        for what, names in (
            ("is given twice", [name for name in given if given.count(name) > 1]),
            ("is none of the model's", [name for name in given if name not in self.channels]),
            ("has no image", [name for name in self.channels if name not in given]),
        ):
            if names:
                raise UsageError(
                    f"channel {names[0]!r} {what}",
                    where=str(self.folder),
                    remedy=f"select one image for each of {wanted}",
                )

    def load(self) -> TasSvm:
        """Load the model itself.

        Raises
        ------
        UsageError
            Where scikit-learn or skops is absent.
        ModelError
            When the file is damaged, or this scikit-learn cannot load it.
        """
        try:
            from ..models.svm import TasSvm

            return TasSvm.load(self.folder)
        except ImportError as error:
            raise UsageError(
                f"CellProfiler's Python lacks what the model needs ({error})",
                remedy=f"python -m pip install scikit-learn=={self.scikit_learn} skops there",
            ) from error
        except ModelError as error:
            here = _installed()
            if here == self.scikit_learn:
                raise
            raise ModelError(
                f"scikit-learn {here} does not load what {self.scikit_learn} wrote ({error.what})",
                where=str(self.folder),
                remedy=f"python -m pip install scikit-learn=={self.scikit_learn} in CellProfiler's"
                " Python",
            ) from error

    def call(self, model: TasSvm, images: Mapping[str, Channel], *, rounds: bool = False) -> Call:
        """Call one image set.

        Parameters
        ----------
        model : TasSvm
            What `load` returned.
        images : mapping of str to Channel
            The image of each channel.
        rounds : bool, optional
            Images that others were made of are rounded to grey levels.

        Raises
        ------
        ImageError
            When an image has other pixels than the model learned from.
        """
        self.check_channels(list(images))
        values = [self._values(images[name], rounds) for name in self.channels]
        scores = model.scores(np.concatenate(values)[None])
        probable = proba(scores, model.temperature)[0]
        return Call(
            call=self.classes[int(scores[0].argmax())],
            scores=dict(zip(self.classes, scores[0].tolist(), strict=True)),
            proba=dict(zip(self.classes, probable.tolist(), strict=True)),
        )

    def _values(self, image: Channel, rounds: bool) -> NDArray[np.float64]:
        where = f"image {image.name}"
        if image.mask is not None and not image.mask.all():
            raise ImageError(
                "is masked, and the model learned from whole fields",
                where=where,
                remedy="select the image without its mask",
            )
        axes: Axes = "zyx" if self.volumes else "yx"
        if image.pixels.ndim != len(axes):
            kinds = {2: "a plane", 3: "a volume"}
            raise ImageError(
                f"is {kinds.get(image.pixels.ndim, 'no image')}, the model learned from"
                f" {kinds[len(axes)]}s",
                where=where,
                remedy="load the images as then",
            )
        levels = file_levels(image.pixels, image.scale, is_derived=image.is_derived)
        if levels is None and rounds:
            levels = rounded_levels(image.pixels, image.scale)
        if levels is None:
            raise ImageError(
                "is not made of the grey levels of a file",
                where=where,
                remedy="select the image as it was loaded, or have derived images rounded",
            )
        if levels.values.dtype.name != self.dtype:
            raise ImageError(
                f"pixels are {levels.values.dtype}, the model learned from {self.dtype}",
                where=where,
                remedy="use a model of such images",
            )
        try:
            return measure(levels.values, self.rule, axes=axes).values
        except ImageError as error:
            raise ImageError(error.what, where=where, remedy=error.remedy) from error


def measurements(classes: Sequence[str], name: str) -> dict[str, dict[str, str]]:
    """Name what is measured: of each kind, by class, what CellProfiler calls it.

    Parameters
    ----------
    classes : sequence of str
        Of the model.
    name : str
        Name of the calls, which tells two models in one pipeline apart.

    Returns
    -------
    dict
        `Class` by the empty class, `Score` and `Proba` by each.

    Raises
    ------
    UsageError
        When two classes would have one name.

    Examples
    --------
    >>> found = measurements(("cytoplasm", "nucleus"), "Svm")
    >>> found["Class"], found["Score"]["nucleus"]
    ({'': 'HTS_Class_Svm'}, 'HTS_Score_Svm_nucleus')
    """
    words = {one: re.sub(r"[^0-9A-Za-z]", "_", one) for one in classes}
    if len(set(words.values())) < len(words):
        raise UsageError(
            f"classes {', '.join(classes)} cannot be told apart by letters and digits",
            remedy="name the classes anew in the plate map, and run again",
        )
    found = {CALL: {"": f"{CATEGORY}_{CALL}_{name}"}}
    for prefix in (SCORE, PROBA):
        found[prefix.rstrip("_")] = {
            one: f"{CATEGORY}_{prefix}{name}_{word}" for one, word in words.items()
        }
    return found


def _installed() -> str:
    try:
        return version("scikit-learn")
    except PackageNotFoundError:
        return "(of unknown version)"
