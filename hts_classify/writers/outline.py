"""What a plate is before its pixels, and what writes it. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, get_args

from numpy.typing import NDArray

from ..errors import FieldError
from ..plate import Field
from ..vocabulary import split_well

__all__ = ["FORMATS", "Format", "Frames", "Outline", "Writer", "check_label", "image_name", "parts"]

Format = Literal["ome-zarr-0.5", "ome-zarr-0.4", "hdf5"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

Frames = Iterable[NDArray[Any]]
"""An image, time point by time point: (channels, y, x) or (channels, z, y, x) each; label
images without the channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a plate is called, its grid, and what all of its fields have in common."""

    name: str
    rows: tuple[str, ...]
    """`A`, `B`, …, also those without wells."""
    columns: tuple[str, ...]
    """`1`, `2`, …"""
    channels: tuple[str, ...]
    pixel_size: tuple[float, ...] = ()
    """Micrometres of a pixel along y and x; empty where unknown."""
    acquisition: str = ""
    """Name of the acquisition that the fields are of."""


class Writer(Protocol):
    """A plate that is being written."""

    @property
    def workers(self) -> int:
        """Threads that may write at once; more than one write in any order."""
        ...

    @property
    def resumes(self) -> bool:
        """What was written can be gone on with after the process has died."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def has(self, field: Field) -> bool:
        """Tell whether a field's image is there and whole."""
        ...

    def write(
        self,
        field: Field,
        frames: Frames,
        *,
        times: int | None = None,
        labels: Mapping[str, Frames] = {},
    ) -> list[FieldError]:
        """Write one field's image and label images.

        Parameters
        ----------
        field : Field
            Its well and site say where.
        times : int, optional
            Number of frames of an image that has a time axis.
        labels : mapping
            Label images by name.

        Returns
        -------
        list of FieldError
            What reading label images raised; the image is written without those.

        Raises
        ------
        FieldError
            What reading the frames raised; nothing is left of the image.
        """
        ...

    def finish(self, fields: Sequence[Field]) -> None:
        """Write the plate's own metadata, with these fields, in plate order."""
        ...


def parts(well: str) -> tuple[str, str]:
    """Return the names of a well's row and column, as they are written.

    Examples
    --------
    >>> parts("B03")
    ('B', '3')
    """
    row, column = split_well(well)
    return row, str(column)


def image_name(field: Field) -> str:
    """Name a field's image inside its well: its site, from 0."""
    return str(field.site - 1)


def check_label(name: str) -> None:
    """Refuse a label image whose name would be a path.

    Raises
    ------
    FieldError
    """
    if not name or name.startswith(".") or any(letter in name for letter in "/\\\0"):
        raise FieldError(f"a label image is named {name!r}", remedy="name it by letters and digits")
