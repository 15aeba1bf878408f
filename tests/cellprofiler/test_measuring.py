"""What MeasureThresholdAdjacency measures, against the specification and mahotas itself."""

from __future__ import annotations

from typing import Any

import mahotas
import numpy as np
import pytest
from numpy.typing import NDArray

import hts_classify
from hts_classify.cellprofiler.choosing import (
    CAMERA,
    INTENSITIES,
    MANUAL,
    METHODS,
    OTSU,
    OTSU_MANUAL,
    Choices,
)
from hts_classify.cellprofiler.measuring import (
    Measured,
    image_values,
    intervals,
    object_values,
    prepared,
)
from hts_classify.cellprofiler.naming import checked_words, features_of, groups_of
from hts_classify.errors import ImageError, UsageError
from hts_classify.features import reference
from hts_classify.vocabulary import feature_columns


def field(dtype: type = np.uint8, shape: tuple[int, ...] = (40, 48)) -> NDArray[Any]:
    top = np.iinfo(dtype).max
    noise = np.random.default_rng(4).normal(0.3, 0.2, shape)
    return (np.clip(noise, 0, 1) * top).astype(dtype)


def loaded(raw: NDArray[Any], choices: Choices | None = None) -> Measured:
    scale = np.iinfo(raw.dtype).max
    image = raw.astype(np.float32) / float(scale)
    return prepared(image, scale, choices or Choices(), name="GFP")


def values_of(measured: Measured, mask: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    found = image_values(measured, mask)
    assert found is not None
    return found.values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("choices", "same"),
    [
        (Choices(), lambda x: hts_classify.pftas(x)),
        (Choices(border="Reflected"), lambda x: hts_classify.pftas(x, border="reflect")),
        (
            Choices(method=OTSU_MANUAL, threshold=90),
            lambda x: hts_classify.pftas(x, threshold=90),
        ),
        (Choices(method=CAMERA), lambda x: hts_classify.tas(x)),
        (
            Choices(method=CAMERA, full_scale=255),
            lambda x: hts_classify.tas(x, full_scale=255) if x.itemsize == 1 else None,
        ),
        (
            Choices(method=MANUAL, threshold=70, margin=12.5),
            lambda x: hts_classify.tas(x, threshold=70, margin=12.5),
        ),
    ],
)
def test_values_are_those_of_the_api_on_the_file(choices: Choices, same: Any, dtype: type) -> None:
    raw = field(dtype)
    expected = same(raw)
    if expected is None:  # the pixels are above that full scale
        with pytest.raises(ImageError, match=r"image GFP: pixel \d+ at .* above full_scale=255"):
            image_values(loaded(raw, choices))
    else:
        np.testing.assert_array_equal(values_of(loaded(raw, choices)), expected)


def test_a_threshold_in_intensities_is_scaled_to_the_files_levels() -> None:
    raw = field(np.uint16)
    choices = Choices(method=MANUAL, threshold=0.4, margin=0.1, unit=INTENSITIES)
    expected = hts_classify.tas(raw, threshold=0.4 * 65535, margin=0.1 * 65535)
    np.testing.assert_array_equal(values_of(loaded(raw, choices)), expected)


@pytest.mark.parametrize("method", [OTSU, CAMERA])
def test_mahotass_numbers_stand_under_our_names(method: str) -> None:
    raw = field()
    theirs = (mahotas.features.pftas if method == OTSU else mahotas.features.tas)(raw)
    found = values_of(loaded(raw, Choices(method=method, definition="mahotas")))
    names = features_of(Choices(method=method), "GFP")
    off, on = theirs.reshape(2, 3, 9)
    for name, value in zip(names, found, strict=True):
        _, _, interval, centre, n = name.split("_")
        half = off if centre == "Off" else on
        at = int(n) if centre == "Off" else 8 - int(n)
        assert value == half[["Band", "Lower", "Mean"].index(interval), at], name


def test_mahotass_definition_differs_from_the_standard_one_with_its_border_by_nothing_here() -> (
    None
):
    raw = field(shape=(7, 20, 21))
    standard = values_of(loaded(raw, Choices(border="Reflected")))
    theirs = values_of(loaded(raw, Choices(definition="mahotas")))
    assert len(theirs) == 162
    np.testing.assert_allclose(theirs, standard, atol=1e-12)


def test_a_mask_counts_only_its_pixels() -> None:
    raw = field()
    mask = np.zeros(raw.shape, bool)
    mask[5:30, 8:40] = True
    found = values_of(loaded(raw), mask)
    np.testing.assert_array_equal(found, hts_classify.pftas(raw, mask=mask))
    assert not np.array_equal(found, hts_classify.pftas(raw))
    np.testing.assert_array_equal(
        values_of(loaded(raw), np.ones(raw.shape, bool)), hts_classify.pftas(raw)
    )


def test_a_mask_without_a_pixel_measures_nothing() -> None:
    assert image_values(loaded(field()), np.zeros((40, 48), bool)) is None


def test_objects_are_measured_and_those_without_pixels_are_not_numbers() -> None:
    raw = field()
    labels = np.zeros(raw.shape, np.int32)
    labels[2:12, 3:15], labels[20:38, 20:45] = 1, 3
    overlapping = np.zeros_like(labels)
    overlapping[8:22, 10:30] = 4
    found = object_values(loaded(raw), [labels, overlapping], 5)
    assert found.shape == (5, 54)
    assert np.isnan(found[[1, 4]]).all()
    np.testing.assert_array_equal(found[[0, 2]], hts_classify.pftas(raw, labels=labels))
    np.testing.assert_array_equal(found[3], hts_classify.pftas(raw, mask=overlapping == 4))


def test_objects_lose_the_pixels_that_are_masked() -> None:
    raw = field()
    labels = np.zeros(raw.shape, np.int32)
    labels[2:12, 3:15], labels[20:38, 20:45] = 1, 2
    mask = np.ones(raw.shape, bool)
    mask[:20, :10], mask[18:40] = False, False
    found = object_values(loaded(raw), [labels], 2, mask=mask)
    np.testing.assert_array_equal(found[0], hts_classify.pftas(raw, mask=(labels == 1) & mask))
    assert np.isnan(found[1]).all()
    with pytest.raises(ImageError, match=r"image GFP: is masked .*; have thresholds set in each"):
        object_values(loaded(raw), [labels], 2, mask=mask, scope="image")


def test_thresholds_of_objects_can_be_the_whole_images() -> None:
    raw = field()
    labels = np.zeros(raw.shape, np.int32)
    labels[2:12, 3:15] = 1
    found = object_values(loaded(raw), [labels], 1, scope="image")
    np.testing.assert_array_equal(found, hts_classify.pftas(raw, labels=labels, scope="image"))


def test_volumes_have_26_neighbours() -> None:
    raw = field(np.uint16, (5, 12, 14))
    choices = Choices()
    found = values_of(loaded(raw, choices))
    np.testing.assert_array_equal(found, hts_classify.pftas(raw, axes="zyx"))
    names = features_of(choices, "GFP", is_volume=True)
    assert len(found) == len(names) == 162
    labels = np.zeros(raw.shape, np.uint16)
    labels[1:4, 2:9, 3:9] = 2
    of = object_values(loaded(raw), [labels], 2)
    np.testing.assert_array_equal(of[1], hts_classify.pftas(raw, axes="zyx", labels=labels)[0])


@pytest.mark.parametrize("method", [OTSU, OTSU_MANUAL, CAMERA])
def test_a_calculated_image_asks_for_a_threshold_and_says_which_image(method: str) -> None:
    image = np.random.default_rng(5).random((6, 6))
    with pytest.raises(ImageError, match=r"image Smoothed: is not made of the grey levels"):
        prepared(image, 255, Choices(method=method), name="Smoothed", is_derived=True)


def test_a_calculated_image_is_measured_with_a_threshold_in_either_unit() -> None:
    image = np.random.default_rng(6).random((20, 20))
    manual = Choices(method=MANUAL, threshold=0.5, margin=0.1, unit=INTENSITIES)
    levels = Choices(method=MANUAL, threshold=127.5, margin=25.5)
    one = values_of(prepared(image, 255, manual, name="Smoothed", is_derived=True))
    other = values_of(prepared(image, 255, levels, name="Smoothed", is_derived=True))
    by_hand = reference.tas(image, threshold=0.5, margin=0.1)
    np.testing.assert_allclose(one, by_hand, atol=1e-12)
    np.testing.assert_allclose(other, one, atol=1e-12)
    with pytest.raises(ImageError, match="image Sum: has no file whose grey levels"):
        prepared(image, None, levels, name="Sum", is_derived=True)


def test_a_calculated_image_can_be_rounded_to_its_files_levels() -> None:
    raw = field()
    dimmed = raw.astype(np.float32) / 255 / np.float32(1.37)
    found = prepared(dimmed, 255, Choices(rounds=True), name="Corrected", is_derived=True)
    np.testing.assert_array_equal(found.pixels, np.rint(dimmed * 255))
    assert found.pixels.dtype == np.uint8


def test_names_are_the_vocabularys_without_the_first_word() -> None:
    names = [f"Image_{name}" for name in features_of(Choices(method=CAMERA), "Orig GFP")]
    assert names == feature_columns("tas", "OrigGFP")
    cells = [f"Cells_{name}" for name in features_of(Choices(), "GFP")]
    assert cells == feature_columns("pftas", "GFP", objects="Cells")


def test_lists_and_scales_together_make_every_name() -> None:
    made = {f"PFTAS_{group}_{n}" for group in groups_of(["GFP", "DNA"]) for n in range(9)}
    assert made == {*features_of(Choices(), "GFP"), *features_of(Choices(), "DNA")}


def test_two_images_of_one_name_are_refused() -> None:
    with pytest.raises(
        UsageError, match="images Orig_GFP and OrigGFP would both be called OrigGFP"
    ):
        checked_words(["Orig_GFP", "DNA", "OrigGFP"])


def test_the_intervals_that_are_shown_are_those_that_are_counted() -> None:
    raw = field()
    measured = loaded(raw)
    found = image_values(measured)
    assert found is not None
    shown = intervals(measured, found)
    for k, name in enumerate(("Band", "Lower", "Mean")):
        on = shown[name]
        counts = np.bincount(reference.neighbours(on)[on], minlength=9)
        np.testing.assert_allclose(found.values[18 * k : 18 * k + 9], counts / on.sum())


@pytest.mark.parametrize("name", ["method", "unit", "definition", "border", "scope"])
def test_a_setting_of_another_version_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} 'Magic'; use one of"):
        Choices(**{name: "Magic"})  # type: ignore[arg-type]


def test_only_two_methods_are_named_tas() -> None:
    assert [Choices(method=method).kind for method in METHODS] == ["pftas", "pftas", "tas", "tas"]
