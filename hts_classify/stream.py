"""Calling while the pass reads: finished wells are scored in threads of their own.

The pass tells of each well that it has written. Wells are scored in blocks that the plate alone
decides, each as soon as all of its wells are there, so that what is computed together, and with it
every last bit of a score, does not depend on which well came first. What the pass had kept from
earlier, or what came too late, is scored when it has ended, in the same blocks.

On a CPU each block has a core to itself. Cores that share a batch wait for each other after every
layer, the slowest way of all where the pass takes one of them away; and on blocks of their own
none waits for the others until the plate ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .extract import PassSettings, plan
from .extract.settings import folder_name
from .models import device_name, scoring_threads
from .models.protocol import Origin
from .plate import Plate
from .scoring import Scored
from .seen import Tiles, seen, usable
from .shards import TILE_ROW, join_shards, tables_of
from .tiles import TileStore
from .vocabulary import PLATE, WELL

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from .models.protocol import Classifier

__all__ = ["Gate", "Stream"]

_BLOCK: Final = 16
_BLOCK_ON_GPU: Final = 256
"""Tiles that are scored together, or a few more: a block ends with a well."""

Gate = Callable[["pd.DataFrame", Scored], NDArray[np.bool_]]
"""Told some wells' fields and what the first model says of them, marks fields for the others."""

_Found = list[dict[int, NDArray[np.float64]]]
"""For each model the scores of a field's inputs and their points beside them, by its tile's row."""


class Stream:
    """Scores of a plate's fields by several models, while a pass over it goes on.

    Parameters
    ----------
    models : sequence of Classifier
    plate : Plate
    out : Path
        Where the pass writes.
    asked : PassSettings
        What it is asked for.
    device : str
        Where the CNN computes.
    gate : Gate, optional
        What the later models are to score, from what the first said; by default everything.
    """

    def __init__(
        self,
        models: Sequence[Classifier],
        plate: Plate,
        out: Path,
        asked: PassSettings,
        *,
        device: str,
        gate: Gate | None = None,
    ) -> None:
        self._models, self._plate, self._out, self._asked = models, plate, out, asked
        self._device, self._gate = device, gate
        self._size = plan([plate], asked)[1].names[0]
        crops = 1 if asked.crops == "none" else asked.crops_per_field
        block = _BLOCK if device_name(device).startswith("cpu") else _BLOCK_ON_GPU
        self._blocks = _blocks(plate, max(1, block // crops))
        self._block_of = {well: k for k, block in enumerate(self._blocks) for well in block}
        self._lacking = [set(block) for block in self._blocks]
        self._scored: list[Future[_Found]] = []

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Score what is told of by `done`; on leaving, all of that is scored.

        An exception inside ends it at once; one in a thread is raised here.
        """
        with scoring_threads(self._device) as self._threads:
            yield
            wait(self._scored, return_when=FIRST_EXCEPTION)
            self._raise()

    def done(self, well: str) -> None:
        """Take note that the pass has written a well; raise what went wrong in a thread."""
        self._raise()
        block = self._block_of[well]
        self._lacking[block].discard(well)
        if not self._lacking[block] and self._models:
            self._scored.append(self._threads.submit(self._score_shards, self._blocks[block]))

    def scores(self, features: pd.DataFrame, tiles: Tiles) -> list[Scored]:
        """Return what each model says of the fields that the pass left, in their order.

        The first says it of all; the others of those that the gate leaves them.

        Parameters
        ----------
        features, tiles
            What the pass left, and the CNN sees.
        """
        if not self._models:
            return []
        found: _Found = [{} for _ in self._models]
        for future in self._scored:
            _update(found, future.result())
        rows = features[TILE_ROW].to_numpy()
        parts = features.groupby(features[WELL].map(self._block_of))
        late = [part for _, part in parts if set(part[TILE_ROW]) - found[0].keys()]
        with scoring_threads(self._device) as threads:
            for more in threads.map(lambda part: self._score(part, tiles), late):
                _update(found, more)
        return [
            _joined(held, rows, len(model.classes))
            for held, model in zip(found, self._models, strict=True)
        ]

    def _raise(self) -> None:
        """Raise what went wrong with a block."""
        for future in self._scored:
            if future.done():
                future.result()

    def _score_shards(self, wells: Sequence[str]) -> _Found:
        """Score the fields of some wells as their shards have them."""
        neighbours = 26 if self._plate.volumes else 8
        table, _ = tables_of(
            self._shards(wells), self._plate.channels, self._asked.features, neighbours=neighbours
        )
        crops = None
        if self._asked.crops != "none":
            crops = self._shards(wells, "crops").to_pandas()
        store = TileStore(self._out / "tiles.zarr", self._size)
        features, tiles = usable(self._out, self._asked, table.to_pandas(), store, crops)
        return self._score(features, tiles)

    def _shards(self, wells: Sequence[str], kind: str = "features") -> pa.Table:
        folder = self._out / kind / folder_name(self._plate.name)
        return join_shards([folder / f"{well}.parquet" for well in wells])

    def _score(self, features: pd.DataFrame, tiles: Tiles) -> _Found:
        found: _Found = []
        rows, names = np.arange(len(features)), features[TILE_ROW].to_numpy()
        for model in self._models:
            if not len(rows):
                break  # no field was read, or the gate leaves none
            inputs, of = seen(model.name, features, tiles, rows)  # read by whoever scores them
            points = model.embedded(inputs, origin=Origin(features[PLATE].to_numpy()[of], {}))
            said = Scored(model.scores_of(points), points, of)
            fields = np.split(np.hstack(said[:2]), np.searchsorted(of, rows[1:]))
            found.append(dict(zip(names[rows].tolist(), fields, strict=True)))
            if model is self._models[0] and self._gate:
                rows = np.flatnonzero(self._gate(features, said))
        return found


def _joined(held: dict[int, NDArray[np.float64]], rows: NDArray[Any], classes: int) -> Scored:
    """Put the fields in the order of these rows; those of which nothing is held are left out."""
    fields = [(k, held[row]) for k, row in enumerate(rows.tolist()) if row in held]
    said = np.concatenate([own for _, own in fields]) if fields else np.empty((0, classes))
    of = np.repeat(np.array([k for k, _ in fields], np.intp), [len(own) for _, own in fields])
    return Scored(said[:, :classes], said[:, classes:], of)


def _update(found: _Found, more: _Found) -> None:
    """Add what the first models found of some fields; those after them had none to score."""
    for held, one in zip(found, more, strict=False):
        held.update(one)


def _blocks(plate: Plate, size: int) -> list[list[str]]:
    """Cut a plate's wells into runs with so many fields, or a few more."""
    blocks: list[list[str]] = [[]]
    held = 0
    for well, fields in groupby(plate.fields, key=lambda field: field.well):
        if held >= size:
            blocks.append([])
            held = 0
        blocks[-1].append(well)
        held += len(list(fields))
    return blocks
