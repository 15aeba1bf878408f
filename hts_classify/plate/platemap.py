"""The plate map: which treatment is in which well.

A CSV or TSV table with a column of wells; `columns` says which column is which. An image list
whose `Metadata_` columns say more than where its files belong is one too, of its own plates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import DataError, HTSWarning, PlatemapError, UsageError
from ..vocabulary import (
    CONCENTRATION,
    PLATE,
    WELL,
    split_well,
    well_name,
)
from .columns import FIRST, Columns, recognise, resolve_column, take_target
from .fields import split_choice
from .layout import Plate
from .list_metadata import has_treatments, well_rows
from .list_table import is_image_list, read_list
from .ome_zarr import store_stem

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "contradictions",
    "find_platemap",
    "listed_wells",
    "platemap_path",
    "read_platemap",
]

_SUFFIX: Final = ".platemap.csv"
_MISSING: Final = ("", "NA", "N/A", "#N/A", "NaN", "nan")
"""Cells that say nothing: empty, or as R, Excel and NumPy write an empty one."""
_SHOWN: Final = 5


def platemap_path(plate_path: str | Path) -> Path:
    """Return where a plate's map is looked for, and written by the simulator: beside it.

    Examples
    --------
    >>> platemap_path("screens/BR00117.ome.zarr").as_posix()
    'screens/BR00117.platemap.csv'
    """
    path = Path(plate_path)
    return path.parent / f"{store_stem(path)}{_SUFFIX}"


def find_platemap(plate_path: str | Path) -> Path | None:
    """Find the map that lies with a plate.

    For `x/plate.ome.zarr`, the first of `x/plate.ome.zarr.platemap.csv`, `x/plate.platemap.csv`
    and `x/plate.ome.zarr/platemap.csv` that exists; None when none does. An image list is its own
    map where it has `Metadata_` columns besides those that say where its files belong.

    Examples
    --------
    >>> find_platemap("no/such/plate.zarr") is None
    True
    """
    path = Path(plate_path)
    table, _ = split_choice(path)
    candidates = (
        path.parent / f"{path.name}{_SUFFIX}",
        platemap_path(path),
        path / "platemap.csv",
        table.parent / f"{table.name}{_SUFFIX}",
        table.parent / f"{table.stem}{_SUFFIX}",
    )
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None and table.is_file() and is_image_list(table):
        return table if has_treatments(read_list(table)) else None
    return found


def read_platemap(
    path: str | Path, plate: Plate, *, columns: Columns | None = None, target: str | None = None
) -> pd.DataFrame:
    """Read a plate map and fit it to a plate.

    Parameters
    ----------
    path : str or Path
        A CSV or TSV table with a header, UTF-8; or an image list.
    plate : Plate
        The plate that it describes.
    columns : Columns, optional
        Names of the map's columns; those left out are recognised by `vocabulary.ALIASES`.
    target : str, optional
        The class column, which must be there; `resolve_column(frame, target)` finds it in the
        result.

    Returns
    -------
    pandas.DataFrame
        One row for each well that has fields, in plate order, index from 0. `Metadata_Plate`,
        `Metadata_Well`, then `Metadata_Compound`, `Metadata_Concentration` (float64),
        `Metadata_Batch`, `Metadata_ControlType` where the map has them, then the others as
        `Metadata_<name>` (str). What the map does not say is a missing value. A target whose
        name `columns` has given to another column keeps the name that the map has for it.

    Raises
    ------
    PlatemapError
        When the map cannot be read, contradicts itself, or is of another plate.
    UsageError
        When a column that was asked for is not there.

    Warns
    -----
    HTSWarning
        When the map names wells that the plate has not.
    """
    path = Path(path)
    listed = is_image_list(path)
    frame = _read_list(path, plate, columns or Columns(), target) if listed else _read_table(path)
    names = recognise([str(c) for c in frame.columns], columns or Columns(), where=str(path))
    renamed = frame[list(names)].rename(columns=names)
    titles = {canonical: title for title, canonical in names.items()}
    if target is not None:
        left_out = [str(title) for title in frame.columns if title not in names]
        target = take_target(renamed, frame, target, left_out=left_out)
    kept = _of_this_plate(renamed, plate, titles, where=str(path))
    kept[WELL] = _clean_wells(kept[WELL], where=str(path))
    kept = _one_row_a_well(kept, titles, target=target, where=str(path))
    if CONCENTRATION in kept:
        kept[CONCENTRATION] = _numbers(kept, titles[CONCENTRATION], where=str(path))
    kept = _fit(kept, plate, where=str(path))
    if target is not None and bool(kept[target].isna().all()):
        raise PlatemapError(
            f"no well of plate {plate.name} has a value in {titles.get(target, target)!r}",
            where=str(path),
            remedy="give the class of the wells to learn from",
        )
    first = [column for column in FIRST if column in kept]
    return kept[first + [column for column in kept.columns if column not in first]]


def _read_table(path: Path) -> pd.DataFrame:
    """Read every cell as text; empty rows are left out, the index is the line in the file."""
    import pandas as pd

    remedy = "save it as a CSV or TSV table, UTF-8, with a header"
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
            frame = pd.read_csv(
                path,
                sep=max(",\t;", key=header.count),
                header=None,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
            )
    except FileNotFoundError:
        raise PlatemapError("no such file", where=str(path), remedy="check the path") from None
    except PermissionError:
        raise PlatemapError(
            "may not be read", where=str(path), remedy="change its permissions, or copy it"
        ) from None
    except (OSError, ValueError) as error:  # pandas' and Unicode's errors are ValueErrors
        raise PlatemapError(f"cannot be read ({error})", where=str(path), remedy=remedy) from error
    frame = frame.apply(lambda column: column.str.strip())
    frame = frame.mask(frame.isin(_MISSING))
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    titles = [str(title) for title in frame.iloc[0].fillna("")]
    twice = sorted({title for title in titles if title and titles.count(title) > 1})
    if twice:
        raise PlatemapError(f"two columns are called {twice[0]!r}", where=str(path), remedy=remedy)
    frame.columns = pd.Index(titles)
    table: pd.DataFrame = frame.iloc[1:, [i for i, title in enumerate(titles) if title]]
    table = table.dropna(how="all")
    if table.empty:
        raise PlatemapError("has no rows", where=str(path), remedy="write a row for each well")
    return table


def _read_list(path: Path, plate: Plate, columns: Columns, target: str | None) -> pd.DataFrame:
    """Read what an image list says of wells: the plate's own of its, others of all they name.

    What differs from field to field of a well is left out, unless it was asked for by name: then
    it is a contradiction.
    """
    frame = well_rows(read_list(path))
    frame = frame.mask(frame.isin(_MISSING))
    asked = [name for name in (target, *columns.chosen().values()) if name is not None]
    wanted = set()
    for name in asked:
        with suppress(UsageError):
            wanted.add(resolve_column(frame, name))
    varying = [name for name in frame.attrs["varying"] if name not in wanted]
    table, chosen = split_choice(plate.path)
    if PLATE in frame and table.resolve() == path.resolve():
        varying.append(PLATE)  # whatever the plate is called meanwhile
        frame = frame[frame[PLATE] == chosen] if chosen else frame
    return frame.drop(columns=varying)


def listed_wells(plate: Plate) -> pd.DataFrame | None:
    """Return what a plate's own image list says of its wells, as `read_platemap` does.

    None where it says nothing, or the plate is of another store.
    """
    if not plate.metadata:
        return None
    table, _ = split_choice(plate.path)
    return read_platemap(table, plate) if has_treatments(read_list(table)) else None


def contradictions(wells: pd.DataFrame, plate: Plate) -> list[str]:
    """Say where a plate map, which is what counts, and the plate's own image list do not agree.

    Parameters
    ----------
    wells : DataFrame
        What `read_platemap` returned for the plate.
    plate : Plate
        One whose `metadata` are an image list's.

    Returns
    -------
    list of str
        A sentence for each column that both have and that differs; what is missing in the list
        contradicts nothing.
    """
    listed = listed_wells(plate)
    if listed is None:
        return []
    own = listed.set_index(WELL)
    theirs = wells[wells[PLATE] == plate.name].set_index(WELL)
    said = []
    for name in own.columns.intersection(theirs.columns).drop(PLATE):
        here, held = own[name], theirs[name].reindex(own.index)
        differing = int((here.notna() & (here != held)).sum())
        if differing:
            said.append(
                f"{plate.name}: {name} is the plate map's; the image list says otherwise of"
                f" {differing} well{'s' * (differing > 1)}"
            )
    return said


def _of_this_plate(
    frame: pd.DataFrame, plate: Plate, titles: Mapping[str, str], *, where: str
) -> pd.DataFrame:
    """Leave out the rows of other plates, where the map names plates."""
    if PLATE not in frame:
        return frame.copy()
    blank = frame[frame[PLATE].isna()]
    if not blank.empty:
        well = blank[WELL].fillna("").iloc[0]
        raise PlatemapError(
            f"no {titles[PLATE]}{' for well ' + well if well else ''}",
            where=f"{where} line {blank.index[0]}",
            remedy="fill the column in every row (a merged cell fills only its first), or"
            " leave it out",
        )
    own = frame[frame[PLATE].isin([plate.name, store_stem(Path(plate.path))])]
    if own.empty:
        others = sorted(set(frame[PLATE].dropna()))
        raise PlatemapError(
            f"no row is of plate {plate.name}, only of {_some(others)}",
            where=where,
            remedy="correct the column of plates, or leave it out",
        )
    return own.drop(columns=PLATE)


def _clean_wells(wells: pd.Series[str], *, where: str) -> list[str]:
    names = []
    for line, well in wells.items():
        try:
            row, column = split_well(str(well))
        except DataError:
            raise PlatemapError(
                "no well" if well != well else f"{well!r} is no well",
                where=f"{where} line {line}",
                remedy="write wells as B03 or B3",
            ) from None
        names.append(well_name(row, column))
    return names


def _one_row_a_well(
    frame: pd.DataFrame, titles: Mapping[str, str], *, target: str | None, where: str
) -> pd.DataFrame:
    """Drop rows that say the same twice; refuse those that do not agree."""
    frame = frame.drop_duplicates()
    twice = frame[frame[WELL].duplicated(keep=False)]
    if twice.empty:
        return frame
    well = str(twice[WELL].iloc[0])
    rows = twice[twice[WELL] == well].fillna("")
    differing = [c for c in rows.columns if rows[c].nunique() > 1]
    column = target if target in differing else differing[0]
    values = " and ".join(repr(value) for value in dict.fromkeys(rows[column]))
    raise PlatemapError(
        f"well {well} comes {len(rows)} times, with {titles.get(column, column)} {values}",
        where=where,
        remedy="keep one row a well; a map of several plates needs a column 'plate'",
    )


def _numbers(frame: pd.DataFrame, title: str, *, where: str) -> pd.Series[float]:
    import pandas as pd

    numbers = pd.to_numeric(frame[CONCENTRATION], errors="coerce").astype("float64")
    wrong = frame[numbers.isna() & frame[CONCENTRATION].notna()]
    if not wrong.empty:
        raise PlatemapError(
            f"{title} {wrong[CONCENTRATION].iloc[0]!r} is no number",
            where=f"{where} well {wrong[WELL].iloc[0]}",
            remedy="write numbers with a decimal point, and the unit in another column",
        )
    return numbers


def _fit(frame: pd.DataFrame, plate: Plate, *, where: str) -> pd.DataFrame:
    """Bring the rows into the plate's order, with a row for every well that has fields."""
    promised = {missing.well for missing in plate.missing}
    absent = [well for well in frame[WELL] if well not in {*plate.wells, *promised}]
    if len(absent) == len(frame):
        raise PlatemapError(
            f"none of its wells ({_some(absent)}) is on plate {plate.name}",
            where=where,
            remedy="give the map of this plate",
        )
    if absent:
        warnings.warn(
            f"{where}: {len(absent)} wells are not on plate {plate.name}: {_some(absent)}",
            HTSWarning,
            stacklevel=4,
        )
    fitted = frame.set_index(WELL).reindex(list(plate.wells)).rename_axis(WELL).reset_index()
    fitted.insert(0, PLATE, plate.name)
    return fitted


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + ("…" if len(listed) > _SHOWN else "")
