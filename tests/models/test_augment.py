from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from hts_classify.errors import DataError
from hts_classify.models.cnn.augment import augment, crop, orient, orientations, turned
from hts_classify.models.settings import Augmentation

PARTS = {
    "turns": {"turns": True},
    "rotation": {"rotation": 180.0},
    "zoom": {"zoom": 0.3},
    "shift": {"shift": 0.2},
    "gain": {"gain": 0.3},
    "blur": {"blur": 1.5},
    "noise": {"noise": 0.5},
    "cutout": {"cutout": 0.5},
}
EVERY = Augmentation(**{key: value for part in PARTS.values() for key, value in part.items()})


def only(**parts):
    return Augmentation(**({"turns": False} | parts))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def varied(tiles, settings, seed=0):
    return augment(tiles, settings, seeded(seed))


@pytest.fixture
def tiles():
    """Smooth blobs, each tile another."""
    rough = torch.randn(6, 2, 24, 24, generator=seeded(1))
    return functional.avg_pool2d(rough, 5, stride=1, padding=2) * 5


@pytest.fixture
def one(tiles):
    """A tile many times over."""
    return tiles[:1].repeat(64, 1, 1, 1)


@pytest.fixture
def dot():
    """A bright pixel in the middle, many times over."""
    tile = torch.zeros(64, 1, 25, 25)
    tile[:, :, 12, 12] = 1.0
    return tile


# the whole


def test_all_off_gives_the_tiles_back(tiles):
    last = tiles.contiguous(memory_format=torch.channels_last)
    assert varied(tiles, only()) is tiles
    assert varied(last, only()) is last


@pytest.mark.parametrize("part", PARTS)
def test_each_part_varies_every_tile_in_its_own_way(one, part):
    after = varied(one, only(**PARTS[part]))
    assert after.shape == one.shape
    assert torch.isfinite(after).all()
    different = len({tile.numpy().tobytes() for tile in after})
    # eight turns; cut-outs of no pixel leave a few tiles as they were
    assert different == 8 if part == "turns" else different > 55


@pytest.mark.parametrize("part", [*PARTS, "every"])
def test_a_seed_decides_all(tiles, part):
    settings = EVERY if part == "every" else only(**PARTS[part])
    assert torch.equal(varied(tiles, settings, 3), varied(tiles, settings, 3))
    assert not torch.equal(varied(tiles, settings, 3), varied(tiles, settings, 4))


@pytest.mark.parametrize("part", [*PARTS, "every"])
def test_the_tiles_given_are_left_as_they_are(tiles, part):
    before = tiles.clone()
    varied(tiles, EVERY if part == "every" else only(**PARTS[part]))
    assert torch.equal(tiles, before)


@pytest.mark.parametrize("part", [*PARTS, "every"])
@pytest.mark.parametrize("shape", [(6, 2, 24, 24), (5, 3, 16, 24), (1, 1, 16, 16)])
def test_channels_last_and_first_give_the_same(part, shape):
    tiles = torch.randn(shape, generator=seeded(2))
    settings = EVERY if part == "every" else only(**PARTS[part])
    last = varied(tiles.contiguous(memory_format=torch.channels_last), settings)
    assert last.is_contiguous(memory_format=torch.channels_last)
    first = varied(tiles, settings)
    assert first.is_contiguous()
    torch.testing.assert_close(last, first)


def test_one_part_off_changes_nothing_of_the_others(tiles):
    settings = only(turns=True, gain=0.3)
    both = varied(tiles, settings)
    assert torch.equal(varied(varied(tiles, only(turns=True)), only(gain=0.3)), both)
    # nor of what the generator gives next
    generators = [seeded(), seeded()]
    augment(tiles, only(), generators[0])
    augment(tiles, EVERY, generators[1])
    assert torch.equal(*(torch.rand(3, generator=generator) for generator in generators))


def test_the_global_generator_is_left_alone(tiles):
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    varied(tiles, EVERY)
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("side", [16, 17, 40])
def test_extremes_stay_finite_and_in_shape(side):
    settings = Augmentation(
        rotation=180, zoom=0.89, shift=0.89, gain=0.89, blur=9.9, noise=9.9, cutout=0.89
    )
    tiles = torch.randn(16, 1, side, side, generator=seeded(1))
    after = varied(tiles, settings)
    assert after.shape == tiles.shape
    assert torch.isfinite(after).all()


# turns


def test_a_square_tile_has_eight_different_orientations(tiles):
    assert orientations(tiles) == 8
    views = {orient(tiles[:1], torch.tensor([turn])).numpy().tobytes() for turn in range(8)}
    assert len(views) == 8


def test_an_oblong_tile_keeps_its_shape(tiles):
    oblong = tiles[:1, :, :16]
    assert orientations(oblong) == 4
    views = [orient(oblong, torch.tensor([turn])) for turn in range(4)]
    assert {view.shape for view in views} == {oblong.shape}
    assert len({view.numpy().tobytes() for view in views}) == 4
    many = varied(oblong.repeat(64, 1, 1, 1), only(turns=True))
    assert {tile.numpy().tobytes() for tile in many} == {view.numpy().tobytes() for view in views}


def test_each_tile_of_a_batch_is_turned_in_its_own_way(tiles):
    same = tiles[:1].repeat(8, 1, 1, 1)
    batch = orient(same, torch.arange(8))
    assert len({tile.numpy().tobytes() for tile in batch}) == 8
    # each is what it would have been alone
    for turn in range(8):
        assert torch.equal(batch[turn], turned(same[0], turn))


def test_turning_a_whole_batch_is_a_flip():
    tile = torch.tensor([[0, 1], [2, 3]])
    assert [turned(tile, turn).flatten().tolist() for turn in range(8)] == [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [2, 3, 0, 1],
        [3, 2, 1, 0],
        [0, 2, 1, 3],
        [1, 3, 0, 2],
        [2, 0, 3, 1],
        [3, 1, 2, 0],
    ]


# rotation, zoom and shift


def brightest(tiles):
    """Row and column of each tile's centre of brightness, from the middle of the tile."""
    places = torch.arange(tiles.shape[-1]) - (tiles.shape[-1] - 1) / 2
    weight = tiles[:, 0] / tiles[:, 0].sum(dim=(1, 2), keepdim=True)
    return (weight.sum(dim=2) * places).sum(dim=1), (weight.sum(dim=1) * places).sum(dim=1)


def test_rotation_keeps_the_distance_from_the_middle():
    tiles = torch.zeros(64, 1, 25, 41)
    tiles[:, :, 12, 28] = 1.0  # eight columns off the middle of an oblong tile
    after = varied(tiles, only(rotation=180.0))
    rows = (after[:, 0].sum(dim=2) * (torch.arange(25) - 12)).sum(dim=1)
    columns = (after[:, 0].sum(dim=1) * (torch.arange(41) - 20)).sum(dim=1)
    light = after.sum(dim=(1, 2, 3))
    torch.testing.assert_close(light, torch.ones(64), atol=0.5, rtol=0)
    distance = torch.hypot(rows, columns) / light
    torch.testing.assert_close(distance, torch.full((64,), 8.0), atol=0.6, rtol=0)
    assert rows.max() > 6
    assert rows.min() < -6
    assert columns.min() < -6


def test_rotation_goes_no_further_than_asked():
    tiles = torch.zeros(64, 1, 41, 41)
    tiles[:, :, 20, 32] = 1.0
    rows, columns = brightest(varied(tiles, only(rotation=20.0)))
    angles = torch.atan2(rows, columns).rad2deg()
    assert angles.abs().max() < 22
    assert angles.min() < -14
    assert angles.max() > 14


def test_zoom_magnifies_and_shrinks():
    tiles = torch.zeros(64, 1, 41, 41)
    tiles[:, :, 20, 30] = 1.0  # ten columns off
    rows, columns = brightest(varied(tiles, only(zoom=0.3)))
    assert rows.abs().max() < 0.1
    assert 6.5 < columns.min() < 8
    assert 12 < columns.max() < 13.5


def test_shift_moves_along_both_axes(dot):
    rows, columns = brightest(varied(dot, only(shift=0.2)))
    for moved in (rows, columns):
        assert moved.abs().max() < 0.2 * 25 + 0.1
        assert moved.min() < -3.5
        assert moved.max() > 3.5
    assert not torch.allclose(rows, columns)


def test_what_comes_in_from_outside_is_mirrored_not_black():
    tiles = torch.full((16, 1, 16, 16), 3.0)
    settings = only(rotation=180.0, zoom=0.5, shift=0.5)
    torch.testing.assert_close(varied(tiles, settings), tiles)


# gain, blur, noise, cut-out


def test_gain_multiplies_each_channel(one):
    factors = (varied(one, only(gain=0.3)) / one).flatten(2)
    torch.testing.assert_close(factors, factors[:, :, :1].expand_as(factors))
    factors = factors[:, :, 0]
    assert 0.7 <= factors.min() < 0.75
    assert 1.25 < factors.max() <= 1.3
    assert not torch.allclose(factors[:, 0], factors[:, 1])


def test_blur_is_a_gaussian(dot):
    after = varied(dot, only(blur=2.0))
    torch.testing.assert_close(after.sum(dim=(1, 2, 3)), torch.ones(64))
    places = torch.arange(25) - 12.0
    across = after[:, 0].sum(dim=1)
    sigmas = (across * places.square()).sum(dim=1).sqrt()
    assert sigmas.max() <= 2.0
    assert sigmas.max() > 1.8
    assert sigmas.min() < 0.3
    widest = sigmas.argmax()
    # the same along both axes, and the definition's values
    torch.testing.assert_close(after[:, 0], after[:, 0].mT)
    bell = (-0.5 * (places / 2.0).square()).exp()
    torch.testing.assert_close(across[widest], bell / bell.sum(), atol=0.02, rtol=0)


def test_blur_leaves_even_ground_even():
    tiles = torch.full((8, 2, 16, 16), -2.0)
    torch.testing.assert_close(varied(tiles, only(blur=9.9)), tiles)


def test_noise_has_a_deviation_of_its_own_for_each_tile(one):
    noise = varied(one, only(noise=0.5)) - one
    deviations = noise.std(dim=(1, 2, 3))
    assert deviations.max() < 0.53
    assert deviations.max() > 0.45
    assert deviations.min() < 0.05
    assert abs(float(noise.mean())) < 0.01
    # every pixel has its own
    loud = noise[deviations.argmax()].flatten()
    assert abs(float((loud[1:] * loud[:-1]).mean())) < 0.03
    # and another one in the next batch
    after = (varied(one, only(noise=0.5), seed=1) - one) * noise
    assert abs(float(after.mean())) < 0.01


def test_cutout_zeroes_one_square_of_all_channels():
    tiles = torch.ones(256, 2, 20, 30)
    after = varied(tiles, only(cutout=0.5))
    gone = after == 0
    assert ((after == 1) | gone).all()
    assert torch.equal(gone[:, 0], gone[:, 1])
    heights, widths = gone[:, 0].any(dim=2).sum(dim=1), gone[:, 0].any(dim=1).sum(dim=1)
    assert torch.equal(heights, widths)
    assert torch.equal(heights * widths, gone[:, 0].sum(dim=(1, 2)))
    assert set(heights.tolist()) == set(range(11))
    # anywhere, to the edges
    assert gone[:, 0].any(dim=(0, 1)).all()
    assert gone[:, 0].any(dim=(0, 2)).all()


# crops


def test_a_crop_without_a_generator_is_the_centre(tiles):
    assert torch.equal(crop(tiles, 10), tiles[:, :, 7:17, 7:17])
    assert torch.equal(crop(tiles, 24), tiles)


def test_random_crops_are_windows_of_their_own_tile():
    tiles = torch.arange(200 * 9 * 12.0).view(200, 1, 9, 12)
    parts = crop(tiles, 8, seeded())
    assert parts.shape == (200, 1, 8, 8)
    corners = parts[:, 0, 0, 0] - tiles[:, 0, 0, 0]
    rows, columns = corners // 12, corners % 12
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        (row, column) for row in (0.0, 1.0) for column in (0.0, 1.0, 2.0, 3.0, 4.0)
    }
    for number in (0, 199):
        row, column = int(rows[number]), int(columns[number])
        window = tiles[number, :, row : row + 8, column : column + 8]
        assert torch.equal(parts[number], window)
    assert torch.equal(parts, crop(tiles, 8, seeded()))
    assert not torch.equal(parts, crop(tiles, 8, seeded(1)))


def test_crops_keep_their_channels_last(tiles):
    last = tiles.contiguous(memory_format=torch.channels_last)
    parts = crop(last, 16, seeded())
    assert parts.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(parts, crop(tiles, 16, seeded()))


def test_a_crop_larger_than_the_tile_is_refused(tiles):
    with pytest.raises(DataError, match="64 pixels from tiles of 24 × 24"):
        crop(tiles, 64, seeded())


@pytest.mark.gpu
def test_on_a_gpu_nothing_waits_and_the_result_is_the_cpus(tiles):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    there = tiles.cuda()
    augment(there, EVERY, seeded())  # builds what is kept
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(there, EVERY, seeded())
        cut = crop(there, 16, seeded())
        still = Augmentation(rotation=90, zoom=0.2, shift=0.1, gain=0.2, blur=1, cutout=0.5)
        after = augment(there, still, seeded())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(cut.cpu(), crop(tiles, 16, seeded()))
    torch.testing.assert_close(after.cpu(), varied(tiles, still), atol=2e-2, rtol=0)
    assert math.isfinite(float(after.sum()))
