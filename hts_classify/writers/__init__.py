"""Plates as files, written one way for what is simulated and what is converted.

    Outline ─► open_writer ─► Writer ─► write(field, frames) … ─► finish(fields) ─► a store
    (outline)                 (ome_zarr, hdf5)

An image is whole or absent: its own metadata come last, after its pixels, and the plate's after
all images. `pyramid` makes the smaller levels, `ngff` the metadata of OME-Zarr. The same pixels
give the same bytes, in whatever order and by however many threads OME-Zarr is written.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from .hdf5 import HDF5Writer
from .ome_zarr import OmeZarrWriter
from .outline import FORMATS, Format, Frames, Outline, Writer

__all__ = ["FORMATS", "Format", "Frames", "Outline", "Writer", "open_writer"]


def open_writer(
    path: Path,
    outline: Outline,
    *,
    format: Format = "ome-zarr-0.5",
    levels: int | None = None,
    shards: bool = False,
) -> Writer:
    """Begin to write a plate, or go on with one.

    Parameters
    ----------
    path : Path
        The folder, or for HDF5 the file.
    outline : Outline
        What the plate is called and what all of its fields have in common.
    format : {"ome-zarr-0.5", "ome-zarr-0.4", "hdf5"}, optional
        OME-Zarr 0.5 is written in chunks of one plane of one channel, shuffled and compressed
        by LZ4 (`benchmarks/codecs.py` says why), each with a crc32c; 0.4 in Zstandard frames
        with their own checksum, as zarr v2 has no other that all of its readers know; HDF5
        in the layout of `hts_classify.plate.hdf5`, in gzip with Fletcher-32.
    levels : int, optional
        Levels of each image's pyramid; by default as many as it takes for the longer side of
        the smallest to have at most 256 pixels. HDF5 has one.
    shards : bool, optional
        Keep each field's chunks in one file, where the format can (0.5).

    Raises
    ------
    UsageError
        When the format is unknown, or cannot do what is asked.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r}", remedy=f"use one of {', '.join(FORMATS)}")
    if levels is not None and levels < 1:
        raise UsageError(f"{levels} levels", remedy="use 1 or more")
    if shards and format != "ome-zarr-0.5":
        raise UsageError(f"shards in {format}", remedy="only ome-zarr-0.5 has shards")
    if format == "hdf5":
        if levels not in (None, 1):
            raise UsageError(f"{levels} levels in hdf5", remedy="the layout has a single one")
        return HDF5Writer(path, outline)
    return OmeZarrWriter(path, outline, version=format[-3:], levels=levels, shards=shards)
