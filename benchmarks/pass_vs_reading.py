"""Print what the one pass costs beside only reading the plate, and what was aimed at.

    python benchmarks/pass_vs_reading.py [--quick] [--rows whole,mahotas,…] [--cache FOLDER]

The plate is simulated (`pass_pixels`): 96 wells × 4 fields × 3 channels of 1080 × 1080 uint16 that
compress as real ones do, in what `hts-classify convert` writes. Every timing is a fresh process
that has imported what it needs before its clock starts, on the same two cores, with one thread a
worker in codecs and BLAS; the files are in the page cache. What is compared is timed in turn,
A B A B; a ratio is the median of the rounds', with its quartiles.

Reading is done in three ways, on as many threads as the pass has workers: zarr opens and decodes
each array; zarr decodes arrays that were opened before the clock started; the pass's own
`plate.read`. The pass is set beside each. It opens the plate while its clock runs; the second and
the third way do not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pass_measure import Bench, of
from pass_plate import Spec, make_hollow, make_part, make_plate, warm
from pass_screen import plan
from rows import HEAD, Row, spread

from hts_classify.features import chosen_kernel

READERS = ("zarr", "zarr, opened before", "plate.read")
PARTS = {"read_s": "reading", "features_s": "PFTAS, figures", "tiles_s": "tiles", "keep_s": "files"}
WORKERS = 2
GiB = 2**30


@dataclass
class Suite:
    """The plates, the results, and the cases that are measured on them."""

    bench: Bench
    folder: Path
    spec: Spec
    ratio: float = 0
    ns_a_pixel: dict[str, float] = field(default_factory=dict)
    """Of a core, by way."""

    def plate(self, **changes: Any) -> Path:
        """Return a plate with its files in the page cache."""
        spec = Spec(**(asdict(self.spec) | changes))
        path = make_plate(self.folder, spec)
        ratio = warm(path, spec)
        self.ratio = self.ratio or ratio
        return path

    def do_pass(self, plate: Path, label: str = "pass", **arguments: Any) -> dict[str, Any]:
        """Do the pass into a folder that goes afterwards."""
        out = tempfile.mkdtemp(dir=self.folder)
        try:
            return self.bench.run("pass", label, plate=str(plate), out=out, **arguments)
        finally:
            shutil.rmtree(out)

    def ns(self, seconds: float, pixels: int, workers: int = WORKERS) -> float:
        return 1e9 * workers * seconds / pixels

    def whole(self) -> Iterator[Row | str]:
        """Set the pass beside reading."""
        plate = self.plate()
        ways = [
            partial(self.bench.run, reader, plate=str(plate), workers=WORKERS) for reader in READERS
        ]
        *readings, passes = self.bench.turns(*ways, partial(self.do_pass, plate, workers=WORKERS))
        pixels = self.spec.pixels
        for name, results in zip(READERS, readings, strict=True):
            case = f"whole pass, throughput beside {name}"
            yield Row(case, 100 * of(results) / of(passes), 55, 75, "%")
            yield self.absolute(name, results, pixels)
        yield self.absolute("whole pass", passes, pixels)
        fastest = min(float(np.median(of(results))) for results in readings)
        self.ns_a_pixel["reading"] = self.ns(fastest, pixels)
        self.ns_a_pixel["whole pass"] = self.ns(float(np.median(of(passes))), pixels)
        added = self.ns_a_pixel["whole pass"] - self.ns_a_pixel["reading"]
        parts = {word: 1e9 * np.median(of(passes, part)) / pixels for part, word in PARTS.items()}
        parts["waiting, the rest"] = self.ns_a_pixel["whole pass"] - sum(parts.values())
        told = ", ".join(f"{word} {ns:.2f}" for word, ns in parts.items())
        yield f"the pass adds {added:.2f} ns a pixel and core; within it: {told}"

    def absolute(self, name: str, results: list[dict[str, Any]], pixels: int) -> str:
        """Say how fast something was, and how long the cores were busy with it."""
        middle, busy = (float(np.median(of(results, what))) for what in ("seconds", "busy"))
        return (
            f"{name}: {spread(of(results), 's', 3)}, {2e-6 * pixels / middle:,.0f} MB/s of pixels,"
            f" {self.ns(middle, pixels):.2f} ns a pixel and core, {1e9 * busy / pixels:.2f} busy"
        )

    def mahotas(self) -> Iterator[Row | str]:
        """Set the pass beside itself with mahotas: what that adds on a part, for all wells."""
        plate = self.plate()
        part = make_part(plate, self.spec)
        slow, fast, whole = self.bench.turns(
            partial(self.do_pass, part, "pass with mahotas", workers=WORKERS, mahotas=True),
            partial(self.do_pass, part, "pass of a part", workers=WORKERS),
            partial(self.do_pass, plate, workers=WORKERS),
            repeats=min(3, self.bench.repeats),
        )
        added = (of(slow) - of(fast)) * self.spec.wells / self.spec.part.wells
        ratios = added / of(whole) + 1
        yield Row("whole pass, times as fast as with mahotas.pftas", ratios, 20, 35, "×", 1)
        pixels = self.spec.part.pixels
        yield self.absolute(f"pass with mahotas, {self.spec.part.wells} wells", slow, pixels)
        ns = self.ns(float(np.median(of(slow) - of(fast))), pixels)
        both = ns + self.ns(float(np.median(of(whole))), self.spec.pixels)
        self.ns_a_pixel["the same pass with mahotas"] = both

    def sharded(self) -> Iterator[Row]:
        """Set the sharded plate beside the other."""
        files, shards = self.plate(), self.plate(shards=True)
        plain, sharded = self.bench.turns(
            partial(self.do_pass, files, workers=WORKERS),
            partial(self.do_pass, shards, "pass, sharded", workers=WORKERS),
        )
        yield Row(
            "sharded plate, throughput beside unsharded",
            100 * of(plain) / of(sharded),
            80,
            100,
            "%",
        )

    def workers(self) -> Iterator[Row]:
        """Set two workers beside one."""
        plate = self.plate()
        one, two = self.bench.turns(
            partial(self.do_pass, plate, "pass, 1 worker", workers=1),
            partial(self.do_pass, plate, workers=2),
        )
        yield Row("2 workers, times as fast as 1", of(one) / of(two), 1.7, 1.9, "×")

    def memory(self) -> Iterator[Row | str]:
        """Set memory on the plate beside that on a part of it, with default settings."""
        plate = self.plate()
        part = make_part(plate, self.spec)
        few, many = self.bench.turns(
            partial(self.do_pass, part, "pass of a part"), partial(self.do_pass, plate)
        )
        wells = f"{self.spec.wells} wells against {self.spec.part.wells}"
        growth = 100 * (of(many, "peak") / of(few, "peak") - 1)
        yield Row(f"peak memory, {wells}", growth, 10, 2, "%", 1, less_is_better=True)
        peak = of(many, "peak") / GiB
        yield Row("peak memory, default settings", peak, 2, 1, "GiB", less_is_better=True)

    def resume(self) -> Iterator[Row]:
        """Time a pass that finds everything done."""
        plate, out = self.plate(), tempfile.mkdtemp(dir=self.folder)
        call = partial(self.bench.run, "pass", plate=str(plate), out=out, workers=WORKERS)
        call("first pass")
        [again] = self.bench.turns(partial(call, "resumed pass"))
        shutil.rmtree(out)
        yield Row("fully resumed run, beyond imports", of(again), 2, 0.5, "s", less_is_better=True)

    def opening(self) -> Iterator[Row]:
        """Time opening and checking a large plate of tiny fields."""
        for form in ("0.5", "0.4"):
            spec = Spec(rows=32, columns=48, fields=9, size=16, format=f"ome-zarr-{form}")  # type: ignore[arg-type]
            plate = make_hollow(self.folder, spec)
            warm(plate, spec)
            [opened] = self.bench.turns(partial(self.bench.run, "opening", form, plate=str(plate)))
            case = f"opening and checking 1536 wells × 9 fields, OME-Zarr {form}"
            yield Row(case, of(opened), 5, 1, "s", less_is_better=True)


ROWS: dict[str, Callable[[Suite], Iterator[Row | str]]] = {
    "whole": Suite.whole,
    "mahotas": Suite.mahotas,
    "sharded": Suite.sharded,
    "workers": Suite.workers,
    "memory": Suite.memory,
    "resume": Suite.resume,
    "opening": Suite.opening,
}


def preload(suite: Suite) -> None:
    """Find out what the jobs import, on a tiny plate."""
    bench, found = suite.bench, set[str]()
    with tempfile.TemporaryDirectory(dir=suite.folder) as folder:
        plate = str(make_plate(Path(folder), Spec(rows=1, columns=2, fields=1, size=256)))
        out = f"{folder}/out"
        for _ in range(2):  # the second one resumes
            found |= set(bench.run("pass", plate=plate, out=out)["modules"])
        for job in (*READERS, "opening"):
            own = {} if job == "opening" else {"workers": 1}
            found |= set(bench.run(job, plate=plate, **own)["modules"])
    bench.modules = sorted(found)


def machine(cores: list[int]) -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    names = ("numpy", "zarr", "zarrs", "dask", "mahotas")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{model}, {os.cpu_count()} cores, of which {cores}; kernel {chosen_kernel()};"
        f" Python {sys.version.split()[0]}, hts_classify {version('hts_classify')}, {versions}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="which cases, by commas")
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--size", type=int, default=1080)
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each comparison")
    parser.add_argument("--quick", action="store_true", help="a small plate, two rounds")
    parser.add_argument("--cores", default="", help="two cores, as 2,3; by default the last two")
    parser.add_argument("--cache", type=Path, help="keep the plates (5 GB) in this folder")
    parser.add_argument("--json", type=Path, help="write every timing to this file, too")
    options = parser.parse_args()
    unknown = set(options.rows.split(",")) - set(ROWS)
    if unknown:
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return options


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the cases, print each as it comes, and return all there is to keep."""
    cores = [int(core) for core in options.cores.split(",") if core] or usable_cores()[-WORKERS:]
    spec = Spec(fields=options.fields, size=options.size)
    if options.quick:
        spec = Spec(rows=4, columns=6, fields=2, size=540)
    suite = Suite(Bench(cores, 2 if options.quick else options.repeats), folder, spec)
    command, where = " ".join(["python", *sys.argv]), machine(cores)
    print(f"{command}\n{where}")
    if hasattr(os, "getloadavg"):
        print(f"load before: {os.getloadavg()[0]:.1f} (timings want a machine with nothing else)")
    print()
    preload(suite)
    rows, notes = [], []
    print(HEAD)
    for name in options.rows.split(","):
        for found in ROWS[name](suite):
            (rows if isinstance(found, Row) else notes).append(found)
            if isinstance(found, Row):
                print(found, flush=True)
    print(f"\npixels to a byte on disk: {suite.ratio:.2f}" if suite.ratio else "", *notes, sep="\n")
    if suite.ns_a_pixel:
        print(f"\n{plan(suite.ns_a_pixel, suite.ratio)}")
    table = [asdict(row) | {"values": row.values.tolist(), "met": row.met} for row in rows]
    return {
        "command": command,
        "machine": where,
        "ratio": suite.ratio,
        "rows": table,
        "seconds": suite.bench.seconds,
    }


def usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cache or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(options, folder)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
