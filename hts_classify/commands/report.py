"""Draw a finished run's report.html again, without computing."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["prepare_parser", "run"]


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", type=Path, help="run directory")


def run(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from ..report import report

    print(f"report: {report(options.run)}")
    return 0
