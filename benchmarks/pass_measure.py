"""How the benchmark of the pass measures: fresh processes, in turn, on the same cores.

What is compared is timed in alternation, A B A B, so that whatever else the machine does meets
both; a ratio is the median of the pairs', with its quartiles.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

__all__ = ["Bench", "of"]

CHILD = Path(__file__).with_name("pass_child.py")
PINNED = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ZARR_CODEC_PIPELINE__CHUNK_CONCURRENT_MAXIMUM",
)
SAMPLE_S = 0.02


@dataclass
class Bench:
    """Where and how often to measure."""

    cores: list[int]
    repeats: int
    modules: list[str] = field(default_factory=list)
    """Imported in every process before its clock starts."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Every timing of a comparison, by what was timed."""

    def run(self, job: str, label: str = "", **arguments: Any) -> dict[str, Any]:
        """Run one job in a process of its own."""
        call = {
            "job": job,
            "cores": self.cores,
            "modules": self.modules,
            "arguments": arguments,
        }
        threads = str(arguments.get("workers") or len(self.cores))
        environment = os.environ | dict.fromkeys(PINNED, "1")
        # As many threads in the pools that the workers share as there are workers.
        environment |= {"RAYON_NUM_THREADS": threads, "ZARR_THREADING__MAX_WORKERS": threads}
        environment["ZARR_CODEC_PIPELINE__PATH"] = "zarrs.ZarrsCodecPipeline"
        command = [sys.executable, str(CHILD), json.dumps(call)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
            peak = watch(child)
            assert child.stdout is not None
            printed = child.stdout.read()
        if child.returncode:
            raise SystemExit(f"{job} {arguments} ended with {child.returncode}")
        result: dict[str, Any] = json.loads(printed.splitlines()[-1])
        result["peak"] = max(peak, result["peak"])
        return result | {"label": label or job}

    def turns(
        self, *calls: Callable[[], dict[str, Any]], repeats: int | None = None
    ) -> list[list[dict[str, Any]]]:
        """Make each call in turn, so many times and once before; return each call's results.

        The round before finds memory that nobody touched yet, which a virtual machine hands out
        several times as slowly; it is left out.
        """
        rounds = [[call() for call in calls] for _ in range((repeats or self.repeats) + 1)][1:]
        for result in chain.from_iterable(rounds):
            self.seconds.setdefault(result["label"], []).append(result["seconds"])
        return [list(results) for results in zip(*rounds, strict=True)]


def watch(child: subprocess.Popen[str]) -> int:
    """Wait for a process; return the most that it and its children held together, in bytes.

    Pages that they share count once (proportional set size). What a lone process held is read
    from the kernel at its end, exactly; this is for those that have children.
    """
    peak = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(child.pid)
        while child.poll() is None:
            children = process.children(recursive=True)
            if children:
                peak = max(peak, sum(shared_out(one) for one in (process, *children)))
            with suppress(subprocess.TimeoutExpired):
                child.wait(SAMPLE_S)
    child.wait()
    return peak


def shared_out(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def of(results: Sequence[dict[str, Any]], name: str = "seconds") -> NDArray[np.float64]:
    """Return one figure of each result."""
    return np.array([result[name] for result in results], float)
