"""Illumination correction: pixels divided by a function a channel, as CellProfiler's IllumApply.

The function is what CellProfiler's CorrectIlluminationCalculate makes and SaveImages writes as
`.npy`. A correction is a division in float64, rounded half to even and clipped to the type of the
pixels: the same numbers on every machine, which multiplying by a reciprocal would not give. A
pixel that the camera saturated stays saturated. Planes that are projected are divided after it:
the maximum of the quotients is the quotient of the maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FieldError, UsageError
from ..files import digest
from .layout import Field, Plate, PlateInfo, View
from .wrapped import WrappedPlate

__all__ = ["CorrectedPlate", "checked_function", "correct_illumination", "divide"]

_ROWS: Final = 64
"""Rows that are divided at a time, so that the quotients stay in the cache."""


def correct_illumination(plate: Plate, functions: Mapping[str, str | Path]) -> Plate:
    """Return a plate whose pixels are divided by illumination functions.

    Parameters
    ----------
    plate : Plate
        Any plate, of any store.
    functions : mapping of str to path
        `.npy` files by channel: floats of shape (y, x), all above 0. A channel without one is
        left as it is.

    Raises
    ------
    UsageError
        When the plate has no such channel, or a file does not exist.
    DataError
        When a file is no such array, or its shape is not the fields'.

    Examples
    --------
    >>> correct_illumination(plate, {"DNA": "IllumDNA.npy"})  # doctest: +SKIP
    """
    for channel in functions:
        if channel not in plate.channels:
            raise UsageError(
                f"an illumination function for channel {channel!r}",
                where=plate.path,
                remedy=f"the plate has {', '.join(plate.channels)}",
            )
    loaded = {channel: _load(Path(file), plate) for channel, file in functions.items()}
    if not loaded:
        return plate
    contents = digest({channel: digest(Path(file)) for channel, file in functions.items()})
    files = tuple((channel, str(file)) for channel, file in functions.items())
    return CorrectedPlate(plate, loaded, contents, files)


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedPlate(WrappedPlate):
    """A plate with some of its channels corrected."""

    functions: Mapping[str, NDArray[Any]]
    contents: str
    """Hash of the functions' files."""
    files: tuple[tuple[str, str], ...]
    """Channels and their functions' files."""

    @property
    def view(self) -> View:
        """Which part of the plate is shown, and that it is corrected."""
        return replace(self.plate.view, illumination=self.files)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen, and which channels are corrected."""
        return (*self.plate.notes, f"illumination corrected: {', '.join(self.functions)}")

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        """Read one field's pixels, corrected: shape (channels, y, x) or (channels, z, y, x)."""
        pixels = self.plate.read(field, channels)
        for index, channel in enumerate(self.channels if channels is None else channels):
            function = self.functions.get(channel)
            if function is None:
                continue
            divide(pixels[index], function, field, channel)
        return pixels

    def stamp(self, field: Field, label: str = "") -> str:
        """Return what changes when a field's pixels or the functions are replaced."""
        return digest(self.plate.stamp(field, label), self.contents)

    def info(self, *, check: bool = True) -> PlateInfo:
        """Describe the plate."""
        return replace(self.plate.info(check=check), notes=self.notes)


def _load(file: Path, plate: Plate) -> NDArray[Any]:
    """Read and check an illumination function."""
    try:
        with file.open("rb") as content:
            return checked_function(content, plate.field_shape, where=str(file))
    except FileNotFoundError:
        raise UsageError("does not exist", where=str(file), remedy="check the path") from None
    except OSError as error:
        raise DataError(
            f"cannot be read ({error})", where=str(file), remedy="check the file"
        ) from error


def checked_function(content: BinaryIO, shape: tuple[int, int], *, where: str) -> NDArray[Any]:
    """Read an illumination function for fields of a shape, and check that one can divide by it.

    Raises
    ------
    DataError
        When it is no array of floats above 0, of the fields' shape.
    """
    try:
        function = np.lib.format.read_array(content, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise DataError(
            f"is no .npy array ({error})", where=where, remedy="write it with numpy.save"
        ) from error
    if function.dtype.kind != "f":
        raise DataError(
            f"holds {function.dtype}, not floats", where=where, remedy="save one array of floats"
        )
    if function.shape != shape:
        raise DataError(
            f"has the shape {function.shape}, the plate's fields {shape}",
            where=where,
            remedy="make it from images of this plate, at the level that is read",
        )
    function = function.astype(function.dtype.newbyteorder("="), copy=False)
    bad = np.count_nonzero(~(np.isfinite(function) & (function > 0)))
    if bad:
        raise DataError(
            f"{bad} of its values are not above 0, or not finite",
            where=where,
            remedy="make it anew; a function that is 0 somewhere cannot be divided by",
        )
    return function


def divide(pixels: NDArray[Any], function: NDArray[Any], field: Field, channel: str) -> None:
    """Divide (y, x) or (z, y, x) pixels in place by a function of shape (y, x).

    Raises
    ------
    FieldError
        When they have another shape; it names the field and the channel.
    """
    if pixels.shape[-2:] != function.shape:
        raise FieldError(
            f"has {pixels.shape[-2:]} pixels, the illumination function {function.shape}",
            where=str(field),
            channel=channel,
            remedy="leave the field out",
        )
    most = np.iinfo(pixels.dtype).max
    for start in range(0, function.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        raw = pixels[..., rows, :]
        quotient = np.divide(raw, function[rows], dtype=np.float64)
        np.minimum(np.rint(quotient, out=quotient), most, out=quotient)
        np.copyto(raw, quotient, where=raw < most, casting="unsafe")
