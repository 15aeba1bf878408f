"""Where wells are done: Dask on this machine's threads or processes, or on a cluster.

Every engine does the same tasks and hands back each well as it comes. Told to stop, workers
finish the field in hand and write what they have; what waits is not begun.

A worker that dies takes its wells with it. They are done again; a well whose workers keep dying
is done field by field, and the fields that do it are recorded.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, Literal
from uuid import uuid4

from ..errors import UsageError
from ..files import place
from .work import Job, Task, do_well, give_up

__all__ = ["Scheduler", "compute", "cores", "interruptible", "processes"]

Scheduler = Literal["threads", "processes", "synchronous"] | str
"""Where wells are done; a string with `://` is the address of a Dask scheduler."""

Done = tuple[str, str, dict[str, float]]

_LOCAL: Final = ("threads", "processes", "synchronous")
_AHEAD: Final = 3  # tasks a worker that a cluster holds; the rest wait here


def compute(
    job: Job,
    tasks: Sequence[Task],
    *,
    scheduler: Scheduler,
    workers: int | None,
    finished: Callable[[Done], None],
    say: Callable[[str], None],
) -> None:
    """Do all tasks.

    Parameters
    ----------
    job, tasks
        What is to be done.
    scheduler : {"threads", "processes", "synchronous"} or str
        Threads or processes of this machine, this thread, or a Dask scheduler's address.
    workers : int, optional
        How many threads or processes; by default one a core that this process may use.
    finished : callable
        Told of each well, in this thread.
    say : callable
        Told where the work can be watched.

    Raises
    ------
    UsageError
        For a scheduler that is none, or does not answer.
    """
    if not tasks:
        return
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers", remedy="ask for 1 or more")
    workers = workers or cores()
    if "://" in scheduler:
        with _client(scheduler, say) as client:
            _on_cluster(client, job, tasks, finished)
    elif scheduler not in _LOCAL:
        raise UsageError(
            f"scheduler {scheduler!r}",
            remedy=f"use {', '.join(_LOCAL)} or the address of a Dask scheduler, tcp://host:8786",
        )
    elif scheduler == "processes":
        with processes(min(workers, len(tasks)), say) as client:
            _on_cluster(client, job, tasks, finished)
    else:
        _on_threads(job, tasks, scheduler, workers, finished)


@contextmanager
def interruptible(job: Job) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM stop the workers between fields; a second one stops at once.

    Yields
    ------
    callable
        Tells whether it was asked to stop.
    """
    stop, asked = place(job.stop), threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()
        stop.write_bytes(b"")

    here = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)} if here else {}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.unlink(missing_ok=True)


def _on_threads(
    job: Job,
    tasks: Sequence[Task],
    scheduler: str,
    workers: int,
    finished: Callable[[Done], None],
) -> None:
    from dask.base import compute as run
    from dask.callbacks import Callback
    from dask.delayed import delayed

    def report(_key: Any, value: Any, *_state: Any) -> None:
        if isinstance(value, tuple):
            finished(value)

    def do(number: int) -> Done | None:
        return do_well(job, tasks[number])

    # Numbers, not tasks: Dask looks for work inside every argument.
    graph = [delayed(do, pure=False)(number) for number in range(len(tasks))]
    with Callback(posttask=report):
        run(*graph, scheduler=scheduler, num_workers=workers, optimize_graph=False)


def _on_cluster(
    client: Any, job: Job, tasks: Sequence[Task], finished: Callable[[Done], None]
) -> None:
    """Keep a few wells a worker in the cluster's hands until all are done."""
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    stop = place(job.stop)
    name = _share(client, job)
    # What follows one another stands in one list: a well, or its fields one by one, since two
    # tasks must not write one shard at a time.
    waiting = ([task] for task in tasks)
    queues: dict[str, list[Task]] = {}
    flying = as_completed(loop=client.loop)

    def submit(some: Iterator[list[Task]]) -> None:
        for queue in some:
            future = client.submit(_do_there, name, queue[0], pure=False)
            queues[future.key] = queue
            flying.add(future)

    there = max(1, sum(client.nthreads().values()))
    submit(islice(waiting, _AHEAD * there))
    for future in flying:
        task, *rest = queues.pop(future.key)
        try:
            if done := future.result():
                finished(done)
        except KilledWorker as error:
            if len(task.todo) > 1 and not job.is_together:  # find out which field does it
                rest = [
                    Task(task.plate, task.places, frozenset([row])) for row in sorted(task.todo)
                ]
            else:
                give_up(job, task, f"its worker was lost {_times(error)}: out of memory, or killed")
        if not stop.exists():
            submit(iter([rest]) if rest else islice(waiting, 1))


def _share(client: Any, job: Job) -> str:
    """Give the job to every worker, also to those that will take the place of lost ones."""
    from distributed import WorkerPlugin

    class Carrier(WorkerPlugin):
        def __init__(self) -> None:
            self.job = job

    name = f"hts_classify-{uuid4().hex}"
    client.register_plugin(Carrier(), name=name)
    return name


def _do_there(name: str, task: Task) -> Done | None:
    """Do a well on a worker that was given the job."""
    from distributed import get_worker

    carrier: Any = get_worker().plugins[name]
    return do_well(carrier.job, task)


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _times(error: Any) -> str:
    allowed = getattr(error, "allowed_failures", 0)
    return f"{allowed + 1} times" if allowed else "with it"


@contextmanager
def _client(address: str, say: Callable[[str], None]) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers ({error})",
            where=address,
            remedy="start one with `dask scheduler`, or check the address",
        ) from None
    with client:
        if not client.nthreads():
            say(f"{address} has no workers yet; waiting for the first")
            client.wait_for_workers(1)
        say(f"dashboard: {client.dashboard_link}")
        yield client


@contextmanager
def processes(
    workers: int, say: Callable[[str], None], *, for_models: bool = False
) -> Iterator[Any]:
    """Start a process a worker; each does one task at a time, and Ctrl-C is not for them.

    `for_models` leaves them the threads that this process' environment allows inside a task, and
    bounds no memory: Dask's own bounds are for many small tasks.
    """
    import logging
    from importlib.util import find_spec

    import dask
    from distributed import Client, LocalCluster

    quiet: dict[str, Any] = {"distributed.admin.tick.limit": "1h"}
    quiet["distributed.scheduler.allowed-failures"] = 0 if for_models else 2
    if for_models:
        quiet["distributed.nanny.pre-spawn-environ"] = {}
    environment = dict(os.environ)  # Dask changes it, for what starts now
    handler = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    if here:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by what starts now
    try:
        with dask.config.set(quiet):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=None if for_models else "auto",
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
    finally:
        if here:
            signal.signal(signal.SIGINT, handler)
    try:
        with cluster, Client(cluster, set_as_default=False) as client:
            if find_spec("bokeh"):
                say(f"dashboard: {client.dashboard_link}")
            yield client
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
