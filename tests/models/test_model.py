from __future__ import annotations

import json
import random
import threading
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from hts_classify.errors import DataError, DesignError, ModelError, UsageError
from hts_classify.models import scoring_threads
from hts_classify.models.cnn.model import Cnn
from hts_classify.models.cnn.search import ROUNDS
from hts_classify.models.protocol import Origin
from hts_classify.models.settings import CnnSettings, Learning


def brief(steps, *, epochs=1, **options):
    learning = {k: options.pop(k) for k in list(options) if k in Learning.__dataclass_fields__}
    return CnnSettings(learning=Learning(steps=steps, epochs=epochs, **learning), **options)


QUICK = brief(6)


class Store:
    """Inputs that are read by index, and remember how much was asked for at once."""

    def __init__(self, tiles):
        self.tiles, self.most = tiles, 0

    def __len__(self):
        return len(self.tiles)

    def __getitem__(self, index):
        self.most = max(self.most, len(index))
        return self.tiles[index]


def fitted(problem, *, seed=0, settings=QUICK, inputs=None):
    model = Cnn(settings, device="cpu")
    tiles = problem.inputs if inputs is None else inputs
    model.facts = model.fit(tiles, problem.targets, inner=problem.inner, seed=seed)
    return model


def weights(model, folder):
    model.save(folder)
    return (folder / "cnn.safetensors").read_bytes()


def right(model, problem):
    called = np.array(model.classes)[model.scores(problem.inputs).argmax(axis=1)]
    return float(np.mean(called == problem.targets))


@pytest.fixture(scope="module")
def quick(learning):
    return fitted(learning)


def test_textures_are_told_apart_whatever_their_gain(learning, unseen):
    model = fitted(learning, settings=brief(60))
    scores = model.scores(unseen.inputs)
    assert scores.shape == (64, 2)
    assert scores.dtype == np.float64
    assert right(model, unseen) >= 0.95


def test_the_amount_of_a_stain_is_seen_only_where_asked_for():
    rng = np.random.default_rng(0)
    number = np.arange(64) // 4 % 2
    tiles = rng.poisson(np.where(number, 300, 150)[:, None, None, None], (64, 1, 16, 16))
    targets = [("G1", "G2")[one] for one in number]
    half = np.arange(64) % 4 < 2
    split = (np.flatnonzero(half), np.flatnonzero(~half))
    shares = {}
    for scaling in ("tile", "training", "percentile"):
        model = Cnn(brief(30, scaling=scaling), device="cpu")
        model.fit(tiles[half], list(np.array(targets)[half]), inner=[_halves(32)], seed=0)
        called = np.array(model.classes)[model.scores(tiles[split[1]]).argmax(axis=1)]
        shares[scaling] = np.mean(called == np.array(targets)[split[1]])
    assert shares["training"] == shares["percentile"] == 1.0
    assert shares["tile"] < 0.9


def test_real_cells_are_told_apart_by_their_dna(shared_data):
    """Jurkat cells of Blasi et al. 2016: G2 has twice the DNA of G1, in tiles of 16 bits."""
    with np.load(shared_data / "jurkat" / "tiles_40px.npz") as held:
        images, labels = held["images"][:, 1:2], held["labels"]
    kinds = [np.flatnonzero(labels == kind)[:200] for kind in ("G1", "G2")]
    train, test = (np.concatenate([kind[half::2] for kind in kinds]) for half in range(2))
    model = Cnn(brief(60, scaling="training"), device="cpu")
    model.fit(images[train], [str(kind) for kind in labels[train]], inner=[_halves(200)], seed=0)
    called = np.array(model.classes)[model.scores(images[test]).argmax(axis=1)]
    assert np.mean(called == labels[test]) >= 0.9


def test_a_seed_decides_every_byte(learning, quick, tmp_path):
    assert weights(fitted(learning), tmp_path / "a") == weights(quick, tmp_path / "b")
    assert fitted(learning).facts == quick.facts
    assert weights(fitted(learning, seed=1), tmp_path / "c") != weights(quick, tmp_path / "b")


def test_what_was_drawn_before_does_not_matter(learning, quick, tmp_path):
    torch.rand(7)
    random.random()
    assert weights(fitted(learning), tmp_path / "a") == weights(quick, tmp_path / "b")


def test_reading_by_batches_learns_the_same_bytes_as_keeping_all(learning, quick, tmp_path):
    read = fitted(learning, settings=brief(6, cache_mib=0))
    assert weights(read, tmp_path / "a") == weights(quick, tmp_path / "b")


def test_global_state_is_left_as_it_was(learning, quick, tmp_path):
    generator, strict = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    fitted(learning)
    quick.save(tmp_path)
    Cnn.load(tmp_path, device="cpu").scores(learning.inputs[:2])
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.are_deterministic_algorithms_enabled() == strict


def test_global_state_is_left_as_it_was_after_an_interruption(learning):
    def interrupt(done, planned):
        raise KeyboardInterrupt

    generator = torch.get_rng_state()
    model = Cnn(QUICK, device="cpu", on_epoch=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    assert torch.equal(torch.get_rng_state(), generator)
    assert not torch.are_deterministic_algorithms_enabled()
    assert model.classes == ()


def test_without_refit_the_best_judged_weights_are_the_model(learning):
    """Targets drawn by lot cannot be learned, so judged losses soon only rise."""
    lot = list(np.random.default_rng(0).permutation(learning.targets))
    settings = brief(60, refit=False, dropout=0.0, views=False)
    model = Cnn(settings, device="cpu")
    facts = model.fit(learning.inputs, lot, inner=learning.inner, seed=0)
    assert facts["steps"]["best"] < facts["steps"]["taken"]
    judged = learning.inner[0][1]
    losses = -np.log(_proba(model.scores(learning.inputs[judged])))
    number = np.array([model.classes.index(lot[example]) for example in judged])
    by_class = [losses[number == one, one].mean() for one in range(2)]
    assert np.mean(by_class) == pytest.approx(facts["judged_loss"], rel=1e-4)


def test_a_refit_learns_from_the_judged_tiles_too(learning, tmp_path):
    """Other pixels in the judging half must change the model that is kept."""
    changed = learning.inputs.copy()
    changed[learning.inner[0][1]] = changed[learning.inner[0][1]][:, :, ::-1].copy() ** 2
    settings = brief(2, patience=20)
    first, second = (
        fitted(learning, settings=settings, inputs=x) for x in (learning.inputs, changed)
    )
    assert first.facts["refit_steps"] >= first.facts["steps"]["best"]
    assert weights(first, tmp_path / "a") != weights(second, tmp_path / "b")


@pytest.mark.parametrize("batch", [2, 4, 12])
def test_thirteen_tiles_can_be_learned_from(batch):
    tiles = np.random.default_rng(0).uniform(0, 255, (13, 1, 16, 16))
    model = Cnn(brief(5, batch=batch), device="cpu")
    model.fit(tiles, ["ab"[n % 2] for n in range(13)], inner=[_halves(13)], seed=0)
    assert np.isfinite(model.scores(tiles[:1])).all()


def test_the_first_split_that_holds_every_class_is_used(learning, quick):
    only = np.flatnonzero(np.array(learning.targets) == "spots")
    bad = (only, np.setdiff1d(np.arange(48), only))
    model = Cnn(QUICK, device="cpu")
    facts = model.fit(learning.inputs, learning.targets, inner=[bad, *learning.inner], seed=0)
    assert facts == quick.facts
    with pytest.raises(DesignError, match="lacking: stripes"):
        model.fit(learning.inputs, learning.targets, inner=[bad], seed=0)


def test_scoring_reads_a_batch_at_a_time(quick, learning):
    store = Store(np.concatenate([learning.inputs] * 4))
    scores = quick.scores(store)
    assert store.most <= 64
    np.testing.assert_allclose(scores[:48], quick.scores(learning.inputs), rtol=1e-4, atol=1e-5)


def test_tiles_of_one_field_are_calibrated_together(learning, quick, tmp_path):
    count = len(learning.targets)
    origin = Origin(np.full(count, "plate"), fields=np.arange(count) // 8)
    model = Cnn(QUICK, device="cpu")
    model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0, origin=origin)
    assert weights(model, tmp_path / "a") == weights(quick, tmp_path / "b")
    assert model.temperature != quick.temperature


def test_what_a_thread_scores_by_itself_does_not_depend_on_the_number_of_cores(quick, unseen):
    tiles = np.concatenate([unseen.inputs] * 4)
    count, found = torch.get_num_threads(), []
    try:
        for cores in (1, 3):
            torch.set_num_threads(cores)
            with scoring_threads("cpu") as pool:
                assert pool.submit(torch.get_num_threads).result() == 1
                found.append(pool.submit(quick.scores, tiles).result())
    finally:
        torch.set_num_threads(count)
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], quick.scores(tiles), rtol=1e-4, atol=1e-5)


def test_an_error_while_scoring_leaves_the_threads_as_they_were():
    before, asked = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), scoring_threads("cpu") as pool:
            1 / (pool.submit(torch.get_num_threads).result() - 1)
        thread = threading.Thread(target=lambda: asked.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert asked == [2]
    finally:
        torch.set_num_threads(before)


def test_facts_are_plain_json(quick):
    assert json.loads(json.dumps(quick.facts, allow_nan=False)) == quick.facts


def test_rounds_are_told_in_order(learning):
    told = []
    model = Cnn(QUICK, device="cpu", on_epoch=lambda done, planned: told.append((done, planned)))
    model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    done = [number for number, _ in told]
    assert done == sorted(set(done))
    assert {planned for _, planned in told} == {2 * ROUNDS}
    assert 0 < done[0] < done[-1] <= 2 * ROUNDS


def test_larger_tiles_of_the_same_scale_can_be_scored(quick):
    tiles = np.random.default_rng(0).uniform(0, 255, (3, 2, 30, 50)).astype(np.float32)
    assert quick.scores(tiles).shape == (3, 2)
    assert quick.scores(tiles[:0]).shape == (0, 2)


def test_another_number_of_channels_is_refused(quick):
    with pytest.raises(ModelError, match="3 channels for a model of 2"):
        quick.scores(np.zeros((1, 3, 24, 24), dtype=np.float32))


def test_a_tile_that_is_not_finite_is_refused_in_both_uses(quick, learning):
    broken = learning.inputs.copy()
    broken[4, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="example 4"):
        quick.scores(broken)
    with pytest.raises(DataError, match="example 4"):
        fitted(learning, inputs=broken)


def test_the_head_makes_logits_of_the_points_in_which_tiles_are_near_each_other(learning, unseen):
    model = fitted(learning, settings=replace(QUICK, views=False))
    head = model._net.head
    points = torch.from_numpy(model.embedded(unseen.inputs)).float()
    np.testing.assert_allclose(head(points).detach(), model.scores(unseen.inputs), atol=1e-4)


def test_scoring_or_saving_before_learning_is_refused(tmp_path):
    with pytest.raises(UsageError, match="call fit or load first"):
        Cnn(device="cpu").scores(np.zeros((1, 1, 16, 16)))
    with pytest.raises(UsageError, match="call fit or load first"):
        Cnn(device="cpu").save(tmp_path)


@pytest.mark.parametrize("scaling", ["tile", "training", "percentile"])
def test_a_saved_model_scores_as_it_did(learning, unseen, tmp_path, scaling):
    settings = brief(6, scaling=scaling)
    model = fitted(learning, settings=settings)
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cnn.json", "cnn.safetensors"]
    again = Cnn.load(tmp_path, device="cpu")
    assert again.settings == settings
    assert again.scores(unseen.inputs).tobytes() == model.scores(unseen.inputs).tobytes()
    assert weights(again, tmp_path / "again") == (tmp_path / "cnn.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["cnn.json", "cnn.safetensors"])
def test_a_damaged_or_missing_file_is_named(quick, tmp_path, name):
    quick.save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=name):
        Cnn.load(tmp_path, device="cpu")
    path.unlink()
    with pytest.raises(ModelError, match=f"{name}: no such file"):
        Cnn.load(tmp_path, device="cpu")


def test_weights_that_do_not_fit_are_listed(quick, tmp_path):
    quick.save(tmp_path)
    path = tmp_path / "cnn.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["head.bias"] = torch.zeros(5)
    tensors["tail"] = tensors.pop("head.weight")
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ModelError, match=r"do not fit .*: head\.bias, head\.weight, tail; "):
        Cnn.load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", None, "lacks classes"),
        ("settings", CnnSettings().as_json() | {"speed": 3}, "describes no model .*speed"),
        ("settings", CnnSettings().as_json() | {"network": "lenet"}, "describes no model .*lenet"),
        ("tile_shape", [2, 24], "describes no model"),
        ("scale", {"means": [1.0]}, "describes no model"),
    ],
)
def test_a_card_that_describes_no_model_is_refused(quick, tmp_path, key, value, message):
    quick.save(tmp_path)
    card = json.loads((tmp_path / "cnn.json").read_text())
    card[key] = value
    if value is None:
        del card[key]
    (tmp_path / "cnn.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=f"cnn.json: {message}"):
        Cnn.load(tmp_path, device="cpu")


def test_devices_that_are_not_there_are_refused(quick, tmp_path):
    with pytest.raises(UsageError, match="'tpu'; use auto, cpu, cuda"):
        Cnn(device="tpu")
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    quick.save(tmp_path)
    for call in (lambda: Cnn(device="cuda"), lambda: Cnn.load(tmp_path, device="cuda")):
        with pytest.raises(UsageError, match="no CUDA device; use the device cpu or auto"):
            call()
    assert Cnn(device="auto").device_name.startswith("cpu (")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_learns_the_same_and_its_model_scores_on_a_cpu(learning, unseen, tmp_path):
    model = Cnn(brief(60), device="cuda")
    model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    assert model.device_name.startswith("cuda (")
    assert right(model, unseen) >= 0.95
    model.save(tmp_path)
    again = Cnn.load(tmp_path, device="cpu")
    np.testing.assert_allclose(
        again.scores(unseen.inputs), model.scores(unseen.inputs), rtol=0.05, atol=0.05
    )


def _halves(count):
    """One split by pairs of examples."""
    first = np.arange(count) // 2 % 4 < 2
    return np.flatnonzero(first), np.flatnonzero(~first)


def _proba(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_what_a_model_is_for_is_kept_with_it(quick, learning, tmp_path):
    model = Cnn(QUICK, device="cpu", channels=["DNA", "GFP"])
    model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    model.save(tmp_path)
    again = Cnn.load(tmp_path, device="cpu")
    assert (again.channels, again.classes) == (("DNA", "GFP"), model.classes)
    assert again.temperature == model.temperature > 0


def test_a_fit_that_was_interrupted_goes_on_to_the_same_bytes(learning, quick, tmp_path):
    def interrupt(done, planned):
        if done == 4:
            raise KeyboardInterrupt

    folder = tmp_path / "checkpoint"
    model = Cnn(QUICK, device="cpu", checkpoint=folder, on_epoch=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    assert list(folder.iterdir())
    told = []
    again = Cnn(QUICK, device="cpu", checkpoint=folder, on_epoch=lambda done, of: told.append(done))
    facts = again.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    assert told[0] == 5
    assert facts == quick.facts
    assert weights(again, tmp_path / "a") == weights(quick, tmp_path / "b")


def test_a_checkpoint_of_other_pixels_or_settings_is_refused(learning, tmp_path):
    def interrupt(done, planned):
        raise KeyboardInterrupt

    model = Cnn(QUICK, device="cpu", checkpoint=tmp_path, on_epoch=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(learning.inputs, learning.targets, inner=learning.inner, seed=0)
    with pytest.raises(ModelError, match=r"another fit \(its seed differs\)"):
        Cnn(QUICK, device="cpu", checkpoint=tmp_path).fit(
            learning.inputs, learning.targets, inner=learning.inner, seed=1
        )
    with pytest.raises(ModelError, match=r"another fit \(its settings differs\)"):
        Cnn(brief(7), device="cpu", checkpoint=tmp_path).fit(
            learning.inputs, learning.targets, inner=learning.inner, seed=0
        )
    with pytest.raises(ModelError, match=r"another fit \(its tiles differs\)"):
        Cnn(QUICK, device="cpu", checkpoint=tmp_path).fit(
            learning.inputs + 1, learning.targets, inner=learning.inner, seed=0
        )


def test_tiles_smaller_than_the_network_takes_are_refused_before_they_are_read(learning):
    store = Store(learning.inputs)
    model = Cnn(brief(4, network="inception_v3"), device="cpu")
    with pytest.raises(DataError, match=r"24.*75"):
        model.fit(store, learning.targets, inner=learning.inner, seed=0)
    assert store.most <= 1


@pytest.mark.parametrize("network", ["jackal", "mobilenet_v2"])
def test_other_networks_go_through_fit_save_and_load(tmp_path, network):
    rng = np.random.default_rng(0)
    tiles = rng.uniform(0, 255, (12, 1, 72, 72)).astype(np.float32)
    model = Cnn(brief(2, network=network, batch=4, views=False), device="cpu")
    facts = model.fit(tiles, ["ab"[n % 2] for n in range(12)], inner=[_halves(12)], seed=0)
    assert facts["network"] == network
    model.save(tmp_path)
    again = Cnn.load(tmp_path, device="cpu")
    assert again.scores(tiles[:3]).tobytes() == model.scores(tiles[:3]).tobytes()


def test_real_weights_are_tuned_on_real_cells(shared_data, tmp_path):
    """The head alone on frozen features: they are made once, for both fits."""
    with np.load(shared_data / "jurkat" / "tiles_40px.npz") as held:
        images, labels = held["images"][:, 1:2], held["labels"]
    some = np.concatenate([np.flatnonzero(labels == kind)[:40] for kind in ("G1", "Prophase")])

    class Rows(Store):
        keys = some

    settings = brief(
        60,
        network="mobilenet_v2",
        weights=str(shared_data / "weights" / "mobilenet_v2.pth"),
        tune="head",
        scaling="tile",
        views=False,
    )
    cache = {}
    model = Cnn(settings, device="cpu", cache=cache)
    targets = [str(kind) for kind in labels[some]]
    facts = model.fit(Rows(images[some]), targets, inner=[_halves(80)], seed=0)
    assert len(cache) == 80
    held = {key: value.clone() for key, value in cache.items()}
    assert facts["learned_parameters"] == 2 * 1280 + 2
    assert facts["curve"][-1]["judged_accuracy"] >= 0.75
    Cnn(settings, device="cpu", cache=cache).fit(
        Rows(images[some]), targets, inner=[_halves(80)], seed=1
    )
    assert all(torch.equal(held[key], cache[key]) for key in cache)
    model.save(tmp_path)
    again = Cnn.load(tmp_path, device="cpu")
    assert again.scores(images[some][:4]).tobytes() == model.scores(images[some][:4]).tobytes()


def test_larger_tiles_are_enlarged_as_much_as_those_that_were_learned_from(learning):
    """From 24 to 48 pixels, so from 30 to 60: a cell keeps its size."""
    model = fitted(learning, settings=brief(3, enlarge=48))
    seen = []
    model._body.register_forward_pre_hook(lambda net, given: seen.append(given[0].shape[2:]))
    model.scores(np.random.default_rng(0).uniform(0, 255, (2, 2, 30, 30)).astype(np.float32))
    assert set(seen) == {(60, 60)}


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused(quick, tmp_path, value):
    quick.save(tmp_path)
    path = tmp_path / "cnn.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": value}))
    with pytest.raises(ModelError, match="a temperature of"):
        Cnn.load(tmp_path, device="cpu")
