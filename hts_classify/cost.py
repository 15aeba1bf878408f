"""What a run cost, and what the same would cost for a whole screen.

Everything follows from `timings.json`. Workers of the pass wait for each other, so what a screen
takes is counted by the clock, at the parallel speed that was seen, and not by adding up workers'
seconds. Training is counted once. What was not timed is None, and a sentence says so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Final

from .errors import UsageError
from .vocabulary import PATHS, TITLES

__all__ = [
    "PassCost",
    "PathProjection",
    "Point",
    "Projection",
    "frontier",
    "peak_memory",
    "project",
]

_WORK: Final = ("read_s", "features_s", "tiles_s", "keep_s")
_OWN: Final = {"tas_svm": "features_s", "cnn": "tiles_s"}
_NAMES: Final = {path: f"the {TITLES[path]}" if path == "cnn" else TITLES[path] for path in PATHS}
_ALL: Final = "all"
_ENOUGH: Final = 0.5  # of the fields: fewer are no sample of a plate


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCost:
    """Seconds that the pass took for one plate; the first four are workers' seconds, added up."""

    read_s: float
    """Reading and decoding."""
    features_s: float
    """TAS features and figures of quality."""
    tiles_s: float
    """Downscaling and cutting."""
    keep_s: float
    """Writing tiles and tables."""
    wall_s: float
    """By the clock, from one finished well to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathProjection:
    """What one path needs beside the pass, and what it would take alone."""

    inference_s: float | None
    """Calling one plate with a trained model, from inputs in memory."""
    train_s: float | None
    """All fits of the run, once; None where one of them was not timed."""
    fits: int
    """Fits that were timed."""
    hours: float | None
    """A screen by this path alone: the pass without the other's work, inference, training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What was measured on the plates of a run, and what a screen of such plates would take."""

    fields_per_plate: int
    plates: int
    """Plates of the run."""
    cores: int
    screen_plates: int
    machine: str
    """What the CNN ran on: `cpu (2 threads)`."""
    timed_fields: int
    """Fields whose times were kept."""
    one_plate: PassCost | None
    """Of one plate, measured; None where times of some fields are lost."""
    busy: float | None
    """Workers that were at work at once, on average."""
    paths: dict[str, PathProjection]
    hours_both: float | None
    """A screen by both paths from one reading."""
    said: tuple[str, ...]
    """All of it in words: the hours first, then what they rest on, then what was not timed."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def project(
    timings: Mapping[str, Any],
    *,
    fields_per_plate: int,
    plates: int,
    cores: int,
    screen_plates: int,
) -> Projection:
    """Say what a run cost for each plate, and what it would cost for a screen.

    The pass is counted at the speed by the clock that was seen, in proportion to what each path
    needs of it; keeping files, which was timed for both together, in full for each. Where times
    of some fields are lost, as in a run that was killed, the others' speed counts for all, unless
    they are fewer than half: then the hours are None.

    Parameters
    ----------
    timings : mapping
        The parsed `timings.json` of a run.
    fields_per_plate : int
        Fields that the run read of a plate; those in `failures.csv` are not among them.
    plates : int
        Plates of the run.
    cores : int
        Cores that the run had.
    screen_plates : int
        Plates of the screen.

    Returns
    -------
    Projection

    Raises
    ------
    UsageError
        When one of the numbers is below 1.

    Examples
    --------
    >>> well = {"fields": 2, "wall_s": 1.0, "read_s": 0.8, "features_s": 0.4, "tiles_s": 0.2,
    ...         "keep_s": 0.6}
    >>> fit = {"train_s": 90.0, "score_s": 1.0, "scored_fields": 2}
    >>> timings = {"wells": {"P1/A01": well}, "fits": {"tas_svm-all": fit, "cnn-all": fit}}
    >>> found = project(timings, fields_per_plate=2, plates=1, cores=2, screen_plates=3600)
    >>> found.hours_both, round(found.paths["cnn"].hours, 3)
    (3.05, 1.825)
    >>> found.said[0]  # doctest: +NORMALIZE_WHITESPACE
    '3,600 plates like this one: 1.9 hours for TAS + SVM, 1.8 hours for the CNN, 3 hours for both
    from one reading; training once takes 1.5 minutes for TAS + SVM and 1.5 minutes for the CNN'
    """
    _check(
        fields_per_plate=fields_per_plate, plates=plates, cores=cores, screen_plates=screen_plates
    )
    fields = plates * fields_per_plate
    timed, totals = _totals(timings.get("wells", {}))
    worked, wall = sum(totals[kind] for kind in _WORK), totals["wall_s"]
    # What is shorter than the clock's tick was not measured.
    known = timed >= _ENOUGH * fields and worked > 0 and wall > 0
    pass_s = screen_plates * fields_per_plate * wall / timed if known else None
    fits = {path: _fits(timings.get("fits", {}), path) for path in PATHS}
    paths = {}
    for path in PATHS:
        share = sum(totals[kind] for kind in ("read_s", _OWN[path], "keep_s"))
        alone = None if pass_s is None else pass_s * share / worked
        paths[path] = _path(fits[path], _steps(fits), fields_per_plate, screen_plates, alone)
    besides = [part for path in paths.values() for part in _beside(path, screen_plates)]
    hours_both = _hours(pass_s, *besides)
    machine, busy = str(timings.get("machine", "unknown")), worked / wall if known else None
    return Projection(
        fields_per_plate=fields_per_plate,
        plates=plates,
        cores=cores,
        screen_plates=screen_plates,
        machine=machine,
        timed_fields=timed,
        one_plate=PassCost(**{kind: spent / plates for kind, spent in totals.items()})
        if known and timed >= fields
        else None,
        busy=busy,
        paths=paths,
        hours_both=hours_both,
        said=(
            _headline(screen_plates, plates, paths, hours_both),
            *_assumed(cores, busy, machine, paths),
            *_missing(timed, fields, known, fits),
        ),
    )


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise UsageError(f"{name}={value!r}", remedy="give a whole number from 1")


def _path(
    own: Mapping[str, Mapping[str, float]],
    steps: set[str],
    fields: int,
    screen_plates: int,
    alone_s: float | None,
) -> PathProjection:
    """Join what a path's fits cost with its share of the pass over the screen."""
    a_field = _inference(own)
    found = PathProjection(
        inference_s=None if a_field is None else fields * a_field,
        train_s=None if steps - set(own) else sum(cost["train_s"] for cost in own.values()),
        fits=len(own),
        hours=None,
    )
    return replace(found, hours=_hours(alone_s, *_beside(found, screen_plates)))


def _beside(path: PathProjection, screen_plates: int) -> tuple[float | None, float | None]:
    """Return the seconds that a path takes beside the pass over the screen."""
    inference = None if path.inference_s is None else screen_plates * path.inference_s
    return inference, path.train_s


def _totals(wells: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """Add up the wells of which everything was timed."""
    names = ("fields", "wall_s", *_WORK)
    held = [found for well in wells.values() if (found := _numbers(well, names))]
    totals = {name: sum(well[name] for well in held) for name in names}
    return int(totals.pop("fields")), totals


def _fits(fits: Mapping[str, Any], path: str) -> dict[str, dict[str, float]]:
    """Return a path's fits of which everything was timed, by their steps: `fold0`, …, `all`."""
    names = ("train_s", "score_s", "scored_fields")
    return {
        name.removeprefix(f"{path}-"): found
        for name, cost in fits.items()
        if name.startswith(f"{path}-") and (found := _numbers(cost, names))
    }


def _numbers(cost: object, names: Iterable[str]) -> dict[str, float] | None:
    """Return these figures, or None where one is absent or no figure."""
    if not isinstance(cost, Mapping):
        return None
    found = {name: cost.get(name) for name in names}
    good = {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and isfinite(value) and value >= 0
    }
    return good if len(good) == len(found) else None


def _steps(fits: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the steps that each path must have: all that either has, folds without a gap."""
    seen = {step for own in fits.values() for step in own}
    folds = [int(step[4:]) for step in seen if step[:4] == "fold" and step[4:].isdecimal()]
    return {*seen, _ALL, *(f"fold{k}" for k in range(max(folds, default=-1) + 1))}


def _inference(fits: Mapping[str, Mapping[str, float]]) -> float | None:
    """Return the seconds in which a trained model calls a field."""
    scored = sum(cost["scored_fields"] for cost in fits.values())
    return sum(cost["score_s"] for cost in fits.values()) / scored if scored else None


def _hours(*seconds: float | None) -> float | None:
    """Add seconds up to hours, unless something was not measured."""
    known = [part for part in seconds if part is not None]
    return sum(known) / 3600 if len(known) == len(seconds) else None


# ---- in words


def _headline(
    screen_plates: int, plates: int, paths: Mapping[str, PathProjection], both: float | None
) -> str:
    """Say how long the screen takes, and training."""
    many = "s" if screen_plates > 1 else ""
    like = "this one" if plates == 1 else f"these {plates}"
    hours = ", ".join(f"{_said(one.hours, 3600)} for {_NAMES[p]}" for p, one in paths.items())
    train = " and ".join(f"{_said(one.train_s)} for {_NAMES[p]}" for p, one in paths.items())
    return (
        f"{screen_plates:,} plate{many} like {like}: {hours}, {_said(both, 3600)} for both from"
        f" one reading; training once takes {train}"
    )


def _assumed(
    cores: int, busy: float | None, machine: str, paths: Mapping[str, PathProjection]
) -> list[str]:
    """Say what the hours rest on; nothing where there are none."""
    if all(path.hours is None for path in paths.values()):
        return []
    at_once = "" if busy is None else f", on which {busy:.1f} workers were busy at once"
    fits = " and ".join(dict.fromkeys(str(path.fits) for path in paths.values()))
    return [
        f"This holds for the same machine ({cores} core{'s' if cores > 1 else ''}{at_once}; the"
        f" CNN on {machine}) and storage that keeps up as it did here, one step after the other",
        "Keeping tiles and tables was timed for both paths together and is counted in full for"
        " each: one of them alone may take less",
        "Training does not grow with the screen: what counts is this run's, for each path"
        f" {fits} fits, those that judge it among them",
    ]


def _missing(
    timed: int, fields: int, known: bool, fits: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[str]:
    """Say what was not timed."""
    found = []
    if timed < fields:
        told = (
            "the others' speed is taken for all"
            if known
            else "too few to say what a screen takes; run again in an empty folder"
        )
        found.append(
            f"Times of {timed:,} of {fields:,} fields are known, since the run was stopped or"
            f" finished from what was there: {told}"
        )
    elif not known:
        found.append("The pass was too short to be timed")
    for path, own in fits.items():
        if lost := sorted(_steps(fits) - set(own)):
            found.append(
                f"Training of {_NAMES[path]} was not timed in full ({', '.join(lost)}): hours"
                " with it are not given"
            )
        elif _inference(own) is None:
            found.append(f"Inference of {_NAMES[path]} was not timed: hours with it are not given")
    return found


def _said(amount: float | None, seconds: int = 1) -> str:
    """Write a time, given in units of so many seconds, in the unit that fits it."""
    if amount is None:
        return "an unknown time"
    for unit, size in (("hour", 3600), ("minute", 60)):
        # 0.995 of a unit is written as one of it
        if (count := amount * seconds / size) >= 0.995:
            rounded = f"{count:,.0f}" if count >= 9.95 else f"{count:.1f}".removesuffix(".0")
            return f"{rounded} {unit}{'' if rounded == '1' else 's'}"
    return f"{amount * seconds:.1f} seconds"


# ---- accuracy against throughput


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One path in a picture of accuracy against throughput."""

    path: str
    accuracy: float | None
    fields_per_s: float | None
    dominated: bool | None
    """Whether another is at least as accurate and as fast, and better in one of them; None where
    its own figures are not known."""


def frontier(paths: Mapping[str, tuple[float | None, float | None]]) -> tuple[Point, ...]:
    """Tell which paths another one beats in both accuracy and throughput.

    Parameters
    ----------
    paths : mapping
        By name: accuracy, and fields a second; None where it is not known.

    Returns
    -------
    tuple of Point
        In the order that was given.

    Examples
    --------
    >>> found = frontier({"tas_svm": (0.9, 300.0), "cnn": (0.9, 40.0), "both": (0.95, 35.0)})
    >>> [point.path for point in found if point.dominated]
    ['cnn']
    """
    known = {name: (a, s) for name, (a, s) in paths.items() if a is not None and s is not None}

    def beaten(name: str) -> bool | None:
        if name not in known:
            return None
        accuracy, speed = known[name]
        return any(
            a >= accuracy and s >= speed and (a, s) != (accuracy, speed) for a, s in known.values()
        )

    return tuple(
        Point(path=name, accuracy=accuracy, fields_per_s=speed, dominated=beaten(name))
        for name, (accuracy, speed) in paths.items()
    )


def peak_memory() -> int | None:
    """Return the most memory that this process has held, in bytes; None on Windows.

    Worker processes are not in it. On Linux a process that another one started begins with what
    that one held (`getrusage(2)`).

    Examples
    --------
    >>> peak_memory() > 10 * 2**20
    True
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
