"""TIFF and PNG files as a store: what their headers say, and their pages.

Read by Pillow, which the report needs anyway: 8 and 16 bits, grey, uncompressed, LZW, deflate or
PNG, one page or many. What is not one grey level a pixel (colour, transparency, white at zero) is
refused, for a guess would change the features.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError
from ..files import digest
from .list_bytes import look_at, opened, read_files, root_of
from .list_places import is_url
from .storage import THREADS
from .stored import TRANSIENT, Gap, Image

__all__ = ["Header", "ImageFiles", "Page", "read_headers"]

_DTYPES: Final = {"L": "uint8", "P": "uint8", "I;16": "uint16", "I;16B": "uint16"}
_DESCRIPTION: Final = 270
_PHOTOMETRIC: Final = 262


@dataclass(frozen=True, slots=True)
class Page:
    """One plane of one channel."""

    file: str
    """A path or a URL; empty where the list names none."""
    frame: int | None = 0
    """Which page of the file; `None` where the list leaves that to the file."""
    line: int = 0
    """Line of the list that names it."""

    @property
    def row(self) -> str:
        """Which line of the list to look at, for messages."""
        return f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself before its pixels are decoded."""

    dtype: str
    shape: tuple[int, int]
    times: int = 1
    planes: int = 1
    planes_first: bool = True
    """The pages of a time point lie together."""
    frames: int = 1

    def __str__(self) -> str:
        height, width = self.shape
        pages = f", {self.times} time points of {self.planes} planes" if self.frames > 1 else ""
        return f"{height}×{width} {self.dtype}{pages}"

    def one(self, frame: int, file: str) -> Header:
        """Describe one page alone."""
        if frame >= self.frames:
            raise FieldError(
                f"{file} has no page {frame}: it has {self.frames}, counted from 0",
                remedy="correct the table",
            )
        return Header(self.dtype, self.shape)

    def frame(self, time: int, plane: int) -> int:
        """Return which page holds a plane."""
        if self.planes_first:
            return time * self.planes + plane
        return plane * self.times + time


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Fields of image files."""

    pages: Mapping[str, tuple[Page, ...]]
    """By the path of an image: its pages, in the order of its axes but y and x."""
    channels: tuple[str, ...] = ()
    """As the list calls them."""
    functions: Mapping[str, tuple[tuple[Page, ...], ...]] = field(default_factory=dict)
    """By the path of an image: the illumination functions that its rows name, a channel each;
    several where rows do not agree."""

    @property
    def format(self) -> str:
        """Always `image list`."""
        return "image list"

    def size(self, images: Sequence[Image]) -> int:
        """Size of the files that are there."""
        looks = look_at(p.file for image in images for p in self.pages[image.path] if p.file)
        return sum(look.size for look in looks.values() if look)

    def gaps(self, image: Image) -> Sequence[Gap]:
        """Find the files that are missing."""
        pages = self.pages[image.path]
        outer = image.lengths[:-2]
        looks = look_at(page.file for page in pages if page.file)
        size = (*(1 for _ in outer), *image.shape)
        return [
            Gap(
                page.file or "that the row should name",
                (*map(int, place), 0, 0),
                size,
                what="file",
                row=page.row,
            )
            if page.line
            else Gap("without a row", (*map(int, place), 0, 0), size, what="plane")
            for page, *place in zip(pages, *np.unravel_index(range(len(pages)), outer), strict=True)
            if looks.get(page.file) is None
        ]

    def stamp(self, image: Image) -> str:
        """Hash the files' sizes and times of change, or their ETags."""
        content: list[Any] = [repr(image)]
        files = dict.fromkeys(page.file for page in self.pages[image.path])
        for file, look in look_at(files).items():
            name = file if is_url(file) else Path(file).name
            content.append((file, "missing") if look is None else (name, look.size, look.tag))
        return digest(content)

    def label(self, image: Image, name: str) -> Image:
        """Refuse: an image list has no label images."""
        raise FieldError("an image list has no label images", remedy="convert the plate")

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode the pages of a part of an image."""
        pages = self.pages[image.path]
        outer = np.arange(len(pages)).reshape(image.lengths[:-2])[index[:-2]]
        shown = [pages[number] for number in np.ravel(outer)]
        contents = read_files(page.file for page in shown)
        planes: list[NDArray[Any]] = []
        for file, of_file in groupby(shown, key=lambda page: page.file):
            content = contents.get(file)
            if isinstance(content, Exception):
                raise content
            planes += _decode(file, content, [page.frame or 0 for page in of_file], image)
        return np.stack(planes).reshape(*outer.shape, *image.shape)[..., index[-2], index[-1]]


def read_headers(files: Iterable[str]) -> dict[str, Header | Exception]:
    """Read files' headers, many at once; a file that has none gets what was raised.

    Raises
    ------
    OSError
        When the first file of a server gets no answer: the others are not waited for.
    """
    unique = list(dict.fromkeys(files))
    first = {root_of(file): file for file in reversed(unique) if is_url(file)}
    with warnings.catch_warnings():  # for the threads too: Pillow warns and then raises
        warnings.simplefilter("ignore")
        found = {file: _try_header(file) for file in first.values()}
        for header in found.values():
            if isinstance(header, TRANSIENT):
                raise header
        rest = [file for file in unique if file not in found]
        with ThreadPoolExecutor(THREADS) as threads:
            found |= zip(rest, threads.map(_try_header, rest), strict=True)
    return found


def _try_header(file: str) -> Header | Exception:
    try:
        return _header(file)
    except Exception as error:  # whatever a damaged file makes Pillow throw
        return error


def _header(file: str) -> Header:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        image = Pillow.open(opened(file), formats=("TIFF", "PNG"))
    except UnidentifiedImageError:
        raise FieldError("is no TIFF or PNG, or a damaged one", remedy="copy it again") from None
    with image:
        dtype = _dtype(image)
        frames = int(getattr(image, "n_frames", 1))
        times, planes, planes_first = _pages(_tag(image, _DESCRIPTION, ""), frames)
        return Header(dtype, (image.height, image.width), times, planes, planes_first, frames)


def _tag(image: Any, tag: int, default: Any) -> Any:
    return image.tag_v2.get(tag, default) if hasattr(image, "tag_v2") else default


def _dtype(image: Any) -> str:
    """Return the type of a file's grey levels; FieldError where it has others than 8 or 16 bits."""
    dtype = _DTYPES.get(image.mode)
    if dtype is None:
        raise FieldError(
            f"is {image.mode}, not 8 or 16 bits of grey",
            remedy="write each channel as a grey image of its own, uint8 or uint16",
        )
    if _tag(image, _PHOTOMETRIC, 1) == 0:
        raise FieldError("stores white as 0", remedy="write it with black as 0")
    if image.mode == "P":
        palette = np.reshape(image.getpalette(), (-1, 3))
        if (np.diff(palette, axis=0) < 0).any():
            raise FieldError(
                "has a palette of colours that is no scale of brightness",
                remedy="write its grey levels",
            )
    return dtype


def _pages(text: object, frames: int) -> tuple[int, int, bool]:
    """Return time points and planes of a file, and whether a time point's planes lie together."""
    if frames == 1:
        return 1, 1, True
    said = str(text)
    ome = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", said)
    if ome:
        sizes = {axis: re.search(rf'\bSize{axis}="(\d+)"', ome[0]) for axis in "CTZ"}
        order = re.search(r'\bDimensionOrder="(\w+)"', ome[0])
        planes_first = order is None or order[1].find("Z") < order[1].find("T")
    elif said.startswith("ImageJ="):
        words = {"C": "channels", "T": "frames", "Z": "slices"}
        sizes = {a: re.search(rf"^{word}=(\d+)", said, re.MULTILINE) for a, word in words.items()}
        planes_first = True
    else:
        return 1, frames, True
    channels, times, planes = (int(found[1]) if found else 1 for found in sizes.values())
    if not any(sizes.values()):
        planes = frames
    if channels > 1 or times * planes != frames:
        raise FieldError(
            f"holds {frames} pages: {channels} channels, {times} time points, {planes} planes",
            remedy="say which page each channel is in a column Frame_<channel>",
        )
    return times, planes, planes_first


def _decode(
    file: str, content: bytes | None, frames: Sequence[int], image: Image
) -> list[NDArray[Any]]:
    """Decode some pages of one file; `content` is what a network sent of it."""
    from PIL import Image as Pillow

    def source() -> Any:
        return file if content is None else io.BytesIO(content)

    planes = []
    with Pillow.open(source(), formats=("TIFF", "PNG")) as held:
        if held.format == "PNG":
            with Pillow.open(source(), formats=("PNG",)) as unread:
                unread.verify()  # decoding does not look at the pixels' checksums
        for frame in frames:
            held.seek(frame)
            found = (held.height, held.width), _dtype(held)
            if found != (image.shape, image.dtype):
                raise FieldError(
                    f"page {frame} of {file} has {Header(found[1], found[0])}, "
                    f"the field {Header(image.dtype, image.shape)}"
                )
            planes.append(np.asarray(held))
    return planes
