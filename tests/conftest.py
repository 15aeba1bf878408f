"""What more than one test needs: the real plates, where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Read when PyTorch starts: more threads than this only wait for each other on tiles this small.
os.environ.setdefault("OMP_NUM_THREADS", "2")

if TYPE_CHECKING:
    from hts_classify.run import RunSettings


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


@pytest.fixture(scope="session")
def quick() -> RunSettings:
    """What a run is asked for where it matters that it ends, not how well it learns."""
    from hts_classify.models import CnnSettings
    from hts_classify.run import RunSettings

    cnn = CnnSettings(steps=4, epochs=1, patience=1)
    return RunSettings(target="phenotype", cnn=cnn, device="cpu")


@pytest.fixture(scope="session")
def tiny_run(
    tiny_plate: Path, quick: RunSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run over the tiny plate; tests read it and leave it as it is."""
    from hts_classify.run import run

    return run(tiny_plate, quick, out=tmp_path_factory.mktemp("run") / "tiny-hts")
