"""Reading again a little later, where that helps: a storage that stalls, memory that is short."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Final, TypeVar

from ..errors import FieldError

__all__ = ["WAITS", "patiently"]

WAITS: Final = [0.2, 1.0, 4.0]
"""Seconds before each further attempt."""

Value = TypeVar("Value")


def patiently(do: Callable[[], Value], *, storage: bool = True) -> Value:
    """Do something with a plate's pixels, again where the reason for failing may pass.

    Parameters
    ----------
    do : callable
        What is to be done; all of it is done again.
    storage : bool, optional
        It touches nothing but the plate's storage, so that an `OSError` is the storage's.

    Raises
    ------
    FieldError
        When the last attempt failed, or the first for a reason that stays.

    Examples
    --------
    >>> patiently(lambda: 7)
    7
    """
    for wait in (*WAITS, None):
        try:
            return do()
        except FieldError as error:
            if not error.transient:
                raise
            failure = FieldError(error.what, where=error.where, channel=error.channel)
        except MemoryError:
            failure = FieldError("not enough memory to read and measure it")
        except OSError as error:
            if not storage:
                raise
            failure = FieldError(f"the storage does not answer ({error})")
        if wait is not None:
            sleep(wait)
    raise failure
