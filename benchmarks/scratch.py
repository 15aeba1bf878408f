"""Print how many bytes one call takes from the heap at once, and how many it may, as JSON.

    python benchmarks/scratch.py

A child process makes the calls, with a few lines of C before glibc's malloc that keep the peak:
exact, where the resident set would count pages and tracemalloc Python's objects alone. Outputs
are preallocated. Without a C compiler, or on another system than Linux, nothing is measured.

A call may take O(x), here 32 bytes a column and 64 KiB; in 3-D also a bit plane, y·x/8; and a
histogram, here 32 bytes for each of 65,536 levels.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hts_classify.features import pftas, tas

C = """
#include <malloc.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
static long now, start, most;

static void *add(void *p)
{
    now += malloc_usable_size(p);
    most = now > most ? now : most;
    return p;
}
void *malloc(size_t n) { return add(__libc_malloc(n)); }
void *calloc(size_t n, size_t size) { return add(__libc_calloc(n, size)); }
void *realloc(void *p, size_t n)
{
    now -= malloc_usable_size(p);
    return add(__libc_realloc(p, n));
}
void free(void *p)
{
    now -= malloc_usable_size(p);
    __libc_free(p);
}
void heap_begin(void) { start = most = now; }
long heap_most(void) { return most - start; }
"""

CASES = {
    "tas 1080² uint8": (tas, (1080, 1080), np.uint8),
    "tas 4320 × 1080 uint8": (tas, (4320, 1080), np.uint8),
    "tas 1080 × 17280 uint8": (tas, (1080, 17280), np.uint8),
    "tas 1080² float32": (tas, (1080, 1080), np.float32),
    "pftas 1080² uint16": (pftas, (1080, 1080), np.uint16),
    "tas 16 × 1080² uint8": (tas, (16, 1080, 1080), np.uint8),
}


def row(case: str, heap: ctypes.CDLL) -> dict[str, str | int]:
    """Measure one case."""
    call, shape, dtype = CASES[case]
    image = np.random.default_rng(0).integers(0, 4096, shape).astype(dtype)
    is_volume = len(shape) == 3
    options = {"axes": "zyx" if is_volume else "yx", "out": np.empty(162 if is_volume else 54)}
    if image.dtype.kind == "f":
        options |= {"threshold": 30, "margin": 30}
    call(image, **options)  # what is set up only once
    heap.heap_begin()
    call(image, **options)
    used = heap.heap_most()
    plane = shape[-2] * shape[-1] // 8
    limit = 32 * shape[-1] + 2**16 + is_volume * plane + (call is pftas) * 2**21
    return {"case": case, "used": used, "plane": plane, "limit": limit}


def main() -> None:
    """Compile the counters and run this file again under them."""
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        print("[]")
        return
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "heap.c"), Path(folder, "heap.so")
        source.write_text(C)
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", source, "-o", library], check=True)
        command = [sys.executable, __file__, str(library)]
        subprocess.run(command, check=True, env=os.environ | {"LD_PRELOAD": str(library)})


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        counters = ctypes.CDLL(sys.argv[1])
        counters.heap_most.restype = ctypes.c_long
        print(json.dumps([row(case, counters) for case in CASES]))
