"""Join the parts of a pass that batch commands did into what one pass leaves."""

from __future__ import annotations

import argparse

from .terminal import TerminalProgress, left_out, plain_warnings

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("output", metavar="OUT", help="folder (or URL) that was batch's -o")
    parser.add_argument(
        "--remove-parts", action="store_true", help="delete the parts when all are joined"
    )


def run(options: argparse.Namespace) -> int:
    """Merge, or print the commands that are to be run again."""
    from ..extract.merge import IncompleteError, merge

    progress = TerminalProgress()
    try:
        with plain_warnings():
            result = merge(options.output, remove_parts=options.remove_parts, say=progress.note)
    except IncompleteError as error:
        if error.commands:
            print("\n".join(error.commands))
        raise
    print(f"{len(result.features)} fields in {options.output}")
    return left_out(result.failures, options.output)
