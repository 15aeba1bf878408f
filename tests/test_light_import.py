"""The package opens without its parts, and the CNN works where there is little else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hts_classify

FENCE = """
import importlib.metadata, json, sys

copy, refused = sys.argv[1], set(json.loads(sys.argv[2]))


class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in refused:
            return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


def version(name, found=importlib.metadata.version):
    if name.replace("-", "_") in refused:
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)


importlib.metadata.version = version
sys.meta_path[:] = map(Without, sys.meta_path)
sys.path.insert(0, copy)
import hts_classify

assert hts_classify.__file__.startswith(copy), hts_classify.__file__
"""

LEARN = """
import numpy as np
from hts_classify.models.cnn.model import Cnn
from hts_classify.models.settings import CnnSettings, Learning

tiles = np.random.default_rng(0).normal(100, 9, (8, 1, 16, 16)).astype(np.float32)
tiles[4:, :, ::4] += 90
split = (np.array([0, 1, 4, 5]), np.array([2, 3, 6, 7]))
model = Cnn(CnnSettings(learning=Learning(steps=30, epochs=1)), device="cpu")
model.fit(tiles, ["plain"] * 4 + ["striped"] * 4, inner=[split], seed=0)
print([model.classes[column] for column in model.scores(tiles).argmax(axis=1)])
"""


@pytest.fixture(scope="module")
def bare_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree alone, as somebody would copy it: nothing compiled, nothing installed."""
    folder = tmp_path_factory.mktemp("bare")
    source = Path(next(iter(hts_classify.__path__)))
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(source, folder / "hts_classify", ignore=ignored)
    return folder


def run_in(folder: Path, code: str, allowed: set[str]) -> str:
    """Run code on the copy where every distribution but these cannot be imported."""
    refused = [
        module
        for module, distributions in packages_distributions().items()
        if module != "hts_classify"
        and not allowed & {canonicalize_name(distribution) for distribution in distributions}
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", FENCE + code, str(folder), json.dumps(refused)],
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def needs(*names: str) -> Iterator[str]:
    """Name these distributions, and all that they cannot do without here."""
    for name in names:
        yield canonicalize_name(name)
        found = map(Requirement, requires(name) or [])
        yield from needs(
            *(one.name for one in found if one.marker is None or one.marker.evaluate({"extra": ""}))
        )


def test_the_package_opens_where_there_is_nothing_else(bare_copy: Path) -> None:
    code = "print('HTSError' in dir(hts_classify), hts_classify.HTSError.__name__)"
    assert run_in(bare_copy, code, set()) == "True HTSError"


def test_settings_of_the_cnn_can_be_read_without_pytorch(bare_copy: Path) -> None:
    code = "from hts_classify.models.settings import CnnSettings; print(CnnSettings().network)"
    assert run_in(bare_copy, code, {"numpy"}) == "compact"


def test_the_cnn_learns_and_scores_with_pytorch_torchvision_and_numpy_alone(
    bare_copy: Path,
) -> None:
    answer = run_in(bare_copy, LEARN, set(needs("torch", "torchvision", "numpy")))
    assert answer == str(["plain"] * 4 + ["striped"] * 4)


def test_every_public_name_is_there_and_is_no_module() -> None:
    found = {name: getattr(hts_classify, name) for name in hts_classify.__all__}
    assert not [name for name, value in found.items() if isinstance(value, ModuleType)]
    assert set(hts_classify.__all__) <= set(dir(hts_classify))
    assert found.keys() == {*hts_classify._HOMES, "__version__"}


@pytest.mark.parametrize("name", ["compare", "extract", "predict", "report", "run"])
def test_a_function_stays_one_when_the_module_of_its_name_is_imported_first(name: str) -> None:
    code = f"import hts_classify.{name}; from hts_classify import {name}; print(type({name}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(FunctionType)


def test_a_name_that_is_not_there_is_an_attribute_error_that_says_it() -> None:
    with pytest.raises(AttributeError, match="'hts_classify' has no attribute 'classify'"):
        hts_classify.classify  # type: ignore[attr-defined]  # noqa: B018
