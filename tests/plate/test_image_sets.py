"""Image sets have CellProfiler's numbers, and are chosen as it chooses them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hts_classify import open_plate
from hts_classify.errors import UsageError
from hts_classify.plate import ImageSets, choose_image_sets, number_image_sets, open_plates
from hts_classify.plate.image_sets import ranges

HEAD = "Metadata_Plate,Metadata_Well,Metadata_Site,Metadata_Dose,FileName_DNA"


def write(folder: Path, *rows: str, head: str = HEAD) -> Path:
    """Write a table, and one image that all of its rows name."""
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / "a.png")
    table = folder / "load_data.csv"
    table.write_text("\n".join([head, *(f"{row},a.png" for row in rows)]) + "\n")
    return table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two plates whose rows alternate, out of the order of wells; an empty line between."""
    rows = ["P2,B2,1,5", "P1,A1,2,0", "P1,b02,1,5", "", "P2,A01,1,0", "P1,A01,1,0", "P1,B2,2,5"]
    path = write(tmp_path, *rows)
    path.write_text(path.read_text().replace("\n,a.png\n", "\n\n"))
    return path


def spelt(chosen: dict[tuple[str, object], int]) -> dict[int, str]:
    return {n: f"{plate} {f.well} {f.site}" for (plate, f), n in chosen.items()}  # type: ignore[attr-defined]


ALL = {
    1: "P2 B02 1",
    2: "P1 A01 2",
    3: "P1 B02 1",
    4: "P2 A01 1",
    5: "P1 A01 1",
    6: "P1 B02 2",
}


def test_rows_of_the_whole_table_are_the_numbers_whichever_plate_is_opened(table: Path) -> None:
    both = open_plates([f"{table}#P1", f"{table}#P2"])
    assert spelt(number_image_sets(both)) == ALL
    alone = spelt(number_image_sets([open_plate(f"{table}#P2")]))
    assert alone == {1: "P2 B02 1", 4: "P2 A01 1"}
    plate = both[0]
    assert [f for name, f in number_image_sets(both) if name == "P1"] == list(plate.fields)


def test_a_field_of_several_rows_has_the_first_ones_number(tmp_path: Path) -> None:
    head = "Metadata_Well,Metadata_Z,Metadata_T,FileName_DNA"
    rows = ["A1,1,1", "A1,2,1", "A1,1,2", "A1,2,2", "A2,1,1", "A2,2,1", "A2,1,2", "A2,2,2"]
    path = write(tmp_path, *rows, head=head)
    one = number_image_sets([open_plate(path)])
    assert list(one.values()) == [1, 5]
    plate = open_plates([path], view=open_plate(path).view.__class__(time="all"))[0]
    assert list(number_image_sets([plate]).values()) == [1, 3, 5, 7]


def test_time_points_inside_a_file_have_no_row_and_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "A1", "A2", head="Metadata_Well,FileName_DNA")
    frames = [Image.fromarray(np.full((16, 16), k, np.uint8)) for k in range(3)]
    description = "ImageJ=1.54f\nimages=3\nframes=3\n"
    frames[0].save(
        tmp_path / "a.tif", save_all=True, append_images=frames[1:], tiffinfo={270: description}
    )
    path.write_text(path.read_text().replace("a.png", "a.tif"))
    view = open_plate(path).view.__class__(time="all")
    plate = open_plate(path, view=view)
    assert len(plate.fields) == 6
    assert list(number_image_sets([plate]).values()) == [1, 2, 3, 4, 5, 6]


def test_stores_follow_on_one_another(table: Path, tiny_plate: Path) -> None:
    tiny = open_plate(tiny_plate)
    plates = (tiny, *open_plates([f"{table}#P2", f"{table}#P1"]))
    numbers = number_image_sets(plates)
    assert [numbers[tiny.name, field] for field in tiny.fields] == list(range(1, 25))
    assert {n - 24: s for n, s in spelt(numbers).items() if n > 24} == ALL


def cellprofiler(
    path: Path, first: int | None, last: int | None, groups: Sequence[tuple[str, str]]
) -> set[int]:
    """What CellProfiler 4.2.8 runs (`Pipeline.group`), of LoadData's rows in their order."""
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if any(row.values())]
    chosen = set()
    for number, row in enumerate(rows, start=1):
        if any(row[key] != value for key, value in groups):
            continue
        if number < (1 if first is None else first):
            continue
        if last is not None and number > last:
            continue
        chosen.add(number)
    return chosen


@settings(max_examples=60, deadline=None)
@given(
    first=st.none() | st.integers(1, 8),
    last=st.none() | st.integers(1, 8),
    groups=st.lists(
        st.sampled_from([("Metadata_Plate", "P1"), ("Metadata_Dose", "5"), ("Metadata_Site", "1")]),
        unique_by=lambda pair: pair[0],
        max_size=2,
    ),
)
def test_what_is_chosen_is_what_cellprofiler_runs(
    tmp_path_factory: pytest.TempPathFactory,
    first: int | None,
    last: int | None,
    groups: list[tuple[str, str]],
) -> None:
    rows = ["P2,B02,1,5", "P1,A01,2,0", "P1,B02,1,5", "P2,A01,1,0", "P1,A01,1,0", "P1,B02,2,5"]
    path = write(tmp_path_factory.mktemp("table"), *rows)
    plates = open_plates([f"{path}#P1", f"{path}#P2"])
    expected = cellprofiler(path, first, last, groups)
    try:
        wanted = ImageSets(first=first, last=last, groups=tuple(groups))
        chosen = choose_image_sets(plates, wanted)
    except UsageError:
        assert not expected
    else:
        assert set(chosen.values()) == expected


@pytest.mark.parametrize(
    ("groups", "numbers"),
    [
        ((("Metadata_Well", "b2"),), [1, 3, 6]),
        ((("Well", "B02"), ("Plate", "P1")), [3, 6]),
        ((("Metadata_Site", "02"),), [2, 6]),
        ((("Metadata_Dose", "0"),), [2, 4, 5]),
    ],
)
def test_groups_know_wells_in_any_spelling_and_every_metadata_column(
    table: Path, groups: tuple[tuple[str, str], ...], numbers: list[int]
) -> None:
    plates = open_plates([f"{table}#P1", f"{table}#P2"])
    chosen = choose_image_sets(plates, ImageSets(groups=groups))
    assert sorted(chosen.values()) == numbers


def test_plate_well_and_site_of_a_store_without_a_table(tiny_plate: Path) -> None:
    plate = open_plate(tiny_plate)
    well = plate.wells[3]
    wanted = ImageSets(groups=(("Metadata_Plate", plate.name), ("Metadata_Well", well)))
    assert sorted(choose_image_sets([plate], wanted).values()) == [7, 8]
    assert sorted(choose_image_sets([plate], ImageSets(first=23, last=99)).values()) == [23, 24]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"first": 25}, "-f 25 is past the last image set, which is 24; there are 24"),
        ({"groups": (("Metadata_Well", "P24"),)}, r"is in the group; .*Well: A02, A03"),
        ({"groups": (("Dose", "3"),)}, "no Dose; they have Metadata_Plate, Metadata_Site, Metada"),
        (
            {"last": 2, "groups": (("Well", "B03"),)},
            "-l 2 -g Well=B03: no image set is meant; those of the group are",
        ),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    tiny_plate: Path, wanted: dict[str, object], words: str
) -> None:
    plate = open_plate(tiny_plate)
    if "B03" in str(wanted):
        assert "B03" in plate.wells
    with pytest.raises(UsageError, match=words):
        choose_image_sets([plate], ImageSets(**wanted))  # type: ignore[arg-type]


def test_numbers_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="-f 9 is past -l 3"):
        ImageSets(first=9, last=3)
    with pytest.raises(UsageError, match="-f 0; image sets are counted from 1"):
        ImageSets(first=0)


@given(st.sets(st.integers(1, 40)))
def test_runs_hold_what_was_put_into_them(numbers: set[int]) -> None:
    runs = ranges(numbers)
    assert [n for a, b in runs for n in range(a, b + 1)] == sorted(numbers)
    assert all(b + 1 < a for (_, b), (a, _) in pairwise(runs))
