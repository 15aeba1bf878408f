"""Image sets by the numbers that CellProfiler gives them."""

from __future__ import annotations

from collections.abc import Sequence

from .layout import Field, Plate

__all__ = ["number_image_sets"]


def number_image_sets(plates: Sequence[Plate]) -> dict[tuple[str, Field], int]:
    """Give each field of some plates its number, from 1; plates follow on one another.

    Parameters
    ----------
    plates : sequence of Plate

    Returns
    -------
    dict
        The `ImageNumber` of each plate's name and field.

    Examples
    --------
    >>> number_image_sets([])
    {}
    """
    fields = ((plate.name, field) for plate in plates for field in plate.fields)
    return {key: number for number, key in enumerate(fields, start=1)}
