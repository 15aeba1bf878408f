"""Threshold adjacency statistics of a field: 54 numbers a channel, without segmentation.

::

    image ──► histogram ──► Thresholds ──► integer intervals ──► counts ──► 54 proportions
              (_tas, C)     T, m, mu       Band, Lower, Mean    (_tas, C)

``thresholds.py``
    Where T and m come from: Hamilton's fixed rule, or Otsu and a standard deviation; and the
    intervals, as bounds on integers.
``tas.py``
    `tas`, `pftas` and `measure`: checks the image, chooses the kernel, divides the counts.
``mahotas.py``
    What `definition="mahotas"` rounds and orders otherwise.
``reference.py``
    The same in plain NumPy, pixel by pixel: the specification that every kernel must equal.
``_tas``
    The compiled core; its C is in ``ext/``, and ``ext/README.md`` draws the adders.
"""

from .tas import Definition, TasResult, kernels, measure, pftas, tas
from .thresholds import Thresholds, hamilton, otsu

__all__ = [
    "Definition",
    "TasResult",
    "Thresholds",
    "hamilton",
    "kernels",
    "measure",
    "otsu",
    "pftas",
    "tas",
]
