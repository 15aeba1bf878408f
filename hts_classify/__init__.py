"""What every well of a screen shows, two ways from one read of the plate.

::

    plate store ─► fields ─► ONE pass: features + tiles ─► folds ─► TAS+SVM | CNN ─► comparison
     plate/                   extract                      splits    trial (models/)   │
     open_plate               features/, tiles             audit                       ▼
                                                        evaluate (statistics/), compare, report

Read in this order: `vocabulary` (the words), `plate.layout` (what a plate is), `features` (what
TAS is), `tiles`, `extract` (the one pass), `protocols` and `splits` (honest folds), `audit` (what
could make a path look good for the wrong reason), `models.protocol` (what a path is), `trial`
(both paths on the folds), `compare`, `run` (all of it joined), `exports` (for other tools to read).

Importing the package imports nothing else: a name brings its module when it is first used. So
`models.cnn` trains and infers from a bare copy of this folder, where there is neither the compiled
core nor anything beside PyTorch, torchvision and NumPy.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .compare import compare
    from .errors import HTSError
    from .exports import export
    from .extract import PassSettings, extract
    from .features import Rule, kernels, measure, measure_objects, pftas, tas
    from .plate import View, open_plate
    from .predict import PredictSettings, predict
    from .report import report
    from .run import RunSettings, run

    __version__: str

__all__ = [
    "HTSError",
    "PassSettings",
    "PredictSettings",
    "Rule",
    "RunSettings",
    "View",
    "__version__",
    "compare",
    "export",
    "extract",
    "kernels",
    "measure",
    "measure_objects",
    "open_plate",
    "pftas",
    "predict",
    "report",
    "run",
    "tas",
]

_HOMES: Final = {
    "HTSError": "errors",
    "PassSettings": "extract",
    "PredictSettings": "predict",
    "Rule": "features",
    "RunSettings": "run",
    "View": "plate",
    "compare": "compare",
    "export": "exports",
    "extract": "extract",
    "kernels": "features",
    "measure": "features",
    "measure_objects": "features",
    "open_plate": "plate",
    "pftas": "features",
    "predict": "predict",
    "report": "report",
    "run": "run",
    "tas": "features",
}
"""The module of each public name."""


class _Package(ModuleType):
    """The package itself: finds a public name when it is asked for.

    A class, and not PEP 562's two functions, because five public functions have the name of their
    module, which an import of that module would put in their place.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version(__name__)
        elif name in _HOMES:
            from importlib import import_module

            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
