"""Write a simulated plate of known phenotypes, with its plate map."""

from __future__ import annotations

import argparse
from pathlib import Path

from .plates import channel_names

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("plate", type=Path, help="where to write it")
    parser.add_argument(
        "--setting",
        default="phenotypes",
        help="what tells the classes apart: phenotypes (default), texture, arrangement or mixed",
    )
    parser.add_argument(
        "--format",
        choices=("ome-zarr-0.5", "ome-zarr-0.4", "hdf5"),
        default="ome-zarr-0.5",
        help="store format (default ome-zarr-0.5)",
    )
    parser.add_argument("--seed", type=int, default=0, help="all that is random follows from it")
    parser.add_argument(
        "--difficulty", type=float, default=0.25, help="0 easy to 1 hard (default 0.25)"
    )
    parser.add_argument(
        "--channels", type=channel_names, default=("DNA", "GFP"), help="stains (default DNA,GFP)"
    )
    parser.add_argument("--dtype", choices=("uint8", "uint16"), default="uint16")
    parser.add_argument(
        "--size", type=int, default=256, help="pixels along a side of a field (default 256)"
    )
    parser.add_argument("--fields", type=int, default=2, help="fields in a well (default 2)")


def run(options: argparse.Namespace) -> int:
    """Write the plate and say how to classify it."""
    from ..synthetic import Recipe, write_plate

    recipe = Recipe(
        setting=options.setting,
        seed=options.seed,
        difficulty=options.difficulty,
        channels=options.channels,
        dtype=options.dtype,
        shape=(options.size, options.size),
        fields=options.fields,
    )
    plate = write_plate(options.plate, recipe, format=options.format)
    print(f"hts-classify {plate} --target phenotype")
    return 0
