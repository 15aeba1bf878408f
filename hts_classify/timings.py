"""What a run cost: `timings.json`, and the seconds that each path needs for a field.

This file alone differs between two runs of the same thing: it also says where they ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from .errors import DataError
from .files import read_json, write_json
from .vocabulary import PATHS

__all__ = ["PathCost", "Timings", "path_costs"]


class Timings:
    """Seconds by step, kept over interruptions.

    Parameters
    ----------
    path : Path
        `timings.json` of a run directory.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "timings.json"
    >>> timings = Timings(path)
    >>> timings.note("cnn", "fold0", cost={"train_s": 2.5})
    >>> timings.save()
    >>> Timings(path).content
    {'cnn': {'fold0': {'train_s': 2.5}}}
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.content: dict[str, Any] = read_json(path) if path.exists() else {}
        self._saved = 0.0

    def note(self, *keys: str, cost: Mapping[str, Any]) -> None:
        """Note what a step cost, under its keys; without keys, what is true of the whole run."""
        at = self.content
        for key in keys:
            at = at.setdefault(key, {})
        at.update(cost)

    def save(self, *, at_once: bool = True) -> None:
        """Write the file; `at_once=False` writes it every two seconds at the most."""
        if at_once or perf_counter() - self._saved > 2:
            write_json(self._path, self.content)
            self._saved = perf_counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCost:
    """Seconds that one path needs, for each field and for the whole run."""

    path: str
    fields: int
    """Fields that the pass read."""
    read_s: float
    """Reading and decoding a field: its share of the pass's time on the clock."""
    input_s: float
    """Computing the path's input from a field in memory: features, or a tile; likewise."""
    score_s: float
    """Scoring a field with a trained model, on the machine that trained it."""
    train_s: float
    """All fits of the run together: each fold's and the one on all labelled wells."""
    fits: int

    @property
    def fields_per_s(self) -> float:
        """Fields a second from the store to a call, with a trained model, on this machine."""
        return 1.0 / (self.read_s + self.input_s + self.score_s)

    @property
    def fields_per_s_without_reading(self) -> float:
        """The same from a field in memory."""
        return 1.0 / (self.input_s + self.score_s)


def path_costs(content: Mapping[str, Any]) -> list[PathCost]:
    """Return each path's cost from what `timings.json` holds.

    The pass runs on several workers at once, which wait for each other. Its time on the clock is
    divided among reading, features and tiles as the workers' seconds are, so that the shares add
    up to what the user waited.

    Parameters
    ----------
    content : mapping
        The parsed file.

    Raises
    ------
    DataError
        When a step is missing from it.

    Examples
    --------
    >>> well = {"fields": 2, "bytes": 8, "read_s": 0.2, "features_s": 0.1, "tiles_s": 0.02}
    >>> fit = {"train_s": 3.0, "score_s": 0.2, "scored_fields": 10, "trained_fields": 20}
    >>> costs = path_costs({"extract": {"wells": {"A01": well}, "wall_s": 0.32},
    ...                     "tas_svm": {"all": fit}, "cnn": {"all": fit}})
    >>> [(cost.path, round(cost.fields_per_s, 1)) for cost in costs]
    [('tas_svm', 5.9), ('cnn', 7.7)]
    """
    try:
        pass_, fits_of = content["extract"], {path: content[path].values() for path in PATHS}
        wells, wall_s = pass_["wells"].values(), pass_["wall_s"]
    except KeyError as error:
        raise DataError(
            f"timings.json has no {error}", remedy="delete the run's folder and run again"
        ) from None
    fields = sum(well["fields"] for well in wells)
    worked = {
        kind: sum(well[f"{kind}_s"] for well in wells) for kind in ("read", "features", "tiles")
    }
    a_field = wall_s / sum(worked.values()) / fields
    share = {kind: seconds * a_field for kind, seconds in worked.items()}
    costs = []
    for path, kind in zip(PATHS, ("features", "tiles"), strict=True):
        fits = fits_of[path]
        scored = sum(fit["scored_fields"] for fit in fits)
        costs.append(
            PathCost(
                path=path,
                fields=int(fields),
                read_s=share["read"],
                input_s=share[kind],
                score_s=sum(fit["score_s"] for fit in fits) / max(scored, 1),
                train_s=sum(fit["train_s"] for fit in fits),
                fits=len(fits),
            )
        )
    return costs
