"""Templates into pages that open offline: one file, everything that is put in shows as text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import whole

if TYPE_CHECKING:
    import jinja2

__all__ = ["macros", "write_page"]


def write_page(template: str, target: Path, content: Mapping[str, Any]) -> Path:
    """Fill a template of this package and write the page.

    Parameters
    ----------
    template : str
        `report.html.j2`, say.
    target : Path
        The file to write.
    content : mapping
        Every name that the template uses, but `style` and `script`, which are this package's, and
        `policy`, which forbids the page to load anything and to run any other script.

    Returns
    -------
    Path
        The target.
    """
    style, script = _text("style.css"), _text("report.js")
    # What stands between <script> and </script>, to the byte: a browser hashes that.
    sha = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{sha}'; base-uri 'none'; form-action 'none'"
    )
    html = (
        _environment()
        .get_template(template)
        .render(content, style=style, script=script, policy=policy)
    )
    with whole(target) as part:
        part.write_text(html, encoding="utf-8", newline="\n")
    return target


def macros(template: str) -> Any:
    """Return a template's macros as functions."""
    return _environment().get_template(template).module


def _text(name: str) -> str:
    from importlib import resources

    return (resources.files(__package__) / name).read_text("utf-8")


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    from .wells import embedded

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["embedded"] = embedded
    return environment
