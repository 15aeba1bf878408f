"""Print one table: threshold adjacency statistics beside mahotas, and what was aimed at.

    taskset -c 0 python benchmarks/tas_vs_mahotas.py [pairs]

A pair is one call of each, one right after the other, in one process on one thread, so that
whatever else the machine does meets both. Times are medians over the pairs; the ratio is the
median of the pairs' ratios, with its quartiles. `definition="mahotas"` must agree to the last
bit before it is timed. Three rows are not of mahotas: a stack beside a C sum over the same memory,
the time of one small call, and bytes taken from the heap (`scratch.py`).

Images are simulated and seeded: nuclei over background and shot noise, as a 12-bit camera sees
them (uint16), in 8 bits, or stretched to the full range of 16 bits.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import mahotas
import mahotas.features
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hts_classify.features import chosen_kernel, kernels, pftas, tas
from hts_classify.synthetic import Recipe, lay_out, render_field

Image = NDArray[np.unsignedinteger]
Kind = Literal["8 bits", "12 bits", "16 bits"]

BEST = kernels()[-1]
TABLE = "{:51} {:>9} {:>9} {:>21} {:>9} {:>6}  {}"


# ---- images --------------------------------------------------------------------------------


@cache
def field(side: int, kind: Kind) -> Image:
    """Make the nuclei of one simulated field."""
    recipe = Recipe(shape=(side, side), dtype="uint8" if kind == "8 bits" else "uint16")
    image = render_field(recipe, lay_out(recipe)[0], 1)[0]
    if kind == "16 bits":
        between = np.random.default_rng(0).random(image.shape)
        image = ((image + between) * (65535 / (image.max() + 1))).astype(np.uint16)
    return image


@cache
def nuclei() -> tuple[Image, NDArray[np.int32]]:
    """Make a field of 2160 × 2160 with 1,000 round-ish nuclei of 17 to 26 pixels' radius, and
    its label image: one nucleus in each square of a grid, none touching."""
    side, grid, wanted = 2160, 32, 1000
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] + 0.5
    square = (y * grid // side * grid + x * grid // side).astype(int)
    row, column = np.divmod(np.arange(grid**2), grid)
    centre_y = (row + 0.5) * side / grid + rng.uniform(-5, 5, grid**2)
    centre_x = (column + 0.5) * side / grid + rng.uniform(-5, 5, grid**2)
    radius, turn = rng.uniform(18.5, 24, grid**2), rng.uniform(0, 2 * np.pi, grid**2)
    brightness = rng.uniform(600, 2500, grid**2)

    y, x = y - centre_y[square], x - centre_x[square]
    reach = radius[square] * (1 + 0.08 * np.cos(2 * np.arctan2(y, x) + turn[square]))
    labels = np.where((np.hypot(y, x) < reach) & (square < wanted), square + 1, 0)
    chromatin = 1 + 0.15 * 14 * ndimage.gaussian_filter(rng.normal(size=labels.shape), 4)
    photons = 120 + np.where(labels > 0, brightness[square] * chromatin, 0).clip(0)
    return (100 + rng.poisson(photons)).clip(0, 4095).astype(np.uint16), labels.astype(np.int32)


def stack() -> Image:
    """Make a stack of 200 fields, 233 MB: more than a cache holds."""
    return np.repeat(field(1080, "8 bits")[None], 200, axis=0)


# ---- references ----------------------------------------------------------------------------

C_SUM = """
#include <stddef.h>
#include <stdint.h>
uint64_t sum(const uint64_t *x, size_t words)
{
    uint64_t total = 0;
    for (size_t i = 0; i < words; i++)
        total += x[i];
    return total;
}
"""


def c_sum() -> Callable[[NDArray[Any]], int]:
    """Compile a sum over an array's memory as 64-bit words, in SIMD; OSError without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "sum.c"), Path(folder, "sum.so")
        source.write_text(C_SUM)
        options = ["-O3", "-march=native", "-fPIC", "-shared"]
        subprocess.run(["cc", *options, source, "-o", library], check=True)
        function = ctypes.CDLL(str(library)).sum
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_uint64
    return lambda array: function(array.ctypes.data, array.nbytes // 8)


def mahotas_objects(
    image: Image, labels: NDArray[np.int32], boxes: list[Any], scope: Literal["object", "image"]
) -> None:
    """Call mahotas once for each object's crop, all other pixels zero."""
    T = mahotas.otsu(image) if scope == "image" else None
    for label, box in enumerate(boxes, start=1):
        mahotas.features.pftas(image[box] * (labels[box] == label), T=T)


# ---- rows ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Two calls, and how many times as fast ours is to be."""

    name: str
    ours: Callable[[], Any]
    reference: Callable[[], Any]
    at_least: float
    aim: float
    unit: Literal["×", "%"] = "×"


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def met(value: float, at_least: float, aim: float) -> str:
    """Say which of the two figures a value reaches."""
    return "aim" if value >= aim else "at least" if value >= at_least else "missed"


def with_quartiles(values: NDArray[np.float64], unit: str) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75])
    digits = 0 if middle >= 10 else 2
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f}–{high:.{digits}f})"


def compared(case: Case, pairs: int) -> str:
    """Time the pairs of one case."""
    case.ours(), case.reference()
    timed = np.array([(seconds(case.ours), seconds(case.reference)) for _ in range(pairs)])
    ours, reference = 1e3 * np.median(timed, axis=0)
    ratios = timed[:, 1] / timed[:, 0] * (100 if case.unit == "%" else 1)
    return TABLE.format(
        case.name,
        f"{ours:.3f}",
        f"{reference:.1f}",
        with_quartiles(ratios, case.unit),
        f"{case.at_least} {case.unit}",
        f"{case.aim} {case.unit}",
        met(float(np.median(ratios)), case.at_least, case.aim),
    )


def of_field(
    call: Callable[..., Any], side: int, kind: Kind, kernel: str, at_least: float, aim: float
) -> Iterator[Case]:
    """Set one field beside mahotas, in both definitions."""
    image = field(side, kind)
    reference = partial(getattr(mahotas.features, call.__name__), image)
    for definition in ("standard", "mahotas"):
        ours = partial(call, image, definition=definition, kernel=kernel)
        name = f"{call.__name__} {side}², {kind}, {kernel}, {definition}"
        if definition == "mahotas" and ours().tobytes() != reference().tobytes():
            raise SystemExit(f"{name} is not what mahotas has")
        yield Case(name, ours, reference, at_least, aim)


def of_objects() -> Iterator[Case]:
    """Set the objects of one field beside a call of mahotas for each."""
    image, labels = nuclei()
    boxes = ndimage.find_objects(labels)
    for scope, at_least, aim in (("object", 20, 50), ("image", 80, 200)):
        yield Case(
            f"pftas 2160², 12 bits, {len(boxes)} objects, T of the {scope}",
            partial(pftas, image, labels=labels, scope=scope, kernel=BEST),
            partial(mahotas_objects, image, labels, boxes, scope),
            at_least,
            aim,
        )


def of_stack() -> Case | str:
    """Set a stack beside a sum over its memory: a percentage of the bytes a second."""
    try:
        total = c_sum()
    except OSError:
        return "tas 200 × 1080², 8 bits; a C sum: no C compiler here"
    images, out = stack(), np.empty((200, 54))
    if total(images) != int(images.view(np.uint64).sum()):
        raise SystemExit("the C sum is wrong")
    name = f"tas 200 × 1080², 8 bits, {BEST}; a C sum"
    ours = partial(tas, images, axes="nyx", out=out, kernel=BEST)
    return Case(name, ours, partial(total, images), 10, 25, "%")


def cases() -> Iterator[Case | str]:
    """List what is compared; a string where it cannot be here."""
    for kernel, at_least, aim in (("avx512", 400, 800), ("avx2", 120, 300), ("u64", 50, 100)):
        if kernel in kernels():
            yield from of_field(tas, 1080, "8 bits", kernel, at_least, aim)
        else:
            yield f"tas 1080², 8 bits, {kernel}: not in this build on this CPU"
    for side in (1080, 2160):
        yield from of_field(pftas, side, "12 bits", BEST, 80, 200)
        yield from of_field(pftas, side, "16 bits", BEST, 80, 200)
    yield from of_objects()
    yield of_stack()


def small_call(pairs: int) -> str:
    """Time one call of a small image: a thousand of them, so many times."""
    image, out = field(1080, "8 bits")[500:540, 500:540].copy(), np.empty(54)

    def calls() -> None:
        for _ in range(1000):
            tas(image, out=out)

    calls()
    us = np.array([1e3 * seconds(calls) for _ in range(pairs)])
    reference = np.median([seconds(partial(mahotas.features.tas, image)) for _ in range(pairs)])
    return TABLE.format(
        f"tas 40², 8 bits, {chosen_kernel()}, with out, one call",
        f"{1e-3 * np.median(us):.4f}",
        f"{1e3 * reference:.1f}",
        with_quartiles(us, "µs"),
        "5 µs",
        "2 µs",
        met(-float(np.median(us)), -5, -2),  # less is better
    )


def scratch() -> Iterator[str]:
    """Measure bytes, beside those of a bit plane; there is one limit."""
    script = Path(__file__).with_name("scratch.py")
    printed = subprocess.run([sys.executable, script], check=True, stdout=subprocess.PIPE).stdout
    rows = json.loads(printed)
    if not rows:
        yield "scratch memory: not measured, for want of a C compiler or of Linux"
    for row in rows:
        used, plane, limit = (f"{row[of] / 1000:.1f} kB" for of in ("used", "plane", "limit"))
        is_met = "at least" if row["used"] <= row["limit"] else "missed"
        name = f"scratch memory, {row['case']}; y·x/8"
        yield TABLE.format(name, used, plane, "", limit, "", is_met)


def main(pairs: int = 25) -> None:
    """Print the table."""
    print(f"mahotas {mahotas.__version__}, best kernel {BEST}, {pairs} pairs, one thread; ms")
    print(TABLE.format("", "ours", "reference", "ratio (quartiles)", "at least", "aim", "met"))
    for case in cases():
        print(case if isinstance(case, str) else compared(case, pairs), flush=True)
    print(small_call(pairs))
    print(*scratch(), sep="\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
