"""Classify every well of a plate two ways, and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path

from .cnn import add_call_options, add_cnn_options, cnn_settings
from .extract import add_crop_options, add_engine_options, add_pass_options
from .plates import add_plate_options, add_view_options, view_of
from .terminal import TerminalProgress, left_out, plain, plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_plate_options(parser, nargs="+")
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
        "-o", "--output", help="run directory (default: <plate>-hts beside the plate)"
    )
    parser.add_argument(
        "--split",
        metavar="PROTOCOL",
        help="what is left out together. In --folds parts: compound, batch, plate or well (default:"
        " compound where the plate map has one, else well). One by one: nsc (each compound), nscb"
        " (each compound in each batch, trained on wells that share neither), nscb-joined (that"
        " share not both), leave-one-plate-out, leave-one-batch-out. Or by plates:"
        " 'train=P1,P2;test=P3'",
    )
    parser.add_argument(
        "--unscored-class",
        action="append",
        default=[],
        metavar="CLASS",
        help="class to train on without scoring it; may be repeated",
    )
    parser.add_argument(
        "--rater",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column of the plate map with what a person called the wells; may be repeated",
    )
    parser.add_argument("--folds", type=int, default=5, help="folds at the most (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of folds and training")
    parser.add_argument(
        "--repeats",
        type=int,
        default=1,
        metavar="N",
        help="deal the folds and train N times, by this seed and the next ones, to see how far the"
        " seed alone moves the result (default 1; a finished run can be given more)",
    )
    add_pass_options(parser)
    parser.add_argument(
        "--normalise",
        choices=("none", "standard", "robust", "tvn", "auto"),
        default="none",
        help="bring TAS features of each plate to the scale of its negative controls (negcon): by"
        " mean and deviation, median and MAD, or typical variation; auto: what each fold's inner"
        " splits choose (default none)",
    )
    parser.add_argument(
        "--tile-size",
        type=int,
        metavar="N",
        help="longest side of a CNN tile (default: what the network usually takes; compact 256)",
    )
    add_crop_options(parser, "full-resolution crops that the CNN sees instead of a tile a field")
    add_call_options(parser, "mean")
    add_engine_options(parser)
    parser.add_argument(
        "--screen-plates",
        type=int,
        default=2000,
        metavar="N",
        help="say what a screen of so many plates would cost (default 2000)",
    )
    add_cnn_options(parser)
    add_view_options(parser)
    columns = parser.add_argument_group("plate map columns with unusual names")
    for name in ("well", "compound", "concentration", "batch", "control"):
        columns.add_argument(f"--{name}-column", metavar="NAME", help=argparse.SUPPRESS)
    columns.description = (
        "--well-column, --compound-column, --concentration-column, --batch-column,"
        " --control-column: each takes the column's NAME"
    )


def run(options: argparse.Namespace) -> int:
    """Run the main job and print what it found."""
    from ..plate import Columns, find_plates
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
        view=view_of(options),
        split=options.split,
        raters=tuple(options.rater),
        unscored=tuple(options.unscored_class),
        folds=options.folds,
        seed=options.seed,
        repeats=options.repeats,
        features=options.features,
        full_scale=options.full_scale,
        normalise=options.normalise,
        tile_size=options.tile_size,
        crops=options.crops,
        crop_size=options.crop_size,
        crops_per_field=options.crops_per_field,
        labels=options.labels,
        exclude_flagged=options.exclude_flagged,
        cnn=cnn_settings(options),
        device=options.device,
        aggregate=options.aggregate or "mean",
        proba=options.proba,
        scheduler=options.scheduler,
        workers=options.workers,
        screen_plates=options.screen_plates,
    )
    with plain_warnings():
        plates = find_plates(options.plates)
        folder = classify(plates, settings, out=options.output, progress=TerminalProgress())
    record = load_record(folder)
    print("\n".join(map(plain, summary(record))))
    return left_out(record.failures, folder)
