from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hts_classify.errors import DataError, DesignError, ModelError, UsageError
from hts_classify.models.cnn.scaling import Levels, Scale, standardise
from hts_classify.models.protocol import Origin

KINDS = ("tile", "training", "percentile", "controls")


def cells(tiles=12, *, seed=0, gain=1.0, channels=2, dtype=np.uint16):
    """Dim background and a bright quarter, with shot noise and another brightness a channel."""
    rng = np.random.default_rng(seed)
    light = np.full((tiles, channels, 16, 16), 40.0)
    light[..., 4:12, 4:12] = 400.0
    light *= np.arange(1, channels + 1)[:, None, None]
    return np.round(gain * rng.poisson(light)).clip(0, np.iinfo(dtype).max).astype(dtype)


def one_plate(raw, controls=None):
    return Origin(np.array(["P1"] * len(raw)), {"P1": raw if controls is None else controls})


def apply(scale, raw, origin=None):
    tiles = torch.from_numpy(np.asarray(raw, dtype=np.float32))
    return scale.bound(origin)(tiles, np.arange(len(tiles)))


class Counting:
    """Inputs that note how many tiles are asked for at a time."""

    def __init__(self, raw):
        self.raw, self.asked = raw, []

    def __len__(self):
        return len(self.raw)

    def __getitem__(self, index):
        self.asked.append(len(index))
        return self.raw[index]


# what every kind has in common


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "gain"), [(np.uint8, 0.2), (np.uint16, 60.0)])
def test_tiles_of_8_and_of_16_bits_come_to_mean_0_and_deviation_1(kind, dtype, gain):
    raw = cells(dtype=dtype, gain=gain)
    ready = apply(Scale.fit(kind, raw, one_plate(raw)), raw, one_plate(raw))
    assert ready.dtype == torch.float32
    torch.testing.assert_close(ready.mean(dim=(0, 2, 3)), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(
        ready.std(dim=(0, 2, 3), correction=0), torch.ones(2), atol=0.05, rtol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_scale_is_the_same_scale(kind):
    raw = cells()
    scale = Scale.fit(kind, raw, one_plate(raw))
    again = Scale.from_json(json.loads(json.dumps(scale.as_json())))
    assert again == scale
    origin = Origin(np.array(["P1"] * len(raw)))
    assert torch.equal(apply(again, raw, origin), apply(scale, raw, origin))


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_channel_gives_zeros(kind):
    raw = cells()
    raw[:, 1] = 300
    ready = apply(Scale.fit(kind, raw, one_plate(raw)), raw, one_plate(raw))
    assert not ready[:, 1].any()
    assert ready[:, 0].any()


@pytest.mark.parametrize("kind", ["training", "percentile", "controls"])
def test_a_channel_that_was_constant_says_nothing_later(kind):
    raw = cells()
    later = raw.copy()
    raw[:, 1] = 300
    origin = one_plate(raw)
    ready = apply(Scale.fit(kind, raw, origin), later, Origin(origin.plates))
    assert not ready[:, 1].any()
    assert ready[:, 0].any()


def test_rounding_is_no_deviation():
    for level in range(2, 60):
        assert Levels.of([torch.full((3, 1, 7, 7), level).sqrt()]).spreads == (0.0,)


@pytest.mark.parametrize("kind", KINDS)
def test_preparing_leaves_the_raw_tiles_as_they_are(kind):
    raw = cells()
    tiles = torch.from_numpy(raw.astype(np.float32))
    Scale.fit(kind, raw, one_plate(raw)).bound(one_plate(raw))(tiles, np.arange(len(tiles)))
    assert np.array_equal(tiles.numpy(), raw)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_comes_out_alike_alone_and_in_a_batch(kind):
    raw = cells()
    origin = Origin(np.array(["P1", "P2"] * 6), {"P1": raw[:4], "P2": raw[4:]})
    prepare = Scale.fit(kind, raw, origin).bound(origin)
    tiles = torch.from_numpy(raw.astype(np.float32))
    every = prepare(tiles, np.arange(12))
    for at in (0, 7):
        alone = prepare(tiles[at : at + 1], np.array([at]))
        torch.testing.assert_close(alone, every[at : at + 1])


@pytest.mark.parametrize("kind", ["training", "percentile", "controls"])
def test_tiles_are_read_64_at_a_time(kind):
    inputs = Counting(cells(150))
    Scale.fit(kind, inputs, Origin(np.array(["P1"] * 150), {"P1": inputs}))
    assert inputs.asked == [64, 64, 22]


@pytest.mark.parametrize("kind", ["training", "percentile"])
def test_values_that_are_not_finite_are_named(kind):
    raw = cells(80).astype(np.float32)
    raw[70, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="example 70"):
        Scale.fit(kind, raw)


@pytest.mark.parametrize("kind", ["training", "percentile", "controls"])
def test_values_below_0_count_as_0(kind):
    raw = cells().astype(np.float32)
    raw[:, :, 0, 0] = -50.0
    clamped = raw.clip(min=0)
    low = Scale.fit(kind, raw, one_plate(raw))
    assert low == Scale.fit(kind, clamped, one_plate(clamped))
    origin = Origin(np.array(["P1"] * 12))
    assert torch.equal(apply(low, raw, origin), apply(low, clamped, origin))


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_with_their_channels_last_stay_so(kind):
    raw = cells()
    scale = Scale.fit(kind, raw, one_plate(raw))
    tiles = torch.from_numpy(raw.astype(np.float32))
    last = tiles.contiguous(memory_format=torch.channels_last)
    prepare = scale.bound(one_plate(raw))
    ready = prepare(last, np.arange(12))
    assert ready.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ready, prepare(tiles, np.arange(12)))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "gamma"},
        {"levels": {}},
        {"levels": {"P1": {"means": [1.0], "spreads": [1.0]}}},
        {"levels": {"": {"means": [1.0], "spreads": [1.0, 2.0]}}},
        {"levels": {"": {"means": [float("nan")], "spreads": [1.0]}}},
        {"levels": {"": {"means": ["a"], "spreads": [1.0]}}},
        {"levels": [1]},
        {"lows": [1.0], "highs": [2.0]},
        {"lows": None},
    ],
)
def test_a_damaged_scale_is_refused(change):
    held = Scale.fit("training", cells(channels=1)).as_json()
    with pytest.raises(ModelError, match=r"scale|levels"):
        Scale.from_json(held | change)


# tile: every tile by itself


def test_every_channel_of_every_tile_comes_to_one_scale():
    tiles = torch.from_numpy(cells().astype(np.float32))
    ready = standardise(tiles * torch.tensor([1.0, 200.0]).view(1, 2, 1, 1))
    torch.testing.assert_close(ready.mean(dim=(2, 3)), torch.zeros(12, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(ready.std(dim=(2, 3), correction=0), torch.ones(12, 2))


def test_gain_and_background_of_a_tile_do_not_matter():
    tiles = torch.from_numpy(cells().astype(np.float32))
    torch.testing.assert_close(standardise(tiles), standardise(tiles * 257 + 1000))


# training: one scale, brightness kept


@pytest.mark.parametrize("kind", ["training", "percentile"])
def test_the_brighter_tile_stays_brighter(kind):
    raw = np.concatenate([cells(), cells(gain=4)])
    ready = apply(Scale.fit(kind, raw), raw)
    assert (ready[12:].mean(dim=(2, 3)) > ready[:12].mean(dim=(2, 3)) + 0.5).all()


def test_levels_do_not_depend_on_how_tiles_are_batched():
    tiles = torch.from_numpy(cells().astype(np.float32))
    once, twice = Levels.of([tiles]), Levels.of([tiles[:1], tiles[1:]])
    assert once.means == pytest.approx(twice.means, rel=1e-12)
    assert once.spreads == pytest.approx(twice.spreads, rel=1e-12)


def test_new_tiles_are_measured_against_the_training_tiles():
    raw = np.array([[[[0, 4], [4, 16]]]], dtype=np.uint16)  # roots 0, 2, 2, 4
    ready = apply(Scale.fit("training", raw), np.array([[[[36, 4]]]]))
    assert ready.flatten().tolist() == pytest.approx([4 / np.sqrt(2), 0.0], abs=1e-6)


# percentile


def test_a_channel_is_cut_at_its_1st_and_99th_point_9_percentile():
    raw = np.arange(4000, dtype=np.uint16).reshape(10, 1, 20, 20)
    scale = Scale.fit("percentile", raw)
    assert (scale.lows, scale.highs) == ((39.0,), (3995.0,))
    ready = apply(scale, np.array([[[[0, 39, 40, 3994, 3995, 60_000]]]])).flatten()
    assert ready[0] == ready[1] < ready[2]
    assert ready[3] < ready[4] == ready[5]


def test_a_few_hot_pixels_do_not_set_the_scale():
    raw = cells()
    hot = raw.copy()
    hot[0, :, 0, 0] = 65_535
    calm, burnt = Scale.fit("percentile", raw), Scale.fit("percentile", hot)
    assert burnt.highs == pytest.approx(calm.highs, rel=0.05)
    ready = apply(burnt, hot)
    torch.testing.assert_close(ready.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(ready.std(dim=(0, 2, 3), correction=0), torch.ones(2))


def test_percentiles_of_16_bits_and_of_fractions_are_close():
    rng = np.random.default_rng(0)
    for raw in (rng.integers(0, 65_536, (9, 1, 16, 16)), rng.gamma(2, 0.01, (9, 1, 16, 16))):
        scale = Scale.fit("percentile", raw.astype(np.float32))
        exact = np.percentile(raw, [1, 99.9], method="inverted_cdf")
        assert (*scale.lows, *scale.highs) == pytest.approx(exact, rel=1 / 2048)


# controls: one scale a plate


def test_the_gain_of_a_plate_vanishes():
    dim, bright = cells(seed=1, gain=1), cells(seed=1, gain=40)
    raw = np.concatenate([dim, bright])
    origin = Origin(np.repeat(["dim", "bright"], 12), {"dim": dim[:6], "bright": bright[:6]})
    ready = apply(Scale.fit("controls", raw, origin), raw, origin)
    torch.testing.assert_close(ready[:12], ready[12:], atol=0.12, rtol=0)
    # one scale for both plates would leave them apart
    apart = apply(Scale.fit("training", raw), raw)
    assert (apart[12:] - apart[:12]).mean() > 1


def test_a_plate_with_another_gain_and_background_comes_close():
    plain, other = cells(seed=1), cells(seed=2, gain=3) + 200
    raw = np.concatenate([plain, other])
    origin = Origin(np.repeat(["A", "B"], 12), {"A": plain[:6], "B": other[:6]})
    ready = apply(Scale.fit("controls", raw, origin), raw, origin)
    for share in (0.1, 0.5, 0.9):
        first, second = (torch.quantile(part, share) for part in (ready[:12], ready[12:]))
        assert abs(first - second) < 0.25


def test_a_well_that_is_brighter_than_the_controls_stays_so():
    controls, treated = cells(), cells(gain=2)
    origin = one_plate(treated, controls)
    assert apply(Scale.fit("controls", treated, origin), treated, origin).mean() > 0.4


def test_a_tested_control_that_may_not_set_the_scale_changes_nothing():
    raw = cells()
    held_out = raw.copy()
    held_out[8:] = 9 * held_out[8:] + 500  # not among the controls that origin names
    for pixels in (raw, held_out):
        origin = one_plate(raw, raw[:4])
        scale = Scale.fit("controls", pixels, origin)
        assert scale == Scale.fit("controls", raw, origin)
        prepared = apply(scale, pixels, origin)
        assert torch.equal(prepared[:8], apply(scale, raw, origin)[:8])


def test_values_are_those_of_the_definition_in_256_levels():
    controls = cells(channels=1)
    root = 2 * np.sqrt(controls + 3 / 8)
    wanted = (2 * np.sqrt(np.arange(65_536) + 3 / 8) - root.mean()) / root.std()
    raw = np.arange(65_536, dtype=np.uint16).reshape(1, 1, 256, 256)
    origin = one_plate(raw, controls)
    ready = apply(Scale.fit("controls", raw, origin), raw, origin).flatten().numpy()
    assert ready.max() == 10
    np.testing.assert_allclose(ready, wanted.clip(-5, 10), atol=0.5 / 17 + 1e-4)
    levels = (ready + 5) * 17
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    assert len(np.unique(levels.round())) <= 256


def test_a_plate_without_controls_is_named_at_fit():
    raw = cells()
    origin = Origin(np.repeat(["P1", "P2"], 6), {"P1": raw[:2], "P2": raw[:0]})
    with pytest.raises(DesignError, match=r"plate P2: .*unscored.*another scaling"):
        Scale.fit("controls", raw, origin)


def test_controls_without_an_origin_are_refused():
    raw = cells()
    with pytest.raises(UsageError, match="origin"):
        Scale.fit("controls", raw)
    with pytest.raises(UsageError, match="origin"):
        Scale.fit("controls", raw, one_plate(raw)).bound()


def test_there_is_one_plate_a_tile():
    raw = cells()
    with pytest.raises(DataError, match="3 plates for 12 tiles"):
        Scale.fit("controls", raw, Origin(np.array(["P1"] * 3), {"P1": raw}))


def test_a_control_that_is_not_finite_is_named():
    raw = cells().astype(np.float32)
    raw[5, 0, 0, 0] = np.inf
    with pytest.raises(DataError, match="plate P1, control 5"):
        Scale.fit("controls", raw, one_plate(raw))


def test_a_plate_never_seen_brings_its_own_controls():
    raw, other = cells(), cells(gain=40)
    scale = Scale.fit("controls", raw, one_plate(raw))
    new = Origin(np.array(["new"] * 12), {"new": other})
    torch.testing.assert_close(
        apply(scale, other, new), apply(scale, raw, one_plate(raw)), atol=0.12, rtol=0
    )
    with pytest.raises(DesignError, match="plate new"):
        scale.bound(Origin(new.plates))


def test_a_plate_seen_at_fit_keeps_its_scale_where_no_controls_come_along():
    raw, other = cells(), cells(gain=3)
    scale = Scale.fit("controls", raw, one_plate(raw))
    with_none = apply(scale, raw, Origin(np.array(["P1"] * 12)))
    assert torch.equal(with_none, apply(scale, raw, one_plate(raw)))
    # and takes theirs where they do
    assert apply(scale, raw, one_plate(raw, other)).mean() < -0.5


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_preparing_on_a_gpu_waits_for_nothing(kind):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    raw = cells()
    origin = Origin(np.array(["P1", "P2"] * 6), {"P1": raw[:4], "P2": raw[4:]})
    prepare = Scale.fit(kind, raw, origin).bound(origin)
    tiles = torch.from_numpy(raw.astype(np.float32)).cuda()
    prepare(tiles, np.arange(12))  # moves the constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        ready = prepare(tiles, np.arange(12))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(ready.cpu(), prepare(tiles.cpu(), np.arange(12)))
