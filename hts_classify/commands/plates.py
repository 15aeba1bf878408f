"""What every command that reads plates takes: which ones, and which part of each is looked at."""

from __future__ import annotations

import argparse
from typing import Literal

from ..plate import Plate, View, find_plates, open_plate
from ..plate import open_plates as open_all

__all__ = [
    "add_plate_options",
    "add_view_options",
    "channel_names",
    "illumination_files",
    "open_plates",
    "open_shown",
    "view_of",
]

_PLATE = (
    "OME-Zarr plate, HDF5 file or image list (CSV in CellProfiler's LoadData columns);"
    " OME-Zarr also by URL"
)


def add_plate_options(
    parser: argparse._ActionsContainer, *, nargs: Literal["?", "*", "+"] | None = None
) -> None:
    """Add the plate that a command reads, or with `*` and `+` the plates."""
    many = nargs in ("*", "+")
    several = "; several, a folder of them, a pattern, or a .txt list" if many else ""
    parser.add_argument(
        "plates" if many else "plate", metavar="PLATE", nargs=nargs, help=_PLATE + several
    )


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add which part of a plate is looked at, and how."""
    parser.set_defaults(folder="")  # `-i` beside `--data-file` gives one
    view = parser.add_argument_group("what is looked at")
    view.add_argument(
        "--channels",
        type=channel_names,
        default=(),
        metavar="A,B,…",
        help="names for the plate's channels, in order",
    )
    view.add_argument(
        "--use-channels",
        type=channel_names,
        default=(),
        metavar="A,B,…",
        help="channels to use, by name (default: all)",
    )
    view.add_argument(
        "--acquisition",
        default="",
        metavar="ID",
        help="acquisition, by id or name (default: the first)",
    )
    view.add_argument(
        "--level",
        type=int,
        default=0,
        metavar="N",
        help="level of the image pyramid (default 0: full resolution)",
    )
    view.add_argument(
        "--z",
        type=_plane,
        default="max",
        metavar="max|all|N",
        help="planes: maximum projection (default), all as a volume, or one, counted from 0",
    )
    view.add_argument(
        "--time",
        type=_time,
        default=0,
        metavar="all|N",
        help="time points: all, each a field of its own, or one, counted from 0 (default 0)",
    )
    view.add_argument(
        "--hdf5-path",
        default="",
        metavar="PATTERN",
        help="where another program's HDF5 keeps a field, as '/{well}/{field}'",
    )
    view.add_argument(
        "--illumination",
        type=illumination_files,
        default=(),
        metavar="A=FILE,…|none",
        help="divide channels by illumination functions, as 'DNA=dna.npy,GFP=gfp.npy'; 'none': not"
        " even by those that an image list names (default: by those)",
    )


def view_of(options: argparse.Namespace) -> View:
    """Return what `add_view_options` was given."""
    return View(
        channels=options.channels,
        use=options.use_channels,
        illumination=options.illumination,
        acquisition=options.acquisition,
        level=options.level,
        z=options.z,
        time=options.time,
        hdf5_path=options.hdf5_path,
        folder=options.folder,
    )


def open_shown(options: argparse.Namespace, path: str) -> Plate:
    """Open one plate as the options show it."""
    return open_plate(path, view=view_of(options))


def open_plates(options: argparse.Namespace) -> tuple[Plate, ...]:
    """Open every plate that is meant, as the options show them."""
    return open_all(find_plates(options.plates), view=view_of(options))


def channel_names(text: str) -> tuple[str, ...]:
    """Take `DNA,GFP` apart.

    Examples
    --------
    >>> channel_names("DNA, GFP")
    ('DNA', 'GFP')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def illumination_files(text: str) -> tuple[tuple[str, str], ...] | None:
    """Take `DNA=dna.npy,GFP=gfp.npy` apart; None for `none`.

    Examples
    --------
    >>> illumination_files("DNA=dna.npy, GFP=gfp.npy")
    (('DNA', 'dna.npy'), ('GFP', 'gfp.npy'))
    >>> illumination_files("none") is None
    True
    """
    if text.strip() == "none":
        return None
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and file.strip() for name, _, file in pairs):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write CHANNEL=FILE, with commas between, or none"
        )
    return tuple((name.strip(), file.strip()) for name, _, file in pairs)


def _plane(text: str) -> Literal["max", "all"] | int:
    if text == "max":
        return "max"
    if text == "all":
        return "all"
    return _index(text, "max, all")


def _time(text: str) -> Literal["all"] | int:
    return "all" if text == "all" else _index(text, "all")


def _index(text: str, words: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: use {words} or a number from 0") from None
