"""One measurement of the benchmark of the pass, in a process of its own (`pass_measure`).

    python benchmarks/pass_child.py '{"job": "pass", "cores": [0, 1], "modules": [], …}'

Prints a line of JSON: seconds, the largest resident memory, and whatever the job adds. Modules
are imported before the clock starts.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any


def clock() -> Callable[[], dict[str, Any]]:
    """Start the clocks; what is returned reads them: on the wall, and of all cores together."""
    start, busy = perf_counter(), process_time()
    return lambda: {"seconds": perf_counter() - start, "busy": process_time() - busy}


def over(items: Any, call: Callable[[Any], int], workers: int) -> dict[str, Any]:
    """Time a call for each item on threads; the call returns bytes."""
    stop = clock()
    with ThreadPoolExecutor(workers) as pool:
        total = sum(pool.map(call, items))
    return stop() | {"bytes": total}


def read_zarr(plate: str, workers: int) -> dict[str, Any]:
    """Open and decode every array whole, with zarr alone."""
    arrays = sorted(str(path.parent) for path in Path(plate).glob("*/*/*/0/zarr.json"))
    return over(arrays, lambda array: int(open_array(array)[...].nbytes), workers)


def read_opened(plate: str, workers: int) -> dict[str, Any]:
    """Decode every array whole, with zarr alone; opening them is not timed."""
    paths = sorted(str(path.parent) for path in Path(plate).glob("*/*/*/0/zarr.json"))
    arrays = [open_array(path) for path in paths]
    return over(arrays, lambda array: int(array[...].nbytes), workers)


def open_array(path: str) -> Any:
    import zarr
    from zarr.storage import LocalStore

    return zarr.open_array(LocalStore(path, read_only=True), mode="r", zarr_format=3)


def read_plate(plate: str, workers: int) -> dict[str, Any]:
    """Read every field as the pass does; opening the plate is not timed."""
    from hts_classify import open_plate

    opened = open_plate(plate)
    return over(opened.fields, lambda field: opened.read(field).nbytes, workers)


def whole_pass(
    plate: str, out: str, workers: int | None = None, mahotas: bool = False
) -> dict[str, Any]:
    """Do the pass; opening the plate is timed."""
    from hts_classify import PassSettings, extract, open_plate

    if mahotas:
        use_mahotas()
    settings = PassSettings(tile_sizes=(224,))
    stop = clock()
    result = extract(open_plate(plate), out, settings, workers=workers)
    clocked = stop()
    names = ("read_s", "features_s", "tiles_s", "keep_s")
    parts = {name: sum(cost[name] for cost in result.costs.values()) for name in names}
    return clocked | {"fields": len(result.features)} | parts


def use_mahotas() -> None:
    """Let the pass take its numbers from mahotas; figures of a field are made once only."""
    import mahotas.features

    from hts_classify.extract import work

    ours = work.examine
    first: list[Any] = []

    def examine(image: Any, *arguments: Any, **options: Any) -> Any:
        if not first:
            first.append(ours(image, *arguments, **options))
        result, figures = first[0]
        return replace(result, values=mahotas.features.pftas(image)), figures

    work.examine = examine


def opening(plate: str) -> dict[str, Any]:
    """Open a plate and check that all of it is there."""
    from hts_classify import open_plate

    stop = clock()
    info = open_plate(plate).info()
    clocked = stop()
    if info.missing:
        raise SystemExit(f"the plate is not whole: {info.missing[0]}")
    return clocked | {"fields": info.fields}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "zarr": read_zarr,
    "zarr, opened before": read_opened,
    "plate.read": read_plate,
    "pass": whole_pass,
    "opening": opening,
}


def most_memory() -> int:
    """Return the largest resident set that this process had; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def main() -> None:
    job = json.loads(sys.argv[1])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    for name in job["modules"]:
        with contextlib.suppress(Exception):  # some modules are only there for their parent
            importlib.import_module(name)
    found = JOBS[job["job"]](**job["arguments"])
    modules = sorted(name for name in sys.modules if not name.startswith("__"))
    print(json.dumps(found | {"peak": most_memory(), "modules": modules}))


if __name__ == "__main__":
    main()
