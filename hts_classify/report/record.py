"""A run directory, read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..compare import SCHEMA
from ..cost import Projection, project
from ..errors import DataError
from ..files import read_json
from ..shards import read_frame
from ..tiles import TileStore
from ..timings import PathCost, path_costs, repeats_cost
from ..vocabulary import LEVEL, PLATE, SCORE, SITE, columns_with

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Record", "count_failures", "load_record"]

_NEARLY: Final = 0.95
"""Share of the better path's right calls at which what needs no cells is warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a finished run left."""

    folder: Path
    run: dict[str, Any]
    """`run.json`."""
    comparison: dict[str, Any]
    """`comparison.json`."""
    costs: dict[str, PathCost]
    """By path, from `timings.json`."""
    screen: Projection
    """What a screen of such plates would cost."""
    peak_memory: int | None
    """Bytes that the run's process held at the most."""
    repeats_cost: tuple[int, float]
    """Fits of the repeats after the first, and their seconds: not among `costs`."""
    machine: str
    """What the CNN ran on: `cpu (2 threads)`."""
    plates: tuple[str, ...]
    """Paths of the plates."""
    wells: pd.DataFrame
    """Well rows of the predictions."""
    failures: pd.DataFrame

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that a call can name."""
        return tuple(name.removeprefix(SCORE) for name in columns_with(SCORE, self.wells))

    @property
    def title(self) -> str:
        """The plate's name, or how many plates there are and the first's."""
        first, *others = self.run["plates"]
        return f"{first} and {len(others)} more" if others else str(first)

    @property
    def tiles(self) -> TileStore:
        """The run's only size of downscaled fields: what the CNN saw, unless it saw crops."""
        store = self.folder / "tiles.zarr"
        sizes = [path.name for path in store.glob("*") if path.name.isdigit()]
        if len(sizes) != 1:
            raise DataError(
                f"holds {len(sizes)} sizes of tiles, not one",
                where=str(store),
                remedy="delete the run's folder and run again",
            )
        return TileStore(store, int(sizes[0]))

    def well(self, plate: str, name: str) -> str:
        """Name a well, with its plate where there are several."""
        return f"{plate} {name}" if len(self.run["plates"]) > 1 else name

    def count(self, path: str) -> str:
        """Return right calls of all, as `23/24`."""
        result = self.comparison["paths"][path]
        return f"{result['correct']}/{result['total']}"

    def interval(self, path: str) -> str:
        """Return the accuracy's interval in words."""
        result = self.comparison["paths"][path]
        interval, unit = result["interval"], self.comparison["unit"]
        if interval is None:
            return "no interval from a single group"
        over = "wells" if unit == "well" else f"{counted(result['groups'], unit)}, not wells"
        return f"95% interval {interval['low']:.0%} to {interval['high']:.0%}, over {over}"

    def warnings(self) -> list[str]:
        """Say what limits the result, most serious first."""
        found = []
        best = max(result["correct"] for result in self.comparison["paths"].values())
        blind, *places = self.comparison["positions"]
        if blind["correct"] >= best:
            found.append(
                "Calling every well by the commonest class of its training folds is right"
                f" {blind['correct']}/{blind['total']} times: neither path does better."
            )
        for place in places:
            right = f"{place['correct']}/{place['total']}"
            if place["separates"]:
                found.append(
                    f"Position confounds the classes: in the training folds the {place['place']}"
                    " of a well alone, without its image, tells them apart (on the tested wells"
                    f" that rule is right {right} times). Read the counts as a smoke test, not as"
                    " evidence of what either path recognises."
                )
            elif place["correct"] >= best:
                found.append(
                    f"The {place['place']} of a well alone, without its image, is right {right}"
                    " times under the same folds: neither path does better."
                )
        found += [
            f"{one['name'].capitalize()} alone, without the cells, is right"
            f" {one['correct']}/{one['total']} times under the same folds, the better path"
            f" {best}/{one['total']}: what a path sees need be no more than that."
            for one in self.comparison["audit"]["contestants"]
            if one["name"] != "commonest" and one["correct"] >= _NEARLY * best
        ]
        groups = self.comparison["difference"]["groups"]
        if groups < 6:
            found.append(
                f"Only {groups} groups ({self.comparison['unit']}) are scored: the counts cannot"
                " be generalised to the next one, and no p-value is given."
            )
        return [*self._audited(), *found, *self.comparison["fold_notes"], *self._losses()]

    def _audited(self) -> list[str]:
        """Say what the leakage audit found."""
        return [
            f"Leakage audit, {finding['kind']}: {finding['said']}."
            for finding in self.comparison["audit"]["findings"]
        ]

    def _losses(self) -> list[str]:
        """Say what could not be read, and which classes went with it."""
        found = []
        if len(self.failures):
            found.append(
                f"{count_failures(self.failures)} left out; failures.csv names each with its"
                " reason."
            )
        lost = self.comparison["lost"]
        gone = sorted({str(name) for *_, name in lost if name is not None} - set(self.classes))
        if lost:
            wells = ", ".join(self.well(plate, well) for plate, well, _ in lost[:6]) + (
                ", …" if len(lost) > 6 else ""
            )
            found.append(f"No field is left of {len(lost)} wells ({wells}): they are not called.")
        if gone:
            found.append(
                f"Class {', '.join(gone)} is not among the results: none of its wells was read."
            )
        return found


def count_failures(failures: pd.DataFrame) -> str:
    """Say how much `failures.csv` lists: fields, and wells that are lost as a whole.

    Examples
    --------
    >>> import pandas as pd
    >>> count_failures(pd.DataFrame({"Metadata_Site": [1, None, None]}))
    '1 field and 2 wells were'
    >>> count_failures(pd.DataFrame({"Metadata_Site": [1]}))
    '1 field was'
    """
    whole_wells = int(failures[SITE].isna().sum())
    counts = {"field": len(failures) - whole_wells, "well": whole_wells}
    parts = [f"{n} {what}{'s' if n != 1 else ''}" for what, n in counts.items() if n]
    return " and ".join(parts) + (" was" if len(failures) == 1 else " were")


def counted(count: int, unit: str) -> str:
    """Say how many there are of a unit.

    Examples
    --------
    >>> counted(1, "plate"), counted(3, "batch")
    ('1 plate', '3 batches')
    """
    return f"{count} {unit}{'' if count == 1 else 'es' if unit == 'batch' else 's'}"


def load_record(folder: Path) -> Record:
    """Read a finished run's files.

    Raises
    ------
    DataError
        When one is missing or damaged; it names the file.
    """
    import pandas as pd

    missing = [
        name
        for name in ("run.json", "comparison.json", "predictions.parquet", "failures.csv")
        if not (folder / name).exists()
    ]
    if missing:
        raise DataError(
            f"holds no finished run: {missing[0]} is absent",
            where=str(folder),
            remedy="name the folder of a run; the command that began it finishes it",
        )
    try:
        predictions = read_frame(folder / "predictions.parquet")
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise DataError(
            f"holds a table that cannot be read ({str(error).splitlines()[0]})",
            where=str(folder),
            remedy="delete its .parquet files and run again",
        ) from error
    timings = read_json(folder / "timings.json")
    timed = sum(int(well["fields"]) for well in timings.get("wells", {}).values())
    features = folder / "features.parquet"  # of a copy without it, what was timed says as much
    fields = len(read_frame(features, columns=[PLATE])) if features.exists() else timed
    comparison = read_json(folder / "comparison.json")
    if (schema := comparison.get("schema")) != SCHEMA:
        raise DataError(
            f"comparison.json has schema {schema}, and this version reads {SCHEMA}",
            where=str(folder),
            remedy="run again with this version",
        )
    plates = tuple(path for _, path in timings.get("plates", []))
    return Record(
        folder=folder,
        run=read_json(folder / "run.json"),
        comparison=comparison,
        costs={cost.path: cost for cost in path_costs(timings)},
        repeats_cost=repeats_cost(
            timings, len((comparison.get("repeats") or {}).get("repeats", []))
        ),
        machine=timings.get("machine", "unknown"),
        plates=plates,
        screen=project(
            timings,
            fields_per_plate=max(1, fields // max(1, len(plates))),
            plates=max(1, len(plates)),
            cores=timings.get("cores", 1),
            screen_plates=timings.get("screen_plates", 2000),
        ),
        peak_memory=timings.get("peak_memory"),
        wells=predictions[predictions[LEVEL] == "well"].reset_index(drop=True),
        failures=pd.read_csv(folder / "failures.csv", dtype={PLATE: str}),
    )
