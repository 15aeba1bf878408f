"""Simulated plates of known phenotypes: for tests, for the demo, for benchmarks.

    Recipe ─► lay_out ─► Treated wells ─► render_field ─► pixels ─► write_plate ─► a store
    (recipe)  (design)                    (cells, marker, camera)    (write)       + plate map

Every random number follows from the recipe's seed and the field's place, so any field can be
made alone. What tells the classes apart in each setting, and what is matched between them, is
stated in `marker` and was fixed before any classifier had seen a pixel.
"""

from __future__ import annotations

from .design import Treated, lay_out
from .recipe import CLASSES, Recipe, Setting, demo_recipe
from .render import render_field
from .write import Format, write_plate

__all__ = [
    "CLASSES",
    "Format",
    "Recipe",
    "Setting",
    "Treated",
    "demo_recipe",
    "lay_out",
    "render_field",
    "write_plate",
]
