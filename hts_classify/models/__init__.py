"""Two classifiers behind one protocol, so that a run treats both paths alike.

::

    protocol    fit, scores, save, load: what a run may ask of a path
       ├── svm        "tas_svm": statistics, standardised, into an RBF support vector machine
       └── training   "cnn": raw tiles into a network that is trained from scratch
             ├── settings     how one fit goes
             ├── preprocess   grey levels to one scale, flips and turns
             ├── cnn          the networks
             └── optimise     steps, schedule, early stopping
    examples    class names to numbers, and which inner splits can be used
    card        the JSON beside the weights, for both

The models see arrays and splits of indices; they know nothing of plates, wells or folds.
Importing this package imports neither scikit-learn nor PyTorch: `make` and `load` do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..vocabulary import PATHS
from .settings import CnnSettings, Device

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocol import Classifier

__all__ = ["CnnSettings", "device_name", "load", "make"]


def make(
    path_name: str,
    *,
    settings: CnnSettings | None = None,
    device: Device = "auto",
    on_epoch: Callable[[int, int], None] | None = None,
) -> Classifier:
    """Make the untrained classifier of one path.

    Parameters
    ----------
    path_name : {"tas_svm", "cnn"}
        The path, as tables and files name it.
    settings : CnnSettings, optional
        How the CNN learns; the SVM has nothing to set, it chooses on its inner splits.
    device : {"auto", "cpu", "cuda"}
        Where the CNN computes.
    on_epoch : callable, optional
        Told (done, planned) rounds while the CNN learns.

    Raises
    ------
    UsageError
        For a path that does not exist, or a device that this machine lacks.

    Examples
    --------
    >>> make("tas_svm").name
    'tas_svm'
    """
    if path_name == "tas_svm":
        from .svm import TasSvm

        return TasSvm()
    if path_name == "cnn":
        from .training import Cnn

        return Cnn(settings or CnnSettings(), device=device, on_epoch=on_epoch)
    raise _unknown(path_name)


def device_name(device: Device = "auto") -> str:
    """Say what the CNN would run on: `cpu (2 threads)` or `cuda (NVIDIA …)`.

    Raises
    ------
    UsageError
        For a device that this machine lacks.
    """
    from .training import Cnn

    return Cnn(device=device).device_name


def load(path_name: str, folder: Path, *, device: Device = "auto") -> Classifier:
    """Read one path's trained classifier from the folder that `save` wrote into.

    Raises
    ------
    ModelError
        For a file that is missing or damaged, by its name.
    UsageError
        For a path that does not exist, or a device that this machine lacks.
    """
    if path_name == "tas_svm":
        from .svm import TasSvm

        return TasSvm.load(folder)
    if path_name == "cnn":
        from .training import Cnn

        return Cnn.load(folder, device=device)
    raise _unknown(path_name)


def _unknown(path_name: str) -> UsageError:
    return UsageError(f"no path is called {path_name!r}", remedy=f"use {' or '.join(PATHS)}")
