"""Steps: what a batch holds, how weights and rates move, what running out of memory does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hts_classify.errors import DataError, UsageError
from hts_classify.models.cnn.inference import FrozenFeatures, TileViews, outputs
from hts_classify.models.cnn.learning import (
    Examples,
    Learner,
    Pace,
    class_weights,
    steps_in_a_pass,
)
from hts_classify.models.cnn.networks import Net, make_network
from hts_classify.models.cnn.tiles import Tiles
from hts_classify.models.settings import Augmentation, CnnSettings, Learning

CPU = torch.device("cpu")
LEARNING = Learning(average=0.0, dropout=0.0)


class Power(nn.Module):
    """A body that gives a tile's mean square, and keeps what it has seen in training."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __deepcopy__(self, memo):
        return Power()

    def forward(self, tiles):
        if self.training:
            self.seen.append(tiles.clone())
        return tiles.square().mean(dim=(1, 2, 3)).unsqueeze(1)


def watcher():
    return Net(Power(), features=1, classes=2, dropout=0.0)


def views(raw, prepare=lambda tiles, index: tiles / 255, **augmentation):
    tiles = Tiles(raw, prepare=prepare, device=CPU)
    settings = CnnSettings(augmentation=Augmentation(**{"crop": 0} | augmentation))
    return TileViews(tiles, settings)


def noise(count, side=16):
    return np.random.default_rng(0).uniform(0, 255, (count, 1, side, side)).astype(np.float32)


def examples(count, **options):
    return Examples(views(noise(count), **options), np.arange(count) % 2, np.arange(count), 2)


def learner(net, some, *, steps=10, seed=0, rate=3e-3, decay=0.05, say=print, **learning):
    settings = CnnSettings(learning=replace(LEARNING, **learning))
    return Learner(net, some, settings=settings, pace=Pace(steps, rate, decay, seed), say=say)


def shown(net):
    return [image for batch in net.body.seen for image in batch]


def test_each_image_of_a_batch_is_turned_in_its_own_way():
    same = views(np.repeat(noise(1), 64, axis=0))
    net = watcher()
    some = Examples(same, np.arange(64) % 2, np.arange(64), 2)
    learner(net, some, batch=64).run(1)
    assert len({image.numpy().tobytes() for image in shown(net)}) == 8


def test_a_pass_shows_every_tile_once_and_never_one_alone():
    net, some = watcher(), examples(13)
    learner(net, some, batch=4).run(steps_in_a_pass(13, 4))
    assert [len(batch) for batch in net.body.seen] == [4, 3, 3, 3]
    # flips and turns reorder a tile's pixels: sorted, they tell the tiles apart
    sorted_ = {np.sort(image.numpy(), axis=None).tobytes() for image in shown(net)}
    ((_, held),) = some.source.batches(iter([np.arange(13)]))
    assert sorted_ == {np.sort(image.numpy(), axis=None).tobytes() for image in held}


def test_sampling_shows_rare_classes_as_often_as_common_ones():
    raw = np.full((100, 1, 16, 16), 50.0, np.float32)
    raw[:5] = 200
    some = Examples(views(raw), (np.arange(100) < 5).astype(np.intp), np.arange(100), 2)
    net = watcher()
    learner(net, some, batch=50, balance="sampling").run(8)
    bright = sum(float(image.max()) > 0.5 for image in shown(net))
    assert 150 < bright < 250


@pytest.mark.parametrize("count", range(2, 40))
@pytest.mark.parametrize("batch", [2, 3, 8])
def test_no_batch_is_a_single_tile(count, batch):
    parts = np.array_split(np.arange(count), steps_in_a_pass(count, batch))
    assert min(map(len, parts)) >= 2
    assert max(map(len, parts)) <= batch + 1


def test_every_class_weighs_the_same_and_an_absent_one_nothing():
    weights = class_weights(np.array([0] * 30 + [2] * 10), 3)
    assert weights.tolist() == pytest.approx([2 / 3, 0, 2])


@pytest.mark.parametrize("balance", ["weights", "sampling", "none"])
def test_classes_count_alike_only_where_that_is_asked(balance):
    """Tiles that say nothing: unweighted, the common class wins by log 9 = 2.2."""
    blank = views(np.zeros((40, 1, 16, 16), dtype=np.float32))
    some = Examples(blank, (np.arange(40) % 10 == 0).astype(np.intp), np.arange(40), 2)
    net = watcher()
    learner(net, some, steps=300, rate=0.05, batch=40, balance=balance).run(300)
    common, rare = net.head.bias.tolist()
    assert common - rare == pytest.approx(math.log(9) if balance == "none" else 0.0, abs=0.3)


def test_biases_are_not_decayed():
    """With a rate near 0 only the decay moves the weights, and it must spare the bias."""
    net = watcher()
    nn.init.ones_(net.head.weight)
    nn.init.ones_(net.head.bias)
    learner(net, examples(8), steps=20, rate=1e-6, decay=1e5).run(20)
    assert net.head.weight.abs().max() < 0.5
    assert net.head.bias.min() > 0.99


@pytest.mark.parametrize(("schedule", "top"), [("cosine", 0.1), ("onecycle", 0.3)])
def test_the_rate_rises_and_falls_to_next_to_nothing(schedule, top):
    one = learner(watcher(), examples(8), steps=50, schedule=schedule)
    rates = [one.run(step + 1).rate for step in range(50)]
    assert int(np.argmax(rates)) + 1 == pytest.approx(50 * top, abs=1)
    assert rates[0] < max(rates) / 2
    assert rates[-1] < max(rates) / 50


def test_averaged_weights_lag_behind_and_arrive():
    one = learner(watcher(), examples(8), steps=400, rate=0.02, average=0.9)
    one.run(20)
    assert not torch.equal(one.averaged.head.weight, one.net.head.weight)
    one.run(400)
    torch.testing.assert_close(one.averaged.head.weight, one.net.head.weight, rtol=0.02, atol=0.002)


def test_label_smoothing_keeps_a_network_from_being_certain():
    raw = np.full((8, 1, 16, 16), 255.0, np.float32)
    raw[::2] = 0
    some = Examples(views(raw), np.arange(8) % 2, np.arange(8), 2)
    margins = []
    for smoothing in (0.0, 0.2):
        one = learner(watcher(), some, steps=600, rate=0.1, decay=0.0, smoothing=smoothing)
        one.run(600)
        found = outputs(one.averaged, some.source, np.arange(8), CnnSettings(), every=False)
        margins.append(float((found[:, 0] - found[:, 1]).abs().mean()))
    assert margins[1] == pytest.approx(math.log(0.9 / 0.1), rel=0.1)
    assert margins[0] > 2 * margins[1]


def test_a_fit_in_pieces_ends_with_the_same_bytes():
    """Random draws follow from seed and step, so a stop changes nothing."""
    options = {"steps": 12, "batch": 4, "average": 0.9}
    unbroken = learner(watcher(), examples(13, noise=0.2), **options)
    unbroken.run(12)
    first = learner(watcher(), examples(13, noise=0.2), **options)
    first.run(5)
    held = {key: value.clone() for key, value in first.state().items()}
    second = learner(watcher(), examples(13, noise=0.2), **options)
    second.restore(held, step=first.step, parts=1)
    torch.rand(5)
    second.run(12)
    for key, value in unbroken.state().items():
        assert torch.equal(second.state()[key], value), key


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_rate():
    net = watcher()
    nn.init.constant_(net.head.bias, math.inf)
    with pytest.raises(DataError, match=r"no longer finite after 3 steps at a rate of .*lower"):
        learner(net, examples(8)).run(3)


class Small(Power):
    """A body for which a machine has room for so many tiles at once."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def forward(self, tiles):
        if len(tiles) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(tiles)


def test_a_batch_that_does_not_fit_goes_in_parts_with_the_same_gradient():
    wide, said = watcher(), []
    learner(wide, examples(16), batch=16).run(6)
    narrow = Net(Small(5), features=1, classes=2, dropout=0.0)
    one = learner(narrow, examples(16), batch=16, say=said.append)
    one.run(6)
    assert one.parts == 4
    assert said == [
        f"memory ran out: batches of 16 now go through the network in {n} parts" for n in (2, 4)
    ]
    torch.testing.assert_close(narrow.head.weight, wide.head.weight, rtol=1e-5, atol=1e-7)


def test_memory_for_less_than_two_tiles_is_an_error():
    narrow = Net(Small(1), features=1, classes=2, dropout=0.0)
    with pytest.raises(UsageError, match="does not hold the training of two tiles of"):
        learner(narrow, examples(8), batch=8, say=lambda text: None).run(1)


def test_another_fault_of_a_network_is_not_taken_for_a_lack_of_memory():
    class Broken(Power):
        def forward(self, tiles):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        learner(Net(Broken(), features=1, classes=2, dropout=0.0), examples(8)).run(1)


def test_logits_do_not_depend_on_a_tiles_orientation_when_every_view_counts():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, tiles):
            return self.scale * tiles[:, 0, 0, :2]

    tile = noise(1)
    both = views(np.concatenate([tile, tile[:, :, ::-1].swapaxes(2, 3)]))
    first, second = outputs(Corner(), both, np.arange(2), CnnSettings(), every=True)
    torch.testing.assert_close(first, second)
    first, second = outputs(Corner(), both, np.arange(2), CnnSettings(), every=False)
    assert not torch.allclose(first, second)


def test_frozen_features_do_not_depend_on_what_is_known_already():
    """Of a tile, the same bits whether it is computed alone or with others."""
    settings = CnnSettings(network="squeezenet1_1", learning=LEARNING, views=False)
    torch.manual_seed(0)
    net = make_network(settings, channels=1, classes=2, say=print)
    raw = noise(5, side=40)
    made = TileViews(Tiles(raw, prepare=lambda tiles, index: tiles / 255, device=CPU), settings)
    keys, cache = np.arange(5), {}
    FrozenFeatures(made, net, settings, count=5, keys=keys, cache=cache)
    whole = dict(cache)
    del cache[3]
    FrozenFeatures(made, net, settings, count=5, keys=keys, cache=cache)
    assert all(torch.equal(whole[key], cache[key]) for key in whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "inception_v3", "augmentation": Augmentation(crop=32)}, "75 or more"),
        ({"network": "jackal", "augmentation": Augmentation(crop=32)}, "jackal takes no other"),
        (
            {"network": "resnet50", "weights": "w.pth", "tune": "head"}
            | {"augmentation": Augmentation(noise=0.1)},
            "computed once",
        ),
    ],
)
def test_settings_that_would_do_nothing_or_fail_late_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        CnnSettings(**options)
