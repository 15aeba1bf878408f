"""Which column of a plate map is which: by usual names, or by what the user says.

Columns get the Cytomining names by `hts_classify.vocabulary.ALIASES`, or by `Columns`; the others
keep their own behind `Metadata_`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from ..errors import PlatemapError, UsageError
from ..vocabulary import ALIASES, BATCH, COMPOUND, CONCENTRATION, CONTROL, METADATA, PLATE, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIRST", "Columns", "control_kinds", "recognise", "resolve_column", "take_target"]

FIRST: Final = (PLATE, WELL, COMPOUND, CONCENTRATION, BATCH, CONTROL)
"""Columns that come first in a map that was read, in this order."""

_FLAGS: Final = {
    WELL: "--well-column",
    COMPOUND: "--compound-column",
    CONCENTRATION: "--concentration-column",
    BATCH: "--batch-column",
    CONTROL: "--control-column",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The plate map's own names of its columns, where they are not to be guessed.

    Another column of the map that would get the same name is left out.
    """

    well: str | None = None
    """Well, as `A1` or `A01`."""
    compound: str | None = None
    concentration: str | None = None
    """A number; its unit is the user's."""
    batch: str | None = None
    control: str | None = None
    """`negcon`, `poscon` or `treatment`."""

    def chosen(self) -> dict[str, str]:
        """Return the user's names by the canonical ones."""
        canonical = dict(zip(asdict(self), (WELL, *FIRST[2:]), strict=True))
        return {canonical[k]: name for k, name in asdict(self).items() if name is not None}


def resolve_column(frame: pd.DataFrame, name: str) -> str:
    """Find a column by the name a user gives it: in any case, with or without `Metadata_`.

    Raises
    ------
    UsageError
        When there is none, or more than one; the message lists what there is.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame(columns=["Metadata_Well", "Metadata_moa"])
    >>> resolve_column(frame, "MoA"), resolve_column(frame, "metadata_well")
    ('Metadata_moa', 'Metadata_Well')
    """
    columns = [str(column) for column in frame.columns]
    exact = [column for column in columns if column in (name, f"{METADATA}{name}")]
    found = exact or [column for column in columns if _bare(column) == _bare(name)]
    if not found:
        known = {alias: column for column, aliases in ALIASES.items() for alias in aliases}
        found = [column for column in columns if column == known.get(_bare(name))]
    if len(found) == 1 or (exact and name in exact):
        return name if name in found else found[0]
    raise UsageError(
        f"column {name!r} {'could be ' + ' or '.join(found) if found else 'is not there'}",
        where="plate map",
        remedy=f"choose one of: {', '.join(column.removeprefix(METADATA) for column in columns)}",
    )


def recognise(titles: list[str], columns: Columns, *, where: str) -> dict[str, str]:
    """Map the table's own column names to the ones that every table here uses.

    Columns that would take a name that the user has given to another are left out.
    """
    names: dict[str, str] = {}
    for canonical, title in columns.chosen().items():
        if title not in titles:
            raise UsageError(
                f"column {title!r} is not there",
                where=where,
                remedy=f"choose one of: {', '.join(titles)}",
            )
        if title in names:
            raise UsageError(
                f"column {title!r} cannot be both {_FLAGS[names[title]]} and {_FLAGS[canonical]}",
                where=where,
                remedy="name two columns",
            )
        names[title] = canonical
    for canonical, aliases in ALIASES.items():
        if canonical in names.values():
            continue
        bare = {_bare(title): title for title in reversed(titles) if title not in names}
        wanted = (_bare(canonical), *aliases)
        found = [bare[alias] for alias in wanted if alias in bare]
        if found:
            names[found[0]] = canonical
    if WELL not in names.values():
        raise PlatemapError(
            f"no column of wells among {', '.join(titles)}",
            where=where,
            remedy="call it 'well', or name it with --well-column",
        )
    by_name: dict[str, str] = {canonical: title for title, canonical in names.items()}
    for title in titles:
        name = title if title.startswith(METADATA) else METADATA + title
        if title in names or name in columns.chosen():
            continue
        if name in by_name:
            how = f"choose one with {_FLAGS[name]}" if name in _FLAGS else "rename one of them"
            raise PlatemapError(
                f"columns {by_name[name]!r} and {title!r} are both {name}", where=where, remedy=how
            )
        by_name[name] = title
    own = {title: name for name, title in by_name.items()}
    return {title: own[title] for title in titles if title in own}


def control_kinds(wells: pd.DataFrame) -> pd.Series[str]:
    """Return each well's control type in lower case, `negcon` say; empty where it has none.

    Examples
    --------
    >>> import pandas as pd
    >>> control_kinds(pd.DataFrame({"Metadata_ControlType": [" NegCon", None]})).tolist()
    ['negcon', '']
    >>> control_kinds(pd.DataFrame({"Metadata_Well": ["A01"]})).tolist()
    ['']
    """
    kinds = wells.get(CONTROL, default=wells[[]].assign(none="")["none"])
    return kinds.astype("string").str.strip().str.lower().fillna("")


def take_target(
    renamed: pd.DataFrame, frame: pd.DataFrame, target: str, *, left_out: Iterable[str]
) -> str:
    """Find the class column, also by a name that `Columns` or the recognition took from it."""
    same = [title for title in left_out if _bare(title) == _bare(target)]
    if same and target not in renamed:
        renamed[target] = frame[same[0]]
        return target
    try:
        return resolve_column(renamed, target)
    except UsageError:
        if target not in frame:
            raise
        renamed[f"{METADATA}{target}"] = frame[target]
        return f"{METADATA}{target}"


def _bare(name: str) -> str:
    """Take case, spaces and `Metadata_` out of a column's name."""
    return name.strip().lower().removeprefix(METADATA.lower()).replace(" ", "_")
