"""Write a plate anew as OME-Zarr that is read fast and carries checksums."""

from __future__ import annotations

import argparse
import sys
from typing import Literal

from .plates import add_plate_options, add_view_options, open_shown
from .terminal import LEFT_OUT, TerminalProgress, plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_plate_options(parser)
    parser.add_argument("target", metavar="NEW", help="the store to make; a local path")
    parser.add_argument(
        "--format",
        choices=("ome-zarr-0.5", "ome-zarr-0.4", "hdf5"),
        help="store format (default: hdf5 for a name in .h5 or .hdf5, else ome-zarr-0.5)",
    )
    parser.add_argument(
        "--levels",
        type=int,
        metavar="N",
        help="levels of the image pyramids (default: until 256 pixels hold the smallest)",
    )
    parser.add_argument(
        "--shards",
        action="store_true",
        help="one file a field and level instead of one a channel: as fast to read as a whole,"
        " fewer files; ome-zarr-0.5 only",
    )
    add_view_options(parser)


def _format_of(target: str) -> Literal["hdf5", "ome-zarr-0.5"]:
    return "hdf5" if target.lower().endswith((".h5", ".hdf5")) else "ome-zarr-0.5"


def run(options: argparse.Namespace) -> int:
    """Convert a plate and say what was left out."""
    from ..convert import convert

    progress = TerminalProgress()
    with plain_warnings():
        source = open_shown(options, options.plate)
        for note in source.notes:
            progress.note(note)
        made = convert(
            source,
            options.target,
            format=options.format or _format_of(options.target),
            levels=options.levels,
            shards=options.shards,
            progress=progress,
        )
    print(f"{made.images} fields in {made.path}")
    if not made.failures:
        return 0
    print(
        f"hts-classify: {len(made.failures)} left out; {made.table} says what and why",
        file=sys.stderr,
    )
    return LEFT_OUT
