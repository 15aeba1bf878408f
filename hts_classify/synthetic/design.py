"""Which treatment goes into which well.

Positions are drawn at random, several times, and the draw is kept in which the classes have the
most equal shares of the plate's edge, where wells differ: class goes together with position as
little as so few wells allow. Replicates go round the batches, so class does not go together with
batch either; a plate of single replicates is all in the first one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..errors import UsageError
from ..vocabulary import well_name
from .recipe import Recipe

__all__ = ["PLATES", "Treated", "grid_of", "lay_out", "row_name"]

PLATES: Final = ((4, 6), (8, 12), (16, 24), (32, 48))
"""Rows and columns of plates of 24, 96, 384 and 1536 wells."""

_CONTROLS: Final = ("DMSO", "untreated")
_EC50: Final = 0.4  # µM, the middle compound's
_HILL: Final = 2.0
_DRAWS: Final = 64
_LETTERS: Final = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated:
    """One well of the design."""

    phenotype: str
    """What its compound does at a dose that is high enough."""
    labelled: bool
    """Whether the plate map tells."""
    compound: str
    concentration: float
    batch: int
    """From 0."""
    control: str
    """`negcon` or `treatment`."""
    strength: float
    """Share of cells' marker that the compound has moved: 0 to 1."""
    viability: float
    """Number of cells, as a share of an untreated well's."""
    individuality: float
    """The compound's own stretch of its class's texture, about 1."""
    row: int = 0
    """From 0."""
    column: int = 0

    @property
    def well(self) -> str:
        """`B03`."""
        return well_name(row_name(self.row), self.column + 1)


def row_name(row: int) -> str:
    """Return the letters of a row, from 0.

    Examples
    --------
    >>> row_name(0), row_name(31)
    ('A', 'AF')
    """
    return ("A" if row >= _LETTERS else "") + chr(ord("A") + row % _LETTERS)


def grid_of(wells: int) -> tuple[int, int]:
    """Return rows and columns of the smallest plate with as many wells.

    Examples
    --------
    >>> grid_of(72)
    (8, 12)
    """
    for rows, columns in PLATES:
        if rows * columns >= wells:
            return rows, columns
    raise UsageError(
        f"{wells} wells", remedy="a plate has at most 1536: use fewer compounds or replicates"
    )


def lay_out(recipe: Recipe) -> tuple[Treated, ...]:
    """Design a plate: its wells in plate order.

    Raises
    ------
    UsageError
        When there are more wells than the largest plate has.

    Examples
    --------
    >>> wells = lay_out(Recipe())
    >>> len(wells), sum(well.control == "negcon" for well in wells)
    (72, 12)
    """
    wells = _hide_some(_treatments(recipe), recipe)
    rows, columns = grid_of(len(wells))
    places = _places(wells, (rows, columns), recipe)
    placed = [
        replace(well, row=int(place) // columns, column=int(place) % columns)
        for well, place in zip(wells, places, strict=True)
    ]
    return tuple(sorted(placed, key=lambda well: (well.row, well.column)))


def _treatments(recipe: Recipe) -> list[Treated]:
    """List every well's treatment, without its place."""
    # Numbers are dealt out at random, so that a compound's name says nothing of its class.
    total = len(recipe.classes) * recipe.compounds
    numbers = recipe.rng(0).permutation(total) + 1
    wells = []
    for index in range(total):
        kind, compound = divmod(index, recipe.compounds)
        phenotype = recipe.classes[kind]
        rng = recipe.rng(1, index)
        ec50 = _EC50 * np.exp(rng.normal(0, 0.3))
        efficacy, toxicity = rng.uniform(0.85, 1), rng.uniform(0, 0.25)
        individuality = float(np.exp(rng.normal(0, 0.04)))
        inert = phenotype == "diffuse"
        negcon = inert and compound < len(_CONTROLS)
        for dose in recipe.doses:
            if recipe.setting == "phenotypes":
                strength = float(efficacy / (1 + (ec50 / dose) ** _HILL))
                viability = 1 - toxicity * strength
            else:
                strength, viability = 1.0, 1.0
            treated = Treated(
                phenotype=phenotype,
                labelled=inert or strength >= 0.5,
                compound=_CONTROLS[compound] if negcon else f"CPD-{numbers[index]:03d}",
                concentration=0.0 if negcon else dose,
                batch=0,
                control="negcon" if negcon else "treatment",
                strength=0.0 if inert else strength,
                viability=1.0 if negcon else viability,
                individuality=individuality,
            )
            wells += [replace(treated, batch=r % recipe.batches) for r in range(recipe.replicates)]
    return wells


def _hide_some(wells: list[Treated], recipe: Recipe) -> list[Treated]:
    """Leave one well of each class without a phenotype, where no dose does so already."""
    if recipe.setting == "phenotypes" or recipe.replicates == 1:
        return wells
    rng = recipe.rng(2)
    hidden = set()
    for phenotype in recipe.classes:
        own = [index for index, well in enumerate(wells) if well.phenotype == phenotype]
        hidden.add(int(rng.choice(own)))
    return [replace(w, labelled=i not in hidden) for i, w in enumerate(wells)]


def _places(wells: list[Treated], grid: tuple[int, int], recipe: Recipe) -> np.ndarray:
    """Draw positions, row by row from 0, until the classes share the plate's edge alike."""
    rows, columns = grid
    rng = recipe.rng(3)
    row, column = np.divmod(np.arange(rows * columns), columns)
    on_edge = (row % (rows - 1) == 0) | (column % (columns - 1) == 0)
    kinds = np.array([recipe.classes.index(well.phenotype) for well in wells])
    draws = [rng.permutation(rows * columns)[: len(wells)] for _ in range(_DRAWS)]

    def imbalance(places: np.ndarray) -> float:
        shares = np.bincount(kinds, on_edge[places]) / np.bincount(kinds)
        return float(np.ptp(shares))

    return min(draws, key=imbalance)
