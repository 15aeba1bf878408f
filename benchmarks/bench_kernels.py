"""How fast threshold adjacency statistics are, one thread (asv): the cases of `tas_vs_mahotas`.

The parts are timed beside the whole, by kernel; mahotas, whose result `definition="mahotas"`
equals, is the reference. Images are those of `tas_vs_mahotas`, simulated and seeded.
"""

from __future__ import annotations

import mahotas.features
import numpy as np
from scipy import ndimage

from hts_classify.features import _tas, kernels, measure, pftas, tas

from .tas_vs_mahotas import Kind, c_sum, field, mahotas_objects, nuclei, stack

KINDS = ["8 bits", "12 bits", "16 bits"]
DEFINITIONS = ["standard", "mahotas"]
KERNELS = list(kernels())


class Field:
    """TAS of one field, by pixels and definition."""

    params = ([1080, 2160], KINDS, DEFINITIONS)
    param_names = ("side", "pixels", "definition")

    def setup(self, side: int, kind: Kind, definition: str) -> None:
        self.image = field(side, kind)

    def time_tas(self, side: int, kind: Kind, definition: str) -> None:
        tas(self.image, definition=definition)

    def time_pftas(self, side: int, kind: Kind, definition: str) -> None:
        pftas(self.image, definition=definition)


class Mahotas:
    """The reference: mahotas on the same field."""

    params = (KINDS,)
    param_names = ("pixels",)

    def setup(self, kind: Kind) -> None:
        self.image = field(1080, kind)

    def time_tas(self, kind: Kind) -> None:
        mahotas.features.tas(self.image)

    def time_pftas(self, kind: Kind) -> None:
        mahotas.features.pftas(self.image)


class Kernel:
    """One field, and counting its neighbours alone, by kernel."""

    params = (KINDS, KERNELS)
    param_names = ("pixels", "kernel")

    def setup(self, kind: Kind, kernel: str) -> None:
        self.image = field(1080, kind)
        at = measure(self.image)
        self.at = {"mu": at.mu, "margin": at.margin}
        self.counts = np.zeros((1, 3, 2, 9), dtype=np.uint64)

    def time_tas(self, kind: Kind, kernel: str) -> None:
        tas(self.image, kernel=kernel)

    def time_count(self, kind: Kind, kernel: str) -> None:
        _tas.count(self.image, None, self.counts, **self.at, kernel=kernel)


class Threshold:
    """Thresholds alone: from the pixels, and from a histogram that is there."""

    params = (KINDS, DEFINITIONS)
    param_names = ("pixels", "definition")

    def setup(self, kind: Kind, definition: str) -> None:
        self.image = field(1080, kind)
        self.histogram = np.bincount(self.image.ravel(), minlength=256).astype(np.uint64)
        self.as_mahotas = definition == "mahotas"
        self.levels = np.empty(4)

    def time_from_pixels(self, kind: Kind, definition: str) -> None:
        _tas.measure(self.image, None, None, self.levels, as_mahotas=self.as_mahotas)

    def time_from_histogram(self, kind: Kind, definition: str) -> None:
        _tas.from_histogram(self.histogram, as_mahotas=self.as_mahotas)


class Volume:
    """A volume of 16 planes of 512 × 512, by kernel; mahotas as a kernel of that name."""

    params = (KINDS, [*KERNELS, "mahotas"])
    param_names = ("pixels", "kernel")

    def setup(self, kind: Kind, kernel: str) -> None:
        image = field(1080, kind)
        self.volume = np.stack([image[8 * z :, 8 * z :][:512, :512] for z in range(16)])

    def time_tas(self, kind: Kind, kernel: str) -> None:
        if kernel == "mahotas":
            mahotas.features.tas(self.volume)
        else:
            tas(self.volume, axes="zyx", kernel=kernel)

    def time_pftas(self, kind: Kind, kernel: str) -> None:
        if kernel == "mahotas":
            mahotas.features.pftas(self.volume)
        else:
            pftas(self.volume, axes="zyx", kernel=kernel)


class Objects:
    """A thousand objects of one field, with their own thresholds or the image's."""

    params = (["object", "image"],)
    param_names = ("scope",)

    def setup(self, scope: str) -> None:
        self.image, self.labels = nuclei()
        self.boxes = ndimage.find_objects(self.labels)

    def time_find(self, scope: str) -> None:
        _tas.find_objects(self.labels)

    def time_tas(self, scope: str) -> None:
        tas(self.image, labels=self.labels, scope=scope)

    def time_pftas(self, scope: str) -> None:
        pftas(self.image, labels=self.labels, scope=scope)

    def time_pftas_mahotas(self, scope: str) -> None:
        mahotas_objects(self.image, self.labels, self.boxes, scope)


class Stack:
    """A stack larger than a cache."""

    def setup(self) -> None:
        self.images, self.out = stack(), np.empty((200, 54))

    def time_tas(self) -> None:
        tas(self.images, axes="nyx", out=self.out)


class Sum:
    """A C sum over the memory of the same stack; skipped without a C compiler."""

    def setup(self) -> None:
        try:
            self.total = c_sum()
        except OSError as error:
            raise NotImplementedError from error
        self.images = stack()

    def time_sum(self) -> None:
        self.total(self.images)


class Small:
    """One call of 40 × 40, the result preallocated, by kernel."""

    params = (KERNELS,)
    param_names = ("kernel",)

    def setup(self, kernel: str) -> None:
        self.image, self.out = field(1080, "8 bits")[500:540, 500:540].copy(), np.empty(54)

    def time_tas(self, kernel: str) -> None:
        tas(self.image, kernel=kernel, out=self.out)
