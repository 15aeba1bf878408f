"""Call the wells of another plate with the models of an earlier run."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UsageError
from .batch_flags import add_batch_flags, image_sets_of, settle, supervised
from .cnn import add_call_options, add_device_option
from .plates import add_plate_options, add_view_options, view_of
from .terminal import TerminalProgress, left_out, plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("models", type=Path, help="models/ folder of a run directory")
    add_plate_options(parser, nargs="?")
    add_batch_flags(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the calls")
    add_call_options(parser, "as in the models' own run")
    add_device_option(parser)
    parser.add_argument(
        "--cascade",
        action="store_true",
        help="have the CNN look only at wells of which TAS + SVM is unsure, by the threshold that"
        " the models' run chose",
    )
    parser.add_argument(
        "--platemap",
        type=Path,
        help="where negative controls are, for models that scale plates by them; default: the map"
        " beside or inside the plate",
    )
    parser.add_argument(
        "--control-column",
        metavar="NAME",
        help="its column of control types (default: usual names)",
    )
    add_view_options(parser)


def run(options: argparse.Namespace) -> int:
    """Call the plate and say where the calls are."""
    return supervised(options, _run)


def _run(options: argparse.Namespace) -> int:
    from ..predict import PredictSettings, predict

    plates = settle(options)
    if len(plates) != 1:
        raise UsageError(
            f"{len(plates) or 'no'} plates", remedy="name one, as PLATE, -i or --data-file"
        )
    settings = PredictSettings(
        view=view_of(options),
        device=options.device,
        aggregate=options.aggregate,
        proba=options.proba,
        platemap=options.platemap,
        control_column=options.control_column,
        cascade=options.cascade,
        image_sets=image_sets_of(options),
    )
    with plain_warnings(options.log_level):
        extraction = predict(
            options.models,
            plates[0],
            settings,
            out=options.output,
            progress=TerminalProgress(options.log_level),
        )
    wells = extraction.features["Metadata_Well"].nunique()
    print(f"{wells} wells called two ways: {options.output / 'predictions.csv'}")
    return left_out(extraction.failures, options.output, options.log_level)
