"""Classify every well of a plate two ways, and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path

from .terminal import TerminalProgress, left_out, plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("plate", type=Path, help="OME-Zarr plate, or HDF5 file of our layout")
    parser.add_argument(
        "--target", required=True, help="column of the plate map that holds the classes"
    )
    parser.add_argument(
        "--platemap",
        type=Path,
        help="CSV: well, class, compound, …; default: <plate>.platemap.csv beside the plate,"
        " or platemap.csv inside it",
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="run directory (default: <plate>-hts beside the plate)"
    )
    parser.add_argument(
        "--split",
        help="unit that goes out together: compound, batch, plate or well"
        " (default: compound where the plate map has one, else well)",
    )
    parser.add_argument(
        "--unscored-class",
        action="append",
        default=[],
        metavar="CLASS",
        help="class to train on without scoring it; may be repeated",
    )
    parser.add_argument("--folds", type=int, default=5, help="folds at the most (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of folds and training")
    parser.add_argument(
        "--features",
        choices=("pftas", "tas"),
        default="pftas",
        help="how TAS thresholds are set: Otsu (pftas), or 30 of 255 grey levels (tas)",
    )
    parser.add_argument(
        "--full-scale",
        type=int,
        metavar="N",
        help="brightest value that the camera writes, with --features tas: 4095 for 12 bits in"
        " 16 (default: the pixel type's largest)",
    )
    parser.add_argument(
        "--tile-size", type=int, default=128, help="longest side of a CNN tile (default 128)"
    )
    add_plate_options(parser)
    parser.add_argument(
        "--use-channels",
        type=channel_names,
        default=(),
        metavar="A,B,…",
        help="channels to use, by name (default: all)",
    )
    columns = parser.add_argument_group("plate map columns with unusual names")
    for name in ("well", "compound", "concentration", "batch", "control"):
        columns.add_argument(f"--{name}-column", metavar="NAME", help=argparse.SUPPRESS)
    columns.description = (
        "--well-column, --compound-column, --concentration-column, --batch-column,"
        " --control-column: each takes the column's NAME"
    )


def add_plate_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command that runs models on a plate takes."""
    parser.add_argument(
        "--channels",
        type=channel_names,
        default=(),
        metavar="A,B,…",
        help="names for the plate's channels, in order",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where the CNN runs (default: auto, which says what it chose)",
    )


def channel_names(text: str) -> tuple[str, ...]:
    """Take `DNA,GFP` apart.

    Examples
    --------
    >>> channel_names("DNA, GFP")
    ('DNA', 'GFP')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run(options: argparse.Namespace) -> int:
    """Run the main job and print what it found."""
    from ..plate import Columns
    from ..report import load_record, summary
    from ..run import RunSettings
    from ..run import run as classify

    settings = RunSettings(
        target=options.target,
        platemap=options.platemap,
        columns=Columns(
            well=options.well_column,
            compound=options.compound_column,
            concentration=options.concentration_column,
            batch=options.batch_column,
            control=options.control_column,
        ),
        channels=options.channels,
        use=options.use_channels,
        split=options.split,
        unscored=tuple(options.unscored_class),
        folds=options.folds,
        seed=options.seed,
        features=options.features,
        full_scale=options.full_scale,
        tile_size=options.tile_size,
        device=options.device,
    )
    with plain_warnings():
        folder = classify(options.plate, settings, out=options.output, progress=TerminalProgress())
    record = load_record(folder)
    print("\n".join(summary(record)))
    return left_out(record.failures, folder)
