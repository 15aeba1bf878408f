"""What the terminal shows: bars while work goes on, lines when it is done.

Where standard error is no terminal, as in a batch job's log, a line a finished stage stands for
its bar.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final, TextIO

from ..errors import HTSWarning
from ..progress import Advance, Progress
from ..report import count_failures

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEFT_OUT", "TerminalProgress", "left_out", "plain", "plain_warnings"]

LEFT_OUT: Final = 3
"""Exit code of a command that has finished, but for some fields."""


class TerminalProgress(Progress):
    """Bars and notes on standard error; where that is no terminal, lines instead of bars.

    Parameters
    ----------
    level : int
        What is shown, by Python's levels: above `INFO` none of it.
    """

    def __init__(self, level: int = logging.INFO) -> None:
        self._silent = level > logging.INFO

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Draw a bar for `total` steps, with speeds where the steps have a unit."""
        if self._silent:
            yield lambda steps, size=0: None
            return
        if not sys.stderr.isatty():
            with _line(name, unit) as advance:
                yield advance
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            *([TextColumn("{task.fields[speed]}")] if unit else []),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total, speed="")
            done = moved = 0
            since = perf_counter()

            def advance(steps: int, size: int = 0) -> None:
                nonlocal done, moved
                done, moved = done + steps, moved + size
                passed = perf_counter() - since
                speed = f"{done / passed:.0f} {unit}/s  {moved / passed / 1e6:.0f} MB/s"
                bars.update(task, advance=steps, speed=speed)

            yield advance
            bars.update(task, completed=total)

    def note(self, text: str) -> None:
        """Print a line."""
        if not self._silent:
            print(plain(text), file=sys.stderr)


@contextmanager
def _line(name: str, unit: str) -> Iterator[Advance]:
    """Say in a line what was done and how long it took, once it is."""
    done, since = 0, perf_counter()

    def advance(steps: int, size: int = 0) -> None:
        nonlocal done
        done += steps

    yield advance
    what = f"{done} {unit} in " if unit else ""
    print(f"{name}: {what}{_spelt(perf_counter() - since)}", file=sys.stderr, flush=True)


def _spelt(seconds: float) -> str:
    """Say how long something took.

    Examples
    --------
    >>> _spelt(0.234), _spelt(12.3), _spelt(3725.0)
    ('0.2 s', '12 s', '1 h 2 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@contextmanager
def plain_warnings(level: int = logging.INFO) -> Iterator[None]:
    """Print our own warnings as one line each, without the place in the code; by `level`."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, HTSWarning):
            print(f"hts-classify: warning: {message}", file=sys.stderr)
        else:
            default(message, category, filename, lineno, file, line)

    default = warnings.showwarning
    with warnings.catch_warnings():
        warnings.showwarning = show
        if level > logging.WARNING:
            warnings.simplefilter("ignore", HTSWarning)
        yield


def plain(name: str) -> str:
    r"""Show what a terminal would act on: names may hold any character.

    Examples
    --------
    >>> plain("run 1"), plain("\x1b[2J")
    ('run 1', '\\x1b[2J')
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def left_out(failures: pd.DataFrame, folder: object, level: int = logging.INFO) -> int:
    """Say what was left out, and return the exit code that says so."""
    if failures.empty:
        return 0
    if level <= logging.WARNING:
        print(
            f"hts-classify: {count_failures(failures)} left out; {folder}/failures.csv says why",
            file=sys.stderr,
        )
    return LEFT_OUT
