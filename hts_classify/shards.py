"""The tables of a pass: a shard for each well while it goes on, then one table of each kind.

A shard has a row for each field of its well, also for one that could not be read: then the
figures are null and the failure says why. Each row carries the stamp of the pixels that it came
from, and the shard the key of the settings: it is good for as long as both are what they were,
and no longer. A field that could not be read is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .files import whole
from .vocabulary import (
    METADATA,
    PLATE,
    SITE,
    TIMEPOINT,
    WELL,
    FeatureKind,
    channel_word,
    feature_columns,
    figure_columns,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "CHECKSUMS",
    "CROP",
    "CROP_X",
    "CROP_Y",
    "EMPTY",
    "FAILED",
    "FAILED_CHANNEL",
    "FIGURES",
    "OBJECT",
    "STAMP",
    "TILE_ROW",
    "VALUES",
    "Held",
    "crop_schema",
    "feature_matrix",
    "flag_column",
    "has_key",
    "held",
    "join_shards",
    "object_schema",
    "read_frame",
    "read_table",
    "records_of",
    "shard_schema",
    "tables_of",
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
EMPTY: Final = "Empty"
"""No pixel of a channel is above the threshold."""
VALUES: Final = "Values"
"""Threshold adjacency statistics, channel by channel."""
FIGURES: Final = "Figures"
"""Intensities and quality, channel by channel."""
CHECKSUMS: Final = "Checksums"
"""Of the field's tiles, one a size."""
CROP: Final = "Metadata_Crop"
"""Place of a crop among its well's."""
CROP_Y: Final = "Metadata_CropY"
CROP_X: Final = "Metadata_CropX"
"""Where its first pixel was in the field."""
OBJECT: Final = "ObjectNumber"
"""An object's value in its label image, CellProfiler's word."""

_KEY: Final = b"hts_classify"


def flag_column(channel: str) -> str:
    """Name the column that says that no pixel of a channel is above the threshold."""
    return f"{METADATA}NoForeground_{channel_word(channel)}"


def _places() -> dict[str, Any]:
    """Return the columns that say which field a row is of."""
    import pyarrow as pa

    return {PLATE: pa.string(), WELL: pa.string(), SITE: pa.int64(), TIMEPOINT: pa.int64()}


def _keyed(columns: Mapping[str, Any], key: str) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(dict(columns)).with_metadata({_KEY: key})


def shard_schema(*, key: str) -> pa.Schema:
    """Return the columns of a well's shard, with their types; `key` says what it is made with.

    What a field's channels give stands in one list a kind: a file of hundreds of columns takes
    longer to write than its pixels to measure. `tables_of` names them.
    """
    import pyarrow as pa

    return _keyed(
        _places()
        | {
            TILE_ROW: pa.int64(),
            STAMP: pa.string(),
            FAILED: pa.string(),
            FAILED_CHANNEL: pa.string(),
            EMPTY: pa.list_(pa.bool_()),
            VALUES: pa.list_(pa.float64()),
            FIGURES: pa.list_(pa.float64()),
            CHECKSUMS: pa.list_(pa.uint32()),
        },
        key,
    )


def tables_of(
    shards: pa.Table, channels: Sequence[str], kind: FeatureKind, *, neighbours: int = 8
) -> tuple[pa.Table, pa.Table]:
    """Name what joined shards hold of the fields that were read.

    Returns
    -------
    features, quality : pyarrow.Table
        A row a field each: where it is, its tile's row, and either the flags of channels without
        foreground and the statistics, or the intensities and quality figures.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    read = shards.filter(pc.equal(shards[FAILED], pa.scalar("")))
    places = [
        name for name in (PLATE, WELL, SITE, TIMEPOINT, TILE_ROW) if name in read.column_names
    ]
    named = {
        EMPTY: [flag_column(channel) for channel in channels],
        VALUES: [n for c in channels for n in feature_columns(kind, c, neighbours=neighbours)],
        FIGURES: [name for channel in channels for name in figure_columns(channel)],
    }
    columns = {kind: _spread(read[kind], names) for kind, names in named.items()}
    where = {name: read[name] for name in places}
    return (
        pa.table(where | columns[EMPTY] | columns[VALUES]),
        pa.table(where | columns[FIGURES]),
    )


def _spread(lists: pa.ChunkedArray, names: Sequence[str]) -> dict[str, pa.Array]:
    """Make a column of each place in lists of one length."""
    import pyarrow as pa

    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    table = flat.reshape(-1, len(names))
    return {name: pa.array(np.ascontiguousarray(table[:, k])) for k, name in enumerate(names)}


def object_schema(
    channels: Sequence[str], kind: FeatureKind, *, objects: str, key: str, neighbours: int = 8
) -> pa.Schema:
    """Return the columns of a well's objects."""
    import pyarrow as pa

    columns = _places() | {OBJECT: pa.int64(), f"{objects}_AreaShape_Area": pa.int64()}
    for channel in channels:
        names = feature_columns(kind, channel, neighbours=neighbours, objects=objects)
        columns |= {name: pa.float64() for name in names}
    return _keyed(columns, key)


def crop_schema(*, key: str) -> pa.Schema:
    """Return the columns of a well's crops: where each was cut, and its place in the store."""
    import pyarrow as pa

    return _keyed(
        _places()
        | {
            CROP: pa.int64(),
            CROP_Y: pa.int64(),
            CROP_X: pa.int64(),
            OBJECT: pa.int64(),
        },
        key,
    )


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of floats that do not repeat, whole or not at all."""
    import pyarrow.parquet as pq

    with whole(path) as part:
        pq.write_table(
            table,
            part,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )


class Held(NamedTuple):
    """What a shard says of one field."""

    row: int
    """Its row in the tile store."""
    site: int
    timepoint: int
    stamp: str
    failed: bool
    checksums: list[int]
    """Of its tiles."""


def held(shard: Path, key: str) -> list[Held]:
    """Return what a shard holds that was made with this key; nothing without a whole shard."""
    return [
        Held(
            record[TILE_ROW],
            record[SITE],
            record[TIMEPOINT],
            record[STAMP],
            bool(record[FAILED]),
            record[CHECKSUMS] or [],
        )
        for record in records_of(shard, key)
    ]


def records_of(shard: Path, key: str) -> list[dict[str, Any]]:
    """Return a shard's rows, each as a mapping of its columns, if it was made with this key."""
    import pyarrow as pa

    try:
        table = read_table(shard)
    except (OSError, pa.ArrowException):  # absent, or damaged: it is made again
        return []
    # A Parquet file has checksums on its pages and none on its schema.
    made_here = table.schema.equals(shard_schema(key=key), check_metadata=False)
    return list(table.to_pylist()) if made_here and _key_of(table.schema) == key else []


def has_key(shard: Path, key: str) -> bool:
    """Tell whether a shard of any kind is there, whole, and made with this key."""
    import pyarrow as pa

    try:
        return _key_of(read_table(shard).schema) == key
    except (OSError, pa.ArrowException):
        return False


def _key_of(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(_KEY, b"").decode())


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table, or some columns of it, in this thread, and look at its checksums.

    Arrow reads what it opens itself, or is given open, in threads of its own. One that still lets
    go of a file of Python's when the program ends has it abort: the exit code is then lost.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.BufferReader(path.read_bytes())
    try:
        file = pq.ParquetFile(content, page_checksum_verification=True)
    except UnicodeDecodeError as error:  # pyarrow's answer to a damaged name of a column
        raise OSError(f"{path} is damaged: {error}") from error
    return file.read(None if columns is None else list(columns), use_threads=False)


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table as `read_table` does, for pandas."""
    frame: pd.DataFrame = read_table(path, columns).to_pandas(use_threads=False)
    return frame


def join_shards(shards: Iterable[Path]) -> pa.Table:
    """Join the shards of one kind that exist; a column of time points that are all 0 goes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = (read_table(shard).replace_schema_metadata() for shard in shards if shard.exists())
    table = pa.concat_tables(tables)
    if not len(table) or pc.max(table[TIMEPOINT]).as_py() == 0:
        table = table.drop_columns([TIMEPOINT])
    return table.combine_chunks()


def feature_matrix(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return a features table's numbers: shape (fields, features), without what a row is."""
    names = [str(column) for column in table]
    return table[[name for name in names if not name.startswith(METADATA)]].to_numpy(np.float64)
