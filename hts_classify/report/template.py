"""Templates into pages that open offline: one file, everything that is put in shows as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import whole

__all__ = ["write_page"]


def write_page(template: str, target: Path, content: Mapping[str, Any]) -> Path:
    """Fill a template of this package, with its style sheet as `style`, and write the page.

    Parameters
    ----------
    template : str
        `report.html.j2`, say.
    target : Path
        The file to write.
    content : mapping
        Every other name that the template uses.

    Returns
    -------
    Path
        The target.
    """
    from importlib import resources

    import jinja2

    package = resources.files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (package / name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (package / "style.css").read_text("utf-8")
    html = environment.get_template(template).render(content, style=style)
    with whole(target) as part:
        part.write_text(html, encoding="utf-8")
    return target
