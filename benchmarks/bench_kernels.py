"""How fast threshold adjacency statistics are on one field, one thread (asv).

The parts are timed beside the whole; mahotas, whose result `definition="mahotas"` equals, is
the reference. Fields are simulated, seeded, 1080 × 1080: nuclei over background and shot noise.
"""

from __future__ import annotations

import mahotas.features
import numpy as np
from numpy.typing import NDArray

from hts_classify.features import _tas, kernels, otsu, pftas, tas
from hts_classify.features.thresholds import thresholds_of
from hts_classify.synthetic import Recipe, lay_out, render_field

SIDE = 1080
DTYPES = ["uint8", "uint16"]


def field(dtype: str) -> NDArray[np.unsignedinteger]:
    """Make the nuclei of one simulated field."""
    recipe = Recipe(shape=(SIDE, SIDE), dtype=dtype)
    return render_field(recipe, lay_out(recipe)[0], 1)[0]


class Field:
    """TAS of one field, by definition and pixel type."""

    params = (DTYPES, ["standard", "mahotas"])
    param_names = ("dtype", "definition")

    def setup(self, dtype: str, definition: str) -> None:
        self.image = field(dtype)

    def time_tas(self, dtype: str, definition: str) -> None:
        tas(self.image, definition=definition)

    def time_pftas(self, dtype: str, definition: str) -> None:
        pftas(self.image, definition=definition)


class Mahotas:
    """The reference: mahotas on the same field."""

    params = (DTYPES,)
    param_names = ("dtype",)

    def setup(self, dtype: str) -> None:
        self.image = field(dtype)

    def time_tas(self, dtype: str) -> None:
        mahotas.features.tas(self.image)

    def time_pftas(self, dtype: str) -> None:
        mahotas.features.pftas(self.image)


class Kernel:
    """Counting neighbours alone, by kernel."""

    params = (DTYPES, list(kernels()))
    param_names = ("dtype", "kernel")

    def setup(self, dtype: str, kernel: str) -> None:
        self.image = field(dtype)
        histogram = np.bincount(self.image.ravel(), minlength=np.iinfo(dtype).max + 1)
        at = thresholds_of(histogram.astype(np.uint64), threshold=None, margin=None)
        self.intervals = at.intervals(np.iinfo(dtype).max)
        self.counts = np.zeros((3, 2, 9), dtype=np.uint64)

    def time_count(self, dtype: str, kernel: str) -> None:
        _tas.count(self.image, self.intervals, self.counts, reflect=False, kernel=kernel)


class Threshold:
    """Histogram and Otsu's threshold alone."""

    params = (DTYPES,)
    param_names = ("dtype",)

    def setup(self, dtype: str) -> None:
        self.image = field(dtype)
        self.histogram = np.zeros(np.iinfo(dtype).max + 1, dtype=np.uint64)
        _tas.histogram(self.image, self.histogram)
        self.scratch = np.zeros_like(self.histogram)

    def time_histogram(self, dtype: str) -> None:
        _tas.histogram(self.image, self.scratch)

    def time_otsu(self, dtype: str) -> None:
        otsu(self.histogram)

    def time_otsu_mahotas(self, dtype: str) -> None:
        _tas.otsu_mahotas(self.histogram)
