"""From raw grey levels to the one scale that a network sees, about mean 0 and deviation 1.

::

    tile         every tile by itself               gain and background of a tile vanish
    training     mean and deviation of them all     brightness stays
    percentile   between two of their percentiles   brightness stays, extremes are cut
    controls     each plate by its own controls     brightness stays, the plate's gain vanishes

All but `tile` are measured in one pass over the training tiles or the controls, a batch at a time,
and kept with the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import DataError, DesignError, ModelError, UsageError
from ..protocol import Inputs, Origin
from ..settings import Scaling
from .tiles import READ, Prepare, batched, read

__all__ = ["Levels", "Scale", "standardise"]

_SHARES: Final = (0.01, 0.999)
"""Shares of a channel's training pixels at or below the ends of its scale."""

_DROPPED_BITS: Final = 12
"""Of a float32, in the histogram: grey levels to 4,095 are exact, others to one part in 2,048."""

_BINS: Final = 0x7F800000 >> _DROPPED_BITS
"""Those of finite values from 0 on."""

_SPAN: Final = (-5.0, 10.0)
"""Deviations of a plate's controls that are kept. Roots of a plate's background lie about 1 below
their mean and its brightest nuclei 4 to 8 above (BBBC013, JUMP)."""

_STEPS: Final = 17.0
"""Levels a deviation: 256 over the span."""

_ALL: Final = ""
"""The key of levels that hold for every plate."""


@dataclass(frozen=True)
class Levels:
    """Where the channels of some tiles lie.

    Examples
    --------
    >>> Levels.of([torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), 4.0)])
    Levels(means=(3.0,), spreads=(1.0,))
    """

    means: tuple[float, ...]
    """Mean of each channel."""
    spreads: tuple[float, ...]
    """Standard deviation of each channel; exactly 0 where it is constant."""

    def __post_init__(self) -> None:
        if len(self.means) != len(self.spreads) or not all(
            math.isfinite(value) for value in (*self.means, *self.spreads)
        ):
            raise ModelError(f"{self} are no levels", remedy="fit the model again")

    @classmethod
    def of(cls, batches: Iterable[Tensor]) -> Levels:
        """Measure batches of tiles, shape (n, c, y, x), at least one tile."""
        count, shift, total, squares = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
        for tiles in batches:
            pixels = tiles.double()
            if not count:
                # sums about a pixel's value: a constant channel's deviation is 0, not rounding
                shift = pixels[0, :, 0, 0]
            pixels = pixels - shift.view(1, -1, 1, 1)
            count += pixels[:, 0].numel()
            total = total + pixels.sum(dim=(0, 2, 3))
            squares = squares + pixels.square().sum(dim=(0, 2, 3))
        mean = total / count
        spreads = (squares / count - mean.square()).clamp(min=0).sqrt()
        return cls(tuple((shift + mean).tolist()), tuple(spreads.tolist()))


@dataclass(frozen=True)
class Scale:
    """How a model brings raw grey levels to its scale; saved with it, applied alike ever after.

    Examples
    --------
    >>> tiles = np.arange(8, dtype=np.uint16).reshape(2, 1, 2, 2) ** 2
    >>> scale = Scale.fit("training", tiles)
    >>> scale.levels[""].means
    (3.5,)
    >>> prepare = scale.bound()
    >>> ready = prepare(torch.from_numpy(tiles.astype(np.float32)), np.arange(2))
    >>> round(ready.mean().item(), 6), round(ready.square().mean().item(), 6)
    (0.0, 1.0)
    >>> Scale.from_json(scale.as_json()) == scale
    True
    """

    kind: Scaling
    """How the scale is set."""
    levels: Mapping[str, Levels] = field(default_factory=dict)
    """Measured after the root, or the cut: for `controls` by plate, for others under `""`."""
    lows: tuple[float, ...] = ()
    """Lower end of each channel, for `percentile`."""
    highs: tuple[float, ...] = ()
    """Upper end of each channel, for `percentile`."""

    def __post_init__(self) -> None:
        plates, channels = set(self.levels), {len(one.means) for one in self.levels.values()}
        fits = {
            "tile": not plates,
            "training": plates == {_ALL},
            "percentile": plates == {_ALL},
            "controls": bool(plates),
        }
        ends = channels if self.kind == "percentile" else {0}
        if (
            not fits.get(self.kind)
            or len(channels) > 1
            or {len(self.lows), len(self.highs)} != ends
        ):
            raise ModelError(f"{self} is no scale", remedy="fit the model again")

    @classmethod
    def fit(cls, kind: Scaling, inputs: Inputs, origin: Origin | None = None) -> Scale:
        """Measure what a kind of scaling needs.

        Parameters
        ----------
        kind : {"tile", "training", "percentile", "controls"}
            `tile`: see `standardise`; nothing is measured. `training`: mean and standard deviation
            of the square roots. `percentile`: each channel is cut at its 1st and 99.9th percentile
            (of a histogram, grey levels above 4,095 to one part in 2,048), then brought to mean 0
            and deviation 1. `controls`: after 2·√(x + 3/8) (Anscombe) each plate's channels are
            centred and scaled by its negative controls, cut at 5 deviations below and 10 above,
            and rounded to the 256 levels of 8 bits; after Kensert et al., SLAS Discovery 2019,
            24:466, who stretch every image to 8 bits by its own extremes. Here the ends are fixed,
            so that brightness stays. A plate's gain vanishes, its background only in part.
        inputs : Inputs
            Raw training tiles, shape (n, c, y, x); values below 0 count as 0.
        origin : Origin, optional
            For `controls`, the plate of each tile, and the controls of each plate.

        Raises
        ------
        DataError
            For a tile with values that are not finite, or plates that are not one a tile.
        DesignError
            For `controls`, when a plate has none.
        UsageError
            For `controls` without an origin.
        """
        if kind == "tile":
            return cls(kind)
        if kind == "training":
            return cls(kind, {_ALL: Levels.of(map(_root, _read(inputs)))})
        if kind == "percentile":
            means, spreads, lows, highs = zip(*_percentiles(_read(inputs)), strict=True)
            return cls(kind, {_ALL: Levels(means, spreads)}, lows, highs)
        plates, rows = _plates(origin)
        if len(rows) != len(inputs):
            raise DataError(
                f"{len(rows)} plates for {len(inputs)} tiles", remedy="give one plate a tile"
            )
        return cls(kind, {plate: _of_controls(plate, origin) for plate in plates})

    def bound(self, origin: Origin | None = None) -> Prepare:
        """Return what brings raw tiles of these origins to the scale.

        A plate's levels are its controls' where `origin` has them, else those found at `fit`.

        Returns
        -------
        callable
            `prepare(raw, index)`: raw float32 tiles, shape (n, c, y, x), on any device, and their
            n places in the origin, to new tiles of that shape. A channel that was constant where
            it was measured is 0.

        Raises
        ------
        DataError
            For a control with values that are not finite.
        DesignError
            For `controls`, when a plate has none and was not there at `fit`.
        UsageError
            For `controls` without an origin.
        """
        if self.kind == "tile":
            return lambda raw, index: standardise(raw)
        levels, rows = [*self.levels.values()], None
        if self.kind == "controls":
            plates, rows = _plates(origin)
            levels = [_of_controls(plate, origin, self.levels.get(plate)) for plate in plates]
        mean = _Rows([one.means for one in levels], rows)
        # what was constant says nothing, and has no deviation to divide by
        gain = _Rows([[1 / one if one else 0.0 for one in held.spreads] for held in levels], rows)
        low, high = _Rows([self.lows]), _Rows([self.highs])

        def prepare(raw: Tensor, index: NDArray[np.intp]) -> Tensor:
            if self.kind == "training":
                values = _root(raw)
            elif self.kind == "percentile":
                values = raw.clamp(low(raw.device), high(raw.device))
            else:
                values = _anscombe(raw)
            values.sub_(mean(raw.device, index)).mul_(gain(raw.device, index))
            return _eight_bits(values) if self.kind == "controls" else values

        return prepare

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Scale:
        """Make a scale of what `as_json` gave, exactly; `ModelError` for what it cannot be."""
        try:
            levels = {
                str(plate): Levels(_floats(held["means"]), _floats(held["spreads"]))
                for plate, held in content["levels"].items()
            }
            return cls(content["kind"], levels, _floats(content["lows"]), _floats(content["highs"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"no scale ({error})", remedy="fit the model again") from error


def standardise(tiles: Tensor) -> Tensor:
    """Bring each channel of each tile to mean 0 and standard deviation 1 after a square root.

    Gain and background change between batches and plates, and 8 and 16 bits differ by 257.
    The least grey level is subtracted before the square root and the scale divided out after
    it, so the result is the same for a·x + b with any a > 0 and b. The square root makes shot
    noise alike in dark and bright pixels, and keeps a few bright cells from drowning the rest.
    What is lost is a tile's brightness; it says more about the batch than about the cells.

    Parameters
    ----------
    tiles : Tensor of float32, shape (n, c, y, x)
        Raw grey levels.

    Returns
    -------
    Tensor of float32, shape (n, c, y, x)
        A constant channel gives zeros.

    Examples
    --------
    >>> tile = torch.tensor([[[[0.0, 4.0], [4.0, 0.0]]]])
    >>> standardise(tile).flatten().tolist() == standardise(257 * tile + 9).flatten().tolist()
    True
    """
    rooted = (tiles - tiles.amin(dim=(2, 3), keepdim=True)).sqrt_()
    rooted -= rooted.mean(dim=(2, 3), keepdim=True)
    spread = rooted.square().mean(dim=(2, 3), keepdim=True).sqrt_()
    return rooted.div_(torch.where(spread > 0, spread, 1.0))


class _Rows:
    """Values by channel, or by each example's row and channel, kept on each device once moved."""

    def __init__(
        self, values: Sequence[Sequence[float]], rows: NDArray[np.intp] | None = None
    ) -> None:
        table = torch.tensor(values, dtype=torch.float32)[..., None, None]
        self._held = {torch.device("cpu"): table}
        self._rows = rows if len(values) > 1 else None

    def __call__(self, device: torch.device, index: NDArray[np.intp] | None = None) -> Tensor:
        """Return the values of these examples, shape (n or 1, c, 1, 1)."""
        if device not in self._held:
            self._held[device] = self._held[torch.device("cpu")].to(device)
        table = self._held[device]
        if self._rows is None or index is None:
            return table
        return table[torch.from_numpy(self._rows[index]).to(device, non_blocking=True)]


def _root(raw: Tensor) -> Tensor:
    return raw.clamp(min=0).sqrt_()


def _anscombe(raw: Tensor) -> Tensor:
    return raw.clamp(min=0).add_(0.375).sqrt_().mul_(2)


def _eight_bits(values: Tensor) -> Tensor:
    low, high = _SPAN
    return values.clamp_(low, high).sub_(low).mul_(_STEPS).round_().div_(_STEPS).add_(low)


def _read(inputs: Inputs, what: str = "example") -> Iterator[Tensor]:
    """Read every tile once, a batch at a time, as float32."""
    for index in batched(np.arange(len(inputs)), READ):
        yield read(inputs, index, what)


def _percentiles(batches: Iterable[Tensor]) -> list[tuple[float, float, float, float]]:
    """Return each channel's mean and deviation between its percentiles, and these."""
    counts = sum(map(_histograms, batches), start=torch.zeros((), dtype=torch.long)).numpy()
    values = (np.arange(_BINS, dtype=np.int32) << _DROPPED_BITS).view(np.float32).astype(np.float64)
    return [_between(one, values) for one in counts]


def _histograms(tiles: Tensor) -> Tensor:
    """Count each channel's values by the leading bits of their float32, which grow with them."""
    pixels = tiles.clamp(min=0).abs()  # abs: the sign bit of -0.0 goes
    keys = pixels.view(torch.int32) >> _DROPPED_BITS
    return torch.stack([one.flatten().bincount(minlength=_BINS) for one in keys.unbind(1)])


def _between(counts: NDArray[Any], values: NDArray[Any]) -> tuple[float, float, float, float]:
    filled = np.flatnonzero(counts)
    counts, values = counts[filled], values[filled]
    upto = counts.cumsum()
    low, high = values[np.searchsorted(upto, [math.ceil(share * upto[-1]) for share in _SHARES])]
    kept = values.clip(low, high)
    mean = (counts * kept).sum() / upto[-1]
    spread = math.sqrt((counts * (kept - mean) ** 2).sum() / upto[-1])
    return float(mean), spread, float(low), float(high)


def _plates(origin: Origin | None) -> tuple[list[str], NDArray[np.intp]]:
    """Return the plates' names, sorted, and each example's place among them."""
    if origin is None:
        raise UsageError(
            "scaling by controls without the tiles' plates",
            remedy="give an origin, or choose another scaling",
        )
    plates, rows = np.unique(np.asarray(origin.plates, dtype=np.str_), return_inverse=True)
    return plates.tolist(), rows.astype(np.intp)


def _of_controls(plate: str, origin: Origin | None, found: Levels | None = None) -> Levels:
    """Return a plate's levels by its controls, else those found before."""
    controls = origin.controls.get(plate) if origin else None
    if controls is not None and len(controls):
        return Levels.of(map(_anscombe, _read(controls, f"plate {plate}, control")))
    if found is None:
        raise DesignError(
            "no negative controls may set its scale",
            where=f"plate {plate}",
            remedy="leave controls unscored (they are trained on, not tested), "
            "or choose another scaling",
        )
    return found


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(map(float, values))
