"""Small pictures of wells, from the run's own tiles, so that the page needs no pixels of the plate.

Every picture of a page has one colour a channel and one scale for all wells, so that what looks
brighter is brighter. The page carries them all, so that how large they are is a matter of how
many there are: `Album.fit` finds the size.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..shards import TILE_ROW, read_frame
from ..vocabulary import PLATE, WELL

if TYPE_CHECKING:
    from ..tiles import TileStore
    from .record import Record

__all__ = ["Album", "Key", "Painter", "album", "channel_colours", "data_url"]

T = TypeVar("T")
Key = tuple[str, str]
"""A well: the plate's name and the well's."""

_NUCLEI: Final = re.compile("dna|dapi|hoechst|draq|nuc", re.IGNORECASE)
_RGB: Final = ("red", "green", "blue")
_SIDES: Final = (128, 96, 72, 56, 40)
_SAMPLE: Final = 48
"""Tiles by which the scale of grey levels and the size of pictures are chosen."""
_BATCH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """How tiles become pictures: a colour and a scale for each channel."""

    colours: tuple[str, ...]
    """Of the first channels; one alone is grey, and further channels are not shown."""
    low: NDArray[np.float32]
    """Grey level of each channel that is black: the 1st percentile. Shape (channels, 1, 1)."""
    high: NDArray[np.float32]
    """Grey level of each channel that is brightest: percentile 99.7. Shape (channels, 1, 1)."""

    @classmethod
    def of(cls, tiles: NDArray[np.float32], colours: Sequence[str]) -> Painter:
        """Set the scale by some tiles, shape (tiles, channels, y, x), at least one."""
        shown = tiles[:, : len(colours)]
        low, high = (np.percentile(shown, share, axis=(0, 2, 3)) for share in (1, 99.7))
        return cls(
            colours=tuple(colours),
            low=low.astype(np.float32)[:, None, None],
            high=high.astype(np.float32)[:, None, None],
        )

    def url(self, tile: NDArray[np.float32], side: int) -> str:
        """Return a tile, shape (channels, y, x), as a data URL, its longer side `side` pixels."""
        return data_url(self.rgb(tile), side)

    def rgb(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a tile, shape (channels, y, x), in colours from 0 to 1: shape (y, x, 3)."""
        shown = tile[: len(self.colours)]
        scaled = np.clip((shown - self.low) / np.maximum(self.high - self.low, 1e-6), 0, 1)
        rgb = np.zeros((*tile.shape[1:], 3), np.float32)
        if len(scaled) == 1:
            rgb[:] = scaled[0][..., None]
        else:
            for channel, colour in zip(scaled, self.colours, strict=True):
                rgb[..., _RGB.index(colour)] = channel
        return rgb


def data_url(picture: NDArray[Any], side: int = 0) -> str:
    """Return a picture as a data URL: a JPEG of colours, a PNG of grey.

    Parameters
    ----------
    picture : ndarray, shape (y, x, 3) or (y, x)
        From 0 to 1. Colours are kept at full resolution: in fluorescence they are the picture.
    side : int, optional
        Pixels of the longer side; by default those that it has.
    """
    from PIL import Image

    image = Image.fromarray((255 * picture).astype(np.uint8))
    if side:
        scale = side / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    if picture.ndim == 3:
        image.save(buffer, "JPEG", quality=80, subsampling=0, optimize=True)
    else:
        image.save(buffer, "PNG", optimize=True)
    kind = "jpeg" if picture.ndim == 3 else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """The first field of every well of a run, to be painted on one scale."""

    store: TileStore
    rows: Mapping[Key, int]
    """Of the store, by plate and well."""
    brush: Painter

    def paint(self, keys: Sequence[Key], side: int) -> dict[Key, str]:
        """Return data URLs of these wells, read a few at a time; a well without a tile has none."""
        held = [key for key in keys if key in self.rows]
        found: dict[Key, str] = {}
        for start in range(0, len(held), _BATCH):
            part = held[start : start + _BATCH]
            tiles = self.store.read(np.array([self.rows[key] for key in part], np.intp))
            found |= {
                key: self.brush.url(tile, side) for key, tile in zip(part, tiles, strict=True)
            }
        return found

    def fit(self, keys: Sequence[Key], budget: int) -> tuple[int, dict[Key, str]]:
        """Paint wells as large as a number of bytes allows.

        Parameters
        ----------
        keys : sequence of (plate, well)
            The wells.
        budget : int
            Bytes that all pictures together may have, as data URLs.

        Returns
        -------
        int
            The longest side in pixels, 128 at most; 0 where not even 40 fit.
        dict
            A data URL a well; empty where they do not fit.
        """
        some = _some(keys)
        for side in _SIDES:
            sample = self.paint(some, side).values()
            if sum(map(len, sample)) / max(1, len(sample)) * len(keys) > budget:
                continue
            found = self.paint(keys, side)
            if sum(map(len, found.values())) <= budget:
                return side, found
        return 0, {}


def album(record: Record) -> Album:
    """Open a run's tiles, and set the scale by some of them.

    Raises
    ------
    DataError
        When the folder has no tiles, or one of those to be shown is damaged; it names the file.
    """
    file = record.folder / "features.parquet"
    if not file.exists():
        raise DataError(
            "is absent: it says which tile shows which well",
            where=str(file),
            remedy="copy it there too, or run again",
        )
    table = read_frame(file, columns=[PLATE, WELL, TILE_ROW])
    first = table.drop_duplicates([PLATE, WELL])[[PLATE, WELL, TILE_ROW]]
    rows = {(plate, well): int(row) for plate, well, row in first.itertuples(index=False)}
    store, colours = record.tiles, channel_colours(record.run["channels"]).values()
    sample = store.read(np.array(_some([*rows.values()]), np.intp))
    return Album(store=store, rows=rows, brush=Painter.of(sample, [*colours]))


def channel_colours(channels: Sequence[str]) -> dict[str, str]:
    """Give up to three channels a colour: nuclei blue, the others green and red.

    Examples
    --------
    >>> channel_colours(["DNA", "GFP", "ER", "RNA"])
    {'DNA': 'blue', 'GFP': 'green', 'ER': 'red'}
    """
    shown = list(channels[:3])
    nuclei = next((name for name in shown if _NUCLEI.search(name)), None)
    order = ["green", "red"] if nuclei else ["green", "blue", "red"]
    free = iter(order)
    return {name: "blue" if name == nuclei else next(free) for name in shown}


def _some(every: Sequence[T]) -> list[T]:
    """Return up to 48, evenly over them and without chance."""
    at = np.linspace(0, len(every) - 1, min(len(every), _SAMPLE)).astype(int)
    return [every[k] for k in at]
