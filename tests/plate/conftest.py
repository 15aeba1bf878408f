from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from stores import Written, noise, write

from hts_classify.plate import remote


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a plate of 3 wells, 1, 2 and 1 fields of 2 × 16 × 20 uint16, unless told otherwise."""

    def _make(wells: Mapping[str, Sequence[np.ndarray]] | None = None, **how: Any) -> Path:
        if wells is None:
            fields = [noise(2, 16, 20, seed=seed) for seed in range(4)]
            wells = {"B/10": fields[:1], "B/2": fields[1:3], "A/3": fields[3:]}
        return write(tmp_path / "plate.ome.zarr", wells, Written(**how))

    return _make


@pytest.fixture(scope="module")
def s3() -> Iterator[Callable[[Path], str]]:
    """Copy a folder into a bucket of a server of its own, and return its URL."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "reader",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            patch.setenv(name, value)
        fsspec.config.set_conf_env(fsspec.config.conf)
        system = fsspec.filesystem("s3")

        def put(folder: Path) -> str:
            bucket = f"screens-{uuid4().hex}"
            system.mkdir(bucket)
            system.put(f"{folder}/", f"{bucket}/{folder.name}", recursive=True)
            return f"s3://{bucket}/{folder.name}"

        yield put
        fsspec.config.conf.pop("s3", None)
        remote._made.cache_clear()
        server.stop()
