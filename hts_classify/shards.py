"""The features table: a shard for each well while the pass goes on, then one table.

A shard has a row for each field of its well, also for one that could not be read: then the
features are null and the failure says why. Each row carries the stamp of the pixels that it came
from, so that a shard is good for as long as they are there unchanged, and no longer; a field that
could not be read is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .files import digest, whole
from .plate import Missing
from .vocabulary import METADATA, PLATE, SITE, WELL, FeatureKind, channel_word, feature_columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "FAILED",
    "FAILED_CHANNEL",
    "STAMP",
    "TILE_ROW",
    "failure_table",
    "feature_matrix",
    "flag_column",
    "join_shards",
    "shard_schema",
    "stamps_of",
    "write_table",
]

TILE_ROW: Final = "Metadata_Tile"
"""Row of a field in the tile store."""
STAMP: Final = "Metadata_Stamp"
"""What changes when the field's pixels do (`Plate.stamp`)."""
FAILED: Final = "Metadata_Failure"
"""Why a field could not be read; empty where it was."""
FAILED_CHANNEL: Final = "Metadata_FailedChannel"
"""The channel that is to blame, where it is one."""


def flag_column(channel: str) -> str:
    """Name the column that says that no pixel of a channel is above the threshold."""
    return f"{METADATA}NoForeground_{channel_word(channel)}"


def shard_schema(channels: Sequence[str], kind: FeatureKind) -> pa.Schema:
    """Return the columns of a shard, with their types."""
    import pyarrow as pa

    names = [name for channel in channels for name in feature_columns(kind, channel)]
    columns: dict[str, Any] = {
        PLATE: pa.string(),
        WELL: pa.string(),
        SITE: pa.int64(),
        TILE_ROW: pa.int64(),
        STAMP: pa.string(),
        FAILED: pa.string(),
        FAILED_CHANNEL: pa.string(),
    }
    columns |= {flag_column(channel): pa.bool_() for channel in channels}
    columns |= {name: pa.float64() for name in names}
    return pa.schema(columns)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of floats that do not repeat, whole or not at all."""
    import pyarrow.parquet as pq

    with whole(path) as part:
        pq.write_table(
            table, part, compression="zstd", use_dictionary=False, write_statistics=False
        )


def stamps_of(shard: Path) -> list[str | None] | None:
    """Return the stamps of the fields that a shard holds, None for one that was not read.

    Returns
    -------
    list or None
        None without a whole shard.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(shard).read([STAMP, FAILED]).to_pydict()
    except (OSError, pa.ArrowException):
        return None
    return [
        None if failed else stamp for stamp, failed in zip(table[STAMP], table[FAILED], strict=True)
    ]


def join_shards(shards: Iterable[Path]) -> tuple[pa.Table, pd.DataFrame, str]:
    """Join shards in this order.

    Returns
    -------
    features : pyarrow.Table
        The fields that were read.
    failed : DataFrame
        The fields that were not: plate, well, site, channel and reason.
    stamp : str
        What changes when the pixels of a field that was read do.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pa.concat_tables(pq.ParquetFile(shard).read(use_threads=False) for shard in shards)
    read = pc.equal(table[FAILED], pa.scalar(""))
    failed = table.filter(pc.invert(read)).select([PLATE, WELL, SITE, FAILED_CHANNEL, FAILED])
    kept = table.filter(read)
    features = kept.drop_columns([STAMP, FAILED, FAILED_CHANNEL]).combine_chunks()
    return features, failed.to_pandas(), digest(kept[STAMP].to_pylist())


def failure_table(plate: str, missing: Sequence[Missing], failed: pd.DataFrame) -> pd.DataFrame:
    """Make `failures.csv`: what the plate's metadata promise in vain, then what did not read."""
    import pandas as pd

    promised = pd.DataFrame(
        [(plate, lost.well, lost.site, "", lost.reason) for lost in missing],
        columns=list(failed),
    )
    table = pd.concat([promised, failed], ignore_index=True) if len(promised) else failed
    return table.rename(columns={FAILED_CHANNEL: "Channel", FAILED: "Reason"}).astype(
        {SITE: "Int64"}
    )


def feature_matrix(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return a features table's numbers: shape (fields, features), without what a row is."""
    names = [str(column) for column in table]
    return table[[name for name in names if not name.startswith(METADATA)]].to_numpy(np.float64)
