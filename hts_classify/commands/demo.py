"""Simulate a plate and classify it: what hts-classify does, with nothing at hand."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Final

from ..models.settings import Learning
from . import run as run_command

__all__ = ["prepare_parser", "run"]

_STEPS: Final = 120
_FOLDS: Final = 3
"""Enough to call most of its wells right, in a third of the time that a run takes."""


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("hts-classify-demo"),
        help="folder for the plate and the run (default: ./hts-classify-demo)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the plate and of training")


def run(options: argparse.Namespace) -> int:
    """Write the plate where it is not there yet, then do what `hts-classify run` does."""
    from ..files import claim
    from ..synthetic import demo_recipe, write_plate

    folder: Path = options.output
    recipe = demo_recipe(options.seed)
    claim(folder / "demo.json", {"seed": options.seed})
    plate, platemap = folder / "plate.zarr", folder / "plate.platemap.csv"
    if not platemap.exists():  # it is written last: a plate without it was interrupted
        print(f"simulating {plate}", file=sys.stderr)
        shutil.rmtree(plate, ignore_errors=True)
        write_plate(plate, recipe)
    arguments = [str(plate), "--target", "phenotype", "--seed", str(options.seed)]
    arguments += ["--folds", str(_FOLDS), "--steps", str(_STEPS)]
    parser = argparse.ArgumentParser()
    run_command.prepare_parser(parser)
    settings = parser.parse_args(arguments)
    print(f"hts-classify {' '.join(arguments)}", file=sys.stderr)
    print(
        f"to be quick, the demo trains the CNN for {_STEPS} steps a fit, in {_FOLDS} folds;"
        f" a run plans at least {Learning().steps} steps, in {parser.get_default('folds')} folds",
        file=sys.stderr,
    )
    return run_command.run(settings)
