"""Say what a plate holds and what is missing from it, without reading its pixels."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["prepare_parser", "run"]

_MOST_MISSING = 20


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "plate", type=Path, nargs="?", help="OME-Zarr plate, or HDF5 file of our layout"
    )
    what.add_argument(
        "--kernels",
        action="store_true",
        help="instead, the TAS kernels that this build has and this CPU runs, slowest first",
    )


def run(options: argparse.Namespace) -> int:
    """Print what a plate holds, or which kernels there are."""
    if options.kernels:
        return _kernels()
    from ..plate import open_plate

    info = open_plate(options.plate).info()
    fewest, most = info.fields_per_well
    height, width = info.field_shape
    per_well = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    lines = {
        "plate": info.name,
        "path": info.path,
        "format": info.format,
        "rows": f"{len(info.rows)}: {', '.join(info.rows)}",
        "columns": f"{len(info.columns)}: {', '.join(info.columns)}",
        "wells": info.wells,
        "fields": f"{info.fields} ({per_well} a well)",
        "channels": f"{len(info.channels)}: {', '.join(info.channels)}",
        "pixels": f"{height} × {width} {info.dtype}",
        "on disk": _size(info.bytes_on_disk),
        "missing": len(info.missing) or "nothing",
    }
    for name, value in lines.items():
        print(f"{name:<9} {value}")
    for missing in info.missing[:_MOST_MISSING]:
        field = "" if missing.site is None else f" field {missing.site}"
        print(f"  well {missing.well}{field}: {missing.reason}")
    if len(info.missing) > _MOST_MISSING:
        print(f"  and {len(info.missing) - _MOST_MISSING} more")
    return 0


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
