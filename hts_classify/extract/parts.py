"""Parts of a pass: the same pass with the same rows, of which a folder holds only some.

A part is a run directory of its own. `part.json` says which image sets and rows of the tile store
are its own, and which version of the package wrote them; all else is as in a whole pass, so that
`merge` has only to put shards and tiles side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from ..errors import DataError, UsageError
from ..files import PARTS, claim, difference, read_json
from ..plate import ImageSets, Plate, choose_image_sets
from ..plate.image_sets import ranges, spelt
from .work import Task

__all__ = [
    "DESCRIPTION",
    "PART",
    "Part",
    "adopt",
    "claim_part",
    "part_name",
    "part_of",
    "read_plan",
    "restricted",
]

PART: Final = "part.json"
PLAN: Final = "batch.json"
"""In the folder of the parts: the commands that were printed, and the image sets of each."""
DESCRIPTION: Final = "pass.json"
"""Files of a part, and of a pass in its folder of features, that say what they are."""

_LEFT_BY_A_PASS: Final = frozenset(
    {
        *("features", "features.parquet", "quality.parquet", "failures.csv", "timings.json"),
        *("tiles.zarr", "objects", "objects.parquet", "crops", "crops.parquet", "crops.zarr"),
        *(PARTS, PART, "export"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a folder holds of a pass."""

    image_sets: frozenset[int]
    """Their numbers."""
    rows: frozenset[int]
    """Rows of the tile store."""
    version: str
    """Of the package that read them."""

    def as_json(self) -> dict[str, Any]:
        """Return the content of `part.json`."""
        sets, rows = (list(map(list, ranges(held))) for held in (self.image_sets, self.rows))
        return {"image_sets": sets, "rows": rows, "version": self.version}

    @classmethod
    def read(cls, file: Path) -> Part:
        """Read `part.json`.

        Raises
        ------
        DataError
            When it is absent, damaged or none.
        """
        held = read_json(file)
        try:
            sets, rows = (
                frozenset(n for a, b in held[name] for n in range(a, b + 1))
                for name in ("image_sets", "rows")
            )
            return cls(image_sets=sets, rows=rows, version=str(held["version"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"does not say what the part is ({error!r})",
                where=str(file),
                remedy="delete the folder that it is in, and run its command again",
            ) from None


def read_plan(file: Path) -> list[dict[str, Any]]:
    """Read what `batch` planned, an entry a part: its `part`, `image_sets` and `command`.

    Nothing where nobody planned.

    Raises
    ------
    DataError
        When it is damaged.
    """
    if not file.exists():
        return []
    try:
        return [
            {
                "part": str(entry["part"]),
                "image_sets": [[int(first), int(last)] for first, last in entry["image_sets"]],
                "command": str(entry["command"]),
            }
            for entry in read_json(file)["commands"]
        ]
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "is damaged",
            where=str(file),
            remedy="delete the file and call batch again, as for the parts that are there",
        ) from error


def part_name(image_sets: Iterable[int]) -> str:
    """Name a part's folder.

    Examples
    --------
    >>> part_name(range(65, 129))
    '00065-00128'
    """
    numbers = sorted(image_sets)
    return f"{numbers[0]:05d}-{numbers[-1]:05d}"


def default_part(out: Path, image_sets: Iterable[int]) -> Path:
    """Return the folder of a part for which none was named."""
    return out / PARTS / part_name(image_sets)


def part_of(
    folder: Path, plates: Sequence[Plate], wanted: ImageSets | None, *, retry_failed: bool
) -> Part | None:
    """Return the part that is meant; None for all. Writes nothing.

    Raises
    ------
    UsageError
        When there is no such image set, or all are meant and the folder holds a part.
    """
    file = folder / PART
    if not wanted:
        if not file.exists():
            return None
        held = Part.read(file)
        if retry_failed:
            return held
        raise UsageError(
            f"holds a part of a pass: image sets {spelt(held.image_sets)}",
            where=str(folder),
            remedy="say which with -f and -l, or name another folder with -o",
        )
    chosen = choose_image_sets(plates, wanted)
    names = [(plate.name, field) for plate in plates for field in plate.fields]
    return Part(
        image_sets=frozenset(chosen.values()),
        rows=frozenset(row for row, name in enumerate(names) if name in chosen),
        version=version("hts_classify"),
    )


def claim_part(folder: Path, part: Part) -> None:
    """Say that a folder is for this part; `UsageError` when it is for something else."""
    claim(folder / PART, part.as_json(), beside={"run.json"})


def restricted(tasks: Sequence[Task], part: Part, *, together: bool) -> list[Task]:
    """Return the wells of a part, with the fields that are its own.

    Raises
    ------
    UsageError
        When it cuts a well whose fields are done together.
    """
    own: list[Task] = []
    for task in tasks:
        places = tuple(at for at in task.places if at.row in part.rows)
        if together and places and len(places) < len(task.places):
            raise UsageError(
                f"{len(places)} of the {len(task.places)} fields of well {task.well} are meant, and"
                " objects or crops of a well stand in one file",
                remedy="take whole wells, as the commands do that hts-classify batch prints",
            )
        if places:
            own.append(replace(task, places=places, todo=frozenset(at.row for at in places)))
    return own


def _tile_option(settings: dict[str, Any]) -> str:
    """Spell the option by which `extract` makes the tiles of these settings.

    Examples
    --------
    >>> _tile_option({"tile_sizes": [256], "scale": None}), _tile_option({"scale": [1, 8]})
    ('--tile-size 256', '--tile-scale 1/8')
    """
    if settings["scale"] is not None:
        return "--tile-scale " + "/".join(map(str, settings["scale"]))
    return "--tile-size " + ",".join(map(str, settings["tile_sizes"]))


def adopt(folder: Path, description: dict[str, Any], *, is_part: bool = False) -> frozenset[str]:
    """Return the names of what a pass left in a folder, for a run to go on from.

    Parameters
    ----------
    folder : Path
        A run directory, or what is to be one.
    description : dict
        The pass that the run wants (`plan`).
    is_part : bool, optional
        It wants a part of it.

    Returns
    -------
    frozenset of str
        Nothing where the folder holds a run, or no pass.

    Raises
    ------
    UsageError
        When it holds another pass, or a part of one.
    """
    file = folder / "features" / DESCRIPTION
    if (folder / "run.json").exists() or not file.exists():
        return frozenset()
    if (folder / PART).exists() and not is_part:
        raise UsageError(
            "holds a part of a pass",
            where=str(folder),
            remedy="hts-classify merge joins parts; or name another folder with -o",
        )
    held = read_json(file)
    held["settings"]["exclude_flagged"] = description["settings"]["exclude_flagged"]
    if differs := difference(held, description):
        raise UsageError(
            f"holds a pass of another kind: {differs}",
            where=str(folder),
            remedy="ask for what the pass was asked for, or name another folder with -o"
            f" ({_tile_option(description['settings'])} makes extract's tiles what is wanted here)",
        )
    return _LEFT_BY_A_PASS
