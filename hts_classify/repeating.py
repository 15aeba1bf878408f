"""Repeats in a run's folder: their folds, their calls, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .files import read_json, whole
from .fits import Fits, Step
from .predictions import with_proba, with_wells, write_table
from .repeats import compare_repeats
from .shards import read_frame
from .splits import Folds
from .vocabulary import FOLD, GROUP, LEVEL, PLATE, REPEAT, ROLE, SEED, TARGET, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["first_repeat", "repeated", "write_folds"]

_FOLDS: Final = "repeat_folds.csv"
_CALLS: Final = "repeats"


def write_folds(out: Path, repeats: Sequence[Folds]) -> None:
    """Write down the folds of the second repeat and those after it, under one another.

    Without any, what is left of an earlier call with more of them goes.

    Parameters
    ----------
    out : Path
        The run directory.
    repeats : sequence of Folds
    """
    import pandas as pd

    if not repeats:
        for name in (_FOLDS, f"{_CALLS}.parquet", f"{_CALLS}.csv"):
            (out / name).unlink(missing_ok=True)
        return
    columns = [PLATE, WELL, TARGET, GROUP, FOLD, ROLE]
    parts = [
        _numbered(folds.wells[columns], repeat, folds) for repeat, folds in enumerate(repeats, 2)
    ]
    with whole(out / _FOLDS) as part:
        pd.concat(parts, ignore_index=True).to_csv(part, index=False)


def first_repeat(shards: Mapping[Step, Path]) -> dict[Step, Path]:
    """Return the calls of the first repeat, which is the run."""
    return {step: shard for step, shard in shards.items() if step.repeat == 1}


def repeated(
    fits: Fits, shards: Mapping[Step, Path], first: pd.DataFrame, *, proba: bool
) -> dict[str, Any] | None:
    """Write `repeats.parquet` and `.csv`; return what all repeats come to, as JSON types.

    Parameters
    ----------
    fits : Fits
        What was fitted.
    shards : mapping
        The calls of each step.
    first : DataFrame
        The calls of the first repeat.
    proba : bool
        Whether the tables say what each model deems probable.

    Returns
    -------
    dict or None
        `repeats.Repeats`; None where there is one repeat.
    """
    import pandas as pd

    if not fits.repeats:
        return None
    later = []
    for repeat, folds in enumerate(fits.repeats, 2):
        own = {step: shard for step, shard in shards.items() if step.repeat == repeat}
        later.append(_numbered(_wells(own, folds, proba=proba), repeat, folds))
    write_table(fits.out / _CALLS, pd.concat(later, ignore_index=True))
    seeds = [folds.seed for folds in (fits.folds, *fits.repeats)]
    return compare_repeats([first, *later], seeds).as_json()


def _wells(shards: Mapping[Step, Path], folds: Folds, *, proba: bool) -> pd.DataFrame:
    """Return the calls of wells in one repeat, with the columns of `predictions.parquet`."""
    import pandas as pd

    table = pd.concat([read_frame(shard) for shard in shards.values()], ignore_index=True)
    table = with_wells(table[table[LEVEL] == "well"], folds.wells)
    if not proba:
        return table
    warmth = {
        (step.path, step.fold): read_json(shard.with_suffix(".json"))["training"]["temperature"]
        for step, shard in shards.items()
    }
    return with_proba(table, warmth)


def _numbered(table: pd.DataFrame, repeat: int, folds: Folds) -> pd.DataFrame:
    """Say in the first columns which repeat this is, and by which seed."""
    numbered = table.copy()
    numbered.insert(0, REPEAT, repeat)
    numbered.insert(1, SEED, folds.seed)
    return numbered
