"""Call the wells of another plate with the models of an earlier run."""

from __future__ import annotations

import argparse
from pathlib import Path

from .plates import add_plate_options, add_view_options, view_of
from .run import add_device_option
from .terminal import TerminalProgress, left_out, plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("models", type=Path, help="models/ folder of a run directory")
    add_plate_options(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the calls")
    add_device_option(parser)
    add_view_options(parser)


def run(options: argparse.Namespace) -> int:
    """Call the plate and say where the calls are."""
    from ..predict import predict

    with plain_warnings():
        extraction = predict(
            options.models,
            options.plate,
            out=options.output,
            view=view_of(options),
            device=options.device,
            progress=TerminalProgress(),
        )
    wells = extraction.features["Metadata_Well"].nunique()
    print(f"{wells} wells called two ways: {options.output / 'predictions.csv'}")
    return left_out(extraction.failures, options.output)
