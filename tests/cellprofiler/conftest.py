"""A real CellProfiler, where `HTS_CLASSIFY_CELLPROFILER` names its Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import Plan, Run

from hts_classify.cellprofiler import install

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cellprofiler_python() -> str:
    """The Python of an environment with CellProfiler and hts_classify in it."""
    named = os.environ.get("HTS_CLASSIFY_CELLPROFILER", "")
    if not named:
        pytest.skip("no CellProfiler (HTS_CLASSIFY_CELLPROFILER names the Python that has it)")
    return named


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plug-ins directory with our modules in it."""
    folder = tmp_path_factory.mktemp("plugins")
    install(folder)
    return folder


@pytest.fixture(scope="session")
def run_pipeline(cellprofiler_python: str, plugin_folder: Path) -> Run:
    """Run a headless CellProfiler on a plan (`pipelines.py`); its files are in `folder/out`."""

    def run(folder: Path, modules: Plan) -> subprocess.CompletedProcess[str]:
        plan, pipeline = folder / "plan.json", folder / "pipeline.cppipe"
        plan.write_text(json.dumps({"plugins": str(plugin_folder), "modules": list(modules)}))
        making = [cellprofiler_python, str(HERE / "pipelines.py"), str(plan), str(pipeline)]
        made = subprocess.run(making, capture_output=True, text=True, cwd=folder, timeout=120)
        assert not made.returncode, made.stderr[-3000:]
        running = [cellprofiler_python, "-m", "cellprofiler", "-c", "-r", "-p", str(pipeline)]
        running += ["--plugins-directory", str(plugin_folder), "-o", str(folder / "out")]
        return subprocess.run(running, capture_output=True, text=True, cwd=folder, timeout=300)

    return run


@pytest.fixture(scope="session")
def inside(cellprofiler_python: str, plugin_folder: Path) -> Callable[..., Any]:
    """Call a function of `without_java.py` in CellProfiler's Python; return what it says."""

    def call(name: str, *arguments: Path) -> Any:
        command = [cellprofiler_python, str(HERE / "without_java.py"), str(plugin_folder), name]
        command += map(str, arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert not done.returncode, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    assert sys.platform != "win32", "the tests start CellProfiler as Linux and macOS do"
    return call
