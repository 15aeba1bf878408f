"""Say what a plate holds, and with --check what a run over it would hit."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .plates import add_plate_options, add_view_options, open_shown
from .terminal import plain_warnings

if TYPE_CHECKING:
    from ..plate import Missing, Plate, PlateInfo

__all__ = ["prepare_parser", "run"]

_MOST = 20
"""Fields to name of each kind; the others are counted."""
_SOME, _NONE = 3, 1
"""Exit codes: a run would leave some fields out; it would have none."""


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    add_plate_options(what, nargs="?")
    parser.add_argument(
        "--check",
        action="store_true",
        help="look for every chunk that the metadata promise; exit 3 where a run would leave"
        " fields out, 1 where it could use none",
    )
    what.add_argument(
        "--kernels",
        action="store_true",
        help="instead, the TAS kernels that this build has and this CPU runs, slowest first",
    )
    add_view_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print what a plate holds, or which kernels there are."""
    if options.kernels:
        return _kernels()
    with plain_warnings():
        plate = open_shown(options, options.plate)
    info = plate.info(check=options.check)
    for name, value in _lines(info).items():
        print(f"{name:<11} {value}")
    for note in info.notes:
        print(f"note        {note}")
    _list("missing", info.missing)
    if not options.check:
        return 0
    _list("unlike", info.uneven)
    lost = {(m.well, m.site) for m in info.missing}
    print("\n".join(["usable fields of each well:", *_summary(plate, info, lost)]))
    usable = sum((field.well, field.site) not in lost for field in plate.fields)
    print(f"{usable} of {len(plate.fields)} fields can be used")
    return _NONE if not usable else _SOME if info.missing else 0


def _lines(info: PlateInfo) -> dict[str, object]:
    """Return what the metadata say, a line each."""
    fewest, most = info.fields_per_well
    height, width = info.field_shape
    per_well = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    others = "".join(f"; others {y} × {x}" for y, x in info.other_shapes)
    size = " × ".join(f"{step:g}" for step in info.pixel_size)
    unseen = info.bytes_on_disk is None
    return {
        "plate": info.name,
        "path": info.path,
        "format": info.format,
        "rows": f"{len(info.rows)}: {', '.join(info.rows)}",
        "columns": f"{len(info.columns)}: {', '.join(info.columns)}",
        "wells": info.wells,
        "fields": f"{info.fields} ({per_well} a well)",
        "channels": f"{len(info.channels)}: {', '.join(info.channels)}",
        "pixels": f"{height} × {width} {info.dtype}{others}",
        "pixel size": f"{size} µm" if size else "unknown",
        "levels": info.levels,
        "planes": info.planes,
        "time points": info.timepoints,
        "labels": ", ".join(info.label_names) or "none",
        "on disk": "not looked at (--check)" if unseen else _size(info.bytes_on_disk or 0),
        "missing": len(info.missing) or ("nothing by the metadata" if unseen else "nothing"),
    }


def _list(word: str, found: Sequence[Missing]) -> None:
    """Print the first fields of a kind, and how many there are."""
    for one in found[:_MOST]:
        field = "" if one.site is None else f" field {one.site}"
        print(f"  {word}: well {one.well}{field}: {one.reason}")
    if len(found) > _MOST:
        print(f"  {word}: and {len(found) - _MOST} more")


def _summary(plate: Plate, info: PlateInfo, lost: set[tuple[str, int | None]]) -> Iterator[str]:
    """Draw the plate: usable fields of each well, of how many where some are not."""
    from ..vocabulary import split_well

    images = {(field.well, field.site) for field in plate.fields}
    promised = Counter(well for well, _ in images)
    usable = Counter(well for well, _ in images - lost)
    cells = {
        split_well(well): f"{usable[well]}"
        if usable[well] == promised[well] and well in promised
        else f"{usable[well]}/{promised[well] or '?'}"
        for well in [*promised, *(m.well for m in info.missing)]
    }
    rows = sorted({row for row, _ in cells}, key=lambda row: (len(row), row))
    columns = sorted({column for _, column in cells})
    width = max(2, *(len(cell) for cell in cells.values()))
    yield "   " + " ".join(f"{column:>{width}}" for column in columns)
    for row in rows:
        yield f"{row:<2} " + " ".join(f"{cells.get((row, c), '.'):>{width}}" for c in columns)


def _kernels() -> int:
    from ..features import chosen_kernel, kernels

    print(f"kernels   {', '.join(kernels())}")
    print(f"used      {chosen_kernel()}")
    return 0


def _size(count: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> _size(512), _size(61_500_000)
    ('512 B', '61.5 MB')
    """
    size, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
