"""Which SIMD kernels there are, and which one is used."""

from __future__ import annotations

from ..errors import KernelError, UsageError
from . import _tas

__all__ = ["absent", "checked_kernel", "chosen_kernel", "kernels"]


def kernels() -> tuple[str, ...]:
    """Name the kernels that this build has and this CPU can run, from slowest to fastest.

    Returns
    -------
    tuple of str
        Of `scalar`, `u64`, and `avx2`, `avx512` or `neon`.

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

    Returns
    -------
    str
        One of `kernels()`.

    Raises
    ------
    KernelError
        When this build or this CPU does not have it.
    UsageError
        When `name` is no string.

    Examples
    --------
    >>> chosen_kernel("scalar")
    'scalar'
    """
    try:
        return _tas.chosen_kernel(checked_kernel(name))
    except LookupError as error:
        raise absent(error) from None


def checked_kernel(name: str | None) -> str | None:
    """Return a kernel's name if there is one of that name here; None is left to the core.

    Examples
    --------
    >>> checked_kernel("u64"), checked_kernel(None)
    ('u64', None)
    """
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageError(f"kernel={name!r}", remedy=f"use one of {', '.join(kernels())}")
    if name not in kernels():
        raise KernelError(f"no TAS kernel {str(name)!r} {_HERE}", remedy=_remedy())
    return str(name)


def absent(error: LookupError) -> KernelError:
    """Return the error for the environment's kernel, which the core did not find.

    Examples
    --------
    >>> absent(LookupError("mmx")).what
    "no TAS kernel 'mmx' in this build on this CPU"
    """
    return KernelError(
        f"no TAS kernel {error.args[0]!r} {_HERE}", where="HTS_CLASSIFY_KERNEL", remedy=_remedy()
    )


_HERE = "in this build on this CPU"


def _remedy() -> str:
    return f"use one of {', '.join(kernels())}, or name none"
