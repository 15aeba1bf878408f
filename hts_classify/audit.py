"""The leakage audit: what could make a path look good for the wrong reason, before training.

It looks for images that are in training and test at once, for wells and groups that the folds
part, and for targets that go together with plate, batch, row, column or background. A target is
shuffled only as a whole group, since wells of one compound say no more than one; p is that of
the shuffles (Phipson and Smyth, Stat Appl Genet Mol Biol 2010, 9:39), and a finding speaks below
0.001 after Holm's correction (Scand J Statist 1979, 6:65) over all that was tested. What position
and background alone would call right is always given: the third, trivial contestant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import lgamma
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .duplicates import Thumbnails, find_copies
from .errors import DataError
from .splits import Folds
from .statistics.many import holm
from .vocabulary import (
    BATCH,
    COMPOUND,
    FOLD,
    GROUP,
    PLATE,
    ROLE,
    SCORED,
    SITE,
    TARGET,
    UNLABELLED,
    WELL,
    split_well,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "Contestant", "Finding", "audit"]

_LEVEL: Final = 0.001
_SHUFFLES: Final = 10_000  # counting the design as it is
_BLOCK: Final = 4_000_000  # numbers that are held at once
_SHRINKAGE: Final = 0.1
_BACKGROUND: Final = "Image_ImageQuality_Percentile01_"
_MEDIAN: Final = "Image_ImageQuality_MedianIntensity_"
_SPREAD: Final = (
    "trust no accuracy that is not well above what position alone reaches, and lay the next "
    "plates out at random"
)
_REMEDIES: Final = {
    "plate": "put every class on every plate, or standardise each plate on its own controls",
    "batch": "put every class in every batch, or standardise each batch on its own controls",
    "row": _SPREAD,
    "column": _SPREAD,
    "background": "unless the treatment itself can do that, correct the background before "
    "training, and trust no accuracy that is not well above what background alone reaches",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that can make the figures better than the paths are."""

    kind: str
    """`duplicate`, `near-duplicate`, `well`, `group`, `plate`, `batch`, `row`, `column` or
    `background`."""
    said: str
    """What was seen, and what to do, in plain words."""
    p: float | None
    """After Holm's correction; None where nothing had to be tested."""
    figures: Mapping[str, Any]
    """The numbers of the sentence, as JSON types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Wells that no look at the cells would call right, under the same folds."""

    name: str
    """`position`, `background`, or `commonest`: the commonest class of the training folds."""
    correct: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the audit found, and what the trivial contestant reaches."""

    findings: tuple[Finding, ...]
    """Empty where nothing was found."""
    contestants: tuple[Contestant, ...]
    """Always the three of them."""
    notes: tuple[str, ...]
    """What is no leak and yet should be known: what could not be told, which claim the split
    allows."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def audit(
    folds: Folds, quality: pd.DataFrame, thumbnails: Thumbnails | None, *, seed: int = 0
) -> Audit:
    """Look for leaks and confounders before anything is trained.

    Parameters
    ----------
    folds : Folds
        The folds that the paths will see, over the joined plate map.
    quality : DataFrame
        One row a field: plate, well, and each channel's `Percentile01` and `MedianIntensity`.
    thumbnails : array or store of tiles, shape (fields, channels, y, x), or None
        A small image of each row of `quality`; the time that they take is quadratic in the
        fields. None compares no images, and a note says so.
    seed : int, optional
        Seed of the shuffles.

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        When thumbnails and rows of `quality` are not as many, or `quality` has no background.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from hts_classify.splits import make_folds
    >>> names = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 7)]
    >>> wells = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": names})
    >>> wells["moa"] = [f"class {int(name[1:]) > 3}" for name in names]
    >>> quality = wells.assign(Image_ImageQuality_Percentile01_DNA=100.0)
    >>> found = audit(make_folds(wells, target="moa", split="well"), quality, None)
    >>> [finding.kind for finding in found.findings]
    ['column']
    >>> found.contestants[1]
    Contestant(name='position', correct=24, total=24)
    """
    columns = [name for name in quality if str(name).startswith((_BACKGROUND, _MEDIAN))]
    if not any(str(name).startswith(_BACKGROUND) for name in columns):
        raise DataError(
            f"no column {_BACKGROUND}…", where="quality", remedy="give a run's quality.parquet"
        )
    if thumbnails is not None and len(thumbnails) != len(quality):
        raise DataError(
            f"{len(thumbnails)} thumbnails of {len(quality)} fields",
            where="quality",
            remedy="give one thumbnail for each row",
        )
    background = _of_wells(folds.wells, quality, [str(name) for name in columns])
    images, unseen = _duplicates(folds, quality, thumbnails, seed)
    confounded, untold = _confounders(folds, background, seed)
    notes = [*unseen, *untold, *_known_compounds(folds)]
    return Audit(
        findings=(*images, *_parted(folds), *confounded),
        contestants=_contestants(folds, background),
        notes=tuple(notes),
    )


def _of_wells(wells: pd.DataFrame, quality: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Average the fields' figures; a well without a field has none."""
    import pandas as pd

    means = quality.groupby([PLATE, WELL])[columns].mean()
    return means.reindex(pd.MultiIndex.from_frame(wells[[PLATE, WELL]]))


# ---- the trivial contestant


def _contestants(folds: Folds, background: pd.DataFrame) -> tuple[Contestant, ...]:
    """Call the tested wells by their place, by their background, and blindly."""
    truth = folds.wells[TARGET].to_numpy(object)
    # Gains multiply and offsets add: the scale is logarithmic, and takes what is not above zero.
    levels = np.arcsinh(background.to_numpy(float))
    inputs = {
        "commonest": np.zeros((len(truth), 1)),
        "position": _positions(folds.wells),
        "background": levels,
    }
    correct, total = dict.fromkeys(inputs, 0), 0
    for fold in range(folds.count):
        training, tested = folds.training(fold), folds.tested(fold)
        total += int(tested.sum())
        for name, values in inputs.items():
            calls = _discriminate(values[training], truth[training], values[tested])
            correct[name] += int((calls == truth[tested]).sum())
    return tuple(
        Contestant(name=name, correct=right, total=total) for name, right in correct.items()
    )


def _places(wells: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Give each well's plate, batch, row and column, where there is more than one."""
    names = [split_well(name) for name in wells[WELL]]
    places = {"plate": wells[PLATE].to_numpy(str)}
    if BATCH in wells:
        places["batch"] = wells[BATCH].fillna("").to_numpy(str)
    places |= {
        "row": np.array([row for row, _ in names]),
        "column": np.array([f"{column:02d}" for _, column in names]),
    }
    return {place: value for place, value in places.items() if len(np.unique(value)) > 1}


def _positions(wells: pd.DataFrame) -> NDArray[np.float64]:
    """One number for each plate, batch, row and column: whether the well is in it."""
    parts = [
        (value[:, None] == np.unique(value)).astype(float) for value in _places(wells).values()
    ]
    return np.hstack([np.zeros((len(wells), 1)), *parts])


def _discriminate(
    known: NDArray[np.float64], truth: NDArray[Any], asked: NDArray[np.float64]
) -> NDArray[Any]:
    """Call by linear discriminant analysis, with the covariance shrunk to a multiple of one."""
    classes, labels = np.unique(truth.astype(str), return_inverse=True)
    held = np.isfinite(known)
    count = np.maximum(held.sum(axis=0), 1)
    centre = np.where(held, known, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(held, (known - centre) ** 2, 0).sum(axis=0) / count)
    scale = np.where(spread > 1e-9 * np.maximum(np.abs(centre), 1), spread, np.inf)
    # What a well lacks says nothing of its class: it stands at the mean.
    known, asked = (np.nan_to_num((part - centre) / scale) for part in (known, asked))
    means = np.stack([known[labels == k].mean(axis=0) for k in range(len(classes))])
    within = known - means[labels]
    covariance = within.T @ within / len(known)
    level = max(float(np.trace(covariance)) / len(covariance), 1e-6)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * level * np.eye(len(covariance))
    weights = np.linalg.solve(shrunk, means.T)
    priors = np.log(np.bincount(labels) / len(labels))
    return np.asarray(
        classes[np.argmax(asked @ weights - (means.T * weights).sum(0) / 2 + priors, 1)]
    )


# ---- targets that go together with a place or the background


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """What a class's sum over its groups is taken of, and how the sums make a statistic."""

    kind: str
    name: str
    sums: NDArray[np.float64]
    """Shape (groups, columns): wells in each place; or rank sum and wells."""

    def statistic(self, of: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn sums of shape (classes, shuffles, columns) into a statistic a shuffle."""
        if self.kind == "background":  # Kruskal and Wallis's H but for its constants
            return np.asarray((of[..., 0] ** 2 / np.maximum(of[..., 1], 1)).sum(axis=0))
        rows, columns = of.sum(axis=2, keepdims=True), self.sums.sum(axis=0)
        total = columns.sum()
        chi2 = total * ((of**2 / (rows * columns)).sum(axis=(0, 2)) - 1)
        # Cramér's V, whose bound is the same in every shuffle.
        return np.asarray(np.sqrt(np.maximum(chi2, 0) / total / (min(len(of), len(columns)) - 1)))


def _confounders(
    folds: Folds, background: pd.DataFrame, seed: int
) -> tuple[list[Finding], list[str]]:
    """Test the scored wells' targets against place and background."""
    scored = (folds.wells[ROLE] == SCORED).to_numpy()
    wells = folds.wells[scored]
    unit, members = _units(wells)
    unit = folds.protocol.unit if unit == "group" else unit
    classes, labels = np.unique(wells[TARGET].to_numpy(str), return_inverse=True)
    label = np.zeros(members.max() + 1, np.intp)
    label[members] = labels
    tests = _tests(wells, background[scored], members)
    if not tests:
        return [], []
    least = _least_p(np.bincount(label)) * len(tests)
    if least >= _LEVEL:
        what = ", ".join(dict.fromkeys(test.kind for test in tests))
        note = (
            f"too few groups to tell whether the target goes with {what}: {len(label)} groups "
            f"by {unit} could give no p below {least:.2g}, and {_LEVEL} is asked for"
        )
        return [], [note]
    seen, usual, p = _shuffle(tests, label, len(classes), seed)
    found = []
    for k, (test, corrected) in enumerate(zip(tests, holm(p.tolist()), strict=True)):
        if corrected >= _LEVEL:
            continue
        figures: dict[str, Any] = {
            "tests": len(tests), "groups": len(label), "unit": unit, "p_alone": float(p[k]),
        }  # fmt: skip
        if test.kind == "background":
            level = background.loc[scored, f"{_BACKGROUND}{test.name}"].groupby(labels).median()
            figures |= {"channel": test.name, "medians": dict(zip(classes, level, strict=True))}
            said = f"the background of {test.name} differs between the classes (medians " + (
                ", ".join(f"{name} {value:.4g}" for name, value in figures["medians"].items())
            )
        else:
            figures |= {"cramers_v": float(seen[k]), "cramers_v_shuffled": float(usual[k])}
            said = (
                f"the target goes with the {test.kind} (Cramér's V {seen[k]:.2f}, "
                f"{usual[k]:.2f} where classes are shuffled by {unit}"
            )
        said += f"; p = {corrected:.2g} after Holm's correction over {len(tests)} tests): "
        said += f"a path can learn that instead of the cells; {_REMEDIES[test.kind]}"
        found.append(Finding(kind=test.kind, said=said, p=corrected, figures=figures))
    return found, []


def _units(wells: pd.DataFrame) -> tuple[str, NDArray[np.intp]]:
    """Find what got its target as a whole: the split group, where each has one target.

    A plate that holds several classes has no target to shuffle. There it is the compound; or the
    place, since plates may be copies of one layout; or the well.
    """
    candidates = {"group": wells[GROUP]}
    if COMPOUND in wells and wells[COMPOUND].notna().all():
        candidates["compound"] = wells[COMPOUND]
    candidates |= {"place": wells[WELL], "well": wells[PLATE] + "/" + wells[WELL]}
    for unit, value in candidates.items():
        if (wells.groupby(value.astype(str))[TARGET].nunique() == 1).all():
            return unit, np.unique(value.to_numpy(str), return_inverse=True)[1]
    return "row of the table", np.arange(len(wells))


def _tests(wells: pd.DataFrame, background: pd.DataFrame, members: NDArray[np.intp]) -> list[_Test]:
    from scipy import stats

    groups = int(members.max()) + 1
    tests = []
    for place, value in _places(wells).items():
        names, codes = np.unique(value, return_inverse=True)
        counts = np.zeros((groups, len(names)))
        np.add.at(counts, (members, codes), 1)
        tests.append(_Test(kind=place, name=place, sums=counts))
    for column in background:
        if not str(column).startswith(_BACKGROUND):
            continue
        level = background[column].to_numpy(float)
        held = np.isfinite(level)
        if len(np.unique(level[held])) < 2:
            continue
        ranks = stats.rankdata(level[held])
        rank_sums = np.bincount(members[held], ranks - ranks.mean(), minlength=groups)
        wells_of = np.bincount(members[held], minlength=groups)
        name = str(column).removeprefix(_BACKGROUND)
        sums = np.column_stack([rank_sums, wells_of]).astype(float)
        tests.append(_Test(kind="background", name=name, sums=sums))
    return tests


def _shuffle(
    tests: list[_Test], label: NDArray[np.intp], classes: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each test's statistic, its mean over shuffled groups, and p."""
    rng = np.random.default_rng(seed)
    # The smallest p must be able to stand the correction.
    wanted = max(_SHUFFLES, round(2 * len(tests) / _LEVEL)) - 1
    block = max(1, _BLOCK // len(label))

    def statistics(labels: NDArray[np.intp]) -> NDArray[np.float64]:
        hot = [(labels == k).astype(float) for k in range(classes)]
        return np.stack([test.statistic(np.stack([h @ test.sums for h in hot])) for test in tests])

    seen = statistics(label[None])
    total, reached = np.zeros(len(tests)), np.zeros(len(tests))
    for start in range(0, wanted, block):
        rows = np.tile(label, (min(block, wanted - start), 1))
        shuffled = statistics(rng.permuted(rows, axis=1))
        total += shuffled.sum(axis=1)
        # Equal but for rounding is equal: it must not make a p smaller.
        reached += (shuffled >= seen - 1e-9 * np.abs(seen) - 1e-12).sum(axis=1)
    return seen[:, 0], total / wanted, (1 + reached) / (1 + wanted)


def _least_p(sizes: NDArray[np.intp]) -> float:
    """Return the smallest p that shuffling groups can give; equal classes may change names."""
    orders = lgamma(sizes.sum() + 1) - sum(lgamma(size + 1) for size in sizes)
    alike = sum(lgamma(n + 1) for n in np.unique(sizes, return_counts=True)[1])
    return float(np.exp(min(alike - orders, 0.0)))


# ---- wells, groups and compounds in several folds


def _parted(folds: Folds) -> list[Finding]:
    """Find wells and groups in several folds; under NSCB a compound is in one a batch."""
    wells, several = folds.wells, len(folds.protocol.apart) > 1
    labelled = wells[wells[ROLE] != UNLABELLED]
    names = labelled[PLATE].astype(str) + "/" + labelled[WELL].astype(str)
    parted_well = labelled[FOLD].groupby(names).transform("nunique") > 1
    rest = labelled[(labelled[ROLE] == SCORED) & ~parted_well]
    parted_group = rest[FOLD].groupby(rest[GROUP]).transform("nunique") > 1
    found = []
    for kind, culprits, whole in (
        ("well", names[parted_well], names),
        ("group", rest.loc[parted_group, GROUP].astype(str), rest[GROUP]),
    ):
        if not len(culprits) or (kind == "group" and several):
            continue
        count, of, first = culprits.nunique(), whole.nunique(), culprits.min()
        figures = {"parted": int(count), "of": int(of), "first": str(first)}
        said = (
            f"{count} of {of} {kind}s {'is' if count == 1 else 'are'} in more than one fold "
            f"(the first: {first}): what is tested there was also trained on, or tested twice; "
            "deal the folds again, by whole groups, and give each well one row in the plate map"
        )
        found.append(Finding(kind=kind, said=said, p=None, figures=figures))
    return found


def _known_compounds(folds: Folds) -> list[str]:
    """Say which claim a split allows that is not by compound."""
    if COMPOUND not in folds.wells:
        return []
    compounds = folds.wells[COMPOUND]
    tested: set[Any] = set()
    known: set[Any] = set()
    for fold in range(folds.count):
        own = set(compounds[folds.tested(fold)].dropna())
        tested |= own
        known |= own & set(compounds[folds.training(fold)].dropna())
    if not known:
        return []
    return [
        f"{len(known)} of {len(tested)} compounds are tested by models that were trained on them: "
        "no leak, but the figures are for such compounds, not for new ones; split by compound for "
        "those"
    ]


# ---- images that are in training and test at once


def _duplicates(
    folds: Folds, quality: pd.DataFrame, thumbnails: Thumbnails | None, seed: int
) -> tuple[list[Finding], list[str]]:
    """Find fields of two wells, one trained on where the other is tested, with one image."""
    if thumbnails is None:
        return [], ["no images were compared: the run keeps no tiles"]
    copies = find_copies(folds, quality, thumbnails, seed=seed)
    found = [
        _said_of_images(kind, pairs, quality, copies.likeness)
        for kind, pairs in (("duplicate", copies.exact), ("near-duplicate", copies.near))
        if len(pairs)
    ]
    if copies.comparable:
        return found, []
    return found, [
        "fields are too alike, or too many, to tell near-duplicates; exact ones were looked for"
    ]


def _said_of_images(
    kind: str, pairs: NDArray[np.intp], quality: pd.DataFrame, least: float
) -> Finding:
    names = quality[PLATE].astype(str) + "/" + quality[WELL].astype(str)
    if SITE in quality:
        names += " field " + quality[SITE].astype(str)
    first, second = names.iloc[pairs[0, 0]], names.iloc[pairs[0, 1]]
    fields = len(np.unique(pairs))
    figures: dict[str, Any] = {"pairs": len(pairs), "fields": fields, "of": len(quality)}
    figures["first"] = [first, second]
    how = "the same image, pixel by pixel"
    if kind == "near-duplicate":
        figures["alike"] = round(least, 4)
        how = f"nearly the same image, perhaps shifted or mirrored (likeness above {least:.2f})"
    said = (
        f"{fields} of {len(quality)} fields have {how}, as a field of another well in another "
        f"fold, {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} (the first: {first} and "
        f"{second}): what is tested was trained on; find out which well it belongs to, and take "
        "the other out of the plate map"
    )
    return Finding(kind=kind, said=said, p=None, figures=figures)
