"""How long to learn: the judged loss decides, and a stopped search goes on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hts_classify.errors import DataError, ModelError
from hts_classify.models.cnn import search
from hts_classify.models.cnn.checkpoint import Checkpoint
from hts_classify.models.cnn.inference import TileViews
from hts_classify.models.cnn.learning import Examples
from hts_classify.models.cnn.networks import Compact, Net
from hts_classify.models.cnn.search import ROUNDS, Plan, find, planned, refit
from hts_classify.models.cnn.tiles import Tiles
from hts_classify.models.settings import CnnSettings, Learning

TARGETS = np.arange(24) % 2


def source():
    raw = np.random.default_rng(0).normal(0, 0.3, (24, 1, 16, 16)).astype(np.float32)
    raw[TARGETS == 1, :, ::4] += 2
    tiles = Tiles(raw, prepare=lambda tiles, index: tiles, device=torch.device("cpu"))
    return TileViews(tiles, CnnSettings())


def halves(numbers=TARGETS, judged=TARGETS):
    tiles = source()
    return (
        Examples(tiles, numbers, np.arange(16), 2),
        Examples(tiles, judged, np.arange(16, 24), 2),
    )


def fresh():
    torch.manual_seed(0)
    body = Compact(channels=1, widths=(4, 8))
    return Net(body, features=body.features, classes=2, dropout=0.1)


def plan(tmp_path=None, *, rounds=None, identity=0, **learning):
    settings = CnnSettings(learning=Learning(**{"steps": 40, "epochs": 1} | learning))
    told = (lambda done, of: None) if rounds is None else rounds
    return Plan(settings, 7, fresh, Checkpoint(tmp_path, {"of": identity}), told, print)


class StopError(Exception):
    """Thrown in the middle of a fit, as a kill would end it."""


def stop_after(count):
    def told(done, of):
        if done == count:
            raise StopError

    return told


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first.keys() | second.keys())


def test_a_dozen_tiles_get_the_least_steps_and_ten_thousand_the_least_passes():
    settings = CnnSettings()
    assert planned(12, settings) == settings.learning.steps
    batches = math.ceil(10_000 / settings.learning.batch)
    assert planned(10_000, settings) == settings.learning.epochs * batches


def test_a_search_keeps_the_best_state_and_stops_after_its_patience():
    """Judged on the opposite answers, learning only makes it worse: the first look is best."""
    rounds = []
    found = find(
        plan(rounds=lambda *told: rounds.append(told), patience=3),
        *halves(judged=1 - TARGETS),
    )
    assert (found.steps, found.taken) == (2, 8)
    assert rounds == [(n, 2 * ROUNDS) for n in range(1, 5)]
    assert [entry["step"] for entry in found.curve] == [2, 4, 6, 8]
    assert found.loss == found.curve[0]["judged_loss"]
    assert found.curve[-1]["judged_loss"] > found.loss


def test_what_can_be_learned_is_learned_and_said():
    found = find(plan(steps=80), *halves())
    assert found.curve[-1]["judged_accuracy"] == 1.0
    assert found.curve[-1]["loss"] < found.curve[0]["loss"]
    assert max(entry["rate"] for entry in found.curve) == pytest.approx(3e-3)


@pytest.mark.parametrize("stopped", [1, 7, 20, 21, 33])
def test_a_fit_that_was_stopped_ends_with_the_same_weights(tmp_path, stopped):
    """After any round, in the search or in the refit."""

    def whole(one):
        learning, judged = halves()
        found = find(one, learning, judged)
        every = Examples(learning.source, TARGETS, np.arange(24), 2)
        return found, refit(one, every, 30, found).state_dict()

    found, weights = whole(plan(patience=99))
    with pytest.raises(StopError):
        whole(plan(tmp_path, rounds=stop_after(stopped), patience=99))
    torch.rand(3)
    rounds = []
    again, resumed = whole(plan(tmp_path, rounds=lambda *told: rounds.append(told[0]), patience=99))
    assert rounds[0] == stopped + 1
    assert same(weights, resumed)
    assert same(found.weights, again.weights)
    assert (again.steps, again.loss, again.curve) == (found.steps, found.loss, found.curve)


def test_trials_choose_the_rate_with_the_lowest_judged_loss():
    found = find(plan(trials=4, learning_rate=1e-5), *halves())
    losses = [trial["judged_loss"] for trial in found.trials]
    best = found.trials[int(np.argmin(losses))]
    assert len(losses) == 4
    assert found.trials[0]["learning_rate"] == 1e-5  # the settings' own is tried too
    assert found.pace.rate == best["learning_rate"] > 1e-5
    assert found.pace.decay == best["weight_decay"]


def test_trials_that_were_done_are_not_done_again(tmp_path):
    unbroken = find(plan(trials=3), *halves())
    with pytest.raises(StopError):
        find(plan(tmp_path, rounds=stop_after(2), trials=3), *halves())
    rounds = []
    again = find(plan(tmp_path, rounds=lambda *told: rounds.append(told[0]), trials=3), *halves())
    assert rounds[0] == 3
    assert again.trials == unbroken.trials
    assert same(again.weights, unbroken.weights)


def test_a_rate_at_which_nothing_is_finite_is_no_choice(monkeypatch):
    """The settings' own rate is absurd; trials below it are not."""
    monkeypatch.setattr(search, "_DECADES", ((-9.0, -7.0), (-1.0, 0.0)))
    found = find(plan(trials=2, learning_rate=1e6, average=0.0), *halves())
    assert found.trials[0]["judged_loss"] is None
    assert found.pace.rate == found.trials[1]["learning_rate"] < 1


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_an_error_with_the_remedy(tmp_path, share):
    with pytest.raises(StopError):
        find(plan(tmp_path, rounds=stop_after(3)), *halves())
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors: .*cut short.*; delete it"):
        find(plan(tmp_path), *halves())


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    with pytest.raises(StopError):
        find(plan(tmp_path, rounds=stop_after(3)), *halves())
    with pytest.raises(ModelError, match=r"of another fit \(its of differs\)"):
        find(plan(tmp_path, identity=1), *halves())


def test_a_loss_that_is_never_finite_names_the_rate():
    def broken():
        net = fresh()
        torch.nn.init.constant_(net.head.bias, math.inf)
        return net

    one = plan()
    with pytest.raises(DataError, match="lower the learning rate"):
        find(Plan(one.settings, 0, broken, one.checkpoint, one.on_round, print), *halves())
