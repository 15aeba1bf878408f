"""A screen's cost, against sums by hand; and what is said where times are lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hts_classify.cost import Projection, frontier, peak_memory, project
from hts_classify.errors import UsageError
from hts_classify.timings import path_costs

WORK = ("read_s", "features_s", "tiles_s", "keep_s")
FIELDS = 3
WELLS = 8


def made(seed: int = 0, folds: int = 2) -> dict[str, Any]:
    """Return timings of eight wells of three fields, and of both paths' fits."""
    rng = np.random.default_rng(seed)
    wells = {
        f"P1/A{k:02d}": {"fields": FIELDS, "wall_s": float(rng.uniform(0.1, 0.9)), "bytes": 7}
        | {kind: float(rng.uniform(0.1, 0.9)) for kind in WORK}
        for k in range(WELLS)
    }
    fits = {
        f"{path}-{step}": {
            "train_s": float(rng.uniform(10, 90)),
            "score_s": float(rng.uniform(1, 9)),
            "scored_fields": int(rng.integers(5, 15)),
            "trained_fields": 20,
        }
        for path in ("tas_svm", "cnn")
        for step in (*(f"fold{k}" for k in range(folds)), "all")
    }
    return {"wells": wells, "fits": fits, "machine": "cuda (NVIDIA L4)", "plates": [["P1", "p"]]}


def of(timings: dict[str, Any], **changes: int) -> Projection:
    asked = {"fields_per_plate": FIELDS * WELLS, "plates": 1, "cores": 4, "screen_plates": 500}
    return project(timings, **(asked | changes))


def test_hours_are_those_that_one_adds_up_by_hand() -> None:
    timings = made()
    wells, fits = list(timings["wells"].values()), timings["fits"]
    seconds = {kind: sum(well[kind] for well in wells) for kind in (*WORK, "wall_s")}
    found = of(timings)
    assert found.one_plate is not None
    for kind, total in seconds.items():
        assert getattr(found.one_plate, kind) == pytest.approx(total, rel=1e-12)
    both = 500 * seconds["wall_s"]
    for path, other in (("tas_svm", "tiles_s"), ("cnn", "features_s")):
        own = [fit for name, fit in fits.items() if name.startswith(path)]
        train = sum(fit["train_s"] for fit in own)
        score = sum(fit["score_s"] for fit in own) / sum(fit["scored_fields"] for fit in own)
        worked = sum(seconds[one] for one in WORK)
        alone = 500 * seconds["wall_s"] * (1 - seconds[other] / worked)
        here = found.paths[path]
        assert here.train_s == pytest.approx(train, rel=1e-12)
        assert here.inference_s == pytest.approx(score * FIELDS * WELLS, rel=1e-12)
        inference = 500 * score * FIELDS * WELLS
        assert here.hours == pytest.approx((alone + inference + train) / 3600, rel=1e-12)
        both += inference + train
    assert found.hours_both == pytest.approx(both / 3600, rel=1e-12)


def test_both_from_one_reading_cost_less_than_one_after_the_other() -> None:
    for seed in range(20):
        found = of(made(seed))
        alone = [path.hours or np.nan for path in found.paths.values()]
        assert max(alone) < (found.hours_both or np.nan) < sum(alone)


def test_a_larger_screen_trains_no_more() -> None:
    one, two, four = (of(made(), screen_plates=n) for n in (1, 2, 4))
    for path in ("tas_svm", "cnn"):
        hours = [found.paths[path].hours or 0.0 for found in (one, two, four)]
        assert hours[2] - hours[1] == pytest.approx(2 * (hours[1] - hours[0]), rel=1e-9)
        train = 2 * hours[0] - hours[1]
        assert 3600 * train == pytest.approx(one.paths[path].train_s, rel=1e-9)


def test_a_path_alone_agrees_with_the_report_but_for_keeping() -> None:
    timings = made()
    for well in timings["wells"].values():
        well["keep_s"] = 0.0
    found = of(timings)
    for cost in path_costs(timings):
        fields = 500 * FIELDS * WELLS
        hours = (fields / cost.fields_per_s + cost.train_s) / 3600
        assert found.paths[cost.path].hours == pytest.approx(hours, rel=1e-12)


def test_two_plates_are_one_twice() -> None:
    timings = made()
    one = of(timings)
    timings["wells"] |= {name.replace("P1", "P2"): w for name, w in timings["wells"].items()}
    two = of(timings, plates=2)
    assert two.one_plate is not None
    assert one.one_plate is not None
    for kind in WORK:
        assert getattr(two.one_plate, kind) == pytest.approx(getattr(one.one_plate, kind), rel=1e-9)
    assert two.hours_both == pytest.approx(one.hours_both, rel=1e-9)
    assert two.said[0].startswith("500 plates like these 2: ")


def test_the_sentence_is_what_a_lab_head_reads() -> None:
    well = {"fields": 9, "wall_s": 54.0} | dict.fromkeys(WORK, 54.0)
    fit = {"train_s": 60.0, "score_s": 0.9, "scored_fields": 9}
    slow = fit | {"train_s": 3600.0, "score_s": 27.9}
    both = (("tas_svm", fit), ("cnn", slow))
    steps = ("fold0", "fold1", "all")
    fits = {f"{path}-{step}": one for (path, one), step in product(both, steps)}
    timings = {"wells": {"P/A01": well}, "fits": fits, "machine": "cpu (4 threads)"}
    found = project(timings, fields_per_plate=9, plates=1, cores=4, screen_plates=2000)
    # the pass 30 hours, of which a path alone needs three quarters; inference 0.5 and 15.5 hours
    assert found.said[0] == (
        "2,000 plates like this one: 23 hours for TAS + SVM, 41 hours for the CNN, 49 hours for"
        " both from one reading; training once takes 3 minutes for TAS + SVM and 3 hours for the"
        " CNN"
    )
    assert (
        "4 cores, on which 4.0 workers were busy at once; the CNN on cpu (4 threads)"
        in (found.said[1])
    )
    assert "3 fits" in " ".join(found.said)
    single = project(timings, fields_per_plate=9, plates=1, cores=1, screen_plates=1)
    assert single.said[0].startswith("1 plate like this one: 3.7 minutes for TAS + SVM")
    assert "(1 core," in single.said[1]


def test_a_killed_runs_lost_wells_are_said_and_the_plate_is_not_given() -> None:
    timings = made()
    whole = of(timings)
    for name in ("P1/A02", "P1/A05"):
        del timings["wells"][name]
    left = list(timings["wells"].values())
    found = of(timings)
    assert found.one_plate is None
    assert found.timed_fields == 18
    assert any("18 of 24 fields" in said and "speed" in said for said in found.said)
    assert not any("fields" in said for said in whole.said[1:])
    besides = (whole.hours_both or 0) - 500 * sum(
        well["wall_s"] for well in made()["wells"].values()
    ) / 3600
    pace = sum(well["wall_s"] for well in left) / 18
    assert found.hours_both == pytest.approx(500 * 24 * pace / 3600 + besides, rel=1e-9)


def test_a_few_wells_are_no_sample_of_a_plate() -> None:
    timings = made()
    timings["wells"] = dict([*timings["wells"].items()][:3])
    found = of(timings)
    assert found.hours_both is None
    assert [path.hours for path in found.paths.values()] == [None, None]
    assert found.paths["cnn"].train_s is not None
    assert found.said[0].startswith("500 plates like this one: an unknown time for TAS + SVM")
    assert "9 of 24 fields" in found.said[-1]
    assert "too few" in found.said[-1]


@pytest.mark.parametrize("lost", ["cnn-fold0", "cnn-fold1", "cnn-all"])
def test_a_fit_that_was_not_timed_leaves_the_other_path_its_hours(lost: str) -> None:
    timings = made()
    whole = of(timings)
    del timings["fits"][lost]
    found = of(timings)
    assert found.paths["tas_svm"] == whole.paths["tas_svm"]
    assert found.paths["cnn"].train_s is None
    assert found.paths["cnn"].hours is None
    assert found.hours_both is None
    assert found.one_plate == whole.one_plate
    step = lost.removeprefix("cnn-")
    assert f"Training of the CNN was not timed in full ({step})" in found.said[-1]


def test_a_fold_that_neither_path_has_is_missed() -> None:
    timings = made(folds=3)
    for path in ("tas_svm", "cnn"):
        del timings["fits"][f"{path}-fold1"]
    found = of(timings)
    assert [path.hours for path in found.paths.values()] == [None, None]
    assert sum("(fold1)" in said for said in found.said) == 2


def test_a_pass_alone_has_its_seconds_and_no_hours() -> None:
    found = of({"wells": made()["wells"]})
    assert found.one_plate is not None
    assert found.busy is not None
    assert found.hours_both is None
    assert found.machine == "unknown"


def damaged() -> Iterator[tuple[str, Any]]:
    yield "absent", ...
    for value in (None, "1", float("nan"), -1.0):
        yield str(value), value


@pytest.mark.parametrize("value", [v for _, v in damaged()], ids=[name for name, _ in damaged()])
@pytest.mark.parametrize("where", ["wall_s", "keep_s", "fields"])
def test_a_well_without_a_figure_counts_as_not_timed(where: str, value: Any) -> None:
    timings, without = made(), made()
    del without["wells"]["P1/A03"]
    timings["wells"]["P1/A03"][where] = value
    if value is ...:
        del timings["wells"]["P1/A03"][where]
    assert of(timings) == of(without)


@pytest.mark.parametrize("name", ["fields_per_plate", "plates", "cores", "screen_plates"])
def test_no_plates_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}=0; give a whole number"):
        of(made(), **{name: 0})


def test_it_goes_through_json(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    file.write_text(json.dumps(of(made()).as_json(), allow_nan=False))
    back = json.loads(file.read_text())
    assert back["paths"]["cnn"]["hours"] == of(made()).paths["cnn"].hours
    assert back["said"] == list(of(made()).said)


def test_dominated_points_are_those_of_a_brute_force_search() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        drawn = rng.integers(0, 5, (6, 2)).tolist()
        paths = {str(k): (a / 4, float(speed)) for k, (a, speed) in enumerate(drawn)}
        for point in frontier(paths):
            worse = False
            for other in paths.values():
                least = other[0] >= paths[point.path][0] and other[1] >= paths[point.path][1]
                worse |= least and other != paths[point.path]
            assert point.dominated is worse


def test_a_point_without_a_figure_neither_beats_nor_is_beaten() -> None:
    points = frontier({"tas_svm": (0.8, 100.0), "cnn": (0.9, None), "cascade": (None, 500.0)})
    assert [(p.path, p.dominated) for p in points] == [
        ("tas_svm", False), ("cnn", None), ("cascade", None)
    ]  # fmt: skip


def test_peak_memory_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrusage", lambda _who: SimpleNamespace(ru_maxrss=7))
    monkeypatch.setattr(sys, "platform", "linux")
    assert peak_memory() == 7168
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory() == 7


def test_peak_memory_is_unknown_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_peak_memory_is_what_the_kernel_says() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    held = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    found = peak_memory()
    assert found is not None
    # the kernel adds up pages of each core now and then
    assert found > 0.95 * 1024 * held
