"""What more than one test needs: the real plates, where they are."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

# Read when PyTorch starts: more threads than this only wait for each other on tiles this small.
os.environ.setdefault("OMP_NUM_THREADS", "2")
# Tests run beside each other: a thread that spins while it waits takes a core from another's work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from hts_classify.run import RunSettings


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let Ctrl-C interrupt, also where the suite was started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real plates; tests that use it are skipped where it is absent."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("HTS_CLASSIFY_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"real plates absent ({folder}; HTS_CLASSIFY_DATA names another place)")
    return folder


@pytest.fixture(scope="session")
def tiny_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated plate of 12 wells, two fields each, with a plate map beside it."""
    from hts_classify.synthetic import Recipe, write_plate

    recipe = Recipe(setting="texture", shape=(64, 64), fields=2, compounds=4, replicates=1)
    return write_plate(tmp_path_factory.mktemp("tiny") / "tiny.zarr", recipe)


@pytest.fixture
def holed(tiny_plate: Path, tmp_path: Path) -> Path:
    """A copy of the tiny plate with a field that cannot be read: it lacks a chunk."""
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    sorted(plate.glob("*/*/1/0/c/1/0/0"))[0].unlink()
    return plate


@pytest.fixture(scope="session")
def quick() -> RunSettings:
    """What a run is asked for where it matters that it ends, not how well it learns."""
    from hts_classify.models import CnnSettings
    from hts_classify.models.settings import Learning
    from hts_classify.run import RunSettings

    cnn = CnnSettings(learning=Learning(steps=4, epochs=1, patience=1))
    return RunSettings(target="phenotype", cnn=cnn, device="cpu")


@pytest.fixture(scope="session")
def tiny_run(
    tiny_plate: Path, quick: RunSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run over the tiny plate; tests read it and leave it as it is."""
    from hts_classify.run import run

    return run(tiny_plate, quick, out=tmp_path_factory.mktemp("run") / "tiny-hts")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3-compatible server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket of its own; the environment says how to reach it."""
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{uuid4().hex}"
    s3fs.S3FileSystem(endpoint_url=s3_server).mkdir(url)
    return url
