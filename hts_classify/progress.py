"""How long work tells that it is alive; silent unless somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Advance", "Progress"]

Advance = Callable[[int], None]
"""Call it with the number of steps that have just been done."""


class Progress:
    """A listener that says nothing; the command line has one that draws bars."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Announce `total` steps of something, and give what to call as they are done."""
        yield lambda _steps: None

    def note(self, text: str) -> None:
        """Tell what was chosen, or what should be known."""
