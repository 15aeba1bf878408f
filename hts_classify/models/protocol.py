"""What the two paths have in common: fit, score, save, load.

A model sees arrays and the splits it is given; it knows nothing of plates, wells, stores
or folds, so it cannot look where it should not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

from numpy.typing import NDArray

__all__ = ["Classifier", "Inputs", "Maps", "Origin", "Pictorial", "Split", "Switch", "Tabular"]

Split = tuple[NDArray[Any], NDArray[Any]]
"""Indices of one inner split: what to learn from, what to judge on."""


class Inputs(Protocol):
    """Examples by index: a NumPy array, or a store of tiles that reads only what is asked for."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, index: NDArray[Any], /) -> NDArray[Any]:
        """Return the examples at these indices, stacked along the first axis."""
        ...


@dataclass(frozen=True)
class Origin:
    """Where examples come from, for a model that brings every plate to one scale.

    Whoever makes it leaves out of `controls` the wells that are being tested: controls that are
    scored never fit the scale of their own fold.
    """

    plates: NDArray[Any]
    """Plate of each example, shape (n,)."""
    controls: Mapping[str, Inputs] = field(default_factory=dict)
    """Of each plate, the negative controls that may set its scale."""
    fields: NDArray[Any] | None = None
    """What tells the field of each example from others, shape (n,); by default each is of one of
    its own. Several of one field are no more evidence of a model's sureness than one."""
    control_fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What tells the field of each control from others, as in `fields`: one that an inner
    split judges sets no scale there."""
    control_wells: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What tells the well of each control from others: a scale takes a number of wells."""


class Classifier(Protocol):
    """One path's model."""

    name: ClassVar[str]
    """The path's name in tables and files (`hts_classify.vocabulary.PATHS`)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the scores' columns (sorted)."""
        ...

    @property
    def temperature(self) -> float:
        """What scores are divided by before a softmax makes probabilities of them."""
        ...

    @property
    def features(self) -> int:
        """Return how many numbers a point has; 0 before `fit`."""
        ...

    @property
    def needs_controls(self) -> bool:
        """Whether it brings a plate to the scale of its controls, before it can score it."""
        ...

    @property
    def least_controls(self) -> int:
        """Of how many wells these must be."""
        ...

    def fit(
        self,
        inputs: Inputs,
        targets: Sequence[str],
        *,
        inner: Sequence[Split],
        seed: int,
        origin: Origin | None = None,
    ) -> dict[str, Any]:
        """Learn from every example, and choose what is to be chosen on the inner splits.

        Parameters
        ----------
        inputs : Inputs
            Training examples, n of them.
        targets : sequence of str
            n class names, at least two different ones.
        inner : sequence of Split
            Grouped splits of these n examples (indices into `inputs`): for hyper-parameters,
            for early stopping. At least one.
        seed : int
            Everything random follows from it.
        origin : Origin, optional
            The examples' plates, and the controls that may set a plate's scale.

        Returns
        -------
        dict
            What was chosen and seen (JSON types only, nothing that changes from run to run).
        """
        ...

    def scores(self, inputs: Inputs, *, origin: Origin | None = None) -> NDArray[Any]:
        """Score examples: float64, shape (n, classes), higher is likelier; not calibrated."""
        ...

    def embedded(
        self, inputs: Inputs, *, origin: Origin | None = None, briefly: bool = False
    ) -> NDArray[Any]:
        """Return examples as points in which the model sees like ones near each other.

        Parameters
        ----------
        inputs, origin
            As for `scores`.
        briefly : bool, optional
            From one look at each example, where scores take several.

        Returns
        -------
        ndarray of float64, shape (n, features)
        """
        ...

    def scores_of(self, points: NDArray[Any]) -> NDArray[Any]:
        """Score examples that are embedded: `scores` is this of `embedded`."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model as files named after the path; never pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; `ModelError` names a file that is missing or damaged."""
        ...


class Maps(NamedTuple):
    """Where in each example a model sees each class."""

    values: NDArray[Any]
    """float32, shape (n, classes, y, x): 1 where the most speaks for the class, 0 where nothing."""
    covered: tuple[float, float]
    """Shares of an example's height and width, around its centre, that a map is of."""


@runtime_checkable
class Pictorial(Classifier, Protocol):
    """A model of pictures, which can say where in one it sees a class."""

    def maps(self, inputs: Inputs, *, origin: Origin | None = None) -> Maps:
        """Return where in each example the model sees each class."""
        ...


class Switch(NamedTuple):
    """Features of examples that are taken from other examples."""

    columns: NDArray[Any]
    """Which features."""
    donors: NDArray[Any]
    """For each example the one that it has them from."""


@runtime_checkable
class Tabular(Classifier, Protocol):
    """A model of single features, which can say what it makes of examples without some."""

    def switched(
        self, points: NDArray[Any], others: NDArray[Any], switches: Iterable[Switch]
    ) -> Iterator[NDArray[Any]]:
        """Yield for each switch the scores of points with features of the others."""
        ...
