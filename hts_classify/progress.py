"""How long work tells that it is alive; silent unless somebody listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Advance", "Progress"]


class Advance(Protocol):
    """Call it with the number of steps that have just been done, and the bytes they took."""

    def __call__(self, steps: int, size: int = 0) -> None:
        """Take note."""
        ...


class Progress:
    """A listener that says nothing; the command line has one that draws bars."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Announce `total` steps of something, and give what to call as they are done.

        A `unit` (`fields`) asks for speeds: of these and of bytes.
        """
        yield lambda steps, size=0: None

    def note(self, text: str) -> None:
        """Tell what was chosen, or what should be known."""
