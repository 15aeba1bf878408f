"""What a path sees of a field: its features, or one downscaled tile, or full-resolution crops.

Crops stand in the place of tiles: asked for the tiles of some fields, `FieldCrops` gives all
crops of these fields, one field after another, and says how many are of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, FieldError
from .extract import Extraction, PassSettings
from .extract.settings import folder_name
from .extract.tables import CHANNEL, REASON, RETRY
from .files import whole
from .models.protocol import Inputs
from .plate import Plate
from .shards import CROP, TILE_ROW, feature_matrix, read_frame
from .tiles import CropStore, TileStore, grid_crops
from .vocabulary import PLATE, SITE, TIMEPOINT, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FieldCrops", "Tiles", "check_crops", "keep_seen", "seen", "usable"]

_FIELD: Final = [PLATE, WELL, SITE, TIMEPOINT]


class FieldCrops:
    """The crops of a pass by their fields, in the place of a `TileStore`.

    Parameters
    ----------
    store : CropStore
    crops : DataFrame
        One row a crop, as in `crops.parquet`.
    features : DataFrame
        One row a field; crops of other fields are left out.
    shape : tuple of int
        Channels, y, x of a crop.
    """

    def __init__(
        self,
        store: CropStore,
        crops: pd.DataFrame,
        features: pd.DataFrame,
        *,
        shape: tuple[int, int, int],
    ) -> None:
        table = _timed(crops)[[*_FIELD, CROP]].merge(_timed(features)[[*_FIELD, TILE_ROW]])
        table = table.sort_values([TILE_ROW, CROP])
        self._store = store
        self._of = table[TILE_ROW].to_numpy(np.intp)
        self._wells = table[[PLATE, WELL]].to_numpy(object)
        self._places = table[CROP].to_numpy(np.intp)
        self.shape = (len(table), *shape)
        """Crops, channels, y, x."""

    def counts(self, rows: Sequence[int] | NDArray[Any]) -> NDArray[np.intp]:
        """Return how many crops each of these fields has; fields go by their tile's row."""
        return np.searchsorted(self._of, rows, "right") - np.searchsorted(self._of, rows, "left")

    def view(self, rows: Sequence[int] | NDArray[Any]) -> Inputs:
        """Return the crops of some fields, field after field, read when they are asked for."""
        which = self._which(rows)
        if not len(which):
            return np.empty((0, *self.shape[1:]), np.float32)
        plates, wells = self._wells[which].T
        return self._store.view(
            [folder_name(plate) for plate in plates], list(wells), self._places[which], keys=which
        )

    def places(self, rows: Sequence[int] | NDArray[Any]) -> NDArray[np.intp]:
        """Return the place of each crop among its well's, in the order of `view`."""
        return self._places[self._which(rows)]

    def _which(self, rows: Sequence[int] | NDArray[Any]) -> NDArray[np.intp]:
        """Return which crops are of these fields, field after field."""
        counts = self.counts(rows)
        firsts = np.searchsorted(self._of, rows, "left") - (np.cumsum(counts) - counts)
        return np.repeat(firsts, counts) + np.arange(counts.sum())


Tiles = TileStore | FieldCrops
"""What the CNN sees: `shape`, and the `view` of some fields by their tile's row."""


def usable(
    out: Path,
    settings: PassSettings,
    features: pd.DataFrame,
    tiles: TileStore,
    crops: pd.DataFrame | None,
) -> tuple[pd.DataFrame, Tiles]:
    """Return the fields that both paths can see, and what the CNN sees of them.

    Parameters
    ----------
    out : Path
        Where the pass writes.
    settings : PassSettings
        What it was asked for.
    features, tiles, crops
        What it left; no `crops` where none were asked for.
    """
    if crops is None:
        return features, tiles
    size = settings.crop_size
    shape = (tiles.shape[1], size, size)
    held = FieldCrops(CropStore(out / "crops.zarr"), crops, features, shape=shape)
    return features[held.counts(features[TILE_ROW].to_numpy()) > 0].reset_index(drop=True), held


def keep_seen(
    out: Path, settings: PassSettings, extraction: Extraction
) -> tuple[Extraction, Tiles]:
    """Leave out the fields that the CNN has no crop of, and say so in `failures.csv`.

    TAS could be taken of a field without an object, but then the paths would not be held against
    each other on the same fields.

    Raises
    ------
    DataError
        When no field has a crop.
    """
    import pandas as pd

    if settings.crops == "none":
        return extraction, extraction.tiles
    features, failures = extraction.features, extraction.failures
    crops = read_frame(out / "crops.parquet")
    seen, tiles = usable(out, settings, features, extraction.tiles, crops)
    lacking = features[~features[TILE_ROW].isin(seen[TILE_ROW])]
    if len(lacking) == len(features):
        raise DataError(
            f"no field has an object in label image {settings.labels!r}: there is nothing to crop",
            where=str(out / "crops.parquet"),
            remedy="see that it is the label image that was meant",
        )
    if len(lacking):
        reason = f"no object in label image {settings.labels!r}, hence no crop for the CNN"
        lost = lacking.reindex(columns=failures.columns)
        lost = lost.assign(**{CHANNEL: "", REASON: reason, RETRY: ""}).astype({SITE: "Int64"})
        parts = [part for part in (failures, lost) if len(part)]
        failures = pd.concat(parts, ignore_index=True)
        with whole(out / "failures.csv") as part:
            failures.to_csv(part, index=False)
    return replace(extraction, features=seen, failures=failures), tiles


def check_crops(plates: Sequence[Plate], settings: PassSettings, *, remedy: str) -> None:
    """Refuse crops that a plate's fields have no room or no objects for; reads no pixels.

    Parameters
    ----------
    plates : sequence of Plate
    settings : PassSettings
    remedy : str
        What whoever asked can do about it.

    Raises
    ------
    UsageError
        For more crops than there are places.
    DataError
        When fields are smaller than a crop, or no field has the label image.
    """
    for plate in plates if settings.labels else ():
        known = sorted({name for field in plate.fields for name in plate.label_names(field)})
        if settings.labels not in known:
            raise DataError(
                f"no field has a label image {settings.labels!r}; they have"
                f" {', '.join(known) or 'none'}",
                where=plate.path,
                remedy=remedy,
            )
    if settings.crops == "none":
        return
    side = isqrt(settings.crops_per_field) if settings.crops == "grid" else 1
    for plate in plates:
        try:
            grid_crops(plate.field_shape, settings.crop_size, side)
        except FieldError as error:
            raise DataError(error.what, where=plate.path, remedy=remedy) from error


def _timed(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table its time points, which it lacks where all are 0."""
    return table if TIMEPOINT in table else table.assign(**{TIMEPOINT: 0})


def seen(
    path: str, features: pd.DataFrame, tiles: Tiles, rows: NDArray[np.intp]
) -> tuple[Inputs, NDArray[np.intp]]:
    """Return what one path sees of some fields, and for each input the field that it is of.

    Parameters
    ----------
    path : str
        One of `vocabulary.PATHS`.
    features, tiles
        What the pass left.
    rows : ndarray of int
        Rows of `features`.

    Returns
    -------
    inputs : Inputs
        Features or tiles, one a field, or crops, of which a field may have several.
    rows : ndarray of int, shape (inputs,)
        Rows of `features`, in the order in which they were given.
    """
    if path != "cnn":
        return feature_matrix(features.iloc[rows]), rows
    held = features[TILE_ROW].to_numpy()[rows]
    of = np.repeat(rows, tiles.counts(held)) if isinstance(tiles, FieldCrops) else rows
    return tiles.view(held), of
