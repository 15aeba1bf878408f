"""What `--split` can ask for: which wells are tested together, and what they never share.

A protocol says whom the figures speak for. Grouped k-fold and leave-one-out ask after the next
compound, batch, plate or well. NSCB (not same compound or batch) asks after a new compound in
a new batch: Ando, McLean and Berndl, bioRxiv 2017, 161422. DeepProfiler joins compound and
batch to one string and asks only that the strings differ, which lets the tested compound into
training from other batches, and the tested batch with other compounds: it is offered under a
name of its own. Wells are the smallest thing dealt, so their fields and tiles never part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import DesignError, UsageError
from .vocabulary import (
    BATCH,
    COMPOUND,
    FOLD,
    PLATE,
    ROLE,
    SCORED,
    TARGET,
    UNLABELLED,
    UNSCORED,
    WELL,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PROTOCOLS",
    "SPLITS",
    "Protocol",
    "check_named",
    "deal_fixed",
    "protocol_of",
    "train_test_split",
    "unit_keys",
]

SPLITS: Final[dict[str, str]] = {
    "compound": COMPOUND,
    "batch": BATCH,
    "plate": PLATE,
    "well": WELL,
}
"""Units that a plate may be split by, coarsest first, and the column that names the groups."""

_EXAMPLE: Final = "train=P1,P2;test=P3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way of holding wells back."""

    name: str
    """What `--split` calls it."""
    title: str
    """What the literature and the report call it."""
    unit: str
    """The key of `SPLITS` that `Group` holds: the unit that intervals and tests rest on."""
    apart: tuple[str, ...]
    """Keys of `SPLITS`: a tested well shares none of these with a well that it is trained on."""
    unseen: str
    """Ends the sentence "called by a model that did not see its …"."""
    joined: bool = False
    """Whether sharing only some of `apart` is allowed: what is barred is sharing all at once."""
    chance: bool = False
    """Whether groups are dealt by a seed; otherwise every group (or pair) is a fold."""
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    """Plates that are trained on and tested, where the protocol names them."""

    def barred(self, wells: pd.DataFrame, tested: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the wells that may not be trained on while some wells are tested.

        Parameters
        ----------
        wells : DataFrame
            The joined plate map, one row a well.
        tested : ndarray of bool, shape (wells,)
            The wells under test.

        Returns
        -------
        ndarray of bool, shape (wells,)
            A well without a value (a control without a compound, say) shares it with none.

        Examples
        --------
        >>> import pandas as pd
        >>> wells = pd.DataFrame({
        ...     "Metadata_Compound": ["taxol", "taxol", "ALLN", "ALLN"],
        ...     "Metadata_Batch": ["one", "two", "one", "two"],
        ... })
        >>> tested = np.array([True, False, False, False])
        >>> PROTOCOLS["nscb"].barred(wells, tested).tolist()
        [True, True, True, False]
        >>> PROTOCOLS["nscb-joined"].barred(wells, tested).tolist()
        [True, False, False, False]
        """
        if self.train:
            return np.asarray(~wells[PLATE].isin(self.train), bool)
        if self.joined:
            # Columns are compared, not a joined text: "a|b" with "c" is not "a" with "b|c".
            pair = wells.groupby([SPLITS[unit] for unit in self.apart], dropna=False).ngroup()
            return np.isin(pair, pair[tested])
        barred = np.zeros(len(wells), bool)
        for unit in self.apart:
            keys = unit_keys(wells, unit)
            barred |= keys.isin(keys[tested].dropna().unique()).to_numpy(bool)
        return barred


def _grouped(unit: str) -> Protocol:
    return Protocol(
        name=unit,
        title=f"grouped k-fold by {unit}",
        unit=unit,
        apart=(unit,),
        unseen=unit,
        chance=True,
    )


def _alone(name: str, title: str, unit: str) -> Protocol:
    return Protocol(name=name, title=title, unit=unit, apart=(unit,), unseen=unit)


PROTOCOLS: Final[dict[str, Protocol]] = {
    **{unit: _grouped(unit) for unit in SPLITS},
    "nsc": _alone("nsc", "leave-one-compound-out (NSC)", "compound"),
    "nscb": Protocol(
        name="nscb",
        title="leave compound and batch out (NSCB)",
        # A compound that is met in three batches is still one compound to generalise from.
        unit="compound",
        apart=("compound", "batch"),
        unseen="compound or batch",
    ),
    "nscb-joined": Protocol(
        name="nscb-joined",
        title="leave compound-batch pairs out (joined strings, looser than NSCB)",
        unit="compound",
        apart=("compound", "batch"),
        unseen="compound in that batch",
        joined=True,
    ),
    "leave-one-plate-out": _alone("leave-one-plate-out", "leave-one-plate-out", "plate"),
    "leave-one-batch-out": _alone("leave-one-batch-out", "leave-one-batch-out", "batch"),
}
"""The protocols that have a name; one that names its plates is written `train=P1,P2;test=P3`."""

_ALIASES: Final = {"leave-one-compound-out": "nsc", "leave-compound-and-batch-out": "nscb"}
_PARTING: Final = {"field", "tile", "site", "image", "random"}


def unit_keys(wells: pd.DataFrame, unit: str) -> pd.Series[Any]:
    """Name the group of each well by a key of `SPLITS`.

    A well's name is unique only within its plate; a compound's or a batch's is not repeated.

    Examples
    --------
    >>> import pandas as pd
    >>> unit_keys(pd.DataFrame({"Metadata_Plate": ["P1"], "Metadata_Well": ["B03"]}), "well")[0]
    'P1/B03'
    """
    return wells[PLATE] + "/" + wells[WELL] if unit == "well" else wells[SPLITS[unit]]


def protocol_of(split: str) -> Protocol:
    """Return the protocol that `--split` asks for.

    Parameters
    ----------
    split : str
        A key of `PROTOCOLS`, `leave-one-compound-out` (the same as `nsc`),
        `leave-compound-and-batch-out` (`nscb`), or `train=P1,P2;test=P3`.

    Raises
    ------
    UsageError
        When there is no such protocol, it would part the fields of a well, or its plates are
        not written as they should be.

    Examples
    --------
    >>> protocol_of("leave-one-compound-out").title
    'leave-one-compound-out (NSC)'
    >>> protocol_of("train=P1, P2; test=P3").title
    'trained on P1, P2, tested on P3'
    """
    if split in _PARTING:
        raise UsageError(
            f"--split {split} would put fields of one well into training and test",
            remedy=_choices(),
        )
    name = _ALIASES.get(split, split)
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if "=" in split or split == "train-test":
        return _train_test(*_plates(split))
    raise UsageError(f"--split {split!r}", remedy=_choices())


def train_test_split(train: Sequence[str], test: Sequence[str]) -> str:
    """Write the plates to train on and to test on as `--split` takes them.

    Raises
    ------
    UsageError
        When either names no plate, both name one plate, or a name has a comma or a semicolon.

    Examples
    --------
    >>> train_test_split(["P1", "P2"], ["P3"])
    'train=P1,P2;test=P3'
    """
    return _train_test(tuple(train), tuple(test)).name


def _plates(split: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take `train=P1,P2;test=P3` apart, in either order."""
    lists: dict[str, tuple[str, ...]] = {"train": (), "test": ()}
    for part in split.split(";"):
        side, equals, names = part.partition("=")
        side = side.strip()
        if not equals or side not in lists or lists[side]:
            raise UsageError(f"--split {split!r}", remedy=f"write it as --split '{_EXAMPLE}'")
        lists[side] = tuple(name.strip() for name in names.split(","))
    return lists["train"], lists["test"]


def _train_test(train: tuple[str, ...], test: tuple[str, ...]) -> Protocol:
    for side, names in (("train", train), ("test", test)):
        if not any(names) or not all(names):
            raise UsageError(
                f"--split names an empty plate or none to {side}",
                remedy=f"write it as --split '{_EXAMPLE}'",
            )
        if odd := [name for name in names if {",", ";"} & set(name) or name != name.strip()]:
            raise UsageError(
                f"plate {odd[0]!r} cannot be named in --split, for its comma, semicolon or space",
                remedy="rename the plate",
            )
    if both := sorted(set(train) & set(test)):
        raise UsageError(
            f"plate {both[0]} is both in train and in test", remedy="name it in one of the two"
        )
    train, test = tuple(dict.fromkeys(train)), tuple(dict.fromkeys(test))
    return replace(
        PROTOCOLS["leave-one-plate-out"],
        name=f"train={','.join(train)};test={','.join(test)}",
        title=f"trained on {', '.join(train)}, tested on {', '.join(test)}",
        train=train,
        test=test,
    )


def _choices() -> str:
    return f"split by {', '.join(PROTOCOLS)} or '{_EXAMPLE}'"


def check_named(wells: pd.DataFrame, unit: str) -> None:
    """Refuse wells that do not say which group they are of (DesignError, with the first)."""
    bare = wells[unit_keys(wells, unit).isna()]
    if len(bare):
        raise DesignError(
            f"well {bare[WELL].iloc[0]} ({bare[TARGET].iloc[0]}) has no {unit}"
            + (f", and {len(bare) - 1} others" if len(bare) > 1 else ""),
            remedy=f"complete the {unit} column, or split by another unit",
        )


def deal_fixed(table: pd.DataFrame, protocol: Protocol) -> tuple[str, ...]:
    """Deal what named plates, or compound and batch, leave no choice in.

    Parameters
    ----------
    table : DataFrame
        The joined plate map with `Target` and `Role`; gets its `Fold`, and `Role` unscored for
        wells that are not on a tested plate, or that no training set is left for.
    protocol : Protocol

    Returns
    -------
    tuple of str
        What a reader of the figures should know.

    Raises
    ------
    UsageError
        When a plate is not there.
    DesignError
        When compound or batch is missing, or a class has nothing that can be scored.
    """
    return (_deal_plates if protocol.train else _deal_pairs)(table, protocol)


def _deal_plates(table: pd.DataFrame, protocol: Protocol) -> tuple[str, ...]:
    """Test the plates that a protocol names, in one fold."""
    plates = list(dict.fromkeys(table[PLATE]))
    for name in (*protocol.train, *protocol.test):
        if name not in plates:
            raise UsageError(
                f"--split names plate {name}, which is not there",
                remedy=f"the plates are {', '.join(plates)}",
            )
    tested = table[PLATE].isin(protocol.test)
    table.loc[(table[ROLE] == SCORED) & ~tested, ROLE] = UNSCORED
    scored = table[ROLE] == SCORED
    if not scored.any():
        raise DesignError(
            f"no well of {', '.join(protocol.test)} has a class to score",
            remedy="test another plate, or complete the plate map",
        )
    trained = (table[ROLE] != UNLABELLED) & table[PLATE].isin(protocol.train)
    held = set(table.loc[trained, TARGET])
    if lost := sorted(set(table.loc[scored, TARGET]) - held):
        flags = " ".join(f"--unscored-class {name}" for name in lost)
        raise DesignError(
            f"class {', '.join(map(repr, lost))} is tested on {', '.join(protocol.test)}, but"
            f" {', '.join(protocol.train)} has no well of it to train on",
            remedy=f"train on a plate that holds it, or {flags} leaves it out of the score",
        )
    if len(held) < 2:
        raise DesignError(
            f"one class ({held.pop()}) is all that {', '.join(protocol.train)} has to train on",
            remedy="train on plates with two classes or more",
        )
    table.loc[scored, FOLD] = 0
    idle = [name for name in plates if name not in {*protocol.train, *protocol.test}]
    return (f"plates that take no part in the folds: {', '.join(idle)}",) if idle else ()


def _deal_pairs(table: pd.DataFrame, protocol: Protocol) -> tuple[str, ...]:
    """Make each compound in each batch a fold, where something is left to teach its class."""
    labelled = (table[ROLE] != UNLABELLED).to_numpy(bool)
    check_named(table[table[ROLE] == SCORED], "compound")
    check_named(table[labelled], "batch")
    if table.loc[labelled, BATCH].nunique() < 2:
        raise DesignError(
            f"all labelled wells share one batch ({table.loc[labelled, BATCH].iloc[0]})",
            remedy="--split nsc leaves out the compound alone",
        )
    codes, classes = table[TARGET].factorize(sort=True)
    dealt, count = np.full(len(table), -1), 0
    lost: dict[str, Counter[str]] = {}
    blind: Counter[str] = Counter()
    scored = np.flatnonzero(table[ROLE] == SCORED)
    pair = table.iloc[scored].groupby([COMPOUND, BATCH], sort=True).ngroup().to_numpy()
    for k in range(pair.max() + 1):
        members = scored[pair == k]
        tested = np.isin(np.arange(len(table)), members)
        left = labelled & ~protocol.barred(table, tested)
        held = np.bincount(codes[left], minlength=len(classes)) > 0
        # A model of one class calls everything by it: that is no score either.
        able = held[codes[members]] & (held.sum() > 1)
        where = "{} in batch {}".format(*table[[COMPOUND, BATCH]].iloc[members[0]])
        for name in classes[codes[members[~able]]]:
            lost.setdefault(name, Counter())[where] += 1
        if able.any():
            dealt[members[able]] = count
            count += 1
            blind.update(classes[~held])
    _check_lost(lost, set(classes[codes[dealt >= 0]]))
    table[FOLD] = dealt
    table.loc[(table[ROLE] == SCORED).to_numpy(bool) & (dealt < 0), ROLE] = UNSCORED
    return (
        *(
            f"class {name} is trained on but not scored where nothing held apart is left to teach"
            f" it: {', '.join(f'{pair} (wells: {wells})' for pair, wells in where.items())}"
            for name, where in sorted(lost.items())
        ),
        *(
            f"class {name} cannot be called in {blind[name]} of {count} folds, which have no well"
            " of it to train on"
            for name in sorted(blind)
        ),
    )


def _check_lost(lost: Mapping[str, Mapping[str, int]], scored: Set[str]) -> None:
    """Refuse classes of which no well at all can be scored."""
    if never := sorted(set(lost) - set(scored)):
        where = ", ".join(f"{name!r} ({', '.join(lost[name])})" for name in never)
        flags = " ".join(f"--unscored-class {name}" for name in never)
        raise DesignError(
            f"class {where} has nothing held apart that is left to teach it: it cannot be scored",
            remedy=f"{flags} trains on it without scoring it, or split by another unit",
        )
