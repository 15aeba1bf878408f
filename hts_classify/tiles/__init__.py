"""What a CNN looks at, and where it is kept: whole fields made small, or crops of them.

::

    field ──► downscale ──► tile, float32 ───► TileStore   tiles.zarr/128, tiles.zarr/224
    (raw)
          ──► cut ────────► crops, as they ──► CropStore   crops.zarr/<plate>/<well>
              corners        are
              grid_crops, object_crops

``scale.py``
    The scale of a tile, and averaging a field down to it.
``store.py``
    `TileStore`: a Zarr array for each tile size, one chunk a field.
``crops.py``
    Where crops are taken: on a grid, or one around each object.
``crop_store.py``
    `CropStore`: a Zarr array for each well, one file a well.
``chunks.py``
    Zarr metadata and pixels with a checksum, as plain files.

Grey levels are raw throughout: every normalisation is a model's own.
"""

from .crop_store import CropStore, CropView
from .crops import cut, grid_crops, object_crops
from .scale import Scale, downscale, tile_scale, tile_shape
from .store import TileStore, TileView

__all__ = [
    "CropStore",
    "CropView",
    "Scale",
    "TileStore",
    "TileView",
    "cut",
    "downscale",
    "grid_crops",
    "object_crops",
    "tile_scale",
    "tile_shape",
]
