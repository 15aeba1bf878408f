"""What the folder of a run's models holds, and whether a plate is what they learned from.

::

    inputs.json ─► what the pass is asked for, so that models see what they learned from
    known-*.parquet, unlike.json ─► what tells wells that are none of the classes
    cascade.json ─► how sure TAS + SVM has to be of a well
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cascade import CASCADE
from .errors import ModelError, UsageError
from .extract import PassSettings
from .models import load
from .models.card import damaged, read_card
from .plate import Plate, select_channels
from .shards import read_frame
from .unlike import UNLIKE_CARD, known_wells
from .vocabulary import PATHS, PROFILE, columns_with

if TYPE_CHECKING:
    import pandas as pd

    from .models.protocol import Classifier

__all__ = ["Saved", "as_learned", "check_plate", "pass_for", "read_inputs"]

_KEYS = (
    "aggregate",
    "channels",
    "crop_size",
    "crops",
    "crops_per_field",
    "dtype",
    "features",
    "full_scale",
    "labels",
    "normalise",
    "scaling",
    "tile_scale",
    "view",
    "volumes",
)
_MEASURED = ("features", "full_scale", "labels", "crops", "crop_size", "crops_per_field")
"""What of a card the pass is asked for, by the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The models of a run, read back."""

    folder: Path
    """`models/` of the run directory."""
    inputs: Mapping[str, Any]
    """What the models must be given (JSON)."""
    models: tuple[Classifier, ...]
    """One a path, in their order."""
    familiar: Mapping[str, tuple[pd.DataFrame, float | None]]
    """For each path how its model sees the wells that it learned from, and how far is too far."""

    @classmethod
    def read(cls, folder: Path, inputs: Mapping[str, Any], device: str) -> Saved:
        """Read models for a device.

        Raises
        ------
        ModelError
            When one is missing or damaged, or they are of different runs.
        """
        models = tuple(load(name, folder, device=device) for name in PATHS)
        _check_channels(models, inputs, folder)
        familiar = _familiar(models, folder)
        return cls(folder=folder, inputs=inputs, models=models, familiar=familiar)

    def threshold(self, aggregate: str) -> float:
        """Return how sure TAS + SVM has to be of a well, as the models' run chose it."""
        file = self.folder / CASCADE
        if not file.exists():
            raise ModelError(
                "holds no threshold for a cascade (cascade.json is absent)",
                where=str(self.folder),
                remedy="name the models/ folder of a finished run, or leave --cascade out",
            )
        card = read_card(file, ("aggregate", "threshold"))
        if card["aggregate"] != aggregate:
            raise UsageError(
                f"--cascade with --aggregate {aggregate}, and its threshold is for"
                f" {card['aggregate']}",
                where=str(file),
                remedy="leave --aggregate out",
            )
        return float(card["threshold"])


def as_learned(
    models: str | Path, plates: Sequence[Plate], *, exclude_flagged: bool = False
) -> tuple[tuple[Plate, ...], PassSettings]:
    """Return plates as models see them, and what a pass is asked for that `predict` goes on from.

    Parameters
    ----------
    models : path
        `models/` of a run directory.
    plates : sequence of Plate
    exclude_flagged : bool, optional
        Leave out flagged fields.

    Raises
    ------
    ModelError
        When a plate lacks a channel of theirs or has other pixels.
    """
    folder = Path(models)
    inputs = read_inputs(folder)
    for plate in plates:
        check_plate(plate, inputs, folder)
    shown = tuple(select_channels(plate, inputs["channels"]) for plate in plates)
    return shown, replace(pass_for(inputs), exclude_flagged=exclude_flagged)


def pass_for(inputs: Mapping[str, Any]) -> PassSettings:
    """Say what the pass is asked for, so that models see what they learned from."""
    return PassSettings(
        scale=(inputs["tile_scale"][0], inputs["tile_scale"][1]),
        **{name: inputs[name] for name in _MEASURED},
    )


def read_inputs(folder: Path) -> dict[str, Any]:
    """Read what models must be given."""
    file = folder / "inputs.json"
    if not file.exists():
        raise ModelError(
            "holds no models (inputs.json is absent)",
            where=str(folder),
            remedy="name the models/ folder of a finished run",
        )
    return read_card(file, _KEYS)


def check_plate(plate: Plate, inputs: Mapping[str, Any], folder: Path) -> None:
    """Refuse a plate whose pixels do not mean what the models learnt."""
    if not set(inputs["channels"]) <= set(plate.channels):
        raise ModelError(
            f"channels are {', '.join(plate.channels)}, the models in {folder} were trained on"
            f" {', '.join(inputs['channels'])}",
            where=plate.path,
            remedy="name the plate's channels, in order, with --channels",
        )
    if plate.dtype != inputs["dtype"]:
        raise ModelError(
            f"pixels are {plate.dtype}, the models in {folder} were trained on {inputs['dtype']}",
            where=plate.path,
            remedy="train on a plate of this type",
        )
    if plate.volumes != inputs["volumes"]:
        kinds = {True: "volumes", False: "single planes"}
        raise ModelError(
            f"fields are {kinds[plate.volumes]}, the models in {folder} were trained on"
            f" {kinds[inputs['volumes']]}",
            where=plate.path,
            remedy="choose the planes as then, with --z",
        )


def _check_channels(models: Sequence[Classifier], inputs: Mapping[str, Any], folder: Path) -> None:
    """Refuse a CNN that was trained on other channels than its folder says."""
    for model in models:
        own = getattr(model, "channels", None)
        if own is not None and list(own) != inputs["channels"]:
            raise ModelError(
                f"{model.name} was trained on {', '.join(own) or 'unnamed channels'},"
                f" inputs.json says {', '.join(inputs['channels'])}",
                where=str(folder),
                remedy="name the models/ folder of one run, as the run left it",
            )


def _familiar(
    models: Sequence[Classifier], folder: Path
) -> dict[str, tuple[pd.DataFrame, float | None]]:
    """Read for each path how its model sees the wells that it learned from, and how far is too far.

    Raises
    ------
    ModelError
        When these are absent, damaged, or of other models.
    """
    files = {model.name: known_wells(folder, model.name) for model in models}
    for file in (folder / UNLIKE_CARD, *files.values()):
        if not file.exists():
            raise ModelError(
                f"holds nothing to tell wells that are none of the classes by ({file.name} is"
                " absent)",
                where=str(folder),
                remedy="name the models/ folder of a finished run of this version",
            )
    limits = read_card(folder / UNLIKE_CARD, tuple(files))
    found = {}
    for model in models:
        try:
            known = read_frame(file := files[model.name])
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise damaged(file, f"cannot be read ({str(error).splitlines()[0]})") from error
        if len(columns_with(PROFILE, known)) != model.features:
            raise damaged(file, f"is of another model than {model.name}")
        found[model.name] = known, limits[model.name]
    return found
