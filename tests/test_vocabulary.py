from __future__ import annotations

import pytest

from hts_classify.errors import DataError
from hts_classify.vocabulary import feature_columns, split_well, well_name


@pytest.mark.parametrize(
    "text", ["A1", "A01", "a01", " a1 ", "A001", "A-01", "A_1", "r01c01", "R1C1"]
)
def test_one_well_in_every_spelling(text: str) -> None:
    assert split_well(text) == ("A", 1)


@pytest.mark.parametrize("text", ["", "1A", "A0", "A", "12", "ABC1", "A1B", "r0c1", "r53c1"])
def test_what_is_no_well_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is no well"):
        split_well(text)


def test_rows_beyond_z_are_those_of_1536_wells() -> None:
    assert well_name("af", "48") == "AF48"


def test_volumes_have_162_columns_without_repeats() -> None:
    names = feature_columns("tas", "Alexa 488", neighbours=26, objects="Cells")
    assert len(set(names)) == 162
    assert names[27] == "Cells_TAS_Alexa488_Band_Off_0"
