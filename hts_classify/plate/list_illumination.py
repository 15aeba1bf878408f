"""Illumination functions that an image list names, row by row, beside its images.

`FileName_IllumDNA` and `PathName_IllumDNA`, or `URL_IllumDNA`: what `pe2loaddata` and the Cell
Painting pipelines write for CellProfiler's CorrectIlluminationApply. Fields are divided as
`illumination` says, each by the functions of its own rows. A row whose function is absent or no
function loses its field, with the line and the channel; the others stay.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from ..errors import DataError, FieldError, HTSError, PlateError
from ..files import digest
from .illumination import checked_function, divide
from .image_files import ImageFiles, Page
from .layout import Field, Missing, Plate, PlateInfo, View
from .list_bytes import check_storages, read_files
from .list_places import is_url
from .stored import TRANSIENT, StoredPlate
from .wrapped import WrappedPlate

__all__ = ["ListCorrectedPlate", "correct_as_listed"]

_HELD: Final = 16
"""Functions that a process keeps: those of two plates of eight channels."""
_SHOWN: Final = 3
_LEAVE: Final = "--illumination none reads the images as they are"


def correct_as_listed(plate: Plate, use: Sequence[str] = ()) -> Plate:
    """Return a plate whose pixels are divided by the functions that its image list names.

    Parameters
    ----------
    plate : Plate
        Of any store; only image lists name functions.
    use : sequence of str, optional
        The channels that are looked at; functions of others are left alone. All by default.

    Raises
    ------
    DataError
        When none of its fields has functions that can be divided by; it names the line.
    PlateError
        When the functions' storage does not answer.
    """
    if not (isinstance(plate, StoredPlate) and isinstance(plate.store, ImageFiles)):
        return plate
    listed = plate.store.functions
    pages = [
        (index, page)
        for rows in listed.values()
        for row in rows
        for index, page in enumerate(row)
        if page.file and (not use or plate.channels[index] in use)
    ]
    if not pages:
        return plate
    named = {index for index, _ in pages}
    files: dict[str, str] = {}
    for _, page in pages:
        files.setdefault(page.file, f"{plate.path} {page.row}")
    check_storages(files)
    contents, wrong = _look(list(files), plate)
    chosen: dict[str, dict[str, str]] = {}
    lacking: dict[str, dict[str, str]] = {}
    for path, rows in listed.items():
        for index in sorted(named):
            channel, own = plate.channels[index], [row[index] for row in rows]
            why = _wrong(own, wrong)
            if why:
                lacking.setdefault(path, {})[channel] = why
            else:
                chosen.setdefault(path, {})[channel] = own[0].file
    if len(lacking) == len(listed):
        channel, why = next(iter(next(iter(lacking.values())).items()))
        raise DataError(
            f"no field has all of its illumination functions; channel {channel}, {why}",
            where=plate.path,
            remedy=f"put it there, or correct the list; {_LEAVE}",
        )
    channels = tuple(plate.channels[index] for index in sorted(named))
    bare = replace(plate, store=replace(plate.store, functions={}))  # workers need them once
    return ListCorrectedPlate(bare, channels, chosen, lacking, contents)


@dataclass(frozen=True, slots=True, eq=False)
class ListCorrectedPlate(WrappedPlate):
    """A plate of an image list, corrected by the functions that it names."""

    corrected: tuple[str, ...]
    """Channels that have functions."""
    functions: Mapping[str, Mapping[str, str]]
    """By the path of a field: each channel's file."""
    lacking: Mapping[str, Mapping[str, str]]
    """By the path of a field: channels whose function cannot be used, and why."""
    contents: Mapping[str, str]
    """Hash of each function's file."""

    @property
    def view(self) -> View:
        """Which part of the plate is shown, and that it is corrected as its list says."""
        return replace(self.plate.view, illumination=tuple((name, "") for name in self.corrected))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen, and which channels are corrected by what."""
        said = []
        for channel in self.corrected:
            files = {held[channel]: None for held in self.functions.values() if channel in held}
            names = [file.rsplit("/", 1)[-1] for file in files]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            said.append(f"{channel} by {', '.join(names[:_SHOWN])}{more}")
        return (
            *self.plate.notes,
            f"illumination corrected as the image list says: {'; '.join(said)} ({_LEAVE})",
        )

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        """Read one field's pixels, corrected: shape (channels, y, x) or (channels, z, y, x)."""
        wanted = self.channels if channels is None else tuple(channels)
        for channel, why in self.lacking.get(field.path, {}).items():
            if channel in wanted:
                raise FieldError(why, where=str(field), channel=channel, remedy=_LEAVE)
        pixels = self.plate.read(field, channels)
        files = self.functions.get(field.path, {})
        for index, channel in enumerate(wanted):
            if channel not in files:
                continue
            function = self._function(files[channel], field, channel)
            divide(pixels[index], function, field, channel)
        return pixels

    def stamp(self, field: Field, label: str = "") -> str:
        """Return what changes when a field's pixels or its functions are replaced."""
        files = self.functions.get(field.path, {})
        held = {channel: self.contents[file] for channel, file in files.items()}
        return digest(self.plate.stamp(field, label), held, dict(self.lacking.get(field.path, {})))

    def info(self, *, check: bool = True) -> PlateInfo:
        """Describe the plate."""
        info = self.plate.info(check=check)
        lost = tuple(
            Missing(field.well, field.site, f"{'; '.join(why.values())} (channel {', '.join(why)})")
            for field in self.fields
            if (why := self.lacking.get(field.path))
        )
        return replace(info, notes=self.notes, missing=(*info.missing, *lost))

    def _function(self, file: str, field: Field, channel: str) -> NDArray[Any]:
        """Return a function, which is read once a process."""
        try:
            return _held(file, self.contents[file], self.plate.field_shape)
        except HTSError as error:
            raise FieldError(
                f"illumination function {file}: {error.what}",
                where=str(field),
                channel=channel,
                remedy=error.remedy,
            ) from error


def _wrong(pages: Sequence[Page], wrong: Mapping[str, str]) -> str:
    """Say why a field cannot be corrected in a channel; empty where it can."""
    empty = next((page for page in pages if not page.file), None)
    if empty is not None:
        return f"{empty.row}: names no illumination function, other rows do"
    if len({page.file for page in pages}) > 1:
        lines = " and ".join(str(page.line) for page in pages[:2])
        return f"lines {lines}: two illumination functions for one field"
    file = pages[0].file
    return f"{pages[0].row}: illumination function {file} {wrong[file]}" if file in wrong else ""


def _look(files: Sequence[str], plate: StoredPlate) -> tuple[dict[str, str], dict[str, str]]:
    """Read every function once: return their hashes, and what is wrong with the others."""
    contents: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for file in files:
        try:
            content = _content(file)
            checked_function(io.BytesIO(content), plate.field_shape, where=file)
            contents[file] = hashlib.sha256(content).hexdigest()
        except FileNotFoundError:
            wrong[file] = "is missing"
        except TRANSIENT as error:
            raise PlateError(
                f"illumination function {file} got no answer ({error})",
                where=plate.path,
                remedy="check the address, and try again",
            ) from error
        except OSError as error:
            wrong[file] = f"cannot be read ({error})"
        except DataError as error:
            wrong[file] = error.what
    return contents, wrong


@lru_cache(maxsize=_HELD)
def _held(file: str, content: str, shape: tuple[int, int]) -> NDArray[Any]:
    """Read a function, which must be the one that the plate was opened with."""
    held = _content(file)
    if hashlib.sha256(held).hexdigest() != content:
        raise DataError("has changed since the plate was opened", remedy="run it again")
    return checked_function(io.BytesIO(held), shape, where=file)


def _content(file: str) -> bytes:
    if not is_url(file):
        return Path(file).read_bytes()
    held = read_files([file])[file]
    if isinstance(held, Exception):
        raise held
    return held
