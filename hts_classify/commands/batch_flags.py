"""Flags of CellProfiler's batch scripts, with its meaning (4.2.8), for what reads plates.

`-f`, `-l` and `-g` choose image sets (`plate.image_sets`); `-i` and `--data-file` name what is
read; `-d` and `--always-continue` are for the scheduler, and `-L` for the log. As CellProfiler
does, the done file says `Complete` where the exit code is 0 and `Failure` otherwise; unlike it,
also after an error or an interruption, and an old one is gone before work begins.
"""

from __future__ import annotations

import argparse
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..errors import HTSError, UsageError
from ..files import absolute, place, whole
from ..plate import ImageSets
from ..plate.list_table import is_image_list
from .terminal import LEFT_OUT

__all__ = ["add_batch_flags", "add_input_flags", "image_sets_of", "settle", "supervised"]

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")


def add_input_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what names the plates, and what is the same for each part of a batch."""
    flags = parser.add_argument_group("as in CellProfiler's batch scripts")
    flags.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="PLATE",
        help="the same as PLATE; with --data-file the folder where its relative paths begin",
    )
    flags.add_argument(
        "--data-file",
        metavar="CSV",
        help="image list in the columns of LoadData; its relative paths begin at -i, without it"
        " at its own folder",
    )
    flags.add_argument(
        "--always-continue",
        action="store_true",
        help="exit with 0, not 3, when fields were left out; failures.csv lists them all the same",
    )
    flags.add_argument(
        "-L",
        "--log-level",
        type=_level,
        metavar="LEVEL",
        help="what standard error is told: INFO or 20 (default) bars, notes and warnings; WARNING"
        " or 30 warnings; ERROR or 40 errors alone; DEBUG or 10 also where an error came from and"
        " what libraries log",
    )
    return flags


def add_batch_flags(parser: argparse.ArgumentParser) -> None:
    """Add all of them."""
    flags = add_input_flags(parser)
    flags.add_argument(
        "-f",
        "--first-image-set",
        type=int,
        metavar="N",
        help="first image set to read, counted from 1: row of the table, or field of the plate",
    )
    flags.add_argument(
        "-l",
        "--last-image-set",
        type=int,
        metavar="M",
        help="last image set to read, which is among them",
    )
    flags.add_argument(
        "-g",
        "--groups",
        type=_pairs,
        default=(),
        metavar="KEY=VALUE,…",
        help="read image sets of one group: Metadata_Plate=P1,Metadata_Well=A01; any Metadata_"
        " column of an image list, plate, well and site of every plate",
    )
    flags.add_argument(
        "-d",
        "--done-file",
        metavar="FILE",
        help="file that says Complete or Failure when the command has ended",
    )


def settle(options: argparse.Namespace) -> list[str]:
    """Return the plates that positions, `-i` and `--data-file` name, and note where paths begin.

    Raises
    ------
    UsageError
        When they contradict each other.
    """
    named = options.plates if "plates" in options else [options.plate]
    named = [path for path in named if path is not None]
    if options.data_file:
        if named or len(options.input) > 1:
            raise UsageError(
                f"--data-file {options.data_file} beside {' '.join([*named, *options.input])}",
                remedy="name the folder of its images alone, with -i",
            )
        for folder in options.input:
            if "://" not in folder and not Path(folder).is_dir():
                raise UsageError(
                    f"-i {folder} is no folder",
                    remedy="with --data-file it is where relative paths begin",
                )
            options.folder = absolute(folder)
        if (file := Path(options.data_file)).exists() and not is_image_list(file):
            raise UsageError(
                f"--data-file {file} is no table that names images",
                remedy="give a CSV in LoadData's columns; any other plate by its path alone",
            )
        return [options.data_file]
    if named and options.input:
        raise UsageError(
            f"-i {options.input[0]} beside {named[0]}", remedy="name plates one way or the other"
        )
    return [*named, *options.input]


def image_sets_of(options: argparse.Namespace) -> ImageSets | None:
    """Return which image sets are meant; None for all."""
    wanted = ImageSets(
        first=options.first_image_set, last=options.last_image_set, groups=options.groups
    )
    return wanted or None


def supervised(options: argparse.Namespace, call: Callable[[argparse.Namespace], int]) -> int:
    """Run a command as a scheduler wants it: its exit code, its done file, its log.

    Parameters
    ----------
    options : Namespace
        As parsed.
    call : callable
        Does the work and returns the exit code.

    Returns
    -------
    int
    """
    done = place(options.done_file) if options.done_file else None
    if done is not None:
        if done.is_dir():
            raise UsageError(f"-d {options.done_file} is a folder", remedy="name a file")
        done.unlink(missing_ok=True)
    asked, root = options.log_level, logging.getLogger()
    before, handler = root.level, logging.StreamHandler()
    options.log_level = logging.INFO if asked is None else asked
    if asked is not None:
        root.setLevel(asked)
        root.addHandler(handler)
    code = 1
    try:
        code = call(options)
        if code == LEFT_OUT and options.always_continue:
            code = 0
    except HTSError:
        if options.log_level <= logging.DEBUG:
            traceback.print_exc()
        raise
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        if done is not None:
            with whole(done) as part:
                part.write_text("Failure\n" if code else "Complete\n", encoding="utf-8")
    return code


def _level(text: str) -> int:
    """Take a level by its name or number.

    Examples
    --------
    >>> _level("WARNING"), _level("30")
    (30, 30)
    """
    if text.isdecimal():
        return int(text)
    if text.upper() not in _LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r}: use {', '.join(_LEVELS)} or a number")
    return int(getattr(logging, text.upper()))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Take `Metadata_Plate=P1,Metadata_Well=A01` apart.

    Examples
    --------
    >>> _pairs("Metadata_Plate=P1,Metadata_Well=A01")
    (('Metadata_Plate', 'P1'), ('Metadata_Well', 'A01'))
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(key.strip() and mark for key, mark, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE, with commas between")
    keys = [key.strip() for key, _, _ in pairs]
    if len(set(keys)) < len(keys):
        raise argparse.ArgumentTypeError(f"{text!r}: name each key once")
    return tuple((key.strip(), value.strip()) for key, _, value in pairs)
