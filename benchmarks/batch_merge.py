"""What it costs to merge a screen's parts: 10,000 image sets through `batch` and `merge`.

    python benchmarks/batch_merge.py [--quick] [--keep FOLDER]

Five simulated plates of 400 wells with five fields each stand in one LoadData table, two channels
of 64 × 64 pixels of noise in a PNG each. `hts-classify batch --images-per-batch 64` prints the
commands. They are run in a few processes that open the plates once: a real batch starts a process
for each, one of which is timed. Then `hts-classify merge` runs in a process of its own, twice, the
second time over its own result; the clock is on that whole process, and its largest resident
memory is the kernel's (`ru_maxrss`). Parts of 64 cut wells, so that shards have to be joined. At
the end, the bytes are compared with those of one pass.

Limits: 30 s and 1 GiB for 10,000 image sets. `--quick` does 200.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

COMMAND = [sys.executable, "-P", "-m", "hts_classify"]
"""The package that is installed, not one that lies in this folder without its core."""
LIMIT_S, LIMIT_GIB = 30.0, 1.0
SIDE = 64
OPENED: list[Any] = []


def write_screen(folder: Path, plates: int, wells: int, fields: int) -> Path:
    """Write images of noise, and the table that lists them."""
    rng = np.random.default_rng(0)
    lines = [
        "Metadata_Plate,Metadata_Well,Metadata_Site,"
        "Image_PathName_DNA,Image_FileName_DNA,Image_PathName_GFP,Image_FileName_GFP"
    ]
    for plate in range(plates):
        inside = folder / f"P{plate + 1}"
        inside.mkdir(parents=True)
        for well in range(wells):
            name = f"{chr(ord('A') + well // 20)}{well % 20 + 1:02d}"
            for site in range(1, fields + 1):
                files = []
                for channel in ("DNA", "GFP"):
                    pixels = rng.integers(0, 4096, (SIDE, SIDE), np.uint16)
                    files.append(f"{name}-{site}-{channel}.png")
                    Image.fromarray(pixels).save(inside / files[-1], compress_level=1)
                cells = [cell for file in files for cell in (inside.name, file)]
                lines.append(",".join([inside.name, name, str(site), *cells]))
    table = folder / "load_data.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def child(*words: str) -> tuple[float, float]:
    """Run the command in a process of its own: seconds, and GiB of resident memory."""
    watch = (
        "import os, resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(time.perf_counter() - start,"
        " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)"
    )
    command = [sys.executable, "-c", watch, *COMMAND, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, kib = done.stdout.split()
    return float(seconds), float(kib) / 2**20


def do(command: str) -> int:
    """Run one printed command in this process, where the plates are open already."""
    from hts_classify.commands import extract, main

    if not OPENED:  # options differ from part to part, and the plates do not
        opens = extract.open_plates
        OPENED.append(None)
        extract.open_plates = lambda options: once(opens, options)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main(shlex.split(command)[1:])


def once(opens: Callable[[Any], Any], options: argparse.Namespace) -> Any:
    """Open the plates, or return those that are."""
    if OPENED[0] is None:
        OPENED[0] = opens(options)
    return OPENED[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    plates, wells, fields = (2, 20, 5) if options.quick else (5, 400, 5)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        measure(folder, plates, wells, fields)


def measure(folder: Path, plates: int, wells: int, fields: int) -> None:
    start = perf_counter()
    table = folder / "load_data.csv"
    if not table.exists():
        table = write_screen(folder, plates, wells, fields)
    count = plates * wells * fields
    print(f"{count} image sets on {plates} plates, written in {perf_counter() - start:.0f} s")
    out = folder / "out"
    words = ["batch", str(table), "-o", str(out), "--images-per-batch", "64"]
    start = perf_counter()
    printed = subprocess.run(
        [*COMMAND, *words],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout.splitlines()
    print(f"batch: {len(printed) - 1} commands in {perf_counter() - start:.1f} s")
    *commands, merge = printed
    start = perf_counter()
    seconds, gib = child(*shlex.split(commands[0])[1:])
    print(f"one command of 64 image sets, a process: {seconds:.1f} s, {gib:.2f} GiB")
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        codes = set(pool.map(do, [f"{command} --workers 1" for command in commands[1:]]))
    assert codes == {0}, codes
    print(
        f"the others, in {workers} processes with the plates open: {perf_counter() - start:.0f} s"
    )
    worst = most = 0.0
    for what in ("merge", "merge again"):
        seconds, gib = child(*shlex.split(merge)[1:])
        worst, most = max(worst, seconds), max(most, gib)
        print(
            f"{what}: {seconds:.1f} s, {gib:.2f} GiB (limits {LIMIT_S:.0f} s, {LIMIT_GIB:.0f} GiB)"
        )
    single = folder / "single"
    seconds, gib = child("extract", str(table), "-o", str(single))
    names = [
        path.relative_to(single)
        for path in single.rglob("*")
        if path.is_file() and path.name != "timings.json"
    ]
    same = sum((single / name).read_bytes() == (out / name).read_bytes() for name in names)
    print(f"one pass: {seconds:.1f} s; {same} of {len(names)} of its files are the same bytes")
    if same < len(names) or worst > LIMIT_S or most > LIMIT_GIB:
        raise SystemExit("a limit is missed")


if __name__ == "__main__":
    main()
