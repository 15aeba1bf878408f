"""Where the CNN computes: the device that was asked for, its precision, its repeatability."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ...errors import UsageError
from ..settings import Precision, check_device

__all__ = [
    "autocast",
    "describe",
    "is_memory_error",
    "pick",
    "repeatable",
    "room",
    "set_threads",
    "threads",
]


def pick(name: str) -> torch.device:
    """Return the device of this name; `auto` takes a GPU where there is one.

    Raises
    ------
    UsageError
        For a device that this machine lacks: nothing falls back.

    Examples
    --------
    >>> pick("cpu")
    device(type='cpu')
    """
    kind, _, number = check_device(name).partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps":
        if not _has_mps():
            raise UsageError("PyTorch finds no MPS device", remedy="use the device cpu or auto")
        return torch.device("mps")
    count = torch.cuda.device_count()
    if not count:
        raise UsageError("PyTorch finds no CUDA device", remedy="use the device cpu or auto")
    if number and int(number) >= count:
        raise UsageError(
            f"no device {name}",
            remedy=f"use cuda:0 to cuda:{count - 1}" if count > 1 else "use cuda",
        )
    # cuBLAS repeats itself only with a workspace of its own; it reads this when it starts
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda", int(number) if number else torch.cuda.current_device())


def threads() -> int:
    """Return how many threads share an operation on the CPU."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Have so many threads share an operation, in this thread and in those that start now."""
    torch.set_num_threads(count)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def describe(device: torch.device) -> str:
    """Say what computes: `cpu (2 threads)` or `cuda (NVIDIA …)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps"
    return f"cpu ({threads()} threads)"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return what the network is called under: bfloat16 on CUDA unless asked otherwise."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Allow only algorithms that repeat themselves; give generators and flags back as found.

    On a CPU every operation here repeats itself with the same number of threads, and the flag
    would cost seconds: setting it imports PyTorch's compiler.
    """
    if device.type != "cuda":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng(devices=[device]):
        # some networks of torchvision pool in a way that has no repeatable backward pass
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=lenient)
            torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def room(device: torch.device) -> int:
    """Return how many bytes of tiles may be kept on a device, unless asked otherwise."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what an earlier fit had is free, too: PyTorch keeps it for the next
        own = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (free + own) // 2
    return 2 * 2**30


def is_memory_error(error: RuntimeError) -> bool:
    """Tell whether PyTorch ran out of memory: it has a type for a GPU, and words for a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
