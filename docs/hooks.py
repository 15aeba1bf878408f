"""Beside its pages, the site has the reference of the commands, written from their parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from hts_classify.commands import _parsers

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference where a page asks for it."""
    return markdown.replace(MARK, "\n".join(reference())) if MARK in markdown else markdown


def reference() -> Iterator[str]:
    """Write a section for each command: what it does, how it is called, and every argument."""
    for name, parser in _parsers()[1].items():
        yield f"## {name}\n\n{parser.description}\n"
        yield f"```text\n{_usage(parser)}\n```\n"
        for group in parser._action_groups:
            rows = [_row(action) for action in group._group_actions if _is_told(action)]
            said = group.description or ""
            if rows or said:
                yield f"**{(group.title or '')[:1].upper()}{(group.title or '')[1:]}**\n"
                yield from [f"{_cell(said)}\n"] * bool(said)
                yield from ["| argument | what |", "|---|---|", *rows, ""] if rows else []


def _is_told(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)


def _usage(parser: argparse.ArgumentParser) -> str:
    """Say what has to be given; the tables say what may be."""
    shape = parser.formatter_class(prog="")
    places = [shape._format_args(a, _value(a)) for a in parser._actions if not a.option_strings]
    asked = [a for a in parser._actions if a.required and a.option_strings]
    return " ".join([parser.prog, *places, *(f"{a.option_strings[0]} {_value(a)}" for a in asked)])


def _value(action: argparse.Action) -> str:
    name = action.dest.upper() if action.option_strings else action.dest
    return str(action.metavar or name)


def _row(action: argparse.Action) -> str:
    said = argparse.HelpFormatter("")._expand_help(action) if action.help else ""
    value = "" if action.nargs == 0 or not action.option_strings else f" {_value(action)}"
    if action.choices and not action.metavar:
        said += f"{'; ' if said else ''}one of {', '.join(map(str, action.choices))}"
    names = ", ".join(action.option_strings) or _value(action)
    return f"| `{names}{value}` | {_cell(said)} |"


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("*", "&#42;").replace("<", "&lt;")
