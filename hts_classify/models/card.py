"""A model's card: the JSON beside its weights that says what the model is."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import DataError, ModelError
from ..files import read_json, whole

__all__ = ["damaged", "read_card", "read_content", "versions", "write_content"]


def read_card(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read a card; `ModelError` when it is missing, damaged or lacks one of the keys."""
    try:
        card = read_json(path)
    except DataError as error:
        raise damaged(path, error.what) from error
    if not isinstance(card, dict):
        raise damaged(path, "holds no JSON object")
    if absent := sorted(set(keys) - set(card)):
        raise damaged(path, f"lacks {', '.join(absent)}")
    return card


def read_content(path: Path) -> bytes:
    """Read a model's binary file; `ModelError` when it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise damaged(path, "no such file") from None
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error


def write_content(path: Path, content: bytes) -> None:
    """Write a model's binary file, whole or not at all."""
    with whole(path) as part:
        part.write_bytes(content)


def damaged(path: Path, what: str) -> ModelError:
    """Return the error for a model's file that cannot be used."""
    return ModelError(
        what,
        where=str(path),
        remedy="delete models/ and run hts-classify on its plate again: it rebuilds them",
    )


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of these distributions."""
    return {package: version(package) for package in packages}
