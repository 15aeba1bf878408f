"""Read plates once: features, tiles and quality of every field."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .batch_flags import add_batch_flags, image_sets_of, settle, supervised
from .plates import add_plate_options, add_view_options, open_plates
from .terminal import TerminalProgress, left_out, plain_warnings

if TYPE_CHECKING:
    from ..extract import PassSettings
    from ..plate import Plate

__all__ = [
    "add_crop_options",
    "add_engine_options",
    "add_pass_options",
    "add_reading_options",
    "asked",
    "prepare_parser",
    "ratio",
    "run",
    "sizes",
]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_plate_options(parser, nargs="*")
    parser.add_argument(
        "-o",
        "--output",
        help="folder or URL for the results (default: <plate>-hts beside the plate)",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="read only the fields that could not be read, as the pass in -o was asked to",
    )
    add_batch_flags(parser)
    add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add how plates are read, by whatever command that is: `asked` makes something of it."""
    add_pass_options(parser)
    tiles = parser.add_mutually_exclusive_group()
    tiles.add_argument(
        "--tile-size",
        type=sizes,
        default=(128,),
        metavar="N,…",
        help="longest side of a tile in pixels; one or more (default 128; a run takes 256 unless it"
        " is told otherwise)",
    )
    tiles.add_argument(
        "--tile-scale",
        type=ratio,
        metavar="N/M",
        help="instead, a tile's pixels over a field's; 1/8 is what a run with --cnn jackal takes",
    )
    tiles.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="read as these models were given their plates, for predict to go on from",
    )
    add_crop_options(parser, "full-resolution crops")
    parser.add_argument(
        "--objects", default="Cells", help="what its objects are called (default Cells)"
    )
    add_engine_options(parser)
    add_view_options(parser)


def add_pass_options(parser: argparse.ArgumentParser) -> None:
    """Add what is asked of the pass by every command that does one."""
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
        help="brightest value that the camera writes: 4095 for 12 bits in 16 (default: the pixel"
        " type's largest); scales the threshold of tas, and tells which pixels are saturated",
    )
    parser.add_argument(
        "--exclude-flagged",
        action="store_true",
        help="leave out fields that are out of focus, saturated or without foreground",
    )


def add_crop_options(parser: argparse._ActionsContainer, what: str) -> None:
    """Add which crops are cut; `what` says what they are for."""
    parser.add_argument(
        "--labels", default="", metavar="NAME", help="label image whose objects are measured"
    )
    parser.add_argument(
        "--crops",
        choices=("none", "grid", "objects"),
        default="none",
        help=f"{what}: on a grid, or one an object of --labels (default none)",
    )
    parser.add_argument(
        "--crop-size", type=int, default=64, help="side of a crop in pixels (default 64)"
    )
    parser.add_argument(
        "--crops-per-field",
        type=int,
        default=16,
        help="crops of a field: exactly (grid; 4, 9, 16 …) or at the most (objects); default 16",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add where the pass runs."""
    parser.add_argument(
        "--scheduler",
        default="threads",
        metavar="WHERE",
        help="threads (default), processes, synchronous, or a Dask scheduler's address,"
        " tcp://host:8786",
    )
    parser.add_argument("--workers", type=int, help="threads or processes (default: one a core)")


def sizes(text: str) -> tuple[int, ...]:
    """Take `128,224` apart.

    Examples
    --------
    >>> sizes("128,224")
    (128, 224)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write whole numbers, as 128,224") from None


def ratio(text: str) -> tuple[int, int]:
    """Take `1/8` apart.

    Examples
    --------
    >>> ratio("1/8")
    (1, 8)
    """
    over, mark, under = text.partition("/")
    if not (mark and over.isdecimal() and under.isdecimal() and 0 < int(over) <= int(under)):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 1/8")
    return int(over), int(under)


def asked(
    options: argparse.Namespace, plates: tuple[Plate, ...]
) -> tuple[tuple[Plate, ...], PassSettings]:
    """Return what `add_reading_options` was given: the plates as they are read, and how."""
    from ..extract import PassSettings

    if options.models:
        from ..saved import as_learned

        return as_learned(options.models, plates, exclude_flagged=options.exclude_flagged)
    settings = PassSettings(
        features=options.features,
        full_scale=options.full_scale,
        tile_sizes=options.tile_size,
        scale=options.tile_scale,
        labels=options.labels,
        objects=options.objects,
        crops=options.crops,
        crop_size=options.crop_size,
        crops_per_field=options.crops_per_field,
        exclude_flagged=options.exclude_flagged,
    )
    return plates, settings


def run(options: argparse.Namespace) -> int:
    """Do the pass and say where its results are."""
    return supervised(options, _run)


def _run(options: argparse.Namespace) -> int:
    from ..extract import extract, held_pass
    from ..extract.parts import default_part
    from ..files import place
    from ..plate import choose_image_sets
    from ..run import default_out

    progress = TerminalProgress(options.log_level)
    wanted = image_sets_of(options)
    if options.retry_failed:
        if options.output is None:
            raise UsageError("--retry-failed without -o", remedy="name the folder of the pass")
        if wanted:
            raise UsageError(
                f"--retry-failed with {wanted}", remedy="the folder knows which are its own"
            )
        plates, settings = held_pass(options.output)
    else:
        options.plates = settle(options)
        plates = open_plates(options)
        if not plates:
            raise UsageError("no plates", remedy="name one or more")
        plates, settings = asked(options, plates)
    fields = sum(len(plate.fields) for plate in plates)
    out = place(options.output) if options.output else default_out(plates[0].path)
    if wanted:
        chosen = choose_image_sets(plates, wanted)
        fields = len(chosen)
        out = out if options.output else default_part(out, chosen.values())
    for note in dict.fromkeys(note for plate in plates for note in plate.notes):
        progress.note(note)
    with (
        plain_warnings(options.log_level),
        progress.stage("reading", fields, "fields") as advance,
    ):
        result = extract(
            plates,
            out,
            settings,
            scheduler=options.scheduler,
            workers=options.workers,
            retry_failed=options.retry_failed,
            image_sets=wanted,
            on_well=lambda _plate, _well, cost: advance(int(cost["fields"]), int(cost["bytes"])),
            say=progress.note,
        )
    flagged = int((result.quality["Metadata_Flags"] != "").sum())
    print(
        f"{len(result.features)} fields of {len(plates)} plate{'s' * (len(plates) > 1)}"
        f" in {out}" + (f"; {flagged} flagged, see quality.parquet" if flagged else "")
    )
    return left_out(result.failures, out, options.log_level)
