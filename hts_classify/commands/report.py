"""Draw a finished run's report.html and figures/ again, without computing."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", type=Path, help="run directory")


def run(options: argparse.Namespace) -> int:
    """Write the page and the figures, and say where they are."""
    from ..report import report
    from ..report.drawings import figures_line

    print(f"report: {report(options.run)}")
    print(figures_line(options.run))
    return 0
