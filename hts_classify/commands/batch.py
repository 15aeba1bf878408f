"""Print the commands that read plates in parts, for a cluster or GNU parallel, and what merges."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from . import extract
from .batch_flags import add_input_flags, settle
from .batch_formats import FORMATS, script
from .plates import add_plate_options, open_plates
from .terminal import TerminalProgress

if TYPE_CHECKING:
    from ..extract.batches import Batch
    from ..plate import Plate

__all__ = ["prepare_parser", "run"]

_SIZE: Final = 64


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: those of `extract`, and how they are cut."""
    add_plate_options(parser, nargs="*")
    _add_own(parser)
    add_input_flags(parser)
    extract.add_reading_options(parser)


def _add_own(parser: argparse.ArgumentParser) -> None:
    """Add what is not for the commands that are printed."""
    parser.add_argument(
        "-o",
        "--output",
        help="folder for the whole; parts go to its folder parts (default: <plate>-hts beside the"
        " plate)",
    )
    parser.add_argument(
        "--images-per-batch",
        type=int,
        metavar="N",
        help=f"image sets of a command (default {_SIZE})",
    )
    parser.add_argument(
        "--group-by",
        metavar="KEY,…",
        help="instead, a command for each group of image sets: Metadata_Plate,Metadata_Well",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="lines",
        help="a command a line, then the one that merges (lines, the default); an array job for"
        " Slurm (slurm) or Grid Engine (sge); a script around GNU parallel (parallel)",
    )
    parser.add_argument(
        "-d",
        "--done-file",
        metavar="FOLDER",
        help="folder where each command leaves its done file, by its part's name",
    )


def run(options: argparse.Namespace) -> int:
    """Print the commands, and write down which image sets each is for."""
    from ..extract import check_folder, plan
    from ..extract.batches import by_groups, by_number
    from ..files import place
    from ..run import default_out
    from ..seen import check_crops

    progress = TerminalProgress()
    if options.group_by and options.images_per_batch is not None:
        raise UsageError("--group-by with --images-per-batch", remedy="cut one way or the other")
    options.plates = settle(options)
    plates = open_plates(options)
    if not plates:
        raise UsageError("no plates", remedy="name one or more")
    plates, settings = extract.asked(options, plates)
    description = plan(plates, settings)[2]
    check_crops(plates, settings, remedy="ask for others: --crop-size, --crops-per-field, --labels")
    out = str(options.output or default_out(plates[0].path))
    check_folder(place(out), description)
    if options.group_by:
        keys = [key.strip() for key in options.group_by.split(",")]
        batches = by_groups(plates, keys, together=settings.is_together)
    else:
        size = _SIZE if options.images_per_batch is None else options.images_per_batch
        batches = by_number(plates, size, together=settings.is_together)
        if settings.is_together:
            progress.note("parts end between wells: objects or crops of a well stand in one file")
    commands = [_command(options, batch, out) for batch in batches]
    _write_plan(out, batches, commands)
    merge = shlex.join(["hts-classify", "merge", out])
    sys.stdout.write(script(options.format, commands, merge, out=out))
    progress.note(_summary(plates, batches, merge))
    return 0


def _command(options: argparse.Namespace, batch: Batch, out: str) -> str:
    """Spell the command of one part: the words that `batch` was given, but for its own."""
    own = argparse.ArgumentParser(add_help=False)
    _add_own(own)
    words = own.parse_known_args(options.words)[1]
    flags = [*batch.flags, "-o", f"{out}/parts/{batch.name}"]
    if options.done_file:
        flags = ["-d", f"{options.done_file}/{batch.name}", *flags]
    if options.format == "parallel" and options.workers is None:
        flags = ["--workers", "1", *flags]  # GNU parallel runs a command a core
    end = words.index("--") if "--" in words else len(words)  # behind it are plates alone
    return shlex.join(["hts-classify", "extract", *words[:end], *flags, *words[end:]])


def _write_plan(out: str, batches: list[Batch], commands: list[str]) -> None:
    """Write down what merging asks for; `UsageError` where parts of other commands are."""
    from ..extract.parts import PART, PLAN, read_plan
    from ..files import PARTS, place, write_json
    from ..plate.image_sets import ranges

    folder = place(out) / PARTS
    planned = [
        {"part": b.name, "image_sets": list(map(list, ranges(b.image_sets))), "command": c}
        for b, c in zip(batches, commands, strict=True)
    ]
    file = folder / PLAN
    if read_plan(file) == planned:
        return
    names = {batch.name for batch in batches}
    begun = sorted(path.parent.name for path in folder.glob(f"*/{PART}"))
    others = [name for name in begun if name not in names]
    if others:
        raise UsageError(
            f"holds parts of other commands: {', '.join(others[:8])}",
            where=str(folder),
            remedy="delete it, or name another folder with -o",
        )
    write_json(file, {"commands": planned})


def _summary(plates: tuple[Plate, ...], batches: list[Batch], merge: str) -> str:
    count = len({number for batch in batches for number in batch.image_sets})
    several = f"{len(plates)} plates" if len(plates) > 1 else Path(plates[0].path).name
    commands = f"{len(batches)} command{'s' * (len(batches) > 1)}"
    return f"{commands} for {count} image set{'s' * (count > 1)} of {several}; then: {merge}"
