"""What was measured, for the next tool to read as it is.

::

    run or pass ─► held ─┬─► image_sets, objects ─► Image.csv, Cells.csv      CellProfiler's tables
                         │        └─► analyst ─► analyst.db, .properties   CellProfiler Analyst
                         ├─► profiles ─► fields, wells, objects .parquet   pycytominer, copairs
                         └─► annotated ─► wells.h5ad                       scanpy, squidpy, …

The tables of image sets name the images, so that for them the plates must be where they were.
Nothing is computed anew but medians over a well's fields, and where objects lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import UsageError
from ..files import place
from .analyst import write_analyst
from .annotated import check_anndata, write_anndata
from .held import Measured, read_measured
from .image_sets import image_table, write_image_csv
from .objects import object_table, write_object_csv
from .profiles import write_profiles

__all__ = ["KINDS", "USUAL", "export"]

KINDS: Final = ("csv", "sqlite", "profiles", "anndata")
"""What can be asked for."""
USUAL: Final = KINDS[:3]
"""What is written where nobody says what."""


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    kinds: Sequence[str] = USUAL,
    platemap: str | Path | None = None,
) -> tuple[Path, ...]:
    """Write what a run or a pass has measured as other programs read it.

    Parameters
    ----------
    run : path or URL
        A run directory, or the folder of `extract` or `predict`.
    out : path or URL, optional
        Folder for the files; by default `export` in the former. What an earlier export left there
        is replaced.
    kinds : sequence of {"csv", "sqlite", "profiles", "anndata"}, optional
        CellProfiler's `Image.csv` (and one of the objects); an SQLite file and properties for
        CellProfiler Analyst; Parquet profiles for pycytominer; AnnData. By default the first
        three.
    platemap : path, optional
        What is in the wells; by default what the run was told, and of a mere pass nothing.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    UsageError
        When what is asked for does not exist, `out` is no folder, or anndata is not installed.
    DataError
        When the folder holds no finished pass or run.
    PlateError
        When the images are to be named and a plate is no longer where it was.

    Examples
    --------
    >>> import tempfile
    >>> from hts_classify import extract, open_plate
    >>> from hts_classify.synthetic import Recipe, write_plate
    >>> folder = Path(tempfile.mkdtemp())
    >>> recipe = Recipe(setting="texture", shape=(64, 64))
    >>> plate = open_plate(write_plate(folder / "plate.zarr", recipe))
    >>> _ = extract(plate, folder / "out")
    >>> [file.name for file in export(folder / "out", kinds=["csv", "profiles"])]
    ['Image.csv', 'fields.parquet', 'wells.parquet']
    """
    check_kinds(kinds)
    folder = place(run)
    target = folder / "export" if out is None else place(out)
    if target.exists() and not target.is_dir():
        raise UsageError("is not a folder", where=str(target), remedy="name another with -o")
    measured = read_measured(folder, platemap=Path(platemap) if platemap else None)
    files: list[Path] = []
    if {"csv", "sqlite"} & set(kinds):
        files += _image_sets(target, measured, kinds)
    if "profiles" in kinds:
        files += write_profiles(target, measured)
    if "anndata" in kinds:
        files.append(target / "wells.h5ad")
        write_anndata(files[-1], measured)
    return tuple(files)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse what cannot be written.

    Raises
    ------
    UsageError
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds or isinstance(kinds, str):
        asked = repr(unknown[0]) if unknown and not isinstance(kinds, str) else repr(kinds)
        raise UsageError(f"export as {asked}", remedy=f"choose from {', '.join(KINDS)}")
    if "anndata" in kinds:
        check_anndata()


def _image_sets(target: Path, measured: Measured, kinds: Sequence[str]) -> list[Path]:
    """Write the tables of images and objects."""
    plates = measured.plates()
    name = measured.object_name
    images = image_table(measured, plates)
    some = measured.objects is not None and len(measured.objects) > 0
    objects = object_table(measured, plates) if some else None
    files: list[Path] = []
    if "csv" in kinds:
        files.append(target / "Image.csv")
        write_image_csv(files[-1], images)
        if objects is not None:
            files.append(target / f"{name}.csv")
            write_object_csv(files[-1], objects, name=name)
    if "sqlite" in kinds:
        files.append(target / "analyst.db")
        files.append(write_analyst(files[-1], images, objects, plates, name=name))
    return files
