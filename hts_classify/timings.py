"""What a run cost: `timings.json`, and the seconds that each path needs for a field.

This file alone differs between two runs of the same thing: it also says where they ran.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from .errors import DataError
from .files import read_json, write_json
from .vocabulary import PATHS

__all__ = ["PathCost", "Timings", "path_costs", "repeats_cost", "stopwatch"]


def stopwatch() -> Callable[[], float]:
    """Return what tells the seconds since it was last asked, or made."""
    last = perf_counter()

    def lap() -> float:
        nonlocal last
        now = perf_counter()
        passed, last = now - last, now
        return passed

    return lap


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

    def keep(self, key: str, names: Container[str]) -> None:
        """Forget the steps under a key that are not among these names."""
        held = self.content.get(key, {})
        self.content[key] = {name: cost for name, cost in held.items() if name in names}

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
    """Scoring a field whose input is in memory with a trained model."""
    train_s: float
    """All fits of the run together: each fold's and the one on all labelled wells. Those of
    repeats with other seeds are not among them (`repeats_cost`): a run is one repeat."""
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
    divided among the kinds of work as the workers' seconds are. What the run itself adds, keeping
    tiles and tables to go on from, is charged to neither path.

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
    >>> well = {"fields": 2, "wall_s": 0.5, "read_s": 0.4, "features_s": 0.2, "tiles_s": 0.1,
    ...         "keep_s": 0.3}
    >>> fit = {"train_s": 3.0, "score_s": 0.2, "scored_fields": 10, "trained_fields": 20}
    >>> costs = path_costs({"wells": {"A01": well}, "fits": {"tas_svm-all": fit, "cnn-all": fit}})
    >>> [(cost.path, round(1 / cost.fields_per_s, 3)) for cost in costs]
    [('tas_svm', 0.17), ('cnn', 0.145)]
    """
    try:
        wells, fits = list(content["wells"].values()), content["fits"]
        fields = sum(well["fields"] for well in wells)
        wall_s = sum(well["wall_s"] for well in wells)
        worked = {
            kind: sum(well[f"{kind}_s"] for well in wells)
            for kind in ("read", "features", "tiles", "keep")
        }
        a_field = wall_s / sum(worked.values()) / fields
        costs = []
        for path, kind in zip(PATHS, ("features", "tiles"), strict=True):
            own = [fit for name, fit in fits.items() if name.startswith(f"{path}-")]
            costs.append(
                PathCost(
                    path=path,
                    fields=int(fields),
                    read_s=worked["read"] * a_field,
                    input_s=worked[kind] * a_field,
                    score_s=sum(f["score_s"] for f in own) / sum(f["scored_fields"] for f in own),
                    train_s=sum(f["train_s"] for f in own),
                    fits=len(own),
                )
            )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise DataError(
            f"timings.json does not hold every step ({error!r})",
            remedy="delete the run's folder and run again",
        ) from None
    return costs


def repeats_cost(content: Mapping[str, Any], repeats: int) -> tuple[int, float]:
    """Return how many fits of the repeats after the first were timed, and their seconds together.

    Parameters
    ----------
    content : mapping
        The parsed file.
    repeats : int
        Repeats of the run, with the first.

    Examples
    --------
    >>> fit = {"train_s": 3.0, "score_s": 0.5}
    >>> held = {"fits": {"cnn-fold0": fit}, "repeats": {"cnn-fold0-repeat2": fit}}
    >>> repeats_cost(held, 2), repeats_cost(held, 1)
    ((1, 3.5), (0, 0.0))
    """
    counted = {str(repeat) for repeat in range(2, repeats + 1)}
    own = [
        fit["train_s"] + fit["score_s"]
        for name, fit in content.get("repeats", {}).items()
        if name.rpartition("-repeat")[2] in counted
    ]
    return len(own), float(sum(own))
