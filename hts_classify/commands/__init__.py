"""The command: parses, calls, prints. A file a subcommand, each with `prepare_parser` and `run`.

Exit codes: 0 done; 1 the data cannot be used; 2 the call is wrong; 3 done, but some fields were
left out (see `failures.csv`); 130 interrupted (the same command goes on where it stopped).
"""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final, NoReturn

from ..errors import HTSError, PlateError, UsageError
from . import (
    batch,
    cellprofiler_plugin,
    compare,
    convert,
    demo,
    export,
    extract,
    info,
    merge,
    predict,
    report,
    run,
    synthetic,
)

__all__ = ["console", "main"]

_COMMANDS: Final = {
    "run": run,
    "extract": extract,
    "batch": batch,
    "merge": merge,
    "predict": predict,
    "compare": compare,
    "report": report,
    "info": info,
    "convert": convert,
    "export": export,
    "synthetic": synthetic,
    "demo": demo,
    "cellprofiler-plugin": cellprofiler_plugin,
}

_EPILOG = """\
hts-classify PLATE ... is short for hts-classify run PLATE ...
hts-classify COMMAND --help says what a command takes."""


class _Parser(argparse.ArgumentParser):
    """A parser that refuses as everything here does: one line with the value and the remedy."""

    def error(self, message: str) -> NoReturn:
        self.refuse(message.removeprefix("argument "))

    def refuse(self, what: str, instead: str = "") -> NoReturn:
        """Refuse a call; what says its remedy itself gets no other."""
        remedy = "" if "; " in what else f"{instead}see {self.prog} --help"
        raise UsageError(what, where=self.prog.partition(" ")[2], remedy=remedy)

    def check_flags(self, words: Sequence[str]) -> None:
        """Refuse a flag that there is not; `parse_args` would first ask for what is missing."""
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for word in takewhile(lambda word: word != "--", words):
            flag = word.partition("=")[0]
            if not flag.startswith("--") or " " in flag:
                continue
            if not any(name.startswith(flag) for name in known):
                near = difflib.get_close_matches(flag[2:], [name[2:] for name in known], 1, 0.7)
                self.refuse(f"no flag is called {flag}", f"try --{near[0]}, or " if near else "")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser, commands = _parsers()
    if not arguments or arguments[0] not in commands:
        return parser.parse_args(arguments)
    command = commands[arguments[0]]
    command.check_flags(arguments[1:])
    if "" in arguments:
        command.refuse("an empty word; a variable of the shell may not be set")
    options, rest = parser.parse_known_args(arguments)
    if rest:
        command.refuse(f"unknown argument {rest[0]!r}")
    options.words = list(arguments[1:])
    return options


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser of everything, and those of the commands by name."""
    from .. import __version__

    parser = _Parser(
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
    return parser, commands.choices


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
        try:
            options = _parse(arguments)
        except SystemExit as stop:  # argparse has printed the help or the version
            return int(stop.code or 0)
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
