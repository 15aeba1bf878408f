"""What statistics can be taken of: images, masks and labels are checked here, not converted."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, UsageError
from . import _tas
from .dispatch import absent, checked_kernel

__all__ = ["Axes", "checked_image", "checked_out", "objects_of", "region_of"]

Axes = Literal["yx", "zyx", "nyx"]
Float = TypeVar("Float", np.float32, np.float64)

_LARGEST_LABEL = 2**32 - 1
_NATIVE = {np.dtype(t) for t in (np.uint8, np.uint16, np.float32, np.float64)}


def checked_image(image: NDArray[Any], axes: Axes | None) -> NDArray[Any]:
    """Refuse what the statistics are not defined for; copy only what C cannot read.

    Parameters
    ----------
    image : ndarray of uint8, uint16, float32 or float64
        Two axes, or three that `axes` names. Pixels in foreign byte order, or not aligned, are
        copied; anything else is read where it is.
    axes : {"yx", "zyx", "nyx"} or None
        An image, a volume, a stack of images; None is an image.

    Raises
    ------
    ImageError
        For another type or number of axes, no pixels, masked pixels, and floats that are
        infinite or not a number.
    UsageError
        For other axes.

    Examples
    --------
    >>> checked_image(np.ones((2, 2), dtype=">u2"), None).dtype.isnative
    True
    """
    if axes is not None and (not isinstance(axes, str) or axes not in get_args(Axes)):
        raise UsageError(f"axes={axes!r}", remedy="use one of yx, zyx (volume), nyx (stack)")
    pixels = image if type(image) is np.ndarray else _plain("image", image)
    if pixels.dtype not in _NATIVE:
        pixels = _native(pixels)
    if pixels.ndim != (2 if axes is None else len(axes)):
        raise ImageError(_what(pixels), remedy=_about_axes(pixels.shape, axes))
    if pixels.size == 0:
        raise ImageError(_what(pixels), remedy="leave it out: it has no pixels")
    if not pixels.flags.aligned:
        pixels = pixels.copy()
    if pixels.itemsize > 2 and not _tas.all_finite(pixels):
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(pixels))[0])
        raise ImageError(
            f"{_what(pixels)} with {pixels[at]} at {at}",
            remedy="replace what is infinite or not a number, with 0 say",
        )
    return pixels


def _about_axes(shape: tuple[int, ...], axes: Axes | None) -> str:
    if axes is not None:
        return f"pass an array of {len(axes)} axes with axes={axes!r}"
    if len(shape) != 3:
        return "pass one channel and one plane: an array of y and x"
    says = "say what it is: axes='zyx' for a volume, axes='nyx' for a stack of images"
    return f"{says}; of channels pass one: image[..., 0]" if shape[2] in (3, 4) else says


def _what(pixels: NDArray[Any]) -> str:
    return f"image of dtype {pixels.dtype} and shape {pixels.shape}"


def _native(pixels: NDArray[Any]) -> NDArray[Any]:
    native = pixels.dtype.newbyteorder("=")
    if native in _NATIVE:
        return pixels.astype(native)
    kind = pixels.dtype.kind
    remedy = "convert its pixels to uint8 or uint16"
    if kind == "b":
        remedy += ", image.astype(np.uint8) * 255; a mask of another image goes to mask="
    elif kind == "i":
        remedy += ", having made sure that none is negative"
    elif kind == "f":
        remedy = "convert its pixels to float32 or float64"
    elif kind not in "uc":
        remedy = "pass an array of pixels"
    raise ImageError(_what(pixels), remedy=remedy)


def region_of(
    mask: NDArray[Any], image: NDArray[Any], kernel: str | None = None, *, where: str = ""
) -> _tas.Objects:
    """Find the pixels of a mask.

    Parameters
    ----------
    mask : ndarray of bool, the image's shape
        True for the pixels that are measured.
    image : ndarray
        A checked image.
    kernel : str, optional
        As for `tas`.
    where : str, optional
        Which image it is, for the error.

    Raises
    ------
    KernelError
        When there is no such kernel.
    ImageError
        When the mask is of another type or shape, or has no pixel.

    Examples
    --------
    >>> image = np.zeros((2, 3), dtype=np.uint8)
    >>> region_of(np.eye(2, 3, dtype=bool), image).pixels()
    [2]
    """
    inside = _plain("mask", mask)
    if inside.dtype != np.bool_:
        raise ImageError(f"mask of dtype {inside.dtype}", remedy="pass one of bool: mask != 0")
    _same_shape("mask", inside, image)
    region = _find(inside, kernel, is_mask=True)
    if not len(region):
        raise ImageError("mask without a pixel", where=where, remedy="leave the image out")
    return region


def objects_of(
    labels: NDArray[Any], image: NDArray[Any], kernel: str | None = None
) -> _tas.Objects:
    """Find the objects of a label image.

    Parameters
    ----------
    labels : ndarray of integers, the image's shape
        0 is background, each other number an object, connected or not; any type, strides and
        order of bytes.
    image : ndarray
        A checked image.
    kernel : str, optional
        As for `tas`.

    Raises
    ------
    KernelError
        When there is no such kernel.
    ImageError
        When labels are no integers, negative, 2³² or more, or of another shape.

    Examples
    --------
    >>> image = np.zeros((2, 3), dtype=np.uint8)
    >>> objects_of(np.array([[0, 7, 7], [2, 0, 7]]), image).labels()
    [2, 7]
    """
    numbers = _plain("labels", labels)
    if numbers.dtype.kind not in "iu":
        remedy = "pass integers: labels.astype(np.int32)"
        if numbers.dtype == np.bool_:
            remedy = "number the objects: scipy.ndimage.label(mask)[0]; or pass it as mask="
        raise ImageError(f"labels of dtype {numbers.dtype}", remedy=remedy)
    _same_shape("labels", numbers, image)
    if not (numbers.dtype.isnative and numbers.flags.aligned):
        numbers = numbers.astype(numbers.dtype.newbyteorder("="))
    try:
        return _find(numbers, kernel)
    except _tas.BadLabelError:
        is_bad = (numbers < 0) | (numbers > _LARGEST_LABEL)
        at = tuple(int(i) for i in np.argwhere(is_bad)[0])
        raise ImageError(
            f"label {numbers[at]} at {at}",
            remedy=f"number objects from 1 to {_LARGEST_LABEL}, background 0",
        ) from None


def _find(labels: NDArray[Any], kernel: str | None, *, is_mask: bool = False) -> _tas.Objects:
    kernel = checked_kernel(kernel)
    try:
        return _tas.find_objects(labels, mask=is_mask, kernel=kernel)
    except LookupError as error:
        raise absent(error) from None
    except OverflowError:
        raise ImageError(
            f"labels or mask of shape {labels.shape}", remedy="cut it: an axis has below 2³² pixels"
        ) from None


def _plain(what: str, array: Any) -> NDArray[Any]:
    """Return an array as NumPy's own; refuse what it cannot make one of."""
    if isinstance(array, np.ma.MaskedArray):
        remedy = "pass its data, and mask=~image.mask"
        raise ImageError(
            f"{what} in a masked array",
            remedy=remedy if what == "image" else f"fill it: {what}.filled(0)",
        )
    if what == "labels" and isinstance(array, tuple):
        raise ImageError(
            "labels in a tuple", remedy="pass the array: scipy.ndimage.label returns it first"
        )
    try:
        return np.asarray(array)
    except Exception as error:  # whatever somebody else's array raises
        name = type(array).__name__
        raise ImageError(f"{what} of type {name}: {error}", remedy="pass an array") from error


def _same_shape(what: str, array: NDArray[Any], image: NDArray[Any]) -> None:
    if array.shape != image.shape:
        raise ImageError(
            f"{what} of shape {array.shape} for an image of shape {image.shape}",
            remedy="pass one value for each pixel",
        )


def checked_out(
    out: NDArray[Float] | None,
    shape: tuple[int, ...],
    dtype: type[Float],
    *read: NDArray[Any] | None,
) -> NDArray[Float]:
    """Return the array that results are written to: the one passed, or a new one.

    Raises
    ------
    UsageError
        When `out` has another type or shape, is not C-contiguous or is read-only, or shares
        memory with an array that is still read when the first results are written.

    Examples
    --------
    >>> checked_out(None, (3, 54), np.float64).shape
    (3, 54)
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise UsageError(f"out is {type(out).__name__}", remedy=f"pass an array of shape {shape}")
    if out.dtype != dtype or out.shape != shape or not out.flags.carray:
        layout = "" if out.flags.c_contiguous else ", not C-contiguous"
        layout += "" if out.flags.writeable else ", read-only"
        raise UsageError(
            f"out is {out.dtype} {out.shape}{layout}",
            remedy=f"pass a C-contiguous, writeable array of {np.dtype(dtype)} and shape {shape}",
        )
    if any(array is not None and np.may_share_memory(out, array) for array in read):
        raise UsageError("out shares memory with the input", remedy="pass an array of its own")
    return out
