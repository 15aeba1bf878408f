"""Write a run or a pass as CellProfiler, Analyst, pycytominer and scanpy read it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .terminal import plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", metavar="RUN", help="run directory, or folder of extract or predict")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="folder for the files (default: RUN/export)"
    )
    parser.add_argument(
        "--as",
        dest="kinds",
        type=_kinds,
        metavar="A,B,…",
        help="csv (CellProfiler's Image.csv), sqlite (with properties for CellProfiler Analyst),"
        " profiles (Parquet for pycytominer and copairs), anndata; default csv,sqlite,profiles",
    )
    parser.add_argument(
        "--platemap",
        type=Path,
        metavar="FILE",
        help="what is in the wells (default: what the run was told; of a mere pass, nothing)",
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def run(options: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    from ..exports import USUAL, export

    kinds = USUAL if options.kinds is None else options.kinds
    with plain_warnings():
        files = export(options.run, options.output, kinds=kinds, platemap=options.platemap)
    print("\n".join(map(str, files)))
    return 0
