"""Each main figure of a run as a file of its own: `figures/*.svg`, and a PNG beside each.

A file has what the page has, drawn by the same macros, with its title, its key and its letters'
style inside and white behind, so that it opens as it is in Inkscape, Illustrator or a browser.
PNGs are rendered by resvg, with the fonts of this machine; where it has none a PNG would be without
letters, and there are SVGs alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from ..files import whole
from .template import macros

__all__ = ["Drawing", "drawings", "figures_line", "has_fonts", "write_drawings"]

FOLDER: Final = "figures"
_OURS: Final = re.compile(
    r"(accuracy-against-throughput|cascade|confusion-\w+|cost|dose\d+|learning\d+"
    r"|plate\d+-(calls|sureness)-\w+|reliability-\w+)\.(svg|png)"
)
"""Names that this module gives: others in the folder are somebody's, and stay."""
_ROOT: Final = re.compile(r'\s*<svg viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
_FONTS: Final = "'DejaVu Sans', 'Liberation Sans', Arial, Helvetica, sans-serif"
_STYLE: Final = f"text {{ font-family: {_FONTS}; font-size: 11px; fill: #5b6675 }}"
_EDGE: Final = 16
_LINE: Final = 18
_ZOOM: Final = 2
_LEAST_WIDTH: Final = 420
_LETTER: Final = 6.6
"""Width of a letter of a key, at most, in pixels."""
# What XML 1.0 cannot say, not even by number; a plate map may hold it.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKED: Final = (
    "ringed: class known; crossed: called wrong",
    "pale: class unknown; dashed: unlike every class",
)
_DASHED: Final = "6 3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure as a file."""

    name: str
    """Of the file, without its ending."""
    title: str
    """Stands above it."""
    svg: str
    """What a macro drew."""
    key: tuple[tuple[str, str, str], ...] = ()
    """Colour, mark and words of each entry of its key."""

    def standalone(self) -> str:
        """Return the whole file: the drawing with its title, its key and its style."""
        root = _ROOT.match(self.svg)
        if root is None:
            raise AssertionError(f"{self.name}: a macro's drawing begins otherwise")
        width, height = max(float(root[1]), _LEAST_WIDTH), float(root[2])
        inner = self.svg[root.end() : self.svg.rindex("</svg>")]
        key, key_height = _key(self.key, width)
        whole_width, top = width + 2 * _EDGE, 2 * _EDGE + _LINE
        whole_height = top + height + key_height + _EDGE
        title = escape(_cut(self.title, int(width / 8)))
        return _UNWRITABLE.sub(
            "\N{REPLACEMENT CHARACTER}",
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole_width:g}"'
            f' height="{whole_height:g}" viewBox="0 0 {whole_width:g} {whole_height:g}">\n'
            f"<style>{_STYLE}</style>\n"
            f'<rect width="{whole_width:g}" height="{whole_height:g}" fill="#ffffff"/>\n'
            f'<text x="{_EDGE}" y="{_EDGE + 12}" style="font-size: 14px; font-weight: 700;'
            f' fill: #1c2430">{title}</text>\n'
            f'<g transform="translate({_EDGE} {top})">{inner}</g>\n'
            f'<g transform="translate({_EDGE} {top + height:g})">{key}</g>\n</svg>\n',
        )


def drawings(content: Mapping[str, Any]) -> Iterator[Drawing]:
    """Draw what `figures.page` returned, one figure after another."""
    draw, titles = macros("figures.svg.j2"), content["titles"]
    comparison, trust = content["record"].comparison, content["trust"]
    yield from _plates(draw, content)
    for path, title in titles.items():
        what = f"{title}: what wells are (rows) and were called"
        svg = draw.matrix(comparison["paths"][path], what)
        yield Drawing(name=f"confusion-{path}", title=what, svg=svg)
    for path, curve in trust["curves"].items():
        yield Drawing(
            name=f"reliability-{path}",
            title=f"{titles[path]}: share right by how probable",
            svg=draw.reliability(curve, _colour(path)),
        )
    if trust["cascade"]:
        title = "Wells right, by the number sent to the CNN"
        yield Drawing(name="cascade", title=title, svg=draw.sent(trust["cascade"]))
    yield Drawing(name="cost", title="Fields a second", svg=draw.cost_bars(content["bars"], titles))
    yield Drawing(
        name="accuracy-against-throughput",
        title="Accuracy against throughput",
        svg=draw.throughput(content["frontier"], titles),
    )
    both = tuple((_colour(path), "", title) for path, title in titles.items())
    for number, panel in enumerate(content["doses"], start=1):
        yield Drawing(
            name=f"dose{number:02d}",
            title=f"{panel['compound']}: called {panel['target']}",
            svg=draw.dose_plot(panel, titles),
            key=both,
        )
    learned = content["learned"]
    for number, panel in enumerate(learned["panels"] if learned else (), start=1):
        yield Drawing(
            name=f"learning{number:02d}",
            title=f"How the CNN learned: {panel['name']}",
            svg=draw.curves(panel, learned["axes"]),
            key=(
                ("#2f5d8a", _DASHED, "loss of the training tiles"),
                ("#c8553d", "", "loss of the judged tiles"),
            ),
        )


def write_drawings(folder: Path, content: Mapping[str, Any]) -> list[Path]:
    """Write a run's figures, and remove those of an earlier drawing that are no more.

    Parameters
    ----------
    folder : Path
        The run directory.
    content : mapping
        What `figures.page` returned.

    Returns
    -------
    list of Path
        The files: SVGs, and PNGs where this machine has fonts.
    """
    fonts, written = has_fonts(), []
    for drawing in drawings(content):
        svg = drawing.standalone()
        written.append(folder / FOLDER / f"{drawing.name}.svg")
        with whole(written[-1]) as part:
            part.write_text(svg, encoding="utf-8", newline="\n")
        if fonts:
            written.append(folder / FOLDER / f"{drawing.name}.png")
            with whole(written[-1]) as part:
                part.write_bytes(_png(svg))
    for path in (folder / FOLDER).iterdir():
        if _OURS.fullmatch(path.name) and path not in written:
            path.unlink()
    return written


def figures_line(folder: Path) -> str:
    """Say where a run's figures are, and why some are not."""
    where = folder / FOLDER
    if any(where.glob("*.png")):
        return f"figures: {where} (SVG and PNG)"
    return f"figures: {where} (SVG only: this machine has no font to letter PNGs with)"


def has_fonts() -> bool:
    """Tell whether text is drawn here: a letter leaves a mark."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><style>{_STYLE}</style>'
    return _png(f'{head}<text x="4" y="15">M</text></svg>') != _png(f"{head}</svg>")


def _png(svg: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_ZOOM, background="#ffffff"))


def _plates(draw: Any, content: Mapping[str, Any]) -> Iterator[Drawing]:
    """Draw the maps of each plate: the calls of each path, and how sure each was."""
    colours, marks = content["colours"], content["marks"]
    key = [(colour, marks[name], name) for name, colour in colours.items()]
    key += [("", "", text) for text in _MARKED]
    shades = [("#e8eef4", "", "least sure"), ("#16405f", "", "surest of its model's wells")]
    several = len(content["plates"]) > 1
    for number, (name, cells) in enumerate(content["plates"].items(), start=1):
        of = f", {name}" if several else ""
        for path, title in content["titles"].items():
            for kind, says, entries in (("call", "calls", key), ("sure", "sureness", shades)):
                svg = draw.plate_map(
                    cells[path], kind, content["grid"], content["empty"][name], colours, marks, says
                )
                yield Drawing(
                    name=f"plate{number:02d}-{says}-{path}",
                    title=f"{title}: {says} by well{of}",
                    svg=svg,
                    key=tuple(entries),
                )


def _key(entries: tuple[tuple[str, str, str], ...], width: float) -> tuple[str, float]:
    """Set a key in rows below a drawing; return it and its height."""
    x, y, parts = 0.0, 2.0 * _LINE, []
    for colour, mark, words in entries:
        said = _cut(words, int((width - 20) / _LETTER))
        wide = 20 + _LETTER * len(said) + 14
        if x and x + wide > width + 14:
            x, y = 0.0, y + _LINE
        left = x + 18 if colour else x
        if mark == _DASHED:
            parts.append(
                f'<path d="M{x:g} {y - 4:g}h14" stroke="{colour}" stroke-width="2"'
                f' stroke-dasharray="{mark}"/>'
            )
        elif colour:
            parts.append(f'<circle cx="{x + 6:g}" cy="{y - 4:g}" r="6" fill="{colour}"/>')
        if mark and mark != _DASHED:
            parts.append(
                f'<text x="{x + 6:g}" y="{y - 0.5:g}" text-anchor="middle" style="font-size: 9px;'
                " font-weight: 700; fill: #000; stroke: #fff; stroke-width: 2px;"
                f' paint-order: stroke">{mark}</text>'
            )
        parts.append(f'<text x="{left:g}" y="{y:g}">{escape(said)}</text>')
        x += wide
    return "\n".join(parts), (y + 6 if entries else 0.0)


def _colour(path: str) -> str:
    return "#2f5d8a" if path == "tas_svm" else "#c8553d"


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
