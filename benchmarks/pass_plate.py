"""The plates of the benchmark of the pass, as `convert` writes them.

They are made once, and have the same bytes when they are made again. A plate that is a part of
another has hard links to its files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pass_pixels import STAINS, fields

from hts_classify.plate import Field
from hts_classify.synthetic.design import row_name
from hts_classify.writers import Format, Outline, Writer, open_writer

__all__ = ["Spec", "make_hollow", "make_part", "make_plate", "warm"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a plate is to be."""

    rows: int = 8
    columns: int = 12
    fields: int = 4
    size: int = 1080
    shards: bool = False
    """One file a field, with a chunk a channel; otherwise one file a channel."""
    format: Format = "ome-zarr-0.5"

    @property
    def name(self) -> str:
        layout = "shards" if self.shards else "chunks"
        return f"{self.wells}x{self.fields}x{self.size}-{layout}-{self.format[-3:]}.zarr"

    @property
    def wells(self) -> int:
        return self.rows * self.columns

    @property
    def pixels(self) -> int:
        return self.wells * self.fields * len(STAINS) * self.size**2

    @property
    def part(self) -> Spec:
        """A sixth of it: half of the rows, a third of the columns."""
        return replace(self, rows=self.rows // 2, columns=self.columns // 3)

    def places(self) -> list[Field]:
        """List its fields, in plate order."""
        return [
            Field(f"{row_name(row)}{column + 1:02}", site + 1, folder(row, column, site))
            for row in range(self.rows)
            for column in range(self.columns)
            for site in range(self.fields)
        ]


def folder(row: int, column: int, site: int) -> str:
    return f"{row_name(row)}/{column + 1}/{site}"


def make_plate(where: Path, spec: Spec) -> Path:
    """Write a plate with pixels, unless it is there."""
    with new(where / spec.name) as path:
        if path:
            write(path, spec, fields(len(spec.places()), spec.size))
    return where / spec.name


def make_part(plate: Path, spec: Spec) -> Path:
    """Make a plate of some of another's wells, unless it is there."""
    with new(plate.with_name(spec.part.name)) as path:
        if path:
            for field in spec.part.places():
                shutil.copytree(plate / field.path, path / field.path, copy_function=os.link)
            writer(path, spec).finish(spec.part.places())
    return plate.with_name(spec.part.name)


def make_hollow(where: Path, spec: Spec) -> Path:
    """Write a plate whose fields are all copies of one, unless it is there."""
    with new(where / spec.name) as path:
        if path:
            first, *others = spec.places()
            write(path, replace(spec, rows=1, columns=1, fields=1), fields(1, spec.size))
            files = {
                file.relative_to(path / first.path): file.read_bytes()
                for file in (path / first.path).rglob("*")
                if file.is_file()
            }
            for field in others:
                for name, content in files.items():
                    (path / field.path / name).parent.mkdir(parents=True, exist_ok=True)
                    (path / field.path / name).write_bytes(content)
            writer(path, spec).finish(spec.places())
    return where / spec.name


@contextmanager
def new(path: Path) -> Iterator[Path | None]:
    """Give the place to write a plate to, which gets its name when it is whole."""
    if path.exists():
        yield None
        return
    print(f"writing {path}", flush=True)
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    yield part
    part.rename(path)


def write(path: Path, spec: Spec, pixels: Iterable[NDArray[Any]]) -> None:
    with writer(path, spec) as store:
        for field, image in zip(spec.places(), pixels, strict=True):
            store.write(field, [image])
        store.finish(spec.places())


def writer(path: Path, spec: Spec) -> Writer:
    outline = Outline(
        name="benchmark",
        rows=tuple(row_name(row) for row in range(spec.rows)),
        columns=tuple(str(column + 1) for column in range(spec.columns)),
        channels=tuple(stain.name for stain in STAINS),
        pixel_size=(0.65, 0.65),
    )
    return open_writer(path, outline, format=spec.format, levels=1, shards=spec.shards)


def warm(plate: Path, spec: Spec) -> float:
    """Read every file, so that the page cache holds it; return the ratio of compression."""
    stored = sum(len(file.read_bytes()) for file in plate.rglob("*") if file.is_file())
    return spec.pixels * np.dtype(np.uint16).itemsize / stored
