"""The pass when storages stall, workers die and schedulers end."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from hts_classify import PassSettings, extract, open_plate
from hts_classify.errors import FieldError, UsageError
from hts_classify.plate import Field, patience
from hts_classify.plate.wrapped import WrappedPlate

FAST = PassSettings(tile_sizes=(32,))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS", [0.0, 0.0])


@dataclass(frozen=True, slots=True, eq=False)
class Troubled(WrappedPlate):
    """A plate on whose storage some fields make trouble, a number of times."""

    trouble: dict[Field, list[BaseException]]

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        if self.trouble.get(field):
            raise self.trouble[field].pop()
        return self.plate.read(field, channels)


@dataclass(frozen=True, slots=True, eq=False)
class Deadly(WrappedPlate):
    """A plate with a field that ends the process that reads it, as the kernel would for memory."""

    field: Field

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        if field == self.field:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.plate.read(field, channels)


@dataclass(frozen=True, slots=True, eq=False)
class Changed(WrappedPlate):
    """A plate of which some fields are not what they were."""

    fresh: Sequence[Field]

    def stamp(self, field: Field, label: str = "") -> str:
        return self.plate.stamp(field, label) + ("!" if field in self.fresh else "")


def test_a_storage_that_stalls_is_asked_again(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    stalled = {
        plate.fields[0]: [TimeoutError("no answer"), ConnectionResetError("reset")],
        plate.fields[3]: [FieldError("no answer", transient=True)],
        plate.fields[5]: [MemoryError()],
    }
    result = extract(Troubled(plate, stalled), tmp_path / "stalled", FAST)
    calm = extract(plate, tmp_path / "calm", FAST)
    assert result.failures.empty
    pd.testing.assert_frame_equal(result.features, calm.features)


def test_what_stays_away_is_recorded_and_tried_again_alone(
    tiny_plate: Path, tmp_path: Path
) -> None:
    plate = open_plate(tiny_plate)
    trouble: dict[Field, list[BaseException]] = {
        plate.fields[0]: [TimeoutError("no answer")] * 3,
        plate.fields[4]: [MemoryError()] * 3,
        plate.fields[8]: [FieldError("chunk c/0/0/0 is missing", channel="GFP")],
    }
    result = extract(Troubled(plate, trouble), tmp_path, FAST)
    reasons = result.failures.set_index(["Metadata_Well", "Metadata_Site"])
    assert len(result.features) == 21
    for field, reason in (
        (plate.fields[0], "the storage does not answer (no answer)"),
        (plate.fields[4], "not enough memory to read and measure it"),
        (plate.fields[8], "chunk c/0/0/0 is missing"),
    ):
        row = reasons.loc[(field.well, field.site)]
        assert row["Reason"] == reason
        assert row["Retry"] == f"hts-classify extract --retry-failed -o {tmp_path}"
    assert reasons["Channel"].tolist().count("GFP") == 1
    again = extract(plate, tmp_path, FAST, retry_failed=True)
    assert again.failures.empty
    assert sum(cost["fields"] for cost in again.costs.values()) == 3
    pd.testing.assert_frame_equal(again.features, extract(plate, tmp_path / "calm", FAST).features)


def test_only_failed_fields_are_retried(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    with pytest.raises(UsageError, match="holds no pass; run it once without --retry-failed"):
        extract(plate, tmp_path, FAST, retry_failed=True)
    extract(plate, tmp_path, FAST)
    (tmp_path / "features" / "tiny" / f"{plate.wells[2]}.parquet").unlink()
    with pytest.raises(UsageError, match="the pass is not finished"):
        extract(plate, tmp_path, FAST, retry_failed=True)
    with pytest.raises(UsageError, match="the pass is not finished"):
        extract(plate, tmp_path, PassSettings(features="tas"), retry_failed=True)
    assert list(extract(plate, tmp_path, FAST).costs) == [f"tiny/{plate.wells[2]}"]
    assert extract(plate, tmp_path, FAST, retry_failed=True).costs == {}


def test_it_says_how_many_fields_have_changed(tiny_plate: Path, tmp_path: Path) -> None:
    plate, said = open_plate(tiny_plate), []
    extract(plate, tmp_path, FAST, say=said.append)
    assert said == []
    extract(Changed(plate, plate.fields[:3]), tmp_path, FAST, say=said.append)
    assert said == [
        "21 fields are kept from an earlier pass",
        "3 fields have changed since an earlier pass, and are read again",
    ]


def test_a_field_that_kills_its_worker_costs_itself_alone(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    deadly = Deadly(plate, plate.fields[7])
    result = extract(deadly, tmp_path, FAST, scheduler="processes", workers=2)
    (failure,) = result.failures.to_dict("records")
    assert (failure["Metadata_Well"], failure["Metadata_Site"]) == (
        plate.fields[7].well,
        plate.fields[7].site,
    )
    assert failure["Reason"].startswith("its worker was lost")
    assert len(result.features) == 23
    # The plate as it is: nothing but that field is read again.
    again = extract(plate, tmp_path, FAST)
    assert again.failures.empty
    assert [cost["fields"] for cost in again.costs.values()] == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_field_in_hand_and_keeps_it(
    tiny_plate: Path, tmp_path: Path, number: signal.Signals
) -> None:
    plate = open_plate(tiny_plate)
    read: list[Field] = []

    @dataclass(frozen=True, slots=True, eq=False)
    class Interrupting(WrappedPlate):
        def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
            if len(read) == 6:
                signal.raise_signal(number)
            read.append(field)
            return self.plate.read(field, channels)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        extract(Interrupting(plate), tmp_path, FAST, scheduler="synchronous")
    assert signal.getsignal(number) is before
    assert len(read) == 7  # the seventh was in hand
    result = extract(plate, tmp_path, FAST)
    assert sum(cost["fields"] for cost in result.costs.values()) == 24 - 7
    clean = extract(plate, tmp_path / "clean", FAST)
    pd.testing.assert_frame_equal(result.features, clean.features)
    for shard in (tmp_path / "features" / "tiny").iterdir():
        other = tmp_path / "clean" / "features" / "tiny" / shard.name
        assert shard.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def cluster() -> Iterator[str]:
    """A Dask scheduler with two workers, as it would run on a cluster; its address."""
    from distributed import LocalCluster

    with (
        mock.patch.dict(os.environ),  # Dask changes it, and leaves it so
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as running,
    ):
        yield running.scheduler_address


def test_a_cluster_leaves_the_same_bytes(tiny_plate: Path, tmp_path: Path, cluster: str) -> None:
    plate = open_plate(tiny_plate)
    said: list[str] = []
    extract(plate, tmp_path / "far", FAST, scheduler=cluster, say=said.append)
    extract(plate, tmp_path / "near", FAST)
    assert said[0].startswith("dashboard: http")
    for name in ("features.parquet", "quality.parquet", "failures.csv"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()


def test_a_cluster_and_an_object_store_need_no_shared_folder(
    tiny_plate: Path, tmp_path: Path, bucket: str, cluster: str
) -> None:
    plate = open_plate(tiny_plate)
    far = extract(plate, f"{bucket}/run", FAST, scheduler=cluster)
    near = extract(plate, tmp_path, FAST)
    pd.testing.assert_frame_equal(far.features, near.features)
    rows = np.arange(24)
    np.testing.assert_array_equal(far.tiles.read(rows), near.tiles.read(rows))
    assert extract(plate, f"{bucket}/run", FAST).costs == {}


def test_a_scheduler_that_is_not_there_is_a_usage_error(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    with pytest.raises(UsageError, match="scheduler 'thread'; use threads, processes"):
        extract(plate, tmp_path, FAST, scheduler="thread")


def test_a_well_is_never_done_twice_at_a_time(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    busy: Counter[str] = Counter()
    lock = threading.Lock()

    @dataclass(frozen=True, slots=True, eq=False)
    class Watched(WrappedPlate):
        def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
            with lock:
                busy[field.well] += 1
                assert busy[field.well] == 1
            pixels = self.plate.read(field, channels)
            with lock:
                busy[field.well] -= 1
            return pixels

    assert extract(Watched(plate), tmp_path, FAST, workers=4).failures.empty
