"""What MeasureThresholdAdjacency is set to, in the words of its settings.

Nothing here knows CellProfiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import UsageError
from ..features import Definition, Rule, Scope
from ..vocabulary import FeatureKind

__all__ = [
    "BORDERS",
    "CAMERA",
    "DEFINITIONS",
    "GREY_LEVELS",
    "INTENSITIES",
    "MANUAL",
    "METHODS",
    "OTSU",
    "OTSU_MANUAL",
    "SCOPES",
    "UNITS",
    "Choices",
]

OTSU: Final = "Automatic (PFTAS)"
OTSU_MANUAL: Final = "Manual threshold, automatic margin (PFTAS)"
CAMERA: Final = "Fixed by the camera's full scale (TAS)"
MANUAL: Final = "Manual threshold and margin (TAS)"
METHODS: Final = (OTSU, OTSU_MANUAL, CAMERA, MANUAL)
"""How thresholds are set, as pipelines write it."""

GREY_LEVELS: Final = "Grey levels of the file"
INTENSITIES: Final = "CellProfiler's intensities (0 to 1)"
UNITS: Final = (GREY_LEVELS, INTENSITIES)

DEFINITIONS: Final[Mapping[str, Definition]] = {"Standard": "standard", "mahotas": "mahotas"}
BORDERS: Final[Mapping[str, Literal["constant", "reflect"]]] = {
    "Off": "constant",
    "Reflected": "reflect",
}
SCOPES: Final[Mapping[str, Scope]] = {"Each object": "object", "The whole image": "image"}
"""The texts of settings, and what the core calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the module is set to, in the words of its settings."""

    method: str = OTSU
    """One of `METHODS`."""
    threshold: float = 0.0
    """T, where the method is manual."""
    margin: float = 0.0
    """m, where that is manual too."""
    unit: str = GREY_LEVELS
    """Of T and m: one of `UNITS`."""
    full_scale: int = 0
    """The brightest value that the camera writes; 0 for what the file's type holds."""
    definition: str = "Standard"
    """One of `DEFINITIONS`."""
    border: str = "Off"
    """What is outside the image: one of `BORDERS`. mahotas's definition always reflects."""
    scope: str = "Each object"
    """Whose pixels set an object's thresholds: one of `SCOPES`."""
    rounds: bool = False
    """Derived images are rounded to the grey levels of the file that they were made from."""

    def __post_init__(self) -> None:
        allowed = {
            "method": METHODS,
            "unit": UNITS,
            "definition": DEFINITIONS,
            "border": BORDERS,
            "scope": SCOPES,
        }
        for name, texts in allowed.items():
            if (value := getattr(self, name)) not in texts:
                raise UsageError(f"{name} {value!r}", remedy=f"use one of {', '.join(texts)}")

    @property
    def kind(self) -> FeatureKind:
        """The category that the measurements are named by."""
        return "pftas" if self.method in (OTSU, OTSU_MANUAL) else "tas"

    @property
    def is_mahotas(self) -> bool:
        """Whether the definition is mahotas's, which has neither masks nor objects."""
        return DEFINITIONS[self.definition] == "mahotas"

    def rule(self, per_unit: float = 1.0) -> Rule:
        """Return the core's rule for pixels of which one unit of T and m holds `per_unit`.

        Raises
        ------
        UsageError
            When a number cannot be one of grey levels.

        Examples
        --------
        >>> Choices(method=MANUAL, threshold=0.5, margin=0.1, unit=INTENSITIES).rule(255).threshold
        127.5
        """
        T = self.threshold * per_unit if self.method in (OTSU_MANUAL, MANUAL) else None
        m = self.margin * per_unit if self.method == MANUAL else None
        scaled = self.method == CAMERA and self.full_scale > 0 and not self.is_mahotas
        return Rule(
            self.kind,
            definition=DEFINITIONS[self.definition],
            border=None if self.is_mahotas else BORDERS[self.border],
            threshold=T,
            margin=m,
            full_scale=self.full_scale if scaled else None,
        )
