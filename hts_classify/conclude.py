"""The end of a run: calls joined, the paths held against each other, the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .assay import dose_responses, separations
from .cascade import CASCADE
from .compare import compare
from .crop_calls import judge_crops, with_tiles
from .evaluate import positions
from .explain import explanations
from .files import read_json, whole, write_json
from .fits import MODELS, Fits, Step
from .importance import STATISTICS, summarised
from .matching import matched
from .predictions import UNFOLDED, treatments, with_proba, with_wells, write_table
from .raters import with_raters
from .repeating import first_repeat, repeated
from .report import draw, load_record, write_cards
from .shards import read_frame
from .unlike import UNLIKE_CARD, flagged, known_wells, with_unlike
from .vocabulary import PATHS, PLATE, TARGET, TRAINED, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["conclude"]


class _Sights(Mapping[tuple[str, int], "pd.DataFrame"]):
    """How each path's model of each fold sees wells; read when asked for, since many are large."""

    def __init__(self, files: Mapping[tuple[str, int], Path]) -> None:
        self._files = files

    def __getitem__(self, key: tuple[str, int]) -> pd.DataFrame:
        return read_frame(self._files[key])

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def unseen(self) -> dict[tuple[str, int], Path]:
        """Files of those that left wells out."""
        return {key: file for key, file in self._files.items() if key[1] != UNFOLDED}


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
    """Write the tables, `comparison.json` and `report.html`; return the units of inner splits.

    Parameters
    ----------
    fits : Fits
        What was fitted.
    shards : mapping
        The calls of each step, of every repeat.
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
    every, shards = shards, first_repeat(shards)
    cards = {step: read_json(shard.with_suffix(".json")) for step, shard in shards.items()}
    table = _table(fits, shards)
    warmth = {(s.path, s.fold): card["training"]["temperature"] for s, card in cards.items()}
    probable = with_proba(table, warmth)
    sights = _Sights({(s.path, s.fold): fits.profiles(s) for s in shards})
    judged, limits = with_unlike(probable if proba else table, sights)
    write_table(out / "predictions", judged)
    _keep_known(out / MODELS, sights, limits)
    units = sorted({card["inner_unit"] for card in cards.values()})
    masks = [(folds.training(fold), folds.tested(fold)) for fold in range(folds.count)]
    held = compare(probable)
    if held.cascade:
        chosen = {"threshold": held.cascade.threshold, "aggregate": fits.aggregate}
        write_json(out / MODELS / CASCADE, chosen)
    importance = _explained(fits, shards, table, sights)
    crops = judge_crops(
        out,
        [shard for step in shards if (shard := fits.crops(step))],
        folds.wells,
        classes=held.paths["cnn"].classes,
        temperatures=warmth,
        proba=proba,
    )
    comparison = with_tiles(held.as_json(), crops) | {
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
        "unlike": [asdict(path) for path in flagged(judged, limits)],
        "raters": asdict(people) if (people := with_raters(probable, raters)) else None,
        "separations": [asdict(plate) for plate in separations(probable)],
        "doses": [asdict(dose) for dose in dose_responses(probable)],
        **matched(fits.features, folds, sights.unseen, seed=fits.seed),
        "repeats": repeated(fits, every, probable, proba=proba),
        "importance": importance,
        "training": {step.name: card for step, card in cards.items()},
    }
    write_json(out / "comparison.json", comparison)
    record = load_record(out)
    write_cards(record)
    draw(record)
    return ", ".join(units)


def _explained(
    fits: Fits,
    steps: Iterable[Step],
    table: pd.DataFrame,
    sights: Mapping[tuple[str, int], pd.DataFrame],
) -> dict[str, Any] | None:
    """Write why each well was called so; return which statistics the TAS models go by."""
    importance = summarised(
        [
            read_frame(fits.explained(step))
            for step in steps
            if step.path == PATHS[0] and step.fold != UNFOLDED
        ]
    )
    known = importance[STATISTICS] if importance else []
    strongest = [one["name"] for one in known if one["mean"] > 0]
    found = explanations(table, sights, fits.features, fits.folds.wells, strongest)
    write_table(fits.out / "explanations", found)
    return importance


def _table(fits: Fits, shards: Mapping[Step, Path]) -> pd.DataFrame:
    """Join the calls with the plate map, and call treatments; scores stand last."""
    import pandas as pd

    table = pd.concat([read_frame(shard) for shard in shards.values()], ignore_index=True)
    table = with_wells(table, fits.folds.wells)
    by_treatment = treatments(table, aggregate=fits.aggregate)
    return pd.concat([table, by_treatment], ignore_index=True) if len(by_treatment) else table


def _keep_known(
    models: Path,
    sights: Mapping[tuple[str, int], pd.DataFrame],
    limits: Mapping[str, float | None],
) -> None:
    """Keep with the models what tells wells of other plates that are none of the classes."""
    for path in limits:
        seen = sights[path, UNFOLDED]
        with whole(known_wells(models, path)) as part:
            seen[seen[TRAINED]].drop(columns=TRAINED).to_parquet(part, index=False)
    write_json(models / UNLIKE_CARD, dict(limits))


def _lost(wells: pd.DataFrame, left: pd.DataFrame, target: str) -> list[list[Any]]:
    """List the wells of which no field is left, with their classes."""
    import pandas as pd

    held = set(zip(left[PLATE], left[WELL], strict=True))
    return [
        [plate, well, None if pd.isna(name) else str(name)]
        for plate, well, name in wells[[PLATE, WELL, target]].itertuples(index=False)
        if (plate, well) not in held
    ]
