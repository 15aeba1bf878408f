"""Which SIMD kernels there are, and which one is used."""

from __future__ import annotations

from ..errors import KernelError
from . import _tas

__all__ = ["absent", "chosen_kernel", "kernels"]


def kernels() -> tuple[str, ...]:
    """Name the kernels that this build has and this CPU can run, from slowest to fastest.

    Examples
    --------
    >>> kernels()[:2]
    ('scalar', 'u64')
    """
    return _tas.kernels()


def chosen_kernel(name: str | None = None) -> str:
    """Name the kernel that is used: the one asked for, the environment's, or the fastest.

    Parameters
    ----------
    name : str, optional
        As `kernel` of `tas`.

    Raises
    ------
    KernelError
        When this build or this CPU does not have it.

    Examples
    --------
    >>> chosen_kernel("scalar")
    'scalar'
    """
    try:
        return _tas.chosen_kernel(name)
    except LookupError as error:
        raise absent(name, error) from None


def absent(name: str | None, error: LookupError) -> KernelError:
    """Return the error for a kernel that the core did not find.

    Examples
    --------
    >>> absent("mmx", LookupError("mmx")).what
    "no TAS kernel 'mmx' in this build on this CPU"
    """
    return KernelError(
        f"no TAS kernel {error.args[0]!r} in this build on this CPU",
        where="" if name else "HTS_CLASSIFY_KERNEL",
        remedy=f"use one of {', '.join(kernels())}, or name none",
    )
