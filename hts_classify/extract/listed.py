"""What an image list says of its fields besides where they are, in the features table.

It is joined when the shards become tables: shards hold what follows from pixels and settings
alone, so that a corrected compound name has nothing read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..plate import Plate
from ..shards import TILE_ROW
from ..vocabulary import PLATE, SITE, WELL

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["with_metadata"]


def with_metadata(features: pa.Table, plates: Sequence[Plate]) -> pa.Table:
    """Add the `Metadata_` columns of image lists behind those that say which field a row is of.

    Parameters
    ----------
    features : pyarrow.Table
        A row a field.
    plates : sequence of Plate
        Where `Plate.metadata` says nothing the table stays as it is.

    Returns
    -------
    pyarrow.Table
        Further columns of text, empty cells missing. A column that would be called as one of the
        table's own is left out.
    """
    import pyarrow as pa

    said = {
        (plate.name, field.well, field.site): plate.metadata[field.path]
        for plate in plates
        if plate.metadata
        for field in plate.fields
    }
    own = {name.lower() for name in features.column_names}
    names = dict.fromkeys(name for about in said.values() for name in about)
    fields = list(zip(*(features[name].to_pylist() for name in (PLATE, WELL, SITE)), strict=True))
    place = features.column_names.index(TILE_ROW) + 1
    for name in [name for name in names if name.lower() not in own]:
        cells = [said.get(field, {}).get(name) or None for field in fields]
        features = features.add_column(place, name, pa.array(cells, pa.string()))
        place += 1
    return features
