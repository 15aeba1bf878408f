"""The end of a run: calls joined, the paths held against each other, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .assay import dose_responses, separations
from .cascade import CASCADE
from .compare import compare
from .evaluate import positions
from .files import read_json, write_json
from .fits import MODELS, Fits, Step
from .matching import matched
from .predictions import UNFOLDED, treatments, with_proba, write_table
from .raters import with_raters
from .report import draw, load_record, write_cards
from .vocabulary import PLATE, SCORE, TARGET, WELL, columns_with

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["conclude"]


def conclude(
    fits: Fits,
    shards: Mapping[Step, Path],
    *,
    wells: pd.DataFrame,
    target: str,
    proba: bool,
    audited: Mapping[str, Any],
    raters: Sequence[str] = (),
) -> str:
    """Write `predictions`, `comparison.json` and `report.html`; return the units of inner splits.

    Parameters
    ----------
    fits : Fits
        What was fitted.
    shards : mapping
        The calls of each step.
    wells : DataFrame
        Every well of the plate map, also those of which no field is left.
    target : str
        Its column of the classes.
    proba : bool
        Whether predictions say what each model deems probable.
    audited : mapping
        What the leakage audit found, as JSON types.
    raters : sequence of str, optional
        Columns with what people called the wells.
    """
    out, folds = fits.out, fits.folds
    cards = {step: read_json(shard.with_suffix(".json")) for step, shard in shards.items()}
    table = _table(fits, shards)
    probable = with_proba(
        table, {(s.path, s.fold): card["training"]["temperature"] for s, card in cards.items()}
    )
    write_table(out / "predictions", probable if proba else table)
    units = sorted({card["inner_unit"] for card in cards.values()})
    masks = [(folds.training(fold), folds.tested(fold)) for fold in range(folds.count)]
    held = compare(probable)
    if held.cascade:
        chosen = {"threshold": held.cascade.threshold, "aggregate": fits.aggregate}
        write_json(out / MODELS / CASCADE, chosen)
    unseen = {(s.path, s.fold): fits.profiles(s) for s in shards if s.fold != UNFOLDED}
    comparison = held.as_json() | {
        "lost": _lost(wells, folds.wells, target),
        "split": folds.split,
        "protocol": folds.protocol.title,
        "unit": folds.protocol.unit,
        "unseen": folds.protocol.unseen,
        "fold_notes": list(folds.notes),
        "folds": folds.count,
        "inner_units": units,
        "audit": audited,
        "positions": [asdict(place) for place in positions(folds.wells, TARGET, masks)],
        "raters": asdict(people) if (people := with_raters(probable, raters)) else None,
        "separations": [asdict(plate) for plate in separations(probable)],
        "doses": [asdict(dose) for dose in dose_responses(probable)],
        **matched(fits.features, folds, unseen, seed=fits.seed),
        "training": {step.name: card for step, card in cards.items()},
    }
    write_json(out / "comparison.json", comparison)
    record = load_record(out)
    write_cards(record)
    draw(record)
    return ", ".join(units)


def _table(fits: Fits, shards: Mapping[Step, Path]) -> pd.DataFrame:
    """Join the calls with the plate map, and call treatments; scores stand last."""
    import pandas as pd

    table = pd.concat([pd.read_parquet(shard) for shard in shards.values()], ignore_index=True)
    columns, scores = [str(column) for column in table], sorted(columns_with(SCORE, table))
    wells = fits.folds.wells
    about = wells[[c for c in wells if c in (PLATE, WELL) or c not in columns]]
    table = table.merge(about, on=[PLATE, WELL], how="left")
    table = table[[*(column for column in table if column not in scores), *scores]]
    by_treatment = treatments(table, aggregate=fits.aggregate)
    return pd.concat([table, by_treatment], ignore_index=True) if len(by_treatment) else table


def _lost(wells: pd.DataFrame, left: pd.DataFrame, target: str) -> list[list[Any]]:
    """List the wells of which no field is left, with their classes."""
    import pandas as pd

    held = set(zip(left[PLATE], left[WELL], strict=True))
    return [
        [plate, well, None if pd.isna(name) else str(name)]
        for plate, well, name in wells[[PLATE, WELL, target]].itertuples(index=False)
        if (plate, well) not in held
    ]
