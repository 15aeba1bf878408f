"""Calls of single crops: what the CNN makes of each, before a field's are joined, and how good.

A tile is what the CNN sees at a time. Without `--crops` that is a field, and the level of tiles is
the level of fields. With them a field has several, and TAS + SVM, which takes whole fields, has
none: this level is the CNN's alone. Crops of a plate may be millions, so they have a table of
their own, which is written fit by fit and has no copy in CSV.

Crops of a well are no more independent than its fields: intervals stay over the split groups. The
temperature of a model is fitted on fields (`models.calibrate.by_field`); a crop shows less than its
field, and how far its probabilities can be trusted is reported as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .evaluate import Evaluation, evaluate
from .files import whole
from .predictions import UNFOLDED, Aggregate, tile_scores, with_calls, with_proba
from .shards import CROP, CROP_X, CROP_Y, OBJECT, read_frame
from .vocabulary import (
    CALL,
    FOLD,
    GROUP,
    LEVEL,
    LEVELS,
    MARGIN,
    PATH,
    PLATE,
    PROBA,
    SCORE,
    SITE,
    TARGET,
    TILE,
    TIMEPOINT,
    WELL,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["CROP_CALLS", "crop_calls", "judge_crops", "with_tiles"]

CROP_CALLS: Final = "crop_predictions.parquet"

_ONE: Final = (
    "The CNN sees each field as one tile: what is said of fields is said of tiles, and no level of"
    " their own is counted."
)
_SEVERAL: Final = (
    "A tile is one crop that the CNN saw. TAS + SVM takes whole fields and calls no crop, so the"
    " level of tiles is the CNN's alone. Probabilities of crops go by the temperature that was"
    " fitted on fields; how well they are calibrated is reported as it is."
)


def crop_calls(
    crops: pd.DataFrame,
    scores: NDArray[np.float64],
    *,
    classes: Sequence[str],
    fold: int = UNFOLDED,
    aggregate: Aggregate = "mean",
    temperature: float = 1.0,
) -> pd.DataFrame:
    """Call each crop by itself from the CNN's scores.

    Parameters
    ----------
    crops : DataFrame
        One row a crop: its plate, well and site, its time point where there are several, and its
        place among the well's crops (`shards.CROP`).
    scores : ndarray of float64, shape (crops, classes)
        Higher is likelier.
    classes : sequence of str
        Class of each column.
    fold : int, optional
        The fold that the crops were tested in.
    aggregate : {"mean", "median"}, optional
        How scores of crops are joined to those of their field.
    temperature : float, optional
        The model's, for the median.

    Returns
    -------
    DataFrame
        A row a crop, in the same order, with its call, margin and scores. Joined by `aggregate`
        the scores are those that `predictions.calls` gives the field.

    Examples
    --------
    >>> import pandas as pd
    >>> crops = pd.DataFrame({PLATE: "P", WELL: "B03", SITE: 1, CROP: [0, 1]})
    >>> table = crop_calls(crops, np.array([[1.0, 0.0], [0.0, 3.0]]), classes=["a", "b"], fold=0)
    >>> table[["Level", "Fold", "Class", "Margin"]].to_numpy().tolist()
    [['tile', 0, 'a', 1.0], ['tile', 0, 'b', 3.0]]
    """
    names = [f"{SCORE}{name}" for name in classes]
    table = crops.reset_index(drop=True)
    table[LEVEL], table[PATH], table[FOLD] = TILE, "cnn", fold
    table[names] = tile_scores(scores, aggregate=aggregate, temperature=temperature)
    return with_calls(table, names)


def judge_crops(
    out: Path,
    shards: Sequence[Path],
    wells: pd.DataFrame,
    *,
    classes: Sequence[str],
    temperatures: Mapping[tuple[str, int], float],
    proba: bool = False,
) -> Evaluation | None:
    """Write `crop_predictions.parquet`, and judge the crops of wells that were tested in a fold.

    Parameters
    ----------
    out : Path
        The run directory, with `crops.parquet`.
    shards : sequence of Path
        The CNN's calls of crops, fit by fit, as from `crop_calls`.
    wells : DataFrame
        One row a well, with its class and group.
    classes : sequence of str
        Every class that a call can name.
    temperatures : mapping
        The temperature of each path's model of each fold.
    proba : bool, optional
        Whether the table says what the models deem probable.

    Returns
    -------
    Evaluation or None
        None without shards: the CNN saw whole fields.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not shards:
        return None
    about = wells[[PLATE, WELL, TARGET, GROUP]]
    places = read_frame(out / "crops.parquet", columns=[PLATE, WELL, CROP, CROP_Y, CROP_X, OBJECT])
    columns, parts = _schema(classes, timed=_is_timed(shards[0]), proba=proba), []
    with (
        whole(out / CROP_CALLS) as part,
        pq.ParquetWriter(part, columns, compression="zstd", use_dictionary=_words(columns)) as file,
    ):
        for shard in shards:
            table = read_frame(shard).merge(about, on=[PLATE, WELL], how="left")
            table = table.merge(places, on=[PLATE, WELL, CROP], how="left")
            table = table.reindex(columns=[*table, *_absent(table, classes)])
            table = with_proba(table, temperatures)
            file.write_table(pa.Table.from_pandas(table, columns, preserve_index=False))
            parts.append(_tested(table, classes))
    judged = pd.concat(parts, ignore_index=True)
    return evaluate(
        list(judged[TARGET]),
        list(judged[CALL]),
        groups=list(judged[GROUP]),
        classes=classes,
        proba=judged[[f"{PROBA}{name}" for name in classes]].to_numpy(np.float64),
    )


def with_tiles(told: Mapping[str, Any], found: Evaluation | None) -> dict[str, Any]:
    """Add the level of tiles to what `comparison.json` says, or that it is that of fields.

    Parameters
    ----------
    told : mapping
        `Comparison.as_json()`.
    found : Evaluation or None
        As from `judge_crops`.

    Returns
    -------
    dict
        With the key `tiles`: the `level` that speaks for them, and a `note` in words.

    Examples
    --------
    >>> with_tiles({"levels": {}}, None)["tiles"]["level"]
    'field'
    """
    if found is None:
        return {**told, "tiles": {"level": LEVELS[0], "note": _ONE}}
    judged = {"tas_svm": None, "cnn": found.as_json()}
    return {
        **told,
        "levels": {TILE: judged, **told["levels"]},
        "tiles": {"level": TILE, "note": _SEVERAL},
    }


def _schema(classes: Sequence[str], *, timed: bool, proba: bool) -> pa.Schema:
    """Return the columns of the table, the same for every fit."""
    import pyarrow as pa

    text, whole_number, number = pa.string(), pa.int64(), pa.float64()
    kinds = {PLATE: text, WELL: text, SITE: whole_number}
    kinds |= {TIMEPOINT: whole_number} if timed else {}
    kinds |= dict.fromkeys((CROP, CROP_Y, CROP_X, OBJECT), whole_number)
    kinds |= {TARGET: text, GROUP: text, FOLD: whole_number, LEVEL: text, PATH: text}
    kinds |= {CALL: text, MARGIN: number}
    for prefix in (SCORE, PROBA) if proba else (SCORE,):
        kinds |= {f"{prefix}{name}": number for name in classes}
    return pa.schema(kinds)


def _words(columns: pa.Schema) -> list[str]:
    """Return the columns of text: they repeat, where figures do not."""
    import pyarrow as pa

    return [column.name for column in columns if pa.types.is_string(column.type)]


def _is_timed(shard: Path) -> bool:
    import pyarrow.parquet as pq

    return TIMEPOINT in pq.read_schema(shard).names


def _absent(table: pd.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    """Name the scores that a fold's model lacks, which was not trained on every class."""
    return (name for name in (f"{SCORE}{one}" for one in classes) if name not in table)


def _tested(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return what is judged: crops of wells whose class is known, tested in a fold."""
    part = table[(table[FOLD] >= 0) & table[TARGET].notna() & table[GROUP].notna()]
    return part[[TARGET, CALL, GROUP, *(f"{PROBA}{name}" for name in classes)]]
