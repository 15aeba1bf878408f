"""What a run found, for people: a page that opens offline, and a few lines for the terminal.

::

    record      a run directory, read back
    figures     what the page draws: plates, matrices, thumbnails, bars (data only)
    learning    the same of the CNN's fits: curves, a table, what is amiss
    trust       figures by level and class, calibration, the cascade, controls
    method      how the run was done, in words
    *.html.j2   the page; macros turn the figures into SVG
    text        the terminal's lines
    cards       what each saved model is, learned from and was judged by, in Markdown
"""

from __future__ import annotations

from pathlib import Path

from ..files import whole
from .cards import write_cards
from .record import Record, count_failures, load_record
from .text import summary

__all__ = ["Record", "count_failures", "load_record", "report", "summary", "write_cards"]


def report(run: str | Path) -> Path:
    """Write a run's `report.html`: one file that needs no network.

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
    from importlib import resources

    import jinja2

    from .figures import page

    record = load_record(Path(run))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(
            lambda name: (resources.files(__package__) / name).read_text("utf-8")
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("report.html.j2").render(page(record))
    target = record.folder / "report.html"
    with whole(target) as part:
        part.write_text(html, encoding="utf-8")
    return target
