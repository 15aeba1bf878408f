"""A pass is killed at seeded moments, goes on, and ends with the bytes of one that was not.

The moments are spread over the time that a whole pass takes once it has begun to work; the driver
and a worker are killed by turns. Four kills on a small simulated plate: `HTS_CLASSIFY_KILLS=30`
makes it thirty on a real one (`.ci/kill`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Final, Literal

import numpy as np
import pandas as pd
import psutil
import pytest

from hts_classify.vocabulary import WELL

Victim = Literal["driver", "worker"]
Scheduler = Literal["threads", "processes"]

_SHORT: Final = 4
_KILLS: Final = int(os.environ.get("HTS_CLASSIFY_KILLS", _SHORT))
_TURNS: Final[tuple[tuple[Victim, Scheduler], ...]] = (
    ("driver", "threads"),
    ("worker", "processes"),
    ("driver", "processes"),
    ("worker", "processes"),
)
_WORKERS: Final = 2
_HELD: Final = 3 * _WORKERS
"""Wells that a driver gives out before it hears of one."""
_CALL: Final = "from hts_classify.commands import console; console()"
_PATIENCE: Final = 120  # seconds
_MAY_DIFFER: Final = {"timings.json"}


class Pass:
    """A pass over a plate, in a process of its own: `out` in a folder of its own."""

    def __init__(self, plate: Path, folder: Path, scheduler: Scheduler) -> None:
        self.folder, self.out, self.scheduler = folder, folder / "out", scheduler
        self.command = [sys.executable, "-c", _CALL, "extract", str(plate), "-o", "out"]
        self.command += ["--tile-size", "16,32", "--crops", "grid", "--crop-size", "16"]
        self.command += ["--scheduler", scheduler, "--workers", str(_WORKERS)]
        self.begin()

    def begin(self) -> None:
        """Start it, or go on with it."""
        with (self.folder / "said.txt").open("w") as said:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdout=said, stderr=said, start_new_session=True
            )

    def wait_for_work(self, wells: int = 0) -> None:
        """Return when it has begun, its workers are there, and so many wells are done."""
        end = monotonic() + _PATIENCE
        while not (
            (self.out / "features" / "pass.json").exists()
            and (self.scheduler == "threads" or len(self.workers()) == _WORKERS)
            and len(self.wells()) >= wells
        ):
            assert self.process.poll() is None, f"it ended too soon: {self.said()}"
            assert monotonic() < end, f"it does not begin: {self.said()}"
            sleep(0.001)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that do wells."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def end(self) -> int:
        """Wait until it ends; return its exit code."""
        return self.process.wait(_PATIENCE)

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def wells(self) -> dict[str, tuple[int, int]]:
        """Return the finished wells, with what changes when one is written again."""
        shards = (self.out / "features").glob("*/*.parquet")
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in shards}

    def failed(self) -> set[str]:
        """Return the wells with a field that could not be read, which is always tried again."""
        return {f"{well}.parquet" for well in pd.read_csv(self.out / "failures.csv")[WELL]}

    def hashes(self) -> dict[str, str]:
        """Hash all files, but those that may differ from pass to pass."""
        return {
            path.relative_to(self.out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.out.rglob("*"))
            if path.is_file() and path.name not in _MAY_DIFFER
        }

    def clear(self) -> None:
        """Leave no process behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Unbroken:
    """A pass that nobody killed."""

    seconds: float
    """From the moment that it begins to work."""
    hashes: Mapping[str, str]


@pytest.fixture(scope="module")
def plate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate with a field that cannot be read: for the long version a copy of a real one."""
    copy = tmp_path_factory.mktemp("killed") / "plate.zarr"
    if _KILLS > _SHORT:
        shared: Path = request.getfixturevalue("shared_data")
        whole = shared / "bbbc013" / "plate_v04.ome.zarr"
    else:
        whole = request.getfixturevalue("tiny_plate")
    shutil.copytree(whole, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    field = min(path for path in copy.glob("*/*/0") if path.is_dir())
    chunk = max(
        (path for path in field.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    chunk.write_bytes(chunk.read_bytes()[:-9])
    return copy


@pytest.fixture(scope="module")
def unbroken(
    plate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Scheduler], Unbroken]:
    """Return what a whole pass leaves, and how long it works."""
    found: dict[Scheduler, Unbroken] = {}

    def _unbroken(scheduler: Scheduler) -> Unbroken:
        if scheduler not in found:
            run = Pass(plate, tmp_path_factory.mktemp("unbroken"), scheduler)
            run.wait_for_work()
            start = monotonic()
            assert run.end() == 3, run.said()
            found[scheduler] = Unbroken(monotonic() - start, run.hashes())
        return found[scheduler]

    return _unbroken


@pytest.fixture
def begin(plate: Path, tmp_path: Path) -> Iterator[Callable[[Scheduler], Pass]]:
    """Begin a pass over the plate; whatever becomes of it, its processes end."""
    begun: list[Pass] = []

    def _begin(scheduler: Scheduler) -> Pass:
        begun.append(Pass(plate, tmp_path, scheduler))
        return begun[-1]

    yield _begin
    for run in begun:
        run.clear()


def test_threads_and_processes_leave_the_same_bytes(
    unbroken: Callable[[Scheduler], Unbroken],
) -> None:
    assert unbroken("threads").hashes == unbroken("processes").hashes


@pytest.mark.parametrize("turn", range(_KILLS))
def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    turn: int,
    unbroken: Callable[[Scheduler], Unbroken],
    begin: Callable[[Scheduler], Pass],
) -> None:
    victim, scheduler = _TURNS[turn % len(_TURNS)]
    whole, draw = unbroken(scheduler), np.random.default_rng([2026, turn])
    run = begin(scheduler)
    run.wait_for_work()
    # One moment in each stretch of equal length.
    sleep((turn + draw.random()) / _KILLS * whole.seconds)
    if victim == "driver":
        run.process.kill()
    else:
        _kill_one(run.workers(), int(draw.integers(_WORKERS)))
    done = run.wells()
    if run.end() != 3:
        run.begin()
        assert run.end() == 3, run.said()
    # A worker takes with it what it had done and the driver had not heard of.
    again = {well for well, at in done.items() if run.wells()[well] != at} - run.failed()
    assert len(again) <= (_HELD if victim == "worker" else 0), "wells that were done, done again"
    assert run.hashes() == whole.hashes


def test_what_was_half_written_when_it_was_killed_goes(
    unbroken: Callable[[Scheduler], Unbroken], begin: Callable[[Scheduler], Pass]
) -> None:
    run = begin("threads")
    assert run.end() == 3, run.said()
    for folder in (".", "features/tiny", "tiles.zarr/16", "crops.zarr"):
        (run.out / folder).mkdir(exist_ok=True)
        (run.out / folder / ".c.3.0.0.0.123-140627859031744.part").touch()
    (run.out / f".stop-{'0' * 32}").touch()
    (run.out / ".users.part").touch()
    run.begin()
    assert run.end() == 3, run.said()
    (run.out / ".users.part").unlink()  # nobody else's is touched
    assert run.hashes() == unbroken("threads").hashes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_told_to_stop_it_finishes_the_field_in_hand_and_goes_on_later(
    number: signal.Signals,
    scheduler: Scheduler,
    unbroken: Callable[[Scheduler], Unbroken],
    begin: Callable[[Scheduler], Pass],
) -> None:
    whole, run = unbroken(scheduler), begin(scheduler)
    run.wait_for_work(wells=1)
    run.process.send_signal(number)
    assert run.end() == 130, run.said()
    assert run.said().count("\n") == 1, run.said()
    assert not list(run.out.rglob(".*")), "something temporary is left"
    done = run.wells()
    assert len(done) < sum(name.startswith("features/") for name in whole.hashes) - 1
    run.begin()
    assert run.end() == 3, run.said()
    assert run.hashes() == whole.hashes


def _kill_one(workers: list[psutil.Process], which: int) -> None:
    """Kill a worker, if one is left; near the end there may be none."""
    for worker in workers[which:] + workers[:which]:
        try:
            worker.kill()
            return
        except psutil.NoSuchProcess:
            continue
