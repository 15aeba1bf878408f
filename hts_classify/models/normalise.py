"""Features of each plate to the scale of its own negative controls.

::

    none       as they are
    standard   minus the controls' mean, over their standard deviation
    robust     minus their median, over their median absolute deviation × 1.4826
    tvn        standard, then the controls' covariance made round: what varies among wells that
               were all treated alike (typical variation, Ando et al. 2017) counts for less

What the controls of a plate measure is measured for it alone, so that a plate that was never seen
needs controls of its own, and nothing else. pycytominer normalises so too (`standardize`,
`mad_robustize`; the tests hold us against it), but a whole table at once: here the controls that an
inner split judges are left out of it, and plates are called while they are read. Its `spherize`
refuses features that depend on each other, as shares that add up to 1 do; Ledoit and Wolf's
shrinkage (J. Multivariate Analysis 2004, 88:365) takes them, and few controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DesignError, UsageError
from .protocol import Inputs, Origin

__all__ = [
    "METHODS",
    "Method",
    "Normalisation",
    "check_normalisation",
    "least_wells",
    "normalised",
    "offered",
]

Method = Literal["none", "standard", "robust", "tvn"]
Normalisation = Literal["auto", "none", "standard", "robust", "tvn"]
"""What a run can be asked for: `auto` is what the inner splits choose."""

METHODS: Final[tuple[Method, ...]] = get_args(Method)
"""The plainest first."""

_LEAST: Final[dict[Method, int]] = {"none": 0, "standard": 3, "robust": 3, "tvn": 8}
_NEARLY_CONSTANT: Final = 0.1
"""A feature's scale is no smaller than this share of its deviation over all that is learned from:
what hardly varies among the few controls of one plate would outweigh all else there."""

_LEAST_VARIANCE: Final = 1e-3
"""Along no direction are the controls taken to vary less, in scaled features: what they do not show
at all would be stretched without end."""

_Matrix = NDArray[np.float64]


def check_normalisation(name: str) -> None:
    """Refuse what is no way to normalise.

    Raises
    ------
    UsageError
    """
    if name not in get_args(Normalisation):
        raise UsageError(
            f"normalisation {name!r}", remedy=f"use {' or '.join(get_args(Normalisation))}"
        )


def least_wells(method: Method) -> int:
    """Return of how many wells the controls of a plate must be.

    Examples
    --------
    >>> least_wells("tvn")
    8
    """
    return _LEAST[method]


def offered(plates: int) -> tuple[Method, ...]:
    """Return what can make a difference for so many plates, what takes the fewest controls first.

    Of one plate `standard` and `robust` move and stretch each feature as a whole, which the
    machine's own standardising takes back.

    Examples
    --------
    >>> offered(1), offered(2)
    (('none', 'tvn'), ('none', 'standard', 'robust', 'tvn'))
    """
    return METHODS if plates > 1 else ("none", "tvn")


def normalised(
    method: Method,
    features: _Matrix,
    origin: Origin | None,
    spread: _Matrix,
    *,
    without: Iterable[object] = (),
) -> _Matrix:
    """Bring the features of each plate to the scale of its controls.

    Parameters
    ----------
    method : {"none", "standard", "robust", "tvn"}
        See the module.
    features : ndarray of float64, shape (n, features)
        Of any plates.
    origin : Origin or None
        Their plates, and each plate's controls; not looked at for `none`.
    spread : ndarray of float64, shape (features,)
        Deviation of each feature over all examples that were learned from.
    without : iterable, optional
        Fields (as `Origin.fields` tells them apart) whose controls are not to be used.

    Returns
    -------
    ndarray of float64, shape (n, features)

    Raises
    ------
    DesignError
        When a plate has too few controls.
    UsageError
        Without an origin.

    Examples
    --------
    >>> features = np.array([[2.0], [4.0], [15.0], [25.0]])
    >>> plates = np.array(["P", "P", "Q", "Q"])
    >>> controls = {"P": features[[0, 0, 1, 1]], "Q": features[[2, 2, 3, 3]]}
    >>> normalised("standard", features, Origin(plates, controls), features.std(axis=0)).tolist()
    [[-1.0], [1.0], [-1.0], [1.0]]
    """
    if method == "none":
        return features
    if origin is None:
        raise UsageError(
            f"normalisation {method!r} without the examples' plates",
            remedy="give an origin, or normalise by none",
        )
    plates, left_out = np.asarray(origin.plates, np.str_), set(without)
    found = np.empty_like(features)
    for plate in np.unique(plates):
        own = plates == plate
        controls = _controls(str(plate), origin, method, left_out)
        found[own] = _Scale.of(method, controls, spread)(features[own])
    return found


@dataclass(frozen=True, slots=True)
class _Scale:
    """What one plate's controls say."""

    centre: _Matrix
    scale: _Matrix
    rounding: _Matrix | None
    """Turns what is centred and scaled so that the controls' covariance is round."""

    @classmethod
    def of(cls, method: Method, controls: _Matrix, spread: _Matrix) -> _Scale:
        """Measure a plate's controls, shape (n, features)."""
        from scipy.stats import median_abs_deviation

        if method == "robust":
            centre = np.asarray(np.median(controls, axis=0))
            scale = 1.4826 * np.asarray(median_abs_deviation(controls, axis=0))
        else:
            centre, scale = controls.mean(axis=0), controls.std(axis=0)
        scale = np.maximum(scale, _NEARLY_CONSTANT * spread)
        scale[scale == 0] = 1.0  # constant in all that was learned from
        rounding = _rounding((controls - centre) / scale) if method == "tvn" else None
        return cls(centre, scale, rounding)

    def __call__(self, features: _Matrix) -> _Matrix:
        """Bring features of the plate to its scale."""
        found: _Matrix = (features - self.centre) / self.scale
        return found if self.rounding is None else found @ self.rounding


def _rounding(controls: _Matrix) -> _Matrix:
    """Return the inverse root of the controls' shrunk covariance.

    The symmetric root (ZCA) alone leaves every axis where it was, so that axes of different plates
    stay comparable.
    """
    from sklearn.covariance import LedoitWolf

    values, vectors = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(controls).covariance_)
    roots = np.maximum(values, _LEAST_VARIANCE) ** -0.5
    found: _Matrix = (vectors * roots) @ vectors.T
    return found


def _controls(plate: str, origin: Origin, method: Method, without: set[object]) -> _Matrix:
    """Return the features of a plate's controls that may be used."""
    held: Mapping[str, Inputs] = origin.controls
    fields = origin.control_fields.get(plate)
    keep = np.arange(len(held[plate])) if plate in held else np.empty(0, np.intp)
    if fields is not None and without:
        keep = np.array([k for k in keep if fields[k] not in without], np.intp)
    # where nobody says which wells they are of, each is of its own
    wells = origin.control_wells.get(plate, np.arange(len(keep) and int(keep.max()) + 1))
    if (count := len(set(wells[keep].tolist()))) < least_wells(method):
        raise DesignError(
            f"{count} wells of negative controls may set its scale, {method!r} takes"
            f" {least_wells(method)}",
            where=f"plate {plate}",
            remedy="leave more controls without a class, so that none is tested, or"
            " --normalise none",
        )
    return np.asarray(held[plate][keep], np.float64)
