"""How near the bare network comes to what a device can compute, and what keeps it from there.

The ceiling is a large matrix product in bfloat16 on a GPU, in float32 on a CPU. Operations are
counted by PyTorch. On a GPU a profile says which kinds of kernels the time goes to, and for how
much of it the device has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from bare import Bare, seconds, turns
from rows import Row, spread
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["ceiling"]

KINDS = {
    "convolutions": ("conv", "gemm", "xmma", "cutlass", "wgmma", "nvjet"),
    "norms": ("norm", "bn_"),
    "pooling": ("pool", "mean", "reduce"),
    "copies": ("memcpy", "memset", "copy", "nchw", "nhwc"),
    "element by element": ("elementwise",),
}
"""Kinds of kernels by what their names hold, the first that fits."""


def ceiling(bare: Bare, batches: Sequence[int], *, size: int, rounds: int) -> Iterator[Row | str]:
    """Measure both, in turn."""
    call, way = bare.inference(batches)
    operations = counted(bare) * len(bare.tiles)
    product = matrix_product(bare.device, size)
    network, best = turns([call, product], rounds, bare.device)
    reached, possible = 1e-12 * operations / network, 1e-12 * 2 * size**3 / best
    case = f"bare resnet50, {bare.tiles.shape[2]} px, arithmetic beside a matrix product of {size}²"
    yield Row(case, 100 * reached / possible, None, None, "%")
    yield (
        f"{case}: {spread(reached, 'TFLOP/s', 1)} beside {spread(possible, 'TFLOP/s', 1)},"
        f" {len(bare.tiles) / np.median(network):,.0f} tiles/s ({way})"
    )
    copied = 1e-9 * copy_rate(bare.device)
    yield f"memory is copied at {copied:,.0f} GB/s, reading and writing counted"
    if bare.device.type == "cuda":
        yield f"where the time goes: {shares(call, bare.device)}"


def counted(bare: Bare) -> int:
    """Count the operations of one tile, a multiplication and an addition as two."""
    net, tile = bare.network().eval(), bare.ready()[:1]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(tile)
    return int(counter.get_total_flops())


def matrix_product(device: torch.device, size: int) -> Callable[[], Any]:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return lambda: left @ right


def copy_rate(device: torch.device) -> float:
    """Return bytes a second that a large copy reads and writes."""
    source = torch.empty(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = min(seconds(lambda: target.copy_(source), device) for _ in range(5))
    return 2 * source.numel() / taken


def shares(call: Callable[[], Any], device: torch.device) -> str:
    """Say which share of a call's time each kind of kernel has, and which none."""
    whole = seconds(call, device)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize(device)
    spent = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in seen.key_averages():
        name = event.key.lower()
        kind = next((k for k, parts in KINDS.items() if any(p in name for p in parts)), "other")
        spent[kind] += 1e-6 * event.self_device_time_total
    spent["no kernel"] = max(0.0, whole - sum(spent.values()))
    return ", ".join(f"{kind} {100 * value / whole:.0f} %" for kind, value in spent.items())
