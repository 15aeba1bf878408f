"""Print one table: hts_classify and mahotas on the same field, in paired runs.

    python benchmarks/tas_vs_mahotas.py [pairs]

A pair is one call of each, one right after the other, on one thread, so that whatever else the
machine does meets both. Times are medians over the pairs; the ratio is the median of the pairs'
ratios, with its quartiles. Every pair of `definition="mahotas"` must agree to the last bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import mahotas.features
import numpy as np

from hts_classify.features import kernels, pftas, tas
from hts_classify.synthetic import Recipe, lay_out, render_field

CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tas": (tas, mahotas.features.tas),
    "pftas": (pftas, mahotas.features.pftas),
}


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def row(name: str, dtype: str, definition: str, pairs: int) -> str:
    """Time one line of the table."""
    ours, theirs = CALLS[name]
    recipe = Recipe(shape=(1080, 1080), dtype=dtype)  # type: ignore[arg-type]
    image = render_field(recipe, lay_out(recipe)[0], 1)[0]
    if definition == "mahotas" and ours(image, definition=definition).tolist() != (
        theirs(image).tolist()
    ):
        raise SystemExit(f"{name} of {dtype} is not mahotas's")
    timed = np.array(
        [
            (seconds(lambda: ours(image, definition=definition)), seconds(lambda: theirs(image)))
            for _ in range(pairs)
        ]
    )
    mine, other = 1e3 * np.median(timed, axis=0)
    low, ratio, high = np.percentile(timed[:, 1] / timed[:, 0], [25, 50, 75])
    return (
        f"{name:6} {dtype:7} {definition:9} {mine:9.2f} {other:9.1f}"
        f" {ratio:7.0f}  ({low:.0f}–{high:.0f})"
    )


def main(pairs: int = 15) -> None:
    """Print the table."""
    print(f"1080 x 1080, kernel {kernels()[-1]}, {pairs} pairs; ms")
    print(f"{'':6} {'':7} {'':9} {'ours':>9} {'mahotas':>9} {'ratio':>7}  (quartiles)")
    for name in CALLS:
        for dtype in ("uint8", "uint16"):
            for definition in ("standard", "mahotas"):
                print(row(name, dtype, definition, pairs), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
