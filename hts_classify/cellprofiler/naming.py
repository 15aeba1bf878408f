"""What the measurements of MeasureThresholdAdjacency are called.

Names are those of `hts_classify.vocabulary.feature_columns`, whose first word, `Image` or the
objects' name, CellProfiler's exports write themselves. Nothing here knows CellProfiler.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UsageError
from ..vocabulary import CENTRES, INTERVALS, channel_word, feature_columns
from .choosing import Choices

__all__ = ["checked_words", "features_of", "groups_of"]


def features_of(choices: Choices, image: str, *, is_volume: bool = False) -> list[str]:
    """Name an image's measurements as CellProfiler does: without `Image` or the objects' name.

    Examples
    --------
    >>> features_of(Choices(), "OrigGFP")[0]
    'PFTAS_OrigGFP_Band_On_0'
    """
    names = feature_columns(choices.kind, image, neighbours=26 if is_volume else 8)
    return [name.removeprefix("Image_") for name in names]


def groups_of(images: Iterable[str]) -> list[str]:
    """Name what CellProfiler lists under a category: all but the number of neighbours.

    Examples
    --------
    >>> groups_of(["GFP"])[:2]
    ['GFP_Band_On', 'GFP_Band_Off']
    """
    return [
        f"{channel_word(image)}_{interval}_{centre}"
        for image in images
        for interval in INTERVALS
        for centre in CENTRES
    ]


def checked_words(images: Iterable[str]) -> None:
    """Refuse images whose measurements would have one name.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> checked_words(["GFP", "DNA"])
    """
    seen: dict[str, str] = {}
    for image in images:
        word = channel_word(image)
        if word in seen:
            raise UsageError(
                f"images {seen[word]} and {image} would both be called {word}",
                remedy="select one of them once, or give one another name: only letters and digits"
                " count",
            )
        if not word:
            raise UsageError(f"image {image!r} has no letter or digit", remedy="name it anew")
        seen[word] = image
