"""Threshold adjacency statistics: 54 numbers of an image or an object, 162 of a volume.

::

    image ──► T, m, mu ──────► three cuts ──► counts ──► proportions
    region    Rule: fixed, or  Lower, Mean,   (ext/, C)  54 | 162
              a histogram's    Band's end

``thresholds.py``
    `Rule`: Hamilton's fixed T and m, or Otsu's and a standard deviation; which definition.
``inputs.py``
    Images, volumes, stacks, masks and labels: what is read, and what is refused.
``measure.py``
    `measure` and `measure_objects`: statistics with the thresholds that they were taken at.
``tas.py``
    `tas` and `pftas`: the statistics alone, as arrays.
``figures.py``
    `examine`: those statistics, and what else the same look at the pixels tells: `Figures`.
``shrink.py``
    `shrink`: a smaller image, averaged over areas.
``dispatch.py``
    `kernels`: which SIMD variants of the core there are, and which one is used.
``mahotas.py``
    What `definition="mahotas"` takes from NumPy.
``reference.py``
    The same in plain NumPy, pixel by pixel: the specification that every kernel must equal.
``_tas``, ``_field``
    The compiled core; its C is in ``ext/``, and ``ext/README.md`` draws the adders.
"""

from .dispatch import chosen_kernel, kernels
from .figures import Figures, examine
from .inputs import Axes
from .measure import ObjectsResult, Scope, TasResult, measure, measure_objects
from .shrink import shrink
from .tas import pftas, tas
from .thresholds import Border, Definition, Rule, Thresholds, hamilton, otsu

__all__ = [
    "Axes",
    "Border",
    "Definition",
    "Figures",
    "ObjectsResult",
    "Rule",
    "Scope",
    "TasResult",
    "Thresholds",
    "chosen_kernel",
    "examine",
    "hamilton",
    "kernels",
    "measure",
    "measure_objects",
    "otsu",
    "pftas",
    "shrink",
    "tas",
]
