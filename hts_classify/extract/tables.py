"""From shards to tables: features, quality, objects, crops, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import PlateError
from ..files import digest, place, whole
from ..plate import Missing, Plate
from ..shards import (
    CHECKSUMS,
    FAILED,
    FAILED_CHANNEL,
    TILE_ROW,
    join_shards,
    tables_of,
    write_table,
)
from ..tiles import TileStore
from ..vocabulary import PLATE, SITE, TIMEPOINT, WELL
from .listed import with_metadata
from .quality import FLAGS, flags
from .work import Job, Task

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["CHANNEL", "REASON", "RETRY", "Extraction", "collect"]

CHANNEL: Final = "Channel"
REASON: Final = "Reason"
RETRY: Final = "Retry"
"""Columns of `failures.csv`: what is to blame, why, and the command that tries it again."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What the pass leaves."""

    features: pd.DataFrame
    """One row a field: plate, well, site, tile row, flags, features."""
    tiles: TileStore
    """One tile a field, of the first size; `features.Metadata_Tile` says which."""
    quality: pd.DataFrame
    """One row a field, also of one that is flagged and left out: intensities, focus,
    saturation, foreground, and `Metadata_Flags`."""
    failures: pd.DataFrame
    """One row for each field that was left out, why, and the command that tries it again."""
    costs: dict[str, dict[str, float]]
    """Seconds and bytes of each `plate/well` that this call read (`WellCost`, `wall_s`)."""
    stamp: str
    """What changes when the tiles do: TAS does not see a mirrored field, a CNN does."""


def collect(
    job: Job, tasks: Sequence[Task], costs: dict[str, dict[str, float]], *, is_part: bool = False
) -> Extraction:
    """Join the shards into tables.

    Of a part of a pass the tables may be empty, and what the plates promise in vain is the
    whole's to say.

    Raises
    ------
    PlateError
        When no field could be read.
    """
    import pyarrow as pa

    out = place(job.out)
    shards = join_shards([job.shard(task.plate, task.well) for task in tasks])
    neighbours = 26 if job.plates[0].volumes else 8
    channels = job.plates[0].channels
    features, quality = tables_of(shards, channels, job.settings.features, neighbours=neighbours)
    features = with_metadata(features, job.plates)
    figures = quality.to_pandas()
    figures.insert(figures.columns.get_loc(TILE_ROW) + 1, FLAGS, flags(figures, channels))
    flagged = figures[FLAGS] != ""
    lost = [] if is_part else [(plate, lost) for plate in job.plates for lost in plate.missing]
    failures = _failures(job, shards, figures[flagged & job.settings.exclude_flagged], lost)
    with whole(out / "failures.csv") as part:
        failures.to_csv(part, index=False)
    if job.settings.exclude_flagged:
        features = features.filter(pa.array(~flagged))
    if not len(features) and not is_part:
        raise PlateError(
            f"none of {len(failures)} fields can be used (the first: {failures[REASON].iloc[0]})",
            where=job.plates[0].path,
            remedy=f"{out / 'failures.csv'} says why for each",
        )
    write_table(out / "features.parquet", features)
    write_table(out / "quality.parquet", pa.Table.from_pandas(figures, preserve_index=False))
    for kind, wanted in (("objects", job.settings.labels), ("crops", job.settings.crops != "none")):
        if wanted:
            parts = [job.shard(task.plate, task.well, kind) for task in tasks]
            write_table(out / f"{kind}.parquet", join_shards(parts))
    return Extraction(
        features=features.to_pandas(),
        tiles=job.tile_stores()[0],
        quality=figures,
        failures=failures,
        costs=costs,
        stamp=digest(features[TILE_ROW].to_pylist(), shards[CHECKSUMS].to_pylist()),
    )


def _failures(
    job: Job, shards: pa.Table, flagged: pd.DataFrame, lost: Sequence[tuple[Plate, Missing]]
) -> pd.DataFrame:
    """Make `failures.csv`: what is promised in vain, what did not read, what is flagged."""
    import pandas as pd

    where = [name for name in (PLATE, WELL, SITE, TIMEPOINT) if name in shards.column_names]
    promised = pd.DataFrame(
        [
            {PLATE: plate.name, WELL: missing.well, SITE: missing.site, REASON: missing.reason}
            for plate, missing in lost
        ],
        columns=[*where, CHANNEL, REASON],
    )
    unread = shards.select([*where, FAILED_CHANNEL, FAILED]).to_pandas()
    unread = unread[unread[FAILED] != ""].rename(columns={FAILED_CHANNEL: CHANNEL, FAILED: REASON})
    excluded = flagged[where].copy()
    excluded[CHANNEL], excluded[REASON] = "", [f"flagged: {why}" for why in flagged[FLAGS]]
    parts = [part for part in (promised, unread, excluded) if len(part)] or [unread]
    table: pd.DataFrame = pd.concat(parts, ignore_index=True).astype(
        {SITE: "Int64", CHANNEL: object}
    )
    retry = f"hts-classify extract --retry-failed -o {quote(job.out)}"
    flagged_row = table[REASON].str.startswith("flagged: ").to_numpy(bool)
    table[CHANNEL] = table[CHANNEL].fillna("")
    table.insert(len(table.columns), RETRY, np.where(flagged_row, "", retry))
    return table
