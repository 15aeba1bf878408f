"""The CNN path: raw tiles into a network that is trained from scratch, seeded and repeatable.

A fit has two parts. The search learns from the learning half of the first usable inner split and
watches the loss on its judging half; it ends when that loss has not fallen for `patience` rounds.
The refit then learns anew from every example, for as many passes as were best. A plate has few
independent wells: leaving a third of twelve out of the model for good would cost more than the
judged weights are worth. With `refit=False` the best judged weights are the model.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from ..errors import ModelError, UsageError
from ..files import write_json
from .card import damaged, read_card, read_content, versions, write_content
from .cnn import build, check_architecture
from .examples import encode, usable_splits
from .optimise import (
    Examples,
    Tiles,
    learn,
    logits,
    planned,
    raw_batches,
    search,
    steps_in_a_pass,
    tile_shape,
)
from .preprocess import Levels, standardise
from .protocol import Inputs, Split
from .settings import CnnSettings, Device

__all__ = ["Cnn"]


class Cnn:
    """A small network on raw tiles; normalising, flips and turns are its own affair.

    Same data, settings and seed give the same weights, to the byte, on one machine with one
    number of threads. PyTorch's global generators and flags are left as they were.

    Parameters
    ----------
    settings : CnnSettings, optional
        How it learns.
    device : {"auto", "cpu", "cuda"}
        `auto` takes a CUDA device where there is one.
    on_epoch : callable, optional
        Told (done, planned) rounds while it searches; nothing is printed.

    Attributes
    ----------
    classes : tuple of str
        Class names, sorted; empty before `fit`.
    device_name : str
        What computes, for a message to the user.

    Raises
    ------
    UsageError
        For `cuda` where there is none, or an architecture that does not exist.

    Examples
    --------
    >>> tiles = np.random.default_rng(0).normal(100, 9, (8, 1, 16, 16)).astype(np.float32)
    >>> tiles[4:, :, ::4] += 90
    >>> split = (np.array([0, 1, 4, 5]), np.array([2, 3, 6, 7]))
    >>> model = Cnn(CnnSettings(steps=30), device="cpu")
    >>> facts = model.fit(tiles, ["plain"] * 4 + ["striped"] * 4, inner=[split], seed=0)
    >>> [model.classes[column] for column in model.scores(tiles[[0, 4]]).argmax(axis=1)]
    ['plain', 'striped']
    """

    name: ClassVar[str] = "cnn"

    def __init__(
        self,
        settings: CnnSettings | None = None,
        *,
        device: Device = "auto",
        on_epoch: Callable[[int, int], None] | None = None,
    ) -> None:
        self.settings = settings or CnnSettings()
        check_architecture(self.settings.architecture)
        self.classes: tuple[str, ...] = ()
        self._device = _device(device)
        self._on_epoch = on_epoch or (lambda done, planned: None)
        self._absolute = self.settings.brightness == "absolute"
        self._net: nn.Module | None = None
        self._levels: Levels | None = None
        self._tile_shape: tuple[int, int, int] = (0, 0, 0)

    @property
    def device_name(self) -> str:
        """What computes: `cpu (2 threads)` or `cuda (NVIDIA …)`."""
        if self._device.type == "cuda":
            return f"cuda ({torch.cuda.get_device_name(self._device)})"
        return f"cpu ({torch.get_num_threads()} threads)"

    def fit(
        self, inputs: Inputs, targets: Sequence[str], *, inner: Sequence[Split], seed: int
    ) -> dict[str, Any]:
        """Find how long to learn on the first usable inner split, then learn from every tile.

        Parameters
        ----------
        inputs : Inputs
            Raw tiles, shape (n, channels, y, x), y and x of at least 16.
        targets : sequence of str
            n class names.
        inner : sequence of Split
            The first whose learning half holds every class is used.
        seed : int
            Decides weights, batches, orientations and dropout.

        Returns
        -------
        dict
            `architecture`, `steps` (of the search: planned, taken, best), `refit_steps` (0
            without), `judged_loss`, `judged_tiles`, `weights` (their number).

        Raises
        ------
        DataError
            For tiles of a wrong shape or with values that are not finite, or fewer than two
            classes.
        DesignError
            When no inner split can be used.
        """
        classes, numbers = encode(inputs, targets)
        halves = usable_splits(inner, numbers, classes)[0]
        tile_shape(inputs)  # what is wrong with the tiles is said before they are all read
        levels = Levels.of(raw_batches(inputs)) if self._absolute else None
        tiles = self._tiles(inputs, levels)
        tiles.keep(self.settings.cache_mib)
        every, learning, judged = (
            Examples(tiles, numbers, np.asarray(index, dtype=np.intp), len(classes))
            for index in (np.arange(len(tiles)), *halves)
        )
        with _repeatable(self._device):
            net = self._fresh(tiles.shape, len(classes), seed)
            found = search(
                net,
                learning,
                judged,
                settings=self.settings,
                seed=seed,
                on_round=self._on_epoch,
            )
            refit_steps = self._refit_steps(found.steps, len(learning.index), len(tiles))
            if refit_steps:
                net = self._fresh(tiles.shape, len(classes), seed)
                for _ in learn(net, every, steps=refit_steps, settings=self.settings, seed=seed):
                    pass
            else:
                net.load_state_dict(found.weights)
        self.classes, self._net, self._levels = classes, net, levels
        self._tile_shape = tiles.shape
        return {
            "architecture": self.settings.architecture,
            "steps": {
                "planned": planned(len(learning.index), self.settings),
                "taken": found.taken,
                "best": found.steps,
            },
            "refit_steps": refit_steps,
            "judged_loss": found.loss,
            "judged_tiles": len(judged.index),
            "weights": sum(value.numel() for value in net.parameters()),
        }

    def scores(self, inputs: Inputs) -> NDArray[Any]:
        """Return the logits, each the mean over every flip and turn of its tile.

        Tiles may be larger or smaller than those learned from, as long as a pixel covers as
        much of the plate; they are read a batch at a time.

        Returns
        -------
        ndarray of float64, shape (n, classes)

        Raises
        ------
        ModelError
            When the tiles have another number of channels than those learned from.
        DataError
            For tiles of a wrong shape or with values that are not finite.
        UsageError
            Before `fit`.
        """
        net = self._fitted()
        tiles = self._tiles(inputs, self._levels)
        if tiles.shape[0] != self._tile_shape[0]:
            raise ModelError(
                f"{tiles.shape[0]} channels for a model of {self._tile_shape[0]}",
                remedy="give the channels that the model was trained on, in their order",
            )
        found = logits(net, tiles, np.arange(len(tiles)))
        return found.reshape(-1, len(self.classes)).numpy().astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write `cnn.safetensors` and `cnn.json` into a folder."""
        state = self._fitted().state_dict()
        tensors = {key: value.cpu().contiguous() for key, value in state.items()}
        write_content(folder / "cnn.safetensors", save_tensors(tensors))
        card = {
            "architecture": self.settings.architecture,
            "classes": list(self.classes),
            "levels": asdict(self._levels) if self._levels else None,
            "settings": asdict(self.settings),
            "tile_shape": list(self._tile_shape),
            "versions": versions("numpy", "safetensors", "torch"),
        }
        write_json(folder / "cnn.json", card)

    @classmethod
    def load(cls, folder: Path, *, device: Device = "auto") -> Self:
        """Read what `save` wrote; it scores as it did, and can be fitted anew.

        Raises
        ------
        ModelError
            For a file that is missing or damaged, or weights that do not fit the network.
        UsageError
            For `cuda` where there is none.
        """
        path = folder / "cnn.json"
        card = read_card(path, ("classes", "levels", "settings", "tile_shape", "versions"))
        _device(device)  # what is wrong with the device is not wrong with the file
        try:
            model = cls(CnnSettings(**card["settings"]), device=device)
            channels, rows, columns = (int(length) for length in card["tile_shape"])
            if card["levels"]:
                model._levels = Levels(
                    **{k: tuple(map(float, v)) for k, v in card["levels"].items()}
                )
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, f"describes no model ({error})") from error
        model.classes = tuple(card["classes"])
        model._tile_shape = (channels, rows, columns)
        with _repeatable(model._device):
            net = model._fresh(model._tile_shape, len(model.classes), 0)
        _fill(net, folder / "cnn.safetensors")
        model._net = net
        return model

    def _tiles(self, inputs: Inputs, levels: Levels | None) -> Tiles:
        prepare = levels.standardise if levels else standardise
        return Tiles(inputs, device=self._device, prepare=prepare)

    def _refit_steps(self, best: int, learned: int, every: int) -> int:
        """Return the steps that show every tile as often as the search had shown its own."""
        if not self.settings.refit:
            return 0
        passes = best / steps_in_a_pass(learned, self.settings.batch)
        return math.ceil(passes * steps_in_a_pass(every, self.settings.batch))

    def _fresh(self, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        net = build(
            self.settings.architecture,
            channels=shape[0],
            classes=classes,
            dropout=self.settings.dropout,
        )
        # on a CPU the strided convolutions learn two to four times faster in this order
        return net.to(self._device).to(memory_format=torch.channels_last)

    def _fitted(self) -> nn.Module:
        if self._net is None:
            raise UsageError("this model has learned nothing yet", remedy="call fit or load first")
        return self._net


def _device(name: str) -> torch.device:
    if name not in get_args(Device):
        raise UsageError(f"no device is called {name!r}", remedy="use auto, cpu or cuda")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UsageError("PyTorch finds no CUDA device", remedy="use the device cpu or auto")
    if name == "cpu" or not there:
        return torch.device("cpu")
    # cuBLAS repeats itself only with a workspace of its own; it reads this when it starts
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Allow only algorithms that repeat themselves; give generators and flags back as found.

    On a CPU every operation here repeats itself with the same number of threads, and the flag
    would cost seconds: setting it imports PyTorch's compiler.
    """
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[device]):
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=lenient)


def _fill(net: nn.Module, path: Path) -> None:
    """Put saved weights into a network; the error lists every key that does not fit."""
    try:
        tensors = load_tensors(read_content(path))
    except SafetensorError as error:
        raise damaged(path, f"cannot be loaded ({error})") from error
    wanted = net.state_dict()
    unfit = sorted(
        key
        for key in {*wanted, *tensors}
        if key not in wanted or key not in tensors or wanted[key].shape != tensors[key].shape
    )
    if unfit:
        raise damaged(path, f"weights do not fit the architecture: {', '.join(unfit)}")
    net.load_state_dict(tensors)
