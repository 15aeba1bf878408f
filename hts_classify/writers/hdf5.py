"""Plates as one HDF5 file, in the layout that `hts_classify.plate.hdf5` describes.

Written as HDF5 1.10 does (2016), whose metadata carry checksums, as those before do not; and with
strings of fixed length, which are kept with the rest and not in a heap of their own, without one:
where that is damaged HDF5 may search it for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from ..errors import FieldError
from ..plate import Field
from ..plate.hdf5 import LAYOUT, LAYOUT_KEY
from .outline import Frames, Outline, check_label, image_name, parts

__all__ = ["HDF5Writer"]

_GZIP: Final = 1
_VERSION: Final = "v110"


class HDF5Writer:
    """Writes a plate into a file, field after field; see `hts_classify.writers.Writer`."""

    workers = 1  # the order of writing is the order of the bytes
    resumes = False  # a file that its writer did not close may not open

    def __init__(self, path: Path, outline: Outline) -> None:
        self.path, self.outline = path, outline

    def __enter__(self) -> Self:
        import h5py

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self.path, "w", libver=(_VERSION, _VERSION))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def has(self, field: Field) -> bool:
        """Tell whether a field is in the file."""
        return self._place(field) in self._file

    def write(
        self,
        field: Field,
        frames: Frames,
        *,
        times: int | None = None,
        labels: Mapping[str, Frames] = {},
    ) -> list[FieldError]:
        """Write one field's image and label images."""
        self._dataset(self._place(field), frames, times, axes="cyx")
        faults = []
        for name, label in labels.items():
            try:
                check_label(name)
                well, image = "/".join(parts(field.well)), image_name(field)
                self._dataset(f"{well}/labels/{image}/{name}", label, times, axes="yx")
            except FieldError as fault:
                faults.append(fault)
        return faults

    def finish(self, fields: Sequence[Field]) -> None:
        """Write the attributes of wells and of the plate."""
        wells = []
        for well, own in groupby(fields, lambda field: field.well):
            path = "/".join(parts(well))
            images = [image_name(field) for field in own]
            _write_texts(self._file[path], "images", images)
            wells.append(path)
        self._file.attrs[LAYOUT_KEY] = LAYOUT
        _write_texts(self._file, "name", self.outline.name)
        for key, values in (
            ("rows", self.outline.rows),
            ("columns", self.outline.columns),
            ("wells", wells),
            ("channels", self.outline.channels),
        ):
            _write_texts(self._file, key, values)

    def _place(self, field: Field) -> str:
        return "/".join((*parts(field.well), image_name(field)))

    def _dataset(self, path: str, frames: Frames, times: int | None, *, axes: str) -> None:
        """Write frames into one dataset, in chunks of a plane."""
        dataset: Any = None
        try:
            for time, frame in enumerate(frames):
                if dataset is None:
                    planes = frame.ndim > len(axes)
                    shape = frame.shape if times is None else (times, *frame.shape)
                    dataset = self._file.create_dataset(
                        path,
                        shape,
                        frame.dtype.newbyteorder("<"),
                        chunks=(1,) * (len(shape) - 2) + frame.shape[-2:],
                        compression="gzip",
                        compression_opts=_GZIP,
                        shuffle=True,
                        fletcher32=True,
                    )
                    named = axes.replace("yx", "zyx") if planes else axes
                    _write_texts(dataset, "axes", named if times is None else f"t{named}")
                    if self.outline.pixel_size:
                        dataset.attrs["pixel_size"] = self.outline.pixel_size
                dataset[... if times is None else time] = frame
        except FieldError:
            if dataset is not None:
                del self._file[path]
            raise


def _write_texts(node: Any, name: str, values: str | Sequence[str]) -> None:
    """Write an attribute of one string or of several."""
    import h5py

    encoded = np.char.encode(np.asarray(values, str), "utf-8")
    text = h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize))
    node.attrs.create(name, encoded.astype(text), dtype=text)
