"""Several finished runs side by side: other nets, other splits, other normalisations.

Every run brings its two paths as contestants, and all of them are judged on the same wells: those
that every run tested and names alike. Each pair is tested as the two paths of one run are
(`statistics.difference`). Many pairs are many chances to be lucky, so that p-values are corrected
for all of them (Holm, Scand J Statist 1979, 6:65).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .compare import scored_wells
from .errors import DataError, UsageError
from .evaluate import Evaluation, evaluate
from .report import Record, load_record
from .statistics.difference import Difference, compare_calls
from .statistics.many import holm, joined_groups
from .vocabulary import FOLD, GROUP, PATH, PATHS, PLATE, PROBA, TARGET, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHEMA",
    "ComparedRun",
    "Contestant",
    "Pair",
    "RunsComparison",
    "compare_runs",
]

SCHEMA: Final = 1
"""Counts up when what `RunsComparison.as_json` says is said otherwise."""
_ALPHA: Final = 0.05
_WELL_KEYS: Final = [PLATE, WELL]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One of the runs, and how much of it counts here."""

    name: str
    """Its folder's name, with those above where two runs would be called alike."""
    folder: str
    """As it was given."""
    protocol: str
    """How its wells were dealt into folds, in words."""
    unit: str
    """What it left out together."""
    machine: str
    """What its CNN ran on."""
    tested: int
    """Wells that it tested in a fold."""
    dropped: int
    """Wells among them that another run did not test, or names otherwise: they do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One path of one run, judged on the wells that count."""

    name: str
    """The run's name and the path: `resnet/cnn`."""
    run: str
    path: str
    same_as: str | None
    """An earlier contestant of the same path that calls every well alike, and stands for this one
    in the pairs; None for most."""
    evaluation: Evaluation
    fields_per_s: float
    """From the store to a call, with a trained model, on the run's own machine."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types: the evaluation's keys are those of `paths` in a run."""
        return self.evaluation.as_json() | {
            "name": self.name,
            "run": self.run,
            "path": self.path,
            "same_as": self.same_as,
            "fields_per_s": self.fields_per_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two contestants against each other."""

    first: str
    second: str
    difference: Difference
    """Its own verdict and power know nothing of the other pairs, and `as_json` leaves them out."""
    p_holm: float | None
    """The exact p-value, corrected for all pairs; None where groups are too few for a test."""
    shown: bool
    """Whether the interval leaves out 0 and the corrected p-value is below 0.05."""
    verdict: str
    """In plain words."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types: the difference's keys are those of `difference` in a run."""
        alone = {"detectable", "resolution", "verdict"}
        found = {key: value for key, value in asdict(self.difference).items() if key not in alone}
        return found | {
            "first": self.first,
            "second": self.second,
            "p_holm": self.p_holm,
            "shown": self.shown,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsComparison:
    """What several runs made of the same wells."""

    target: str
    """Column of the classes."""
    classes: tuple[str, ...]
    wells: int
    """Wells that every run tested and names alike: all figures are of these."""
    disputed: int
    """Wells that every run tested, and that some name otherwise than others."""
    groups: int
    """Groups of wells that no test takes for independent."""
    unit: str
    """What a group is."""
    runs: tuple[ComparedRun, ...]
    contestants: tuple[Contestant, ...]
    """Both paths of every run, in the order in which the runs were given."""
    pairs: tuple[Pair, ...]
    """Every two contestants that do not call all wells alike."""
    notes: tuple[str, ...]
    """What to know before believing it, a sentence each."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types: the fields of this class, and `schema`."""
        return asdict(self) | {
            "schema": SCHEMA,
            "contestants": [contestant.as_json() for contestant in self.contestants],
            "pairs": [pair.as_json() for pair in self.pairs],
        }


def compare_runs(folders: Sequence[str | Path]) -> RunsComparison:
    """Hold all paths of several runs against each other, over the wells that all of them tested.

    Parameters
    ----------
    folders : sequence of path
        Run directories, two at least, of the same target with the same classes.

    Returns
    -------
    RunsComparison

    Raises
    ------
    UsageError
        For fewer than two runs, or a folder that is named twice.
    DataError
        When a run is not finished, and when runs have no classes or wells in common.
    """
    runs = _load([Path(folder) for folder in folders])
    wells, disputed = _common(runs)
    truth = list(runs[0].wells.loc[wells, TARGET])
    own = [run.wells.loc[wells, GROUP].astype(str).tolist() for run in runs]
    groups = joined_groups(own)
    contestants = tuple(_contestants(runs, wells, truth, groups))
    own_counts = [len(set(grouping)) for grouping in own]
    shared, joined = len(wells), len(set(groups))
    return RunsComparison(
        target=runs[0].target,
        classes=runs[0].record.classes,
        wells=shared,
        disputed=disputed,
        groups=joined,
        unit=_unit(runs, own_counts, joined),
        runs=tuple(run.summary(shared) for run in runs),
        contestants=contestants,
        pairs=_pairs(contestants, runs, wells, groups),
        notes=(
            *_well_notes(runs, shared, disputed),
            *_design_notes(runs, own_counts, joined),
            *_seed_notes(runs),
            *_contestant_notes(contestants),
        ),
    )


# ---- runs, read and checked


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    name: str
    given: Path
    record: Record
    wells: pd.DataFrame
    """Tested wells by plate and name: truth, group and each path's call."""

    @property
    def target(self) -> str:
        return str(self.record.run["settings"]["target"])

    @property
    def protocol(self) -> str:
        return str(self.record.comparison["protocol"])

    @property
    def unit(self) -> str:
        return str(self.record.comparison["unit"])

    def summary(self, shared: int) -> ComparedRun:
        return ComparedRun(
            name=self.name,
            folder=str(self.given),
            protocol=self.protocol,
            unit=self.unit,
            machine=self.record.machine,
            tested=len(self.wells),
            dropped=len(self.wells) - shared,
        )


def _load(folders: Sequence[Path]) -> list[_Run]:
    if len(folders) < 2:
        raise UsageError(
            f"{len(folders)} run", where="compare", remedy="name at least two run directories"
        )
    places = [folder.resolve() for folder in folders]
    for k, place in enumerate(places):
        if place in places[:k]:
            raise UsageError(
                "is named twice", where=str(folders[k]), remedy="name every run directory once"
            )
    runs = [_read(name, folder) for name, folder in zip(_names(places), folders, strict=True)]
    for run in runs[1:]:
        _check_alike(runs[0], run)
    return runs


def _names(places: Sequence[Path]) -> list[str]:
    """Call runs by their folder, and by as many of those above as tell them apart."""
    parts = [place.parts for place in places]
    depths = [next(d for d in count(1) if sum(q[-d:] == p[-d:] for q in parts) == 1) for p in parts]
    return ["/".join(p[-depth:]) for p, depth in zip(parts, depths, strict=True)]


def _read(name: str, folder: Path) -> _Run:
    record = load_record(folder)
    wells = scored_wells(record.wells).set_index(_WELL_KEYS).sort_index()
    if wells.index.has_duplicates:
        plate, well = wells.index[wells.index.duplicated()][0]
        raise DataError(
            "was tested in more than one fold",
            where=f"{folder} plate {plate} well {well}",
            remedy="compare runs that test a well once",
        )
    return _Run(name=name, given=folder, record=record, wells=wells)


def _check_alike(first: _Run, other: _Run) -> None:
    """Refuse runs that answer different questions."""
    where, remedy = f"{first.given} and {other.given}", "compare runs of the same classes"
    if first.target != other.target:
        raise DataError(
            f"have the targets {first.target!r} and {other.target!r}", where=where, remedy=remedy
        )
    apart = set(first.record.classes) ^ set(other.record.classes)
    if apart:
        named = ", ".join(repr(name) for name in sorted(apart))
        raise DataError(f"differ in the classes {named}", where=where, remedy=remedy)


def _common(runs: Sequence[_Run]) -> tuple[pd.Index[Any], int]:
    """Return the wells that count, in order, and how many more the runs name differently."""
    wells = runs[0].wells.index
    for run in runs[1:]:
        wells = wells.intersection(run.wells.index)
    wells = wells.sort_values()
    truths = [run.wells.loc[wells, TARGET].to_numpy(object) for run in runs]
    alike = np.ones(len(wells), bool)
    for truth in truths[1:]:
        alike &= truth == truths[0]
    if not alike.any():
        tested = ", ".join(f"{run.name} {len(run.wells)}" for run in runs)
        raise DataError(
            f"no well was tested by every run and named alike (tested: {tested};"
            f" by every run: {len(wells)})",
            where="compare",
            remedy="compare runs over the same plates and plate map",
        )
    return wells[alike], int((~alike).sum())


# ---- contestants and pairs


def _contestants(
    runs: Sequence[_Run], wells: pd.Index[Any], truth: list[str], groups: list[int]
) -> Iterator[Contestant]:
    classes = runs[0].record.classes
    first: dict[tuple[str, ...], str] = {}
    for run in runs:
        for path in PATHS:
            called, name = list(run.wells.loc[wells, path]), f"{run.name}/{path}"
            stands = first.setdefault((path, *called), name)
            yield Contestant(
                name=name,
                run=run.name,
                path=path,
                same_as=None if stands == name else stands,
                evaluation=evaluate(
                    truth,
                    called,
                    groups=groups,
                    classes=classes,
                    proba=_proba(run, path, wells, classes),
                ),
                fields_per_s=run.record.costs[path].fields_per_s,
            )


def _proba(run: _Run, path: str, wells: pd.Index[Any], classes: Sequence[str]) -> Any:
    """Return what a path deemed probable, or None where the run did not keep it."""
    table, columns = run.record.wells, [f"{PROBA}{name}" for name in classes]
    if not set(columns) <= set(table):
        return None
    part = table[(table[PATH] == path) & (table[FOLD] >= 0)].set_index(_WELL_KEYS)
    return part.loc[wells, columns].to_numpy(np.float64)


def _pairs(
    contestants: Sequence[Contestant],
    runs: Sequence[_Run],
    wells: pd.Index[Any],
    groups: list[int],
) -> tuple[Pair, ...]:
    tables = {run.name: run.wells.loc[wells] for run in runs}
    right = {
        one.name: (tables[one.run][one.path] == tables[one.run][TARGET]).to_numpy(bool)
        for one in contestants
        if one.same_as is None
    }
    met = list(combinations(right, 2))
    found = [compare_calls(right[a], right[b], groups, names=(a, b)) for a, b in met]
    tested = [one.p for one in found if one.p is not None]
    # Whether there is a test depends on the groups alone: all pairs have one, or none has.
    corrected: list[float | None] = [*holm(tested)] if tested else [None] * len(found)
    return tuple(
        _pair(names, difference, p, len(met))
        for names, difference, p in zip(met, found, corrected, strict=True)
    )


def _pair(names: tuple[str, str], found: Difference, p_holm: float | None, many: int) -> Pair:
    first, second = names
    outside = found.interval is not None and not found.interval[0] <= 0 <= found.interval[1]
    shown = outside and p_holm is not None and p_holm < _ALPHA
    seen = (
        f"of {found.wells} wells, {found.first_only} were called right only by {first}"
        f" and {found.second_only} only by {second}"
    )
    if p_holm is None:
        verdict = f"{found.groups} groups are too few for a test"
    elif shown:
        better, worse = names if found.difference > 0 else names[::-1]
        verdict = f"{better} is better here than {worse}"
    else:
        verdict = "no difference that these wells can show"
        if outside and found.p is not None and found.p < _ALPHA:
            verdict += f", now that {many} pairs were tested"
    return Pair(
        first=first,
        second=second,
        difference=found,
        p_holm=p_holm,
        shown=shown,
        verdict=f"{seen}: {verdict}",
    )


# ---- what to know before believing it


def _unit(runs: Sequence[_Run], own_counts: Sequence[int], joined: int) -> str:
    """Name the run's unit that the groups are, where they are one's."""
    for run, own in zip(runs, own_counts, strict=True):
        if own == joined:
            return run.unit
    return f"{' and '.join(dict.fromkeys(run.unit for run in runs))}, joined"


def _well_notes(runs: Sequence[_Run], shared: int, disputed: int) -> Iterator[str]:
    lost = [
        f"{run.name} {len(run.wells) - shared} of {len(run.wells)}"
        for run in runs
        if len(run.wells) > shared
    ]
    if lost:
        yield (
            f"only the {shared} wells count that every run tested and names alike;"
            f" dropped: {', '.join(lost)}"
        )
    if disputed:
        yield (
            f"{disputed} wells that every run tested are not of one class in all of them:"
            " the plate maps differ"
        )


def _design_notes(runs: Sequence[_Run], own_counts: Sequence[int], joined: int) -> Iterator[str]:
    if max(own_counts) > joined:
        own = "; ".join(
            f"{run.name}: {count} by {run.unit}"
            for run, count in zip(runs, own_counts, strict=True)
        )
        yield (
            f"the runs left out different groups ({own}): wells that share a group in any run"
            f" are held together, which makes {joined}"
        )
    if len({run.protocol for run in runs}) > 1:
        own = "; ".join(f"{run.name}: {run.protocol}" for run in runs)
        yield (
            f"the runs dealt their folds differently ({own}): what separates them may be what"
            " they were trained on"
        )
    if len({run.record.machine for run in runs}) > 1:
        own = "; ".join(f"{run.name}: {run.record.machine}" for run in runs)
        yield f"the runs' machines differ ({own}): their fields/s do not compare"


def _seed_notes(runs: Sequence[_Run]) -> Iterator[str]:
    for run in runs:
        if again := run.record.comparison.get("repeats"):
            least, most = (100 * again["difference"][name] for name in ("least", "most"))
            yield (
                f"of {run.name} the first of {len(again['repeats'])} seeds counts; over all of them"
                f" the difference between its paths went from {least:+.1f} to {most:+.1f} points"
            )


def _contestant_notes(contestants: Sequence[Contestant]) -> Iterator[str]:
    for one in contestants:
        if one.same_as is not None:
            yield (
                f"{one.name} calls every well as {one.same_as} does, which stands for both in"
                " the pairs"
            )
