"""What every well of a screen shows, two ways from one read of the plate.

::

    plate store ─► fields ─► ONE pass: features + tiles ─► folds ─► TAS+SVM | CNN ─► comparison
     plate/                   extract                      splits    trial (models/)   │
     open_plate               features/, tiles                                         ▼
                                                                      evaluate, compare, report

Read in this order: `vocabulary` (the words), `plate.layout` (what a plate is), `features` (what
TAS is), `tiles`, `extract` (the one pass), `splits` (honest folds), `models.protocol` (what a
path is), `trial` (both paths on the folds), `compare`, `run` (all of it joined).

Importing the package imports NumPy and no other large library: each function brings its own.
"""

from __future__ import annotations

from importlib.metadata import version

from .compare import compare
from .errors import HTSError
from .extract import PassSettings, extract
from .features import Rule, kernels, measure, measure_objects, pftas, tas
from .plate import View, open_plate
from .predict import predict
from .report import report
from .run import RunSettings, run

__all__ = [
    "HTSError",
    "PassSettings",
    "Rule",
    "RunSettings",
    "View",
    "__version__",
    "compare",
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

__version__ = version("hts_classify")
