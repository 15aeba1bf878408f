"""Install the modules for CellProfiler: MeasureThresholdAdjacency and ClassifyImagesHTS."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["prepare_parser", "run"]

_HINT = """\
CellProfiler finds them where its preferences name {folder} as the plugins directory,
or on a command line with --plugins-directory {folder}
Its own Python needs hts_classify: python -m pip install --no-deps hts_classify
(and scikit-learn and skops for ClassifyImagesHTS)"""


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--install",
        type=Path,
        metavar="DIR",
        required=True,
        help="CellProfiler's plugins directory; earlier copies there are replaced",
    )


def run(options: argparse.Namespace) -> int:
    """Copy the plug-ins and say what is left to do."""
    from ..cellprofiler import install

    for path in install(options.install):
        print(path)
    print(_HINT.format(folder=options.install.resolve()))
    return 0
