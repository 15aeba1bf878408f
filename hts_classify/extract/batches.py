"""A pass cut into parts: which image sets each has, and the flags that choose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..plate import Field, Plate, number_image_sets
from ..plate.image_sets import alike, group_values, spelt
from ..vocabulary import METADATA
from .parts import part_name
from .settings import folder_name

__all__ = ["Batch", "by_groups", "by_number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One part of a pass."""

    name: str
    """Of its folder."""
    image_sets: tuple[int, ...]
    flags: tuple[str, ...]
    """What chooses them: `-f 1 -l 64`."""


def by_number(plates: Sequence[Plate], size: int, *, together: bool) -> list[Batch]:
    """Cut image sets into runs of one length, the last as it comes.

    Parameters
    ----------
    plates : sequence of Plate
    size : int
        Image sets of a part.
    together : bool
        Cut between wells alone: parts then end at the last well that ends within `size`, or, where
        none does, at the next that ends.

    Raises
    ------
    UsageError
        For a size below 1.
    """
    if size < 1:
        raise UsageError(f"{size} images a batch", remedy="ask for 1 or more")
    numbers = number_image_sets(plates)
    held = sorted(set(numbers.values()))
    ends = _between_wells(numbers, held) if together else set(held)
    batches: list[Batch] = []
    run: list[int] = []
    end = 0  # image sets of the run up to the last place where it may be cut
    for number in held:
        run.append(number)
        end = len(run) if number in ends else end
        while end and (len(run) >= size or number == held[-1]) and run:
            first, last = run[0], run[end - 1]
            flags = ("-f", str(first), "-l", str(last))
            own = tuple(run[:end])
            batches.append(Batch(name=part_name(own), image_sets=own, flags=flags))
            run = run[end:]
            end = max((k for k, n in enumerate(run, start=1) if n in ends), default=0)
    return batches


def by_groups(plates: Sequence[Plate], keys: Sequence[str], *, together: bool) -> list[Batch]:
    """Make a part of each group of image sets with the same metadata.

    Parameters
    ----------
    plates : sequence of Plate
    keys : sequence of str
        Metadata columns, as `-g` takes them.
    together : bool
        Refuse groups that cut a well.

    Raises
    ------
    UsageError
        For a key that there is not, or a value that `-g` cannot spell.
    """
    numbers, values = number_image_sets(plates), group_values(plates)
    known = list(dict.fromkeys(key for own in values.values() for key in own))
    names = [key if key in known else f"{METADATA}{key}" for key in keys]
    if lost := [key for key, name in zip(keys, names, strict=True) if name not in known]:
        raise UsageError(
            f"image sets have no {lost[0]}",
            where=plates[0].path,
            remedy=f"they have {', '.join(sorted(known))}",
        )
    groups: dict[tuple[str, ...], list[int]] = {}
    wells: dict[tuple[str, str], tuple[str, ...]] = {}
    for (plate, field), number in sorted(numbers.items(), key=lambda item: item[1]):
        group = tuple(alike(name, values[plate, field].get(name, "")) for name in names)
        groups.setdefault(group, []).append(number)
        if together and wells.setdefault((plate, field.well), group) != group:
            raise UsageError(
                f"groups by {', '.join(names)} cut well {field.well} of {plate}, and objects or"
                " crops of a well stand in one file",
                remedy="group by Metadata_Well too",
            )
    batches: list[Batch] = []
    for group, own in groups.items():
        if not all(group) or any(mark in value for value in group for mark in ",="):
            raise UsageError(
                f"image sets {spelt(own)} have the values {', '.join(map(repr, group))}, which -g"
                " cannot spell",
                where=plates[0].path,
                remedy="ask for --images-per-batch",
            )
        name = folder_name("-".join(group))
        if any(name.lower() == batch.name.lower() for batch in batches):
            name += f"-{len(batches) + 1}"
        pairs = ",".join(f"{key}={value}" for key, value in zip(names, group, strict=True))
        batches.append(Batch(name=name, image_sets=tuple(own), flags=("-g", pairs)))
    return batches


def _between_wells(numbers: dict[tuple[str, Field], int], held: Sequence[int]) -> set[int]:
    """Return the numbers after which no well goes on that has begun."""
    last: dict[tuple[str, str], int] = {}
    wells: dict[int, list[tuple[str, str]]] = {}
    for (plate, field), number in numbers.items():
        name = plate, field.well
        last[name] = max(last.get(name, 0), number)
        wells.setdefault(number, []).append(name)
    ends, latest = set(), 0
    for number in held:
        latest = max(latest, *(last[name] for name in wells[number]))
        if latest <= number:
            ends.add(number)
    return ends
