"""Two classifiers behind one protocol, so that a run treats both paths alike.

::

    protocol    fit, scores, save, load: what a run may ask of a path
       ├── svm        "tas_svm": statistics, standardised, into an RBF support vector machine
       │     switching   what it makes of examples whose single statistics are exchanged
       └── cnn/       "cnn": raw tiles into a network, from scratch or from weights
    settings    how one CNN is made and trained, without PyTorch
    examples    class names to numbers, and which inner splits can be used
    normalise   features of each plate to the scale of its controls
    calibrate   scores to probabilities, for both
    card        the JSON beside the weights, for both

The models see arrays and splits of indices; they know nothing of plates, wells or folds.
Importing this package imports neither scikit-learn nor PyTorch: `make` and `load` do.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..vocabulary import PATHS
from .settings import CnnSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .normalise import Method
    from .protocol import Classifier

__all__ = [
    "CnnSettings",
    "check_network",
    "device_name",
    "load",
    "make",
    "scoring_threads",
    "set_threads",
    "threads",
]


def make(
    path_name: str,
    *,
    normalise: Sequence[Method] = ("none",),
    settings: CnnSettings | None = None,
    device: str = "auto",
    channels: Sequence[str] = (),
    checkpoint: Path | None = None,
    cache: dict[Any, Any] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Classifier:
    """Make the untrained classifier of one path.

    Parameters
    ----------
    path_name : {"tas_svm", "cnn"}
        The path, as tables and files name it.
    normalise : sequence of {"none", "standard", "robust", "tvn"}, optional
        What the SVM chooses from; see `hts_classify.models.normalise`.
    settings : CnnSettings, optional
        How the CNN is made and learns, as all that follows is the CNN's, but for `say`.
    device : str, optional
        Where it computes: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
    channels : sequence of str, optional
        Names of the tiles' channels, kept with the model.
    checkpoint : Path, optional
        What an interrupted fit leaves, and goes on from.
    cache : dict, optional
        What fits on the same tiles share: features of a frozen network.
    on_epoch : callable, optional
        Told (done, planned) rounds while it learns.
    say : callable, optional
        Told what should be known.

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

        return TasSvm(normalise, say=say)
    if path_name == "cnn":
        from .cnn.model import Cnn

        return Cnn(
            settings or CnnSettings(),
            device=device,
            channels=channels,
            checkpoint=checkpoint,
            cache=cache,
            on_epoch=on_epoch,
            say=say,
        )
    raise _unknown(path_name)


def check_network(settings: CnnSettings, *, channels: int, classes: int) -> None:
    """Make a network once, before long work: weights that do not fit show now.

    Raises
    ------
    ModelError
        For weights that are damaged, cannot be fetched, or do not fit.
    UsageError
        For a network whose package is absent.
    """
    from .cnn.model import Cnn

    Cnn(settings, device="cpu").check_weights(channels=channels, classes=classes)


def device_name(device: str = "auto") -> str:
    """Say what the CNN would run on: `cpu (2 threads)` or `cuda (NVIDIA …)`.

    Raises
    ------
    UsageError
        For a device that this machine lacks.
    """
    from .cnn.device import describe, pick

    return describe(pick(device))


def threads() -> int:
    """Return how many threads the CNN learns on, on the CPU; its last digits depend on them."""
    from .cnn.device import threads

    return threads()


def set_threads(count: int) -> None:
    """Take as many threads as another process does, whatever this one's environment says."""
    from .cnn.device import set_threads

    set_threads(count)


@contextmanager
def scoring_threads(device: str) -> Iterator[ThreadPoolExecutor]:
    """Start threads in which models score: on a CPU one a core, each by itself; one for a GPU.

    What a thread scores does not depend on the number of cores, to the last bit. How many threads
    PyTorch takes is one number for the whole process: two of these must not go on at once.
    """
    from .cnn.device import pick

    count = threads()
    cores = count if pick(device).type == "cpu" else 1
    with ThreadPoolExecutor(cores, "calling", set_threads, (1,)) as pool:
        try:
            yield pool
        finally:
            try:
                pool.shutdown(cancel_futures=True)
            finally:
                set_threads(count)  # what new threads take


def load(path_name: str, folder: Path, *, device: str = "auto") -> Classifier:
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
        from .cnn.model import Cnn

        return Cnn.load(folder, device=device)
    raise _unknown(path_name)


def _unknown(path_name: str) -> UsageError:
    return UsageError(f"no path is called {path_name!r}", remedy=f"use {' or '.join(PATHS)}")
