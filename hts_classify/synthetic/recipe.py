"""What a simulated plate is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from ..errors import UsageError
from ..vocabulary import channel_word

__all__ = ["CLASSES", "Recipe", "Setting", "demo_recipe"]

Setting = Literal["phenotypes", "texture", "arrangement", "mixed"]

CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "phenotypes": ("diffuse", "filamentous", "nuclear", "punctate"),
    "texture": ("coarse", "fine", "medium"),
    "arrangement": ("polar", "ring", "scattered"),
    "mixed": ("coarse", "fine", "polar", "ring"),
}
"""The classes of each setting; `hts_classify.synthetic.marker` draws them."""

_CHANNELS: Final = 5
_SMALLEST: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that a simulated plate follows from.

    The number of wells is classes × compounds × concentrations × replicates; settings other than
    `phenotypes` use the last concentration alone.

    Raises
    ------
    UsageError
        When a value makes no plate.

    Examples
    --------
    >>> Recipe(setting="texture", seed=7).classes
    ('coarse', 'fine', 'medium')
    """

    setting: Setting = "phenotypes"
    """What tells the classes apart (`hts_classify.synthetic.marker`)."""
    seed: int = 0
    """Everything random follows from it."""
    channels: tuple[str, ...] = ("DNA", "GFP")
    """One to five stains. The first is the nuclei, the second the marker that shows the class,
    the others stain cell bodies and say nothing of the class; a single one is the marker."""
    dtype: Literal["uint8", "uint16"] = "uint16"
    shape: tuple[int, int] = (256, 256)
    """Rows and columns of pixels of a field; a cell is about 48 pixels wide."""
    fields: int = 2
    """Fields of view in each well."""
    compounds: int = 3
    """Compounds of each class. Of the class `diffuse` the first two are the negative controls,
    DMSO and no treatment; the rest are inert."""
    concentrations: tuple[float, ...] = (0.1, 1.0, 10.0)
    """µM. The effect follows a Hill curve; a well with less than half of it carries no phenotype
    in the plate map, and is there to be predicted. Doses that are all weak, `(0.1,)` say, leave
    a map of the one class `diffuse`, from which nothing can be learnt."""
    replicates: int = 2
    """Wells of each compound at each concentration."""
    batches: int = 2
    """Staining batches, each with a gain and a background; replicates go round them, and a
    single one is in the first."""
    difficulty: float = 0.25
    """0 (easy) to 1 (hard): differences between classes shrink to a fifth, photons to a quarter."""

    def __post_init__(self) -> None:
        if self.setting not in get_args(Setting):
            raise UsageError(
                f"setting {self.setting!r}", remedy=f"use one of {', '.join(get_args(Setting))}"
            )
        words = {channel_word(channel).lower() for channel in self.channels} - {""}
        text = isinstance(self.channels, str)  # "DNA" is also a sequence of three letters
        if text or not 1 <= len(self.channels) == len(words) <= _CHANNELS:
            raise UsageError(
                f"channels {self.channels!r}", remedy="give a tuple of one to five different names"
            )
        if self.dtype not in ("uint8", "uint16"):
            raise UsageError(f"dtype {self.dtype!r}", remedy="use 'uint8' or 'uint16'")
        if min(self.shape) < _SMALLEST:
            raise UsageError(f"shape {self.shape}", remedy=f"use at least {_SMALLEST} pixels")
        for name in ("fields", "compounds", "replicates", "batches"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}", remedy="use 1 or more")
        if not self.concentrations or min(self.concentrations) <= 0:
            raise UsageError(
                f"concentrations {self.concentrations}", remedy="give numbers above 0, in µM"
            )
        if not 0 <= self.difficulty <= 1:
            raise UsageError(f"difficulty {self.difficulty}", remedy="use a number from 0 to 1")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", remedy="use 0 or more")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return CLASSES[self.setting]

    @property
    def doses(self) -> tuple[float, ...]:
        """Concentrations that the plate has."""
        return self.concentrations if self.setting == "phenotypes" else self.concentrations[-1:]

    @property
    def marker(self) -> int:
        """Index of the channel that shows the class."""
        return min(1, len(self.channels) - 1)

    @property
    def distinctness(self) -> float:
        """How much of the difference between the classes the difficulty leaves."""
        return 1 - 0.8 * self.difficulty

    def rng(self, *key: int) -> np.random.Generator:
        """Return the random numbers of one part of the plate, whatever else is made."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def demo_recipe(seed: int = 0) -> Recipe:
    """Return the plate of the demo: four phenotypes in 72 wells, 2 fields × 2 channels × 256².

    Examples
    --------
    >>> demo_recipe().channels
    ('DNA', 'GFP')
    """
    return Recipe(seed=seed)
