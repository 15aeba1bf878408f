"""The same work on several devices: Dask, one process a device.

Each process has one task in hand and takes the next when it is done. Which process does what
depends on their speed; what a task returns must not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ..errors import HTSError
from .engines import processes

__all__ = ["spread"]

_SHARED: Final[dict[Any, Any]] = {}
"""What the tasks of one process share; a process lives for one `spread`."""


def spread(
    function: Callable[[Any, str, dict[Any, Any]], Any],
    tasks: Sequence[Any],
    devices: Sequence[str],
    *,
    say: Callable[[str], None],
) -> Iterator[Any]:
    """Call a function for each task, on each device one at a time.

    A process has this one's environment as it is, not the one thread that Dask would give it.
    Ctrl-C ends all of them at once, whatever they are at.

    Parameters
    ----------
    function : callable
        Takes a task, a device and a dict that the calls in one process share. It can be pickled.
    tasks : sequence
        What can be pickled.
    devices : sequence of str
        A process for each.
    say : callable
        Told where the work can be watched.

    Yields
    ------
    object
        What a call returned, as they come.

    Raises
    ------
    HTSError
        When a process was lost; and whatever a call raised.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    with processes(min(len(devices), len(tasks)), say, for_models=True) as client:
        futures = [
            client.submit(_there, function, task, tuple(devices), pure=False) for task in tasks
        ]
        for future in as_completed(futures, loop=client.loop):
            try:
                yield future.result()
            except KilledWorker:
                raise HTSError(
                    "a process was lost: out of memory, or killed",
                    where=", ".join(devices),
                    remedy="run again, it goes on from there; fewer devices leave more memory each",
                ) from None


def _there(
    function: Callable[[Any, str, dict[Any, Any]], Any], task: Any, devices: tuple[str, ...]
) -> Any:
    """Call the function on the device that is this worker's own."""
    from distributed import get_worker

    return function(task, devices[int(str(get_worker().name))], _SHARED)
