"""The command: parses, calls, prints. A file a subcommand, each with `prepare_parser` and `run`.

Exit codes: 0 done; 1 the data cannot be used; 2 the call is wrong; 3 done, but some fields were
left out (see `failures.csv`); 130 interrupted (the same command goes on where it stopped).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import HTSError, PlateError
from . import convert, demo, extract, info, predict, run, synthetic

__all__ = ["console", "main"]

_COMMANDS: Final = {
    "run": run,
    "extract": extract,
    "predict": predict,
    "info": info,
    "convert": convert,
    "synthetic": synthetic,
    "demo": demo,
}

_EPILOG = """\
hts-classify PLATE ... is short for hts-classify run PLATE ...
hts-classify COMMAND --help says what a command takes."""


def _parser() -> argparse.ArgumentParser:
    from .. import __version__

    parser = argparse.ArgumentParser(
        prog="hts-classify",
        description="What every well of a screen shows: TAS features into an SVM, and a CNN,"
        " from one read of the plate, on the same honest folds.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hts-classify {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        summary = (module.__doc__ or "").strip().partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.prepare_parser(command)
        command.set_defaults(call=module.run)
    return parser


def _may_be_plates(text: str) -> bool:
    return "://" in text or any(mark in text for mark in "*?[#") or Path(text).exists()


def main(argv: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str
        Arguments without the program's name. Where the first is no command, they are those of
        `run`.

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(argv)
    if arguments and arguments[0] not in {*_COMMANDS, "-h", "--help", "--version"}:
        if not arguments[0].startswith("-") and not _may_be_plates(arguments[0]):
            commands = ", ".join(_COMMANDS)
            print(
                f"hts-classify: {arguments[0]}: is neither a plate nor a command;"
                f" check the path, or use one of {commands}",
                file=sys.stderr,
            )
            return PlateError.exit_code
        arguments.insert(0, "run")
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # argparse has printed what it had to say
        return int(stop.code or 0)
    try:
        return int(options.call(options))
    except HTSError as error:
        print(f"hts-classify: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # a full disk, a folder that may not be written to
        place = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or error
        print(
            f"hts-classify: {place}{reason}; check the path, its permissions and the space left",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(
            "hts-classify: interrupted; the same command goes on where it stopped",
            file=sys.stderr,
        )
        return 130


def console() -> None:
    """Run the command that the shell asked for."""
    # Read when PyTorch starts: how long a thread spins while it waits for work. At length it gains
    # a little on an idle machine, and on one with other such programs all but stops them all.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    # A scheduler's end of time is an interrupt: what is done is kept, and the exit code says so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
