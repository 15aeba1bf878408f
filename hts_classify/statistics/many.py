"""Many comparisons at once: the correction for them, and the groups that hold in all of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

__all__ = ["holm", "joined_groups"]


def joined_groups(groupings: Sequence[Sequence[Hashable]]) -> list[int]:
    """Group wells by the finest partition that parts no group of any grouping (their join).

    Wells that share a compound in one run and wells that share a plate in another are not
    independent in either sense, so one test over both runs must hold both together.

    Parameters
    ----------
    groupings : sequence of sequences, each of length wells
        The group of each well, by run.

    Returns
    -------
    list of int, length wells
        The groups' numbers from 0, in the order of the groups' first wells.

    Examples
    --------
    >>> joined_groups([["a", "a", "b", "b", "c"], ["P1", "P2", "P2", "P3", "P4"]])
    [0, 0, 0, 0, 1]
    """
    parent = list(range(len(groupings[0])))

    def root(well: int) -> int:
        while parent[well] != well:
            parent[well] = parent[parent[well]]
            well = parent[well]
        return well

    for grouping in groupings:
        first: dict[Hashable, int] = {}
        for well, group in enumerate(grouping):
            one, other = sorted((root(first.setdefault(group, well)), root(well)))
            parent[other] = one
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(well), len(numbers)) for well in range(len(parent))]


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for all that was tested (Holm, Scand J Statist 1979, 6:65).

    Parameters
    ----------
    p : sequence of float
        One for each test.

    Returns
    -------
    list of float
        In the same order: below 0.05 in one family of true hypotheses in 20 at most.

    Examples
    --------
    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[k]))
        corrected[k] = least
    return corrected
