"""How a run was done, in words: what `run.json` says of both paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..models.settings import NETWORKS
from ..vocabulary import PATHS

if TYPE_CHECKING:
    from .record import Record

__all__ = ["method"]

_TUNE: Final = {
    "all": "all of it learned further",
    "last": "its last block and its head learned",
    "head": "its head alone learned",
}
_SCALING: Final = {
    "tile": "every tile scaled by itself, so that brightness is not seen",
    "training": "grey levels scaled by mean and deviation of the training tiles",
    "percentile": "grey levels scaled by percentiles of the training tiles",
    "controls": "grey levels of each plate scaled by its negative controls",
}
_VARIED: Final = {
    "rotation": "rotation up to {:g}°",
    "zoom": "zoom ±{:.0%}",
    "shift": "shift up to {:.0%} of a side",
    "gain": "gain of each channel ±{:.0%}",
    "blur": "blur up to {:g} pixels",
    "noise": "noise up to {:g} deviations",
    "cutout": "cut-out up to {:.0%} of a side",
    "crop": "random squares of {:d} pixels",
}


def method(record: Record) -> list[tuple[str, str]]:
    """Return what is to be said of the two paths' inputs and settings: (what, how)."""
    settings = record.run["settings"]
    cnn = settings.get("cnn", {})
    rows = [
        (
            "features",
            f"{settings['features'].upper()} of every channel, into an RBF support vector machine",
        ),
        ("thresholds", thresholds(settings)),
        ("normalisation", normalisation(settings, record.comparison["training"])),
        (
            "CNN",
            f"{network(cnn)}, {_tiles(settings, record)}{_enlarged(cnn)}",
        ),
    ]
    if "scaling" in cnn:
        rows.append(("grey levels", _SCALING.get(cnn["scaling"], cnn["scaling"])))
    if "augmentation" in cnn:
        seen = "; scores are means over flips and turns" if cnn.get("views") else ""
        rows.append(("augmentation", varied(_cropped(cnn)) + seen))
    return rows


def thresholds(settings: Mapping[str, Any]) -> str:
    """Say how a channel's threshold and margin are set.

    Examples
    --------
    >>> thresholds({"features": "tas", "full_scale": 4095})
    'threshold and margin fixed at 30/255 of 4095 grey levels (Hamilton)'
    """
    if settings["features"] == "pftas":
        return "Otsu's of each image; margin: the standard deviation of the pixels above it"
    full_scale = settings.get("full_scale")
    of = f"{full_scale} grey levels" if full_scale else "the pixel type's full scale"
    return f"threshold and margin fixed at 30/255 of {of} (Hamilton)"


def normalisation(settings: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Say how plates were brought to one scale; `training` is that of `comparison.json`.

    Examples
    --------
    >>> fits = {f"tas_svm-fold{k}": {"training": {"normalise": m}} for k, m in enumerate("ab")}
    >>> normalisation({"normalise": "auto"}, fits)
    "TAS features by each plate's negative controls, as inner splits chose: a 1×, b 1×"
    """
    asked = settings.get("normalise", "none")
    if asked == "none":
        return "none: TAS features as they are"
    if asked != "auto":
        return f"TAS features by each plate's negative controls: {asked}"
    made = Counter(
        fit["training"]["normalise"] for step, fit in training.items() if step.startswith(PATHS[0])
    )
    chosen = ", ".join(f"{method} {count}×" for method, count in made.most_common())
    return f"TAS features by each plate's negative controls, as inner splits chose: {chosen}"


def network(cnn: Mapping[str, Any]) -> str:
    """Say which network learned, and what it started from.

    Examples
    --------
    >>> network({"network": "mobilenet_v2", "weights": "imagenet", "tune": "last"})
    'mobilenet_v2 from ImageNet weights, its last block and its head learned'
    >>> network({})
    'from scratch'
    """
    name = f"{cnn['network']} " if "network" in cnn else ""
    weights = cnn.get("weights")
    if not weights:
        return f"{name}from scratch"
    start = "ImageNet weights" if weights == "imagenet" else f"the weights in {weights}"
    return f"{name}from {start}, {_TUNE.get(cnn.get('tune', 'all'))}"


def varied(augmentation: Mapping[str, Any]) -> str:
    """Say how training tiles are varied.

    Examples
    --------
    >>> varied({"turns": True, "gain": 0.1, "noise": 0.0})
    'flips and right-angle turns, gain of each channel ±10%'
    """
    parts = ["flips and right-angle turns"] if augmentation.get("turns") else []
    parts += [
        form.format(augmentation[key]) for key, form in _VARIED.items() if augmentation.get(key)
    ]
    return ", ".join(parts) or "none"


def _cropped(cnn: Mapping[str, Any]) -> dict[str, Any]:
    """Return how tiles were varied, with the crop that the network takes by itself."""
    held = dict(cnn["augmentation"])
    known = NETWORKS.get(cnn.get("network", ""))
    if held.get("crop") is None and known and cnn.get("tune") != "head":
        held["crop"] = known.crop
    return held


def _tiles(settings: Mapping[str, Any], record: Record) -> str:
    """Say what the CNN saw of a field."""
    kind, size = settings.get("crops", "none"), settings.get("crop_size")
    if kind == "grid":
        return f"{settings['crops_per_field']} crops of {size} pixels a field at full resolution"
    if kind == "objects":
        most, labels = settings["crops_per_field"], settings["labels"]
        return (
            f"full-resolution crops of {size} pixels, one an object of {labels} and at most"
            f" {most} a field"
        )
    return f"tiles of {max(record.tiles.shape[2:])} pixels along the longer side"


def _enlarged(cnn: Mapping[str, Any]) -> str:
    return f", enlarged to {cnn['enlarge']}" if cnn.get("enlarge") else ""
