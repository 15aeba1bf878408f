"""Every way that input can be wrong: one base class, one line that says what to do.

The message carries the value, the place (plate, well, field, channel, path) and the
remedy. The command prints it without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "DataError",
    "DesignError",
    "FieldError",
    "HTSError",
    "HTSWarning",
    "ImageError",
    "KernelError",
    "ModelError",
    "PlateError",
    "PlatemapError",
    "UsageError",
]


class HTSError(Exception):
    """Anything that hts_classify refuses.

    Parameters
    ----------
    what : str
        What is wrong, with the value in it.
    where : str, optional
        The place: a path, a well, a field, a channel.
    remedy : str, optional
        What to do about it, as a sentence without its full stop.

    Examples
    --------
    >>> print(HTSError("dtype int32", where="B03 field 1", remedy="convert to uint16"))
    B03 field 1: dtype int32; convert to uint16
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        line = f"{where}: {what}" if where else what
        super().__init__(" ".join((f"{line}; {remedy}" if remedy else line).split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process."""
        return _rebuild, (type(self), self.what, {"where": self.where, "remedy": self.remedy})


def _rebuild(kind: type[HTSError], what: str, places: dict[str, Any]) -> HTSError:
    return kind(what, **places)


class UsageError(HTSError, ValueError):
    """The call itself is wrong: a flag, a name, a combination (exit 2)."""

    exit_code = 2


class DataError(HTSError, ValueError):
    """The data cannot be used as they are (exit 1)."""


class PlateError(DataError):
    """A path holds no plate, or one that cannot be read as a whole."""


class FieldError(DataError):
    """One field of view cannot be read; the run goes on without it.

    Parameters
    ----------
    what, where, remedy : str
        As for `HTSError`.
    channel : str, optional
        The channel that is to blame, where it is one.
    transient : bool, optional
        Reading again may help: the storage did not answer.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        channel: str = "",
        transient: bool = False,
    ) -> None:
        place = f"{where} channel {channel}" if channel else where
        super().__init__(what, where=place, remedy=remedy)
        self.where, self.channel, self.transient = where, channel, transient

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process."""
        kwargs = {"where": self.where, "remedy": self.remedy, "channel": self.channel}
        return _rebuild, (type(self), self.what, kwargs | {"transient": self.transient})


class PlatemapError(DataError):
    """The plate map does not fit the plate, or contradicts itself."""


class DesignError(DataError):
    """The plate's design does not allow the folds or the test that were asked for."""


class ImageError(DataError):
    """An array that threshold adjacency statistics are not defined for."""


class ModelError(DataError):
    """A saved model that is damaged, or that does not fit the data."""


class KernelError(HTSError, RuntimeError):
    """A TAS kernel that this build or this CPU does not have (exit 2)."""

    exit_code = 2


class HTSWarning(UserWarning):
    """Something that a screener should know and that does not stop the run."""
