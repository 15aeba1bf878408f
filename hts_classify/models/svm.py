"""The TAS path: statistics, standardised, into a support vector machine with an RBF kernel.

Hamilton et al. (BMC Bioinformatics 2007, 8:110) classified these statistics with a support vector
machine too. C and gamma are chosen on the inner splits that are given, and with them, where that
is asked for, how plates are normalised; then the temperature of the scores, on what the machine of
each split did not learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ..errors import DataError, DesignError, ModelError, UsageError
from ..files import write_json
from .calibrate import temperature
from .card import damaged, read_card, read_content, versions, write_content
from .examples import encode, usable_splits
from .normalise import METHODS, Method, least_wells, normalised
from .protocol import Inputs, Origin, Split, Switch
from .switching import switched

__all__ = ["C_GRID", "GAMMA_GRID", "TasSvm"]

C_GRID: Final = (1.0, 10.0, 100.0)
"""Penalties tried, the strongest regularisation first.

With a smaller C or a smaller gamma every one of a dozen examples sits at its bound: the machine
is then the difference of the class means, with an offset that nothing determines.
"""

GAMMA_GRID: Final = (0.1, 0.3, 1.0)
"""Gammas tried, the smoothest kernel first, in units of 1 / features that vary.

Standardised examples lie about sqrt(2 × features) apart, whatever the channels and whether
statistics are constant, so a gamma in these units means the same for 54 and for 540 columns.
"""

_TIE: Final = 1e-9
"""Mean accuracies closer than this are equal: they differ by rounding alone."""


class TasSvm:
    """Standardise, then a support vector machine; classes count alike whatever their sizes.

    Parameters
    ----------
    normalise : sequence of {"none", "standard", "robust", "tvn"}, optional
        How plates are brought to one scale before (`hts_classify.models.normalise`): the inner
        splits choose among these, of equals the first.
    say : callable, optional
        Told which was chosen of several.

    Attributes
    ----------
    classes : tuple of str
        Class names, sorted; empty before `fit`.
    temperature : float
        What scores are divided by before a softmax makes probabilities of them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = np.concatenate([rng.normal(0, 1, (20, 6)), rng.normal(3, 1, (20, 6))])
    >>> order = np.arange(40)
    >>> split = (order[order % 2 == 0], order[order % 2 == 1])
    >>> model = TasSvm()
    >>> chosen = model.fit(features, ["low"] * 20 + ["high"] * 20, inner=[split], seed=0)
    >>> model.scores(features[:1]).shape, model.classes
    ((1, 2), ('high', 'low'))
    """

    name: ClassVar[str] = "tas_svm"

    def __init__(
        self,
        normalise: Sequence[Method] = ("none",),
        *,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if not normalise or not set(normalise) <= set(METHODS):
            raise UsageError(
                f"normalisations {tuple(normalise)!r}", remedy=f"give some of {', '.join(METHODS)}"
            )
        self.classes: tuple[str, ...] = ()
        self.temperature = 1.0
        self._asked, self._say = tuple(normalise), say or (lambda text: None)
        self._method: Method = "none"
        self._spread = np.empty(0)
        self._chosen: dict[str, Any] = {}
        self._pipeline: Pipeline | None = None

    @property
    def features(self) -> int:
        """How many numbers a point has; 0 before `fit`."""
        return int(self._pipeline.n_features_in_) if self._pipeline else 0

    @property
    def needs_controls(self) -> bool:
        """Whether it brings a plate to the scale of its controls, before it can score it."""
        return self._method != "none"

    @property
    def least_controls(self) -> int:
        """Of how many wells these must be."""
        return least_wells(self._method)

    def fit(
        self,
        inputs: Inputs,
        targets: Sequence[str],
        *,
        inner: Sequence[Split],
        seed: int,
        origin: Origin | None = None,
    ) -> dict[str, Any]:
        """Choose C, gamma and the normalisation on the inner splits, then learn from all examples.

        Parameters
        ----------
        inputs : Inputs
            Features, shape (n, features), finite.
        targets : sequence of str
            n class names.
        inner : sequence of Split
            Splits to choose on; those whose learning half lacks a class are left out.
        seed
            Not used: nothing here is random.
        origin : Origin, optional
            Plates of the examples and their controls, to be normalised by.

        Returns
        -------
        dict
            `C`, `gamma`, `inner_balanced_accuracy` (mean over splits), `inner_splits` used,
            `temperature`, `normalise`, and `tried`: the inner balanced accuracy of each
            normalisation, the first that no other betters being taken.

        Raises
        ------
        DataError
            For features that are not finite numbers, or targets of fewer than two classes.
        DesignError
            When no inner split can be used, or a plate has too few controls for what was asked.
        """
        classes, numbers = encode(inputs, targets)
        splits = usable_splits(inner, numbers, classes)
        features = _features(inputs)
        self._spread = features.std(axis=0)
        found: list[_Found] = []
        skipped: list[Method] = []
        for method in self._asked:
            try:
                seen = [self._normalised(method, features, origin, judge) for _, judge in splits]
            except DesignError:
                if method == self._asked[-1] and not found:
                    raise
                skipped.append(method)  # an inner split judges the controls that set it
                continue
            found.append(_search(method, seen, numbers, splits))
        best = max(one.right for one in found)
        chosen = next(one for one in found if one.right >= best - _TIE)
        self.classes, self._method = classes, chosen.method
        ready = self._normalised(chosen.method, features, origin)
        self._pipeline = _pipeline(chosen).fit(ready, numbers)
        self.temperature = _temperature(chosen, numbers, splits)
        if len(self._asked) > 1:
            lacking = f" ({', '.join(skipped)}: inner splits test too many controls)"
            self._say(
                f"normalisation {chosen.method}, of {', '.join(one.method for one in found)}"
                f"{lacking if skipped else ''}"
            )
        self._chosen = {
            "C": chosen.C,
            "gamma": chosen.gamma,
            "inner_balanced_accuracy": chosen.right,
            "inner_splits": len(splits),
            "normalise": chosen.method,
            "temperature": self.temperature,
            "tried": {one.method: one.right for one in found},
        }
        return dict(self._chosen)

    def scores(self, inputs: Inputs, *, origin: Origin | None = None) -> NDArray[Any]:
        """Return a decision value for each class, from the votes of the pairwise machines.

        Returns
        -------
        ndarray of float64, shape (n, classes)
            Two classes give (−d, d), d being the signed distance.

        Raises
        ------
        ModelError
            When the number of features is not the one learned from.
        DataError
            For features that are not finite numbers.
        UsageError
            Before `fit`.
        """
        return self.scores_of(self.embedded(inputs, origin=origin))

    def embedded(
        self, inputs: Inputs, *, origin: Origin | None = None, briefly: bool = False
    ) -> NDArray[Any]:
        """Return the standardised features, in which the kernel measures distances.

        Returns
        -------
        ndarray of float64, shape (n, features)

        Raises
        ------
        ModelError, DataError, UsageError
            As `scores`.
        """
        pipeline, features = self._fitted(), _features(inputs)
        if features.shape[1] != pipeline.n_features_in_:
            raise ModelError(
                f"{features.shape[1]} features for a model of {pipeline.n_features_in_}",
                remedy="compute the features with the settings that the model was trained with",
            )
        if not len(features):
            return features
        features = self._normalised(self._method, features, origin)
        return np.asarray(pipeline[:-1].transform(features), np.float64)

    def scores_of(self, points: NDArray[Any]) -> NDArray[Any]:
        """Score examples that are embedded."""
        if not len(points):
            return np.empty((0, len(self.classes)))
        return _decisions(self._fitted()[-1], points)

    def switched(
        self, points: NDArray[Any], others: NDArray[Any], switches: Iterable[Switch]
    ) -> Iterator[NDArray[Any]]:
        """Yield the scores of embedded examples, some of whose features are taken from others.

        Parameters
        ----------
        points, others : ndarray, shapes (n, features) and (m, features)
            Examples as `embedded` returns them.
        switches : iterable of Switch
            Which features are taken, and for each of the n examples which of the m gives them.

        Yields
        ------
        ndarray of float64, shape (n, classes)
            As `scores_of` the changed examples, to rounding.
        """
        for values in switched(self._fitted()[-1], points, others, switches):
            yield np.column_stack([-values, values]) if values.ndim == 1 else values

    def save(self, folder: Path) -> None:
        """Write `tas_svm.skops` and `tas_svm.json` into a folder."""
        from skops.io import dumps

        write_content(folder / "tas_svm.skops", dumps(self._fitted()))
        card = {
            "classes": list(self.classes),
            "chosen": self._chosen,
            "spread": self._spread.tolist() if self.needs_controls else [],
            "versions": versions("numpy", "scikit-learn", "skops"),
        }
        write_json(folder / "tas_svm.json", card)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; no code in the file is run.

        Raises
        ------
        ModelError
            For a file that is missing, damaged, or holds other types than such a model's.
        """
        from skops.io import get_untrusted_types, loads

        path = folder / "tas_svm.skops"
        card = read_card(folder / "tas_svm.json", ("classes", "chosen", "spread", "versions"))
        content = read_content(path)
        try:
            foreign = get_untrusted_types(data=content)
            pipeline = None if foreign else loads(content)
        except Exception as error:  # whatever the broken piece of the archive raised in skops
            raise damaged(path, f"cannot be loaded ({error})") from error
        if foreign:
            raise ModelError(
                f"holds types that no such model has: {', '.join(foreign)}",
                where=str(path),
                remedy="do not trust this file",
            )
        model = cls()
        model.classes, model._chosen = tuple(card["classes"]), card["chosen"]
        warmth = model._chosen.get("temperature")
        if not isinstance(warmth, float) or not warmth > 0:
            raise damaged(folder / "tas_svm.json", f"temperature {warmth!r}")
        model.temperature = warmth
        if not isinstance(pipeline, Pipeline) or len(pipeline[-1].classes_) != len(model.classes):
            raise damaged(path, f"holds no model of {len(model.classes)} classes")
        model._pipeline = pipeline
        method, spread = model._chosen.get("normalise"), np.asarray(card["spread"], np.float64)
        wanted = 0 if method == "none" else pipeline.n_features_in_
        if method not in METHODS or spread.shape != (wanted,):
            raise damaged(folder / "tas_svm.json", f"normalisation {method!r}")
        model._asked, model._method = (method,), method
        model._spread = spread
        return model

    def _normalised(
        self,
        method: Method,
        features: NDArray[np.float64],
        origin: Origin | None,
        judge: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Bring features to the plates' scale; the controls among those judged do not set it."""
        hidden: NDArray[Any] = np.empty(0)
        if judge is not None and origin is not None and origin.fields is not None:
            hidden = origin.fields[judge]
        return normalised(method, features, origin, self._spread, without=hidden.tolist())

    def _fitted(self) -> Pipeline:
        if self._pipeline is None:
            raise UsageError("this model has learned nothing yet", remedy="call fit or load first")
        return self._pipeline


class _Found(NamedTuple):
    """The best machine for one normalisation."""

    method: Method
    right: float
    """Balanced accuracy, the mean over the inner splits."""
    C: float
    gamma: float
    seen: list[NDArray[np.float64]]
    """All examples, as each split sees them."""


def _search(
    method: Method,
    seen: list[NDArray[np.float64]],
    numbers: NDArray[np.intp],
    splits: Sequence[Split],
) -> _Found:
    """Try every C and gamma on the inner splits; of equals the smoothest is taken."""
    varying = max(1, int(np.count_nonzero(np.ptp(seen[0], axis=0) > 0)))
    # ParameterGrid varies the last name fastest, so candidates go from smooth to rough
    grid = {"svc__C": C_GRID, "svc__gamma": [gamma / varying for gamma in GAMMA_GRID]}
    found = []
    for features, split in zip(seen, splits, strict=True):  # what a split sees is its own
        search = GridSearchCV(
            _pipeline(),
            grid,
            scoring=_balanced_accuracy,
            cv=[split],
            refit=False,
            error_score="raise",
        )
        found.append(search.fit(features, numbers).cv_results_["mean_test_score"])
    means = np.mean(found, axis=0)
    best = int(np.flatnonzero(means >= means.max() - _TIE)[0])
    chosen = search.cv_results_["params"][best]
    return _Found(method, float(means[best]), chosen["svc__C"], chosen["svc__gamma"], seen)


def _pipeline(found: _Found | None = None) -> Pipeline:
    machine = SVC(kernel="rbf", class_weight="balanced", decision_function_shape="ovr")
    if found:
        machine.set_params(C=found.C, gamma=found.gamma)
    return Pipeline([("scale", StandardScaler()), ("svc", machine)])


def _decisions(machine: Pipeline | SVC, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a decision value for each class; two classes give (−d, d)."""
    values = np.asarray(machine.decision_function(features), dtype=np.float64)
    return np.column_stack([-values, values]) if values.ndim == 1 else values


def _temperature(found: _Found, numbers: NDArray[np.intp], splits: Sequence[Split]) -> float:
    """Return the temperature of the examples' scores by machines that did not learn from them."""
    scores = [
        _decisions(_pipeline(found).fit(features[learn], numbers[learn]), features[judge])
        for features, (learn, judge) in zip(found.seen, splits, strict=True)
    ]
    judged = np.concatenate([judge for _, judge in splits])
    return temperature(np.concatenate(scores), numbers[judged])


def _features(inputs: Inputs) -> NDArray[np.float64]:
    features = np.asarray(inputs[np.arange(len(inputs))], dtype=np.float64)
    if features.ndim != 2:
        raise DataError(
            f"features of shape {features.shape}", remedy="give one row of numbers an example"
        )
    if not (finite := np.isfinite(features)).all():
        row, column = (int(place) for place in np.argwhere(~finite)[0])
        raise DataError(
            f"the feature is {features[row, column]}",
            where=f"example {row} feature {column}",
            remedy="leave the example out, or the feature for all of them",
        )
    return features


def _balanced_accuracy(
    pipeline: Pipeline, features: NDArray[np.float64], numbers: NDArray[np.intp]
) -> float:
    """Return the mean recall of the classes that the judging half holds.

    scikit-learn's own warns when a class is predicted that the half lacks; with splits by
    compound that is usual, and no fault.
    """
    right = pipeline.predict(features) == numbers
    return float(np.mean([right[numbers == number].mean() for number in np.unique(numbers)]))
