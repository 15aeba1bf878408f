"""Calling while the pass reads: finished wells are scored in a thread of its own.

The pass tells of each well that it has written. Wells are scored in blocks that the plate alone
decides, each as soon as all of its wells are there, so that what is computed together, and with it
every last bit of a score, does not depend on which well came first. What the pass had kept from
earlier, or what came too late, is scored when it has ended, in the same blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from .extract import PassSettings, plan
from .extract.settings import folder_name
from .fits import Scored, scored
from .plate import Plate
from .seen import Tiles, usable
from .shards import TILE_ROW, join_shards, tables_of
from .tiles import TileStore
from .vocabulary import WELL

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from .models.protocol import Classifier

__all__ = ["Stream"]

_BLOCK: Final = 64
"""Tiles that are scored together, or a few more: a block ends with a well."""


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
    """

    def __init__(
        self, models: Sequence[Classifier], plate: Plate, out: Path, asked: PassSettings
    ) -> None:
        self._models, self._plate, self._out, self._asked = models, plate, out, asked
        self._size = plan([plate], asked)[1].names[0]
        crops = 1 if asked.crops == "none" else asked.crops_per_field
        self._blocks = _blocks(plate, max(1, _BLOCK // crops))
        self._block_of = {well: k for k, block in enumerate(self._blocks) for well in block}
        self._lacking = [set(block) for block in self._blocks]
        self._ready: SimpleQueue[int | None] = SimpleQueue()  # numbers: the tiles are on disk
        self._found: list[dict[int, NDArray[np.float64]]] = [{} for _ in models]
        self._error: BaseException | None = None
        self._stopped = threading.Event()

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Score what is told of by `done`; on leaving, all of that is scored.

        An exception inside ends it at once; one in the thread is raised here.
        """
        thread = threading.Thread(target=self._work, name="calling", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._stopped.set()
            raise
        finally:
            self._ready.put(None)
            thread.join()
        if self._error is not None:
            raise self._error

    def done(self, well: str) -> None:
        """Take note that the pass has written a well; raise what went wrong in the thread."""
        if self._error is not None:
            raise self._error
        block = self._block_of[well]
        self._lacking[block].discard(well)
        if not self._lacking[block]:
            self._ready.put(block)

    def scores(self, features: pd.DataFrame, tiles: Tiles) -> list[Scored]:
        """Return what each model says of all fields that the pass left, in their order.

        Parameters
        ----------
        features, tiles
            What the pass left, and the CNN sees.
        """
        rows = features[TILE_ROW].to_numpy()
        wells = features[WELL].map(self._block_of).to_numpy()
        for block in range(len(self._blocks)):
            part = features.iloc[np.flatnonzero(wells == block)]
            if any(set(part[TILE_ROW]) - found.keys() for found in self._found):
                self._score(part, tiles)
        every = np.arange(len(rows))
        return [
            Scored(
                np.concatenate([found[row] for row in rows]),
                np.repeat(every, [len(found[row]) for row in rows]),
            )
            for found in self._found
        ]

    def _work(self) -> None:
        try:
            while (block := self._ready.get()) is not None:
                if not self._stopped.is_set():
                    self._score_shards(self._blocks[block])
        except BaseException as error:  # raised where the pass is waited for
            self._error = error

    def _score_shards(self, wells: Sequence[str]) -> None:
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
        if len(features):
            self._score(features, tiles)

    def _shards(self, wells: Sequence[str], kind: str = "features") -> pa.Table:
        folder = self._out / kind / folder_name(self._plate.name)
        return join_shards([folder / f"{well}.parquet" for well in wells])

    def _score(self, features: pd.DataFrame, tiles: Tiles) -> None:
        every = np.arange(len(features))
        for model, held in zip(self._models, self._found, strict=True):
            found = scored(model, features, tiles, every, {})
            fields = np.split(found.scores, np.searchsorted(found.rows, every[1:]))
            held.update(zip(features[TILE_ROW].tolist(), fields, strict=True))


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
