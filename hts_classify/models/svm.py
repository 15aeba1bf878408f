"""The TAS path: statistics, standardised, into a support vector machine with an RBF kernel.

Hamilton et al. (BMC Bioinformatics 2007, 8:110) classified these statistics with a support vector
machine too. C and gamma are chosen on the inner splits that are given, and then the temperature
of the scores, on what the machine of each split did not learn from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ..errors import DataError, ModelError, UsageError
from ..files import write_json
from .calibrate import temperature
from .card import damaged, read_card, read_content, versions, write_content
from .examples import encode, usable_splits
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

    def __init__(self) -> None:
        self.classes: tuple[str, ...] = ()
        self.temperature = 1.0
        self._chosen: dict[str, Any] = {}
        self._pipeline: Pipeline | None = None

    def fit(
        self,
        inputs: Inputs,
        targets: Sequence[str],
        *,
        inner: Sequence[Split],
        seed: int,
        origin: Origin | None = None,
    ) -> dict[str, Any]:
        """Choose C and gamma on the inner splits, then learn from every example.

        Parameters
        ----------
        inputs : Inputs
            Features, shape (n, features), finite.
        targets : sequence of str
            n class names.
        inner : sequence of Split
            Splits to choose on; those whose learning half lacks a class are left out.
        seed, origin
            Not used: nothing here is random, nor brought to a plate's scale.

        Returns
        -------
        dict
            `C`, `gamma`, `inner_balanced_accuracy` (mean over splits), `inner_splits` used,
            `temperature`.

        Raises
        ------
        DataError
            For features that are not finite numbers, or targets of fewer than two classes.
        DesignError
            When no inner split can be used.
        """
        classes, numbers = encode(inputs, targets)
        splits = usable_splits(inner, numbers, classes)
        features = _features(inputs)
        varying = max(1, int(np.count_nonzero(np.ptp(features, axis=0) > 0)))
        search = GridSearchCV(
            _pipeline(),
            # ParameterGrid varies the last name fastest, so candidates go from smooth to rough
            {"svc__C": C_GRID, "svc__gamma": [gamma / varying for gamma in GAMMA_GRID]},
            scoring=_balanced_accuracy,
            cv=splits,
            refit=_smoothest_best,
            error_score="raise",
        )
        search.fit(features, numbers)
        self.classes, self._pipeline = classes, search.best_estimator_
        self.temperature = _temperature(search.best_params_, features, numbers, splits)
        self._chosen = {
            "C": float(search.best_params_["svc__C"]),
            "gamma": float(search.best_params_["svc__gamma"]),
            "inner_balanced_accuracy": float(
                search.cv_results_["mean_test_score"][search.best_index_]
            ),
            "inner_splits": len(splits),
            "temperature": self.temperature,
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
        features = self._own(inputs)
        if not len(features):
            return np.empty((0, len(self.classes)))
        return _decisions(self._fitted(), features)

    def embedded(self, inputs: Inputs, *, origin: Origin | None = None) -> NDArray[Any]:
        """Return the standardised features, in which the kernel measures distances.

        Returns
        -------
        ndarray of float64, shape (n, features)

        Raises
        ------
        ModelError, DataError, UsageError
            As `scores`.
        """
        features = self._own(inputs)
        if not len(features):
            return features
        return np.asarray(self._fitted()[:-1].transform(features), np.float64)

    def switched(
        self, inputs: Inputs, others: Inputs, switches: Iterable[Switch]
    ) -> Iterator[NDArray[Any]]:
        """Yield the scores of examples, some of whose features are taken from others.

        Parameters
        ----------
        inputs, others : Inputs
            Features, shapes (n, features) and (m, features).
        switches : iterable of Switch
            Which features are taken, and for each of the n examples which of the m gives them.

        Yields
        ------
        ndarray of float64, shape (n, classes)
            As `scores` of the changed examples, to rounding.

        Raises
        ------
        ModelError, DataError, UsageError
            As `scores`.
        """
        examples, donors = self.embedded(inputs), self.embedded(others)
        for values in switched(self._fitted()[-1], examples, donors, switches):
            yield np.column_stack([-values, values]) if values.ndim == 1 else values

    def save(self, folder: Path) -> None:
        """Write `tas_svm.skops` and `tas_svm.json` into a folder."""
        from skops.io import dumps

        write_content(folder / "tas_svm.skops", dumps(self._fitted()))
        card = {
            "classes": list(self.classes),
            "chosen": self._chosen,
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
        card = read_card(folder / "tas_svm.json", ("classes", "chosen", "versions"))
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
        return model

    def _own(self, inputs: Inputs) -> NDArray[np.float64]:
        """Return features, if they are such as were learned from."""
        wanted, features = self._fitted().n_features_in_, _features(inputs)
        if features.shape[1] != wanted:
            raise ModelError(
                f"{features.shape[1]} features for a model of {wanted}",
                remedy="compute the features with the settings that the model was trained with",
            )
        return features

    def _fitted(self) -> Pipeline:
        if self._pipeline is None:
            raise UsageError("this model has learned nothing yet", remedy="call fit or load first")
        return self._pipeline


def _pipeline() -> Pipeline:
    machine = SVC(kernel="rbf", class_weight="balanced", decision_function_shape="ovr")
    return Pipeline([("scale", StandardScaler()), ("svc", machine)])


def _decisions(pipeline: Pipeline, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a decision value for each class; two classes give (−d, d)."""
    values = np.asarray(pipeline.decision_function(features), dtype=np.float64)
    return np.column_stack([-values, values]) if values.ndim == 1 else values


def _temperature(
    chosen: dict[str, Any],
    features: NDArray[np.float64],
    numbers: NDArray[np.intp],
    splits: Sequence[Split],
) -> float:
    """Return the temperature of the examples' scores by machines that did not learn from them."""
    found = [
        _decisions(
            _pipeline().set_params(**chosen).fit(features[learn], numbers[learn]), features[judge]
        )
        for learn, judge in splits
    ]
    judged = np.concatenate([judge for _, judge in splits])
    return temperature(np.concatenate(found), numbers[judged])


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


def _smoothest_best(results: dict[str, Any]) -> int:
    means = np.asarray(results["mean_test_score"])
    return int(np.flatnonzero(means >= means.max() - _TIE)[0])
