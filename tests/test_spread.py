from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hts_classify.errors import DataError, HTSError
from hts_classify.extract.spread import spread


def told(_text: str) -> None:
    pass


def where(task: int, device: str, shared: dict[Any, Any]) -> tuple[int, str, int, int]:
    shared.setdefault("tasks", []).append(task)
    time.sleep(0.2)
    return task, device, os.getpid(), len(shared["tasks"])


def refuse(task: int, _device: str, _shared: dict[Any, Any]) -> int:
    raise DataError(f"task {task}", where="there")


def die(_task: int, _device: str, _shared: dict[Any, Any]) -> None:
    os._exit(1)


def sleep(folder: Path, device: str, _shared: dict[Any, Any]) -> None:
    (folder / device).touch()
    time.sleep(60)


def test_every_task_is_done_once_by_the_process_of_its_device() -> None:
    done = list(spread(where, range(6), ("cpu", "mps"), say=told))
    assert sorted(task for task, *_ in done) == list(range(6))
    homes = {device: {pid for _, d, pid, _ in done if d == device} for device in ("cpu", "mps")}
    assert all(len(pids) == 1 for pids in homes.values())
    assert os.getpid() not in set.union(*homes.values())
    # what they share counts the tasks of one process
    assert max(count for *_, count in done) == max(
        sum(d == device for _, d, *_ in done) for device in homes
    )


def test_a_process_has_the_threads_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    (found,) = spread(threads, [0], ("cpu",), say=told)
    assert found == "3"


def threads(_task: int, _device: str, _shared: dict[Any, Any]) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def test_an_error_there_is_the_same_error_here() -> None:
    with pytest.raises(DataError, match="there: task 0"):
        list(spread(refuse, [0], ("cpu",), say=told))


def test_a_lost_process_is_one_line_with_a_remedy() -> None:
    with pytest.raises(HTSError, match=r"a process was lost: .*; run again"):
        list(spread(die, [0], ("cpu",), say=told))


def test_ctrl_c_ends_processes_at_work(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "cpu").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    since = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        list(spread(sleep, [tmp_path], ("cpu",), say=told))
    assert time.perf_counter() - since < 30
