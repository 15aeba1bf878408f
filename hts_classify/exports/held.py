"""What a folder holds of measured fields: the tables of a pass, and the calls of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import DataError, UsageError
from ..extract import held_pass
from ..extract.quality import FLAGS
from ..files import read_json
from ..plate import Plate, read_platemap
from ..shards import TILE_ROW, flag_column, read_frame
from ..vocabulary import (
    FOLD,
    LEVEL,
    METADATA,
    PATH,
    PLATE,
    ROLE,
    SITE,
    TIMEPOINT,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measured", "read_measured"]

_ORDER: Final = (PLATE, WELL, SITE, TIMEPOINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a pass measured, and what a run made of it."""

    folder: Path
    fields: pd.DataFrame
    """A row a field: where it is, what is said of it, its quality figures and its features."""
    objects: pd.DataFrame | None
    """A row an object of these fields, where objects were measured; there may be none."""
    calls: pd.DataFrame | None
    """The predictions, where there are any."""
    wells: pd.DataFrame
    """A row a well: its plate and name, what the plate map says of it, and of a run its fold and
    role."""
    asked: dict[str, Any]
    """Settings of the pass, as `pass.json` has them."""
    settings: dict[str, Any]
    """`run.json` of a run, else what `pass.json` says."""

    @property
    def places(self) -> list[str]:
        """Columns that say which field a row is of."""
        return [name for name in _ORDER if name in self.fields]

    @property
    def features(self) -> list[str]:
        """Columns of the features, in order."""
        return columns_with(f"Image_{self.asked['features'].upper()}_", self.fields)

    @property
    def object_name(self) -> str:
        """What the objects are called."""
        return str(self.asked["objects"])

    def plates(self) -> tuple[Plate, ...]:
        """Open the plates that were measured, as they were then.

        Raises
        ------
        DataError
            When the folder does not say where they are.
        PlateError
            When one is no longer there.
        """
        return _plates(self.folder)


def read_measured(folder: Path, *, platemap: Path | None = None) -> Measured:
    """Read a folder that `run`, `extract` or `predict` has left.

    Parameters
    ----------
    folder : Path
    platemap : Path, optional
        What is in the wells; by default what the run was told, and of a mere pass nothing.

    Raises
    ------
    DataError
        When it holds none, or something half done or damaged.
    PlatemapError
        When the map does not fit the plates.
    """
    import pandas as pd

    described = _check(folder)
    features, quality = (_read(folder / f"{name}.parquet") for name in ("features", "quality"))
    about = quality[[TILE_ROW, FLAGS, *columns_with("Image_", quality)]]
    fields = features.merge(about, on=TILE_ROW, how="left", validate="1:1").drop(columns=TILE_ROW)
    if fields.empty:
        raise DataError(
            "holds no field that could be used",
            where=str(folder),
            remedy="failures.csv says why; hts-classify merge joins a part with the others",
        )
    places = [name for name in _ORDER if name in fields]
    objects = None
    if described["settings"]["labels"]:
        # Objects of fields that were left out afterwards are still in their table.
        objects = _read(folder / "objects.parquet")
        if TIMEPOINT in places and TIMEPOINT not in objects:  # those of the first alone, or none
            objects.insert(places.index(TIMEPOINT), TIMEPOINT, 0)
        objects = objects.merge(fields[places], on=places)
    calls = None
    if (folder / "predictions.parquet").exists():
        calls = _read(folder / "predictions.parquet")
    wells = _listed(fields)
    if calls is not None:
        wells = _told(wells, _said(calls))
    if platemap is not None:
        maps = [read_platemap(platemap, plate) for plate in _plates(folder)]
        wells = _told(wells, pd.concat(maps, ignore_index=True))
    fields = fields.drop(columns=[name for name in wells if name in fields and name not in places])
    run = folder / "run.json"
    return Measured(
        folder=folder,
        fields=fields,
        objects=objects,
        calls=calls,
        wells=wells,
        asked=described["settings"],
        settings=read_json(run) if run.exists() else described,
    )


def _plates(folder: Path) -> tuple[Plate, ...]:
    try:
        return held_pass(folder)[0]
    except UsageError:
        raise DataError(
            "does not say where its plates are (timings.json)",
            where=str(folder),
            remedy="copy the whole folder, or ask for profiles alone (--as profiles)",
        ) from None


def _check(folder: Path) -> dict[str, Any]:
    """Return what the pass was asked for; refuse a folder that holds none, or half a run."""
    where, remedy = str(folder), "name a run directory, or the folder of hts-classify extract"
    if not folder.exists():
        raise DataError("does not exist", where=where, remedy="check the path")
    if not folder.is_dir():
        raise DataError("is not a folder", where=where, remedy=remedy)
    lacking = [
        name
        for name in ("features/pass.json", "features.parquet", "quality.parquet")
        if not (folder / name).exists()
    ]
    if lacking:
        raise DataError(
            f"holds no finished pass: {lacking[0]} is absent", where=where, remedy=remedy
        )
    if (folder / "run.json").exists() and not (folder / "predictions.parquet").exists():
        raise DataError(
            "holds a run that is not finished: predictions.parquet is absent",
            where=where,
            remedy="the command that began it finishes it",
        )
    described: dict[str, Any] = read_json(folder / "features" / "pass.json")
    return described


def _read(file: Path) -> pd.DataFrame:
    """Read a table that this package wrote."""
    import pyarrow as pa

    try:
        table = read_frame(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"cannot be read ({str(error).splitlines()[0]})",
            where=str(file),
            remedy="delete it and give the command that made it once more",
        ) from error
    return table


def _listed(fields: pd.DataFrame) -> pd.DataFrame:
    """Return the wells, with what their fields' table says of them that is no field's own."""
    own = {PLATE, WELL, SITE, TIMEPOINT, FLAGS, *columns_with(flag_column(""), fields)}
    names = [name for name in columns_with(METADATA, fields) if name not in own]
    groups = fields.groupby([PLATE, WELL], sort=False)
    kept = [name for name in names if groups[name].nunique(dropna=False).max() == 1]
    return fields[[PLATE, WELL, *kept]].drop_duplicates([PLATE, WELL], ignore_index=True)


def _said(calls: pd.DataFrame) -> pd.DataFrame:
    """Return what calls repeat of their wells: the plate map's columns, fold and role."""
    own = calls[(calls[LEVEL] == "well") & (calls[PATH] == calls[PATH].iloc[0])]
    judged = {name: f"{METADATA}{name}" for name in (FOLD, ROLE) if name in own}
    taken = {*_ORDER, *judged.values()}
    mapped = [name for name in columns_with(METADATA, own) if name not in taken]
    said: pd.DataFrame = own[[PLATE, WELL, *mapped, *judged]].rename(columns=judged)
    return said


def _told(wells: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Add what is said of wells; it stands where something else was said."""
    stale = [name for name in more if name in wells and name not in (PLATE, WELL)]
    return wells.drop(columns=stale).merge(more, on=[PLATE, WELL], how="left")
