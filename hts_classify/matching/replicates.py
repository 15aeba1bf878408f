"""Whether replicates find each other among other wells, and compounds those of their class.

Two measures, over the same profiles:

- mean average precision: each profile ranks the others by cosine similarity, and its kin should
  come first (Kalinin et al., Nat Commun 2025, 16:5181), by copairs. Its p-value compares with
  rankings by chance, and q is p after Benjamini and Hochberg over all that is tested.
- percent replicating and percent matching, of correlations against draws (`draws`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..splits import Folds
from ..vocabulary import COMPOUND, CONCENTRATION, PATHS, PLATE, TARGET
from .draws import drawn
from .profiles import Profiles, directed, feature_profiles, unseen_profiles

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Kin",
    "Reproduced",
    "Reproducibility",
    "classes_of",
    "replicates_of",
    "reproducibility",
]

SIGNIFICANT: Final = 0.05
_RANKINGS: Final = 10_000
"""Rankings by chance, so that the least p is 1e-4."""
_FEWEST_FEATURES: Final = 3
_MOST_PAIRS: Final = 20_000_000
_BATCH: Final = 2_000
"""Pairs that one thread compares at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """One treatment's replicates, or one class's treatments."""

    name: str
    members: int
    precision: float | None
    """Mean average precision; None where none has both kin and others to be ranked with."""
    p: float | None
    q: float | None
    """p after Benjamini and Hochberg's correction."""
    similarity: float | None
    """Median correlation between kin; None where there are none."""
    threshold: float | None
    """What that of as many profiles drawn at random exceeds in one of twenty draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """How well kin find each other, over all treatments or classes."""

    precision: float | None
    """Mean of the mean average precisions."""
    chance: float | None
    """What rankings by chance would come to: it depends on how many others there are."""
    significant: int
    """Treatments or classes with q below 0.05."""
    ranked: int
    """Treatments or classes with a mean average precision."""
    above: int
    """Those whose similarity is above its threshold: percent replicating, or matching."""
    compared: int
    """Those with a similarity and a threshold."""
    kin: tuple[Kin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducibility:
    """Whether kin are alike, by one kind of profile."""

    of: str
    """`features`, which no model has seen; or a path, whose models see wells new to them."""
    pairs: str
    """`replicates` of a treatment, or compounds of a `class`."""
    scale: str
    """What set the profiles' scale."""
    others: str
    """What kin are ranked among."""
    found: Reproduced | None
    reason: str
    """Why nothing is found; empty otherwise."""


class _Pairing(NamedTuple):
    """Profiles, and which of them are kin and which others; codes are whole numbers."""

    values: NDArray[np.float64]
    table: pd.DataFrame
    """Columns `kin`, `own` (kin differ in it), `other` (all others differ in it), `place` (others
    share it), `fold`, and `control`."""
    names: Sequence[str]
    """Of the codes of `kin`."""


def reproducibility(
    features: pd.DataFrame, folds: Folds, profiles: Mapping[tuple[str, int], Path], *, seed: int
) -> list[Reproducibility]:
    """Judge replicates and classes by the features, and replicates by what models see.

    Parameters
    ----------
    features : DataFrame
        A row a field.
    folds : Folds
        Where they do not keep compounds apart, models have seen other replicates of the wells
        that they are asked of, and nothing is said of those.
    profiles : mapping
        By path and fold, how that fold's model sees each well.
    seed : int
        Of the null distributions.

    Returns
    -------
    list of Reproducibility
    """
    raw = feature_profiles(features, folds.wells)
    found = [replicates_of(raw, of="features", seed=seed), classes_of(raw, seed=seed)]
    for path in PATHS:
        if "compound" not in folds.protocol.apart or folds.protocol.joined:
            reason = "its models were trained on other wells of the same compounds"
            found.append(_undefined(path, "replicates", "", "", reason))
            continue
        own = {fold: file for (name, fold), file in profiles.items() if name == path}
        found.append(replicates_of(unseen_profiles(own, folds.wells), of=path, seed=seed))
    return found


def replicates_of(profiles: Profiles, *, of: str, seed: int) -> Reproducibility:
    """Ask whether the replicates of a treatment are alike.

    Parameters
    ----------
    profiles : Profiles
    of : str
        What they are profiles of.
    seed : int
        Of the null distributions.

    Returns
    -------
    Reproducibility
        Others are the negative controls of the same plate where each has enough of them, otherwise
        wells of other treatments on it; of profiles of several folds, in the same fold.
    """
    others = "negative controls" if profiles.among_controls else "wells of other treatments"
    within = " and fold" if of in PATHS else ""
    words = (of, "replicates", profiles.scale, f"{others} of the same plate{within}")
    wells, fold = profiles.wells, profiles.fold
    if reason := _unfit(profiles):
        return _undefined(*words, reason)
    part = np.flatnonzero(profiles.controls | wells[COMPOUND].notna().to_numpy(bool))
    treated = part[~profiles.controls[part]]
    kin, names = np.full(len(wells), -1), list[str]()
    if len(treated):
        kin[treated], names = _treatments(wells.iloc[treated], fold[treated])
    # A control is kin to nobody, and so is ranked but never ranks.
    lone = part[profiles.controls[part]]
    kin[lone] = len(names) + np.arange(len(lone))
    if np.bincount(kin[treated], minlength=1).max() < 2:
        return _undefined(*words, "no treatment has replicates to compare")
    table = _coded(kin=kin, fold=fold, control=np.where(profiles.controls, kin, -1)).iloc[part]
    table["place"] = wells.iloc[part].groupby([PLATE, fold[part]]).ngroup()
    table["own"], table["other"] = np.arange(len(table)), table["kin"]
    pairing = _Pairing(profiles.values[part], table.reset_index(drop=True), names)
    return _judged(words, pairing, among_controls=profiles.among_controls, seed=seed)


def classes_of(profiles: Profiles, *, of: str = "features", seed: int) -> Reproducibility:
    """Ask whether different compounds of a class are alike, by the means of their treatments.

    Parameters
    ----------
    profiles : Profiles
        Comparable all with all.
    of : str, optional
        What they are profiles of.
    seed : int
        Of the null distributions.

    Returns
    -------
    Reproducibility
        Negative controls, and treatments whose wells have several classes or none, take no part.
    """
    import pandas as pd

    words = (of, "class", profiles.scale, "treatments of other classes")
    wells = profiles.wells
    if reason := _unfit(profiles):
        return _undefined(*words, reason)
    part = np.flatnonzero(wells[COMPOUND].notna().to_numpy(bool) & ~profiles.controls)
    wells, values = wells.iloc[part].reset_index(drop=True), profiles.values[part]
    codes, _ = _treatments(wells, profiles.fold[part])
    about = wells.groupby(codes)[[COMPOUND, TARGET]].agg(["first", "nunique", "size", "count"])
    means = pd.DataFrame(values).groupby(codes).mean().to_numpy(np.float64)
    target = about[TARGET]
    one_class = (target["nunique"] == 1) & (target["count"] == target["size"])
    use = one_class.to_numpy(bool) & directed(means)
    classes = sorted(target.loc[use, "first"].astype(str).unique())
    kin = target.loc[use, "first"].astype(str).map({name: k for k, name in enumerate(classes)})
    compound = pd.factorize(about[COMPOUND].loc[use, "first"])[0]
    table = _coded(kin=kin.to_numpy(np.intp), own=compound, other=kin.to_numpy(np.intp))
    if not len(table) or (table.groupby("kin")["own"].nunique() < 2).all():
        return _undefined(*words, "no class has two compounds to compare")
    pairing = _Pairing(means[use], table.assign(fold=0, place=0, control=-1), classes)
    return _judged(words, pairing, among_controls=False, seed=seed)


def _unfit(profiles: Profiles) -> str:
    """Say why nothing can be compared at all; empty where it can."""
    features = profiles.values.shape[1]
    if COMPOUND not in profiles.wells:
        return "the plate map names no compounds"
    if features < _FEWEST_FEATURES:
        return f"{features} features vary, too few for a direction"
    named = profiles.wells[COMPOUND].notna().any()
    return "" if named else "the plate map names no compounds"


def _treatments(wells: pd.DataFrame, fold: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[str]]:
    """Give each well the number of its treatment, and name these: `taxol, 0.3`."""
    keys = [name for name in (COMPOUND, CONCENTRATION) if name in wells]
    groups = wells.groupby([*(wells[key] for key in keys), fold], sort=True, dropna=False)
    codes = np.asarray(groups.ngroup(), np.intp)
    _, first = np.unique(codes, return_index=True)
    names = [
        ", ".join(
            f"{value:g}" if isinstance(value, float) else str(value)
            for value in row
            if value == value and value is not None
        )
        for row in wells[keys].iloc[first].itertuples(index=False)
    ]
    return codes, names


def _coded(**columns: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: np.asarray(codes, np.int64) for name, codes in columns.items()})


def _undefined(of: str, pairs: str, scale: str, others: str, reason: str) -> Reproducibility:
    return Reproducibility(
        of=of, pairs=pairs, scale=scale, others=others, found=None, reason=reason
    )


def _judged(
    words: tuple[str, str, str, str], pairing: _Pairing, *, among_controls: bool, seed: int
) -> Reproducibility:
    """Rank, draw, and count."""
    sizes = [np.bincount(pairing.table[name]).astype(np.int64) for name in ("place", "kin")]
    pairs = sum(int((size**2).sum()) for size in sizes) // 2
    if pairs > _MOST_PAIRS:
        return _undefined(*words, f"{pairs:,} pairs are more than are compared ({_MOST_PAIRS:,})")
    ranked = _ranked(pairing, among_controls=among_controls, seed=seed)
    by_draws = drawn(pairing.values, pairing.table, seed=seed)
    members = np.bincount(pairing.table["kin"], minlength=len(pairing.names))
    kin = tuple(
        Kin(
            name=name,
            members=int(members[k]),
            **dict(zip(("precision", "p", "q"), ranked.get(k, (None,) * 4)[:3], strict=True)),
            **dict(zip(("similarity", "threshold"), by_draws.get(k, (None, None)), strict=True)),
        )
        for k, name in enumerate(pairing.names)
    )
    known = [one for one in kin if one.similarity is not None and one.threshold is not None]
    if not ranked and not known:
        return _undefined(*words, f"there are no {words[3]} to compare with")
    found = Reproduced(
        precision=_mean([one[0] for one in ranked.values()]),
        chance=_mean([one[3] for one in ranked.values()]),
        significant=sum(one[2] < SIGNIFICANT for one in ranked.values()),
        ranked=len(ranked),
        above=sum(one.similarity > one.threshold for one in known),  # type: ignore[operator]
        compared=len(known),
        kin=kin,
    )
    of, pairs_of, scale, others = words
    return Reproducibility(
        of=of, pairs=pairs_of, scale=scale, others=others, found=found, reason=""
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _ranked(
    pairing: _Pairing, *, among_controls: bool, seed: int
) -> dict[int, tuple[float, float, float, float]]:
    """Return the mean average precision of each kin, its p and q, and what chance comes to."""
    from copairs.map import average_precision, mean_average_precision
    from copairs.map.normalization import expected_ap
    from copairs.matching import UnpairedException

    # Treatments share `control`, so that where it must differ one of the two is a control.
    apart = ["other", "control"] if among_controls else ["other"]
    with _quietly():
        try:
            each = average_precision(
                pairing.table,
                pairing.values,
                pos_sameby=["kin"],
                pos_diffby=["own"],
                neg_sameby=["place"],
                neg_diffby=apart,
                batch_size=_BATCH,
                progress_bar=False,
            )
        except UnpairedException:
            return {}
        kin, total = each["n_pos_pairs"], each["n_total_pairs"]
        # What has kin alone to rank is right whatever it looks like.
        each = each[(kin > 0) & (total > kin) & (each["control"] == -1)]
        if each.empty:
            return {}
        # copairs keeps its rankings by chance in the home folder, by a name that leaves out what
        # they were drawn by: p would depend on what was asked there before.
        with TemporaryDirectory() as cache:
            found = mean_average_precision(
                each,
                ["kin"],
                null_size=_RANKINGS,
                threshold=SIGNIFICANT,
                seed=seed,
                progress_bar=False,
                cache_dir=cache,
            )
    chance = {
        (n, of): expected_ap(n, of - n)
        for n, of in {*zip(each["n_pos_pairs"], each["n_total_pairs"], strict=True)}
    }
    each = each.assign(
        chance=[chance[k] for k in zip(each["n_pos_pairs"], each["n_total_pairs"], strict=True)]
    )
    by_kin = each.groupby("kin")["chance"].mean()
    columns = ["mean_average_precision", "p_value", "corrected_p_value"]
    return {
        int(k): (float(precision), float(p), float(q), float(by_kin[k]))
        for k, precision, p, q in found[["kin", *columns]].itertuples(index=False)
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep copairs from telling its steps."""
    logger = logging.getLogger("copairs")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
