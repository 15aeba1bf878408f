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
    _, commands = _parsers()
    for name, parser in commands.items():
        yield f"## {name}\n"
        yield f"{parser.description}\n"
        yield f"```text\n{_usage(parser)}\n```\n"
        for group in parser._action_groups:
            rows = [_row(action) for action in group._group_actions if _is_told(action)]
            said = group.description or ""
            if rows or said:
                yield f"**{(group.title or '').capitalize()}**\n"
                yield from [f"{_cell(said)}\n"] * bool(said)
                yield from ["| argument | what |", "|---|---|", *rows, ""] if rows else []


def _is_told(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)


def _usage(parser: argparse.ArgumentParser) -> str:
    """Say what has to be given; the tables say what may be."""
    asked = [action for action in parser._actions if action.required and action.option_strings]
    places = [action for action in parser._actions if not action.option_strings]
    shape = parser.formatter_class(prog="")
    named = [f"{action.option_strings[0]} {_value(action)}" for action in asked]
    return " ".join([parser.prog, *(shape._format_args(a, _value(a)) for a in places), *named])


def _value(action: argparse.Action) -> str:
    return str(
        action.metavar or (action.dest if not action.option_strings else action.dest.upper())
    )


def _row(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 or not action.option_strings else f" {_value(action)}"
    if action.choices and not action.metavar:
        value = " " + "|".join(map(str, action.choices))
    said = argparse.HelpFormatter("")._expand_help(action) if action.help else ""
    names = ", ".join(action.option_strings) or _value(action)
    return f"| `{names}{value}` | {_cell(said)} |"


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("*", "&#42;").replace("<", "&lt;")
