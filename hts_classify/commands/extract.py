"""Read plates once: features, tiles and quality of every field."""

from __future__ import annotations

import argparse

from ..errors import UsageError
from .plates import add_plate_options, add_view_options, open_plates
from .terminal import TerminalProgress, left_out, plain_warnings

__all__ = [
    "add_crop_options",
    "add_engine_options",
    "add_pass_options",
    "prepare_parser",
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
    add_pass_options(parser)
    parser.add_argument(
        "--tile-size",
        type=sizes,
        default=(128,),
        metavar="N,…",
        help="longest side of a tile in pixels; one or more (default 128)",
    )
    add_crop_options(parser, "full-resolution crops")
    parser.add_argument(
        "--objects", default="Cells", help="what its objects are called (default Cells)"
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="read only the fields that could not be read, as the pass in -o was asked to",
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
    return tuple(int(part) for part in text.split(","))


def run(options: argparse.Namespace) -> int:
    """Do the pass and say where its results are."""
    from ..extract import PassSettings, extract, held_pass
    from ..files import place
    from ..run import default_out

    progress = TerminalProgress()
    if options.retry_failed:
        if options.output is None:
            raise UsageError("--retry-failed without -o", remedy="name the folder of the pass")
        plates, settings = held_pass(options.output)
    else:
        plates = open_plates(options)
        if not plates:
            raise UsageError("no plates", remedy="name one or more")
        settings = PassSettings(
            features=options.features,
            full_scale=options.full_scale,
            tile_sizes=options.tile_size,
            labels=options.labels,
            objects=options.objects,
            crops=options.crops,
            crop_size=options.crop_size,
            crops_per_field=options.crops_per_field,
            exclude_flagged=options.exclude_flagged,
        )
    out = place(options.output) if options.output else default_out(plates[0].path)
    for note in dict.fromkeys(note for plate in plates for note in plate.notes):
        progress.note(note)
    fields = sum(len(plate.fields) for plate in plates)
    with plain_warnings(), progress.stage("reading", fields, "fields") as advance:
        result = extract(
            plates,
            out,
            settings,
            scheduler=options.scheduler,
            workers=options.workers,
            retry_failed=options.retry_failed,
            on_well=lambda _plate, _well, cost: advance(int(cost["fields"]), int(cost["bytes"])),
            say=progress.note,
        )
    flagged = int((result.quality["Metadata_Flags"] != "").sum())
    print(
        f"{len(result.features)} fields of {len(plates)} plate{'s' * (len(plates) > 1)}"
        f" in {out}" + (f"; {flagged} flagged, see quality.parquet" if flagged else "")
    )
    return left_out(result.failures, out)
