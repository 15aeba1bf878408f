"""Threshold adjacency statistics of one image: checks, thresholds, counts, proportions."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, KernelError, UsageError
from ..vocabulary import FeatureKind
from . import _tas, mahotas
from .thresholds import Thresholds, hamilton, thresholds_of

__all__ = ["Definition", "TasResult", "kernels", "measure", "pftas", "tas"]

Definition = Literal["standard", "mahotas"]

_KERNEL_VARIABLE = "HTS_CLASSIFY_KERNEL"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TasResult(Thresholds):
    """The statistics of one image, and the thresholds that they were taken at."""

    values: NDArray[np.float64]
    """54 proportions, in the order of `hts_classify.vocabulary.feature_columns`; with
    `definition="mahotas"` in that of mahotas."""


def tas(
    image: NDArray[Any],
    *,
    definition: Definition = "standard",
    threshold: float | None = None,
    margin: float | None = None,
    full_scale: int | None = None,
    kernel: str | None = None,
) -> NDArray[np.float64]:
    """Compute threshold adjacency statistics at a fixed threshold and margin.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (y, x)
        One channel; any strides, read-only or not. Pixels in foreign byte order, or not aligned,
        are copied first.
    definition : {"standard", "mahotas"}
        `"mahotas"` equals `mahotas.features.tas` 1.4.19 to the last bit, in its order.
    threshold, margin : float, optional
        T and m in grey levels: 30 for 8 bits, round(30 · full_scale / 255) for 16 bits; with
        `"mahotas"` always 30.
    full_scale : int, optional
        The brightest value that the camera writes; the type's largest unless given.
    kernel : str, optional
        One of `kernels()`; else the environment's HTS_CLASSIFY_KERNEL; else the fastest.

    Returns
    -------
    ndarray of float64, shape (54,)
        Intervals Band, Lower, Mean; in each, of the on pixels the proportions with 0 to 8 on
        neighbours, then of the off pixels. A half without pixels is zeros.

    Raises
    ------
    ImageError
        When the image is not a 2-D array of uint8 or uint16 with pixels in it.
    KernelError
        When this build or this CPU does not have the kernel.
    UsageError
        When a parameter has no such value, or no meaning beside another.

    References
    ----------
    Hamilton et al., BMC Bioinformatics 2007, 8:110.

    Examples
    --------
    >>> image = np.zeros((3, 4), dtype=np.uint8)
    >>> image[1, 1:3] = 200
    >>> values = tas(image)
    >>> values[:9]  # Band, on: each of the two has the other as its one neighbour
    array([0., 1., 0., 0., 0., 0., 0., 0., 0.])
    >>> values[9:18]  # Band, off: six pixels see one of the two, four see both
    array([0. , 0.6, 0.4, 0. , 0. , 0. , 0. , 0. , 0. ])
    """
    return measure(
        image,
        "tas",
        definition=definition,
        threshold=threshold,
        margin=margin,
        full_scale=full_scale,
        kernel=kernel,
    ).values


def pftas(
    image: NDArray[Any],
    *,
    definition: Definition = "standard",
    threshold: float | None = None,
    kernel: str | None = None,
) -> NDArray[np.float64]:
    """Compute threshold adjacency statistics that need no parameters.

    T is Otsu's threshold of the image, m the standard deviation of the pixels above it.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (y, x)
        One channel, as for `tas`.
    definition : {"standard", "mahotas"}
        `"mahotas"` equals `mahotas.features.pftas` 1.4.19 to the last bit, in its order.
    threshold : float, optional
        T in grey levels, in place of Otsu's.
    kernel : str, optional
        As for `tas`.

    Returns
    -------
    ndarray of float64, shape (54,)
        As from `tas`.

    Raises
    ------
    ImageError, KernelError, UsageError
        As from `tas`.

    References
    ----------
    Coelho et al., Structured Literature Image Finder, LNCS 2010, 6004:23; as in mahotas.

    Examples
    --------
    >>> image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    >>> float(pftas(image)[36:45].sum())  # a half sums to one
    1.0
    """
    return measure(image, "pftas", definition=definition, threshold=threshold, kernel=kernel).values


def measure(
    image: NDArray[Any],
    kind: FeatureKind = "pftas",
    *,
    definition: Definition = "standard",
    threshold: float | None = None,
    margin: float | None = None,
    full_scale: int | None = None,
    kernel: str | None = None,
) -> TasResult:
    """Compute threshold adjacency statistics, and say at which thresholds.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (y, x)
        One channel, as for `tas`.
    kind : {"pftas", "tas"}
        The rule for T and m, where they are not given.
    definition, threshold, margin, full_scale, kernel
        As for `tas`; `full_scale` goes with `kind="tas"` and `definition="standard"` alone.

    Returns
    -------
    TasResult
        `values`, `threshold`, `margin`, `mu`, and `empty`: no pixel is above the threshold.

    Raises
    ------
    ImageError, KernelError, UsageError
        As from `tas`.

    Examples
    --------
    >>> dark = measure(np.zeros((4, 4), dtype=np.uint8))
    >>> dark.empty, dark.mu
    (True, 0.0)
    """
    _one_of(definition, get_args(Definition), "definition")
    _one_of(kind, get_args(FeatureKind), "kind of feature")
    if full_scale is not None and (kind, definition) != ("tas", "standard"):
        raise UsageError(
            f"full_scale={full_scale} with kind={kind!r} and definition={definition!r}",
            remedy="leave it out: it scales Hamilton's threshold, in tas and standard alone",
        )
    pixels = _checked(image)
    name = _chosen_kernel(kernel)
    maximum = int(np.iinfo(pixels.dtype).max)
    histogram = np.zeros(maximum + 1, dtype=np.uint64)
    _tas.histogram(pixels, histogram)

    fixed = _fixed(definition, full_scale, maximum) if kind == "tas" else None
    T = _finite("threshold", fixed if threshold is None else threshold)
    m = _finite("margin", fixed if margin is None else margin)
    as_mahotas = definition == "mahotas"
    if as_mahotas:
        at = mahotas.thresholds_of(pixels, histogram, threshold=T, margin=m)
    else:
        at = thresholds_of(histogram, threshold=T, margin=m)
    counts = np.zeros((3, 2, 9), dtype=np.uint64)
    _tas.count(pixels, at.intervals(maximum), counts, reflect=as_mahotas, kernel=name)
    return TasResult(
        threshold=at.threshold,
        margin=at.margin,
        mu=at.mu,
        empty=at.empty,
        values=_proportions(mahotas.in_order(counts) if as_mahotas else counts),
    )


def kernels() -> tuple[str, ...]:
    """Name the kernels that this build has and this CPU can run, from slowest to fastest.

    Examples
    --------
    >>> kernels()[:2]
    ('scalar', 'u64')
    """
    return _tas.kernels()


def _proportions(counts: NDArray[np.uint64]) -> NDArray[np.float64]:
    totals = counts.sum(axis=-1, keepdims=True)
    values: NDArray[np.float64] = counts / np.maximum(totals, 1)
    return values.ravel()


def _checked(image: NDArray[Any]) -> NDArray[Any]:
    """Refuse what the statistics are not defined for; copy only what C cannot read."""
    pixels = np.asarray(image)
    what = f"image of dtype {pixels.dtype} and shape {pixels.shape}"
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError(f"masked {what}", remedy="fill the masked pixels, or crop the image")
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise ImageError(what, remedy="convert its pixels to uint8 or uint16")
    if pixels.ndim != 2:
        raise ImageError(what, remedy="pass one channel and one plane: an array of y and x")
    if pixels.size == 0:
        raise ImageError(what, remedy="leave it out: it has no pixels")
    if pixels.dtype.isnative and pixels.flags.aligned:
        return pixels
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _fixed(definition: Definition, full_scale: int | None, maximum: int) -> int:
    """Return the threshold, and margin, that `tas` has where none is given."""
    if definition == "mahotas":
        return mahotas.THRESHOLD
    if full_scale is None:
        return hamilton(maximum)
    if not 1 <= full_scale <= maximum or full_scale % 1:
        raise UsageError(
            f"full_scale={full_scale}",
            remedy=f"give the camera's brightest value, a whole number from 1 to {maximum}",
        )
    return hamilton(full_scale)


def _chosen_kernel(kernel: str | None) -> str:
    present = kernels()
    name = kernel or os.environ.get(_KERNEL_VARIABLE) or present[-1]
    if name not in present:
        raise KernelError(
            f"no TAS kernel {name!r} in this build on this CPU",
            where="" if kernel else _KERNEL_VARIABLE,
            remedy=f"use one of {', '.join(present)}, or name none",
        )
    return name


def _finite(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if not math.isfinite(value) or (name == "margin" and value < 0):
        raise UsageError(
            f"{name}={value}", remedy="give a finite number of grey levels, the margin >= 0"
        )
    return float(value)


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise UsageError(f"{value!r} is no {what}", remedy=f"use one of {', '.join(allowed)}")
