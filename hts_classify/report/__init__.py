"""What a run found, for people: a page that opens offline, and a few lines for the terminal.

::

    record      a run directory, read back
    figures     what the page draws: plates, matrices, disagreements, bars (data only)
    learning    the same of the CNN's fits: curves, a table, what is amiss
    overview    several plates, a row each
    wells       what the page's script knows of each well, as JSON
    pictures    thumbnails, from the run's own tiles
    trust       figures by level and class, calibration, the cascade, controls
    matching    nearest neighbours and replicates, as the profiling literature reports them
    repeats     the same with other seeds
    explained   of the disagreements what each path saw, and what it likened the well to
    overlays    tiles made small, thresholded, or lit by a map
    method      how the run was done, in words
    template    fills the templates; the macros of figures.svg.j2 turn figures into SVG
    drawings    the same figures as files, SVG and PNG
    text        the terminal's lines
    runs        the page that puts several runs side by side
    cards       what each saved model is, learned from and was judged by, in Markdown
"""

from __future__ import annotations

from pathlib import Path

from .cards import write_cards
from .record import Record, count_failures, load_record
from .template import write_page
from .text import summary

__all__ = ["Record", "count_failures", "draw", "load_record", "report", "summary", "write_cards"]


def report(run: str | Path) -> Path:
    """Write a run's `report.html`, one file that needs no network, and its `figures/`.

    Parameters
    ----------
    run : path
        A run directory with `comparison.json`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataError
        When the folder holds no finished run; it names the file that is missing.
    """
    return draw(load_record(Path(run)))


def draw(record: Record) -> Path:
    """Write the page and the figures of a run that was read back; return where the page is."""
    from .drawings import write_drawings
    from .figures import page

    content = page(record)
    write_drawings(record.folder, content)
    return write_page("report.html.j2", record.folder / "report.html", content)
