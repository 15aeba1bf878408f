"""The CNN path's model: raw tiles into a network, seeded and repeatable."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...errors import ModelError, UsageError
from ...files import digest, write_json
from ..calibrate import by_field, temperature
from ..card import damaged, read_card, read_content, versions, write_content
from ..diagnosis import diagnose
from ..examples import encode, usable_splits
from ..protocol import Inputs, Maps, Origin, Split
from ..settings import NETWORKS, CnnSettings
from .cam import class_maps
from .checkpoint import Checkpoint
from .device import describe, pick, repeatable
from .fitting import Fit, Trained, train
from .inference import TileViews, outputs
from .networks import Net, check_tile, folded, learned, make_network
from .scaling import Scale
from .tiles import Tiles, batched

__all__ = ["Cnn"]

_CARD = (
    *("channels", "classes", "scale", "settings", "side"),
    *("temperature", "tile_shape", "versions"),
)


class Cnn:
    """A network on raw tiles; scaling, flips and turns are its own affair.

    Same data, settings and seed give the same weights, to the byte, on one machine with one
    number of threads. PyTorch's global generators and flags are left as they were.

    Parameters
    ----------
    settings : CnnSettings, optional
        How it is made and learns.
    device : str, optional
        `auto` takes a GPU where there is one; `cpu`, `cuda`, `cuda:1`, `mps`.
    channels : sequence of str, optional
        Names of the tiles' channels, in order; kept with the model.
    checkpoint : Path, optional
        Folder in which a fit keeps its state after each round, and from which it goes on; whoever
        has saved the model deletes it.
    cache : mutable mapping, optional
        Shared by fits that differ in their folds alone: features of a frozen body.
    on_epoch : callable, optional
        Told (done, planned) rounds while it learns; nothing is printed.
    say : callable, optional
        Told what a user should know: a head that was dropped, batches that were cut.

    Attributes
    ----------
    classes : tuple of str
        Class names, sorted; empty before `fit`.
    channels : tuple of str
        Names of the channels that it was trained on; empty where nobody said.
    temperature : float
        What scores are divided by before a softmax makes probabilities of them.
    device_name : str
        What computes, for a message to the user.

    Raises
    ------
    UsageError
        For a device that this machine lacks.

    Examples
    --------
    >>> from hts_classify.models.settings import Learning
    >>> tiles = np.random.default_rng(0).normal(100, 9, (8, 1, 16, 16)).astype(np.float32)
    >>> tiles[4:, :, ::4] += 90
    >>> split = (np.array([0, 1, 4, 5]), np.array([2, 3, 6, 7]))
    >>> model = Cnn(CnnSettings(learning=Learning(steps=30, epochs=1)), device="cpu")
    >>> facts = model.fit(tiles, ["plain"] * 4 + ["striped"] * 4, inner=[split], seed=0)
    >>> [model.classes[column] for column in model.scores(tiles[[0, 4]]).argmax(axis=1)]
    ['plain', 'striped']
    """

    name: ClassVar[str] = "cnn"

    def __init__(
        self,
        settings: CnnSettings | None = None,
        *,
        device: str = "auto",
        channels: Sequence[str] = (),
        checkpoint: Path | None = None,
        cache: MutableMapping[Any, Any] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings or CnnSettings()
        self.classes: tuple[str, ...] = ()
        self.channels = tuple(channels)
        self.temperature = 1.0
        self._device = pick(device)
        self._checkpoint, self._cache = checkpoint, cache
        self._on_epoch = on_epoch or (lambda done, planned: None)
        self._said: list[str] = []
        self._tell = say or (lambda text: None)
        self._net: Net | None = None
        self._body: nn.Module | None = None
        self._scale: Scale | None = None
        self._tile_shape: tuple[int, ...] = (0, 0, 0)
        self._side = 0

    @property
    def features(self) -> int:
        """How many numbers a point has; 0 before `fit`."""
        return self._net.head.in_features if self._net else 0

    @property
    def needs_controls(self) -> bool:
        """Whether it brings a plate to the scale of its controls, before it can score it."""
        return self.settings.scaling == "controls"

    @property
    def least_controls(self) -> int:
        """Of how many wells these must be."""
        return int(self.needs_controls)

    @property
    def device_name(self) -> str:
        """What computes: `cpu (2 threads)` or `cuda (NVIDIA …)`."""
        return describe(self._device)

    def check_weights(self, *, channels: int, classes: int) -> None:
        """Make the network as a fit would, and forget it.

        Raises
        ------
        ModelError
            For weights that are damaged, cannot be fetched, or do not fit.
        """
        with repeatable(self._device):
            make_network(self.settings, channels=channels, classes=classes, say=lambda text: None)

    def fit(
        self,
        inputs: Inputs,
        targets: Sequence[str],
        *,
        inner: Sequence[Split],
        seed: int,
        origin: Origin | None = None,
    ) -> dict[str, Any]:
        """Find how long to learn on the first usable inner split, then learn from every tile.

        Parameters
        ----------
        inputs : Inputs
            Raw tiles, shape (n, channels, y, x), as large as the network takes.
        targets : sequence of str
            n class names.
        inner : sequence of Split
            The first whose learning half holds every class is used.
        seed : int
            Decides weights, batches, augmentation and dropout.
        origin : Origin, optional
            Plates of the tiles and their controls, for the scaling `controls`.

        Returns
        -------
        dict
            What was chosen and seen (JSON): see `hts_classify.models.diagnosis`.

        Raises
        ------
        DataError
            For tiles of a wrong shape or with values that are not finite, fewer than two
            classes, or a loss that is no longer finite.
        DesignError
            When no inner split can be used, or a plate lacks controls to be scaled by.
        ModelError
            For weights that do not fit the network, or a checkpoint that is damaged or of
            another fit.
        UsageError
            When memory does not hold two tiles.
        """
        self._said, self._side = [], 0
        classes, numbers = encode(inputs, targets)
        halves = usable_splits(inner, numbers, classes)[0]
        raw = self._tiles(inputs)
        scale = Scale.fit(self.settings.scaling, inputs, origin)
        # the controls are measured already
        tiles = raw.prepared(scale.bound(replace(origin, controls={}) if origin else None))
        if not tiles.keep(self.settings.cache_mib):
            self._tell(f"{len(tiles)} tiles are read batch by batch: --cache-mib keeps no more")
        identity = {
            "settings": self._said_settings(),
            "tiles": hashlib.sha256(tiles.sample()).hexdigest(),
            "seed": seed,
            "classes": list(classes),
            "targets": digest(numbers.tolist()),
            "split": digest(*(np.asarray(half).tolist() for half in halves)),
            "scale": digest(scale.as_json()),
            "shape": list(tiles.shape),
            "weights": digest(weights)
            if (weights := Path(self.settings.weights)).is_file()
            else "",
        }
        fit = Fit(
            self.settings,
            seed,
            len(classes),
            lambda: self._fresh(tiles.shape[0], len(classes), seed),
            Checkpoint(self._checkpoint, identity),
            self._on_epoch,
            self._say,
            getattr(inputs, "keys", None),
            self._cache if self.settings.scaling == "tile" else None,
        )
        with repeatable(self._device):
            trained = train(fit, tiles, numbers, halves)
        self.classes, self._scale = classes, scale
        self._net, self._body = trained.net, folded(trained.net.body)
        self._tile_shape, self._side = tiles.shape, tiles.longest
        truth = numbers[np.asarray(halves[1], dtype=np.intp)]
        judged = (trained.judged, truth)
        fields = None if origin is None or origin.fields is None else np.asarray(origin.fields)
        if fields is not None:
            judged = by_field(*judged, fields[halves[1]])
        self.temperature = temperature(*judged)
        crops = fields is not None and len(np.unique(fields)) < len(fields)
        return self._facts(trained, numbers, truth, crops=crops)

    def scores(self, inputs: Inputs, *, origin: Origin | None = None) -> NDArray[Any]:
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
            For tiles of a wrong shape or with values that are not finite, or a plate that
            nothing scales.
        UsageError
            Before `fit`.
        """
        return self.scores_of(self.embedded(inputs, origin=origin))

    def embedded(
        self, inputs: Inputs, *, origin: Origin | None = None, briefly: bool = False
    ) -> NDArray[Any]:
        """Return the pooled features of each tile, the mean over every flip and turn of it.

        Parameters
        ----------
        inputs, origin
            As for `scores`.
        briefly : bool, optional
            Of the tile as it is alone.

        Returns
        -------
        ndarray of float64, shape (n, features)

        Raises
        ------
        ModelError, DataError, UsageError
            As `scores`.
        """
        net, body, _ = self._fitted()
        views = self._views(inputs, origin)
        every = self.settings.views and not briefly
        found = outputs(body, views, np.arange(len(inputs)), self.settings, every=every)
        return found.reshape(-1, net.head.in_features).numpy().astype(np.float64)

    def scores_of(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return the logits of tiles by their pooled features.

        The head is linear: of the mean over views it makes the mean logits.
        """
        net, *_ = self._fitted()
        with torch.inference_mode():
            seen = torch.from_numpy(np.ascontiguousarray(points, np.float32))
            bias = net.head.bias.cpu()
            return (seen @ net.head.weight.cpu().T + bias).numpy().astype(np.float64)

    def maps(self, inputs: Inputs, *, origin: Origin | None = None) -> Maps:
        """Return where the network sees each class in each tile as it is: Grad-CAM, see `cam`.

        Returns
        -------
        Maps
            At the resolution of the network's last feature map.

        Raises
        ------
        ModelError, DataError, UsageError
            As `scores`.
        """
        net, *_ = self._fitted()
        views = self._views(inputs, origin)
        found = []
        for _, batch in views.batches(batched(np.arange(len(inputs)), views.together)):
            (view,) = views.views(batch, every=False)
            found.append(class_maps(net, view).numpy())
        none = np.empty((0, len(self.classes), 1, 1), np.float32)
        y, x = views.shape[1:]
        covered = (net.crop / y, net.crop / x) if net.crop else (1.0, 1.0)
        return Maps(np.concatenate(found or [none]), covered)

    def save(self, folder: Path) -> None:
        """Write `cnn.safetensors` and `cnn.json` into a folder."""
        from safetensors.torch import save as save_tensors

        net, _, scale = self._fitted()
        tensors = {key: value.cpu().contiguous() for key, value in net.state_dict().items()}
        write_content(folder / "cnn.safetensors", save_tensors(tensors))
        card = {
            "channels": list(self.channels),
            "classes": list(self.classes),
            "scale": scale.as_json(),
            "settings": self._said_settings(),
            "side": self._side,
            "temperature": self.temperature,
            "tile_shape": list(self._tile_shape),
            "versions": versions("numpy", "safetensors", "torch", "torchvision"),
        }
        write_json(folder / "cnn.json", card)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote; it scores as it did, and can be fitted anew.

        Raises
        ------
        ModelError
            For a file that is missing or damaged, or weights that do not fit the network.
        UsageError
            For a device that this machine lacks.
        """
        path = folder / "cnn.json"
        card = read_card(path, _CARD)
        pick(device)  # what is wrong with the device is not wrong with the file
        try:
            model = cls(
                CnnSettings.from_json(card["settings"]),
                device=device,
                channels=card["channels"],
            )
            model._tile_shape = tuple(int(length) for length in card["tile_shape"])
            model._scale = Scale.from_json(card["scale"])
            model.temperature, model._side = float(card["temperature"]), int(card["side"])
            if not 0 < model.temperature < math.inf:
                raise ValueError(f"a temperature of {model.temperature}")
            model.classes = tuple(card["classes"])
            channels, _, _ = model._tile_shape
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, f"describes no model ({error})") from error
        with repeatable(model._device):
            # as it was made, but for the weights that it started from
            plain = replace(model.settings, weights="", tune="all")
            net = make_network(
                plain, channels=channels, classes=len(model.classes), say=lambda text: None
            )
        _fill(net, folder / "cnn.safetensors")
        model._net = _placed(net, model._device)
        model._body = folded(model._net.body)
        return model

    def _facts(
        self,
        trained: Trained,
        numbers: NDArray[np.intp],
        truth: NDArray[np.intp],
        *,
        crops: bool,
    ) -> dict[str, Any]:
        """Say what was chosen and seen; `crops`: a field has several inputs."""
        settings, found = self.settings, trained.found
        count = len(self.classes)
        confusion = np.zeros((count, count), int)
        np.add.at(confusion, (truth, trained.judged.argmax(axis=1)), 1)
        facts = {
            "network": settings.network,
            "weights_from": Path(settings.weights).name,
            "tune": settings.tune,
            "scaling": settings.scaling,
            "parameters": sum(value.numel() for value in trained.net.parameters()),
            "learned_parameters": sum(v.numel() for v in learned(trained.net, settings)),
            "classes": dict(
                zip(self.classes, np.bincount(numbers, minlength=count).tolist(), strict=True)
            ),
            "steps": {"planned": found.pace.steps, "taken": found.taken, "best": found.steps},
            "refit_steps": trained.refit_steps,
            "batch": settings.learning.batch,
            "accumulate": found.parts,
            "learning_rate": found.pace.rate,
            "weight_decay": found.pace.decay,
            "temperature": self.temperature,
            "judged_loss": found.loss,
            "crops": crops,
            "judged_tiles": len(truth),
            "judged_confusion": confusion.tolist(),
            "trials": found.trials,
            "curve": found.curve,
            "said": list(self._said),
        }
        return facts | {"diagnosis": diagnose(facts)}

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.append(text)
            self._tell(text)

    def _said_settings(self) -> dict[str, Any]:
        """Return the settings; where weights lie and tiles are kept says nothing."""
        name = Path(self.settings.weights).name
        return replace(self.settings, weights=name, cache_mib=None).as_json()

    def _tiles(self, inputs: Inputs) -> Tiles:
        """Return raw tiles; those that the network cannot take are refused before they are read."""
        settings = self.settings
        raw = Tiles(
            inputs,
            device=self._device,
            enlarge=settings.enlarge,
            learned=self._side,
            widest=NETWORKS[settings.network].widest,
        )
        check_tile(settings.network, raw.shape)
        return raw

    def _views(self, inputs: Inputs, origin: Origin | None) -> TileViews:
        """Return tiles as the network that has learned sees them."""
        net, _, scale = self._fitted()
        raw = self._tiles(inputs)
        if raw.shape[0] != self._tile_shape[0]:
            raise ModelError(
                f"{raw.shape[0]} channels for a model of {self._tile_shape[0]}",
                remedy="give the channels that the model was trained on, in their order",
            )
        return TileViews(raw.prepared(scale.bound(origin)), self.settings, net.crop)

    def _fresh(self, channels: int, classes: int, seed: int) -> Net:
        torch.manual_seed(seed)
        net = make_network(self.settings, channels=channels, classes=classes, say=self._say)
        return _placed(net, self._device)

    def _fitted(self) -> tuple[Net, nn.Module, Scale]:
        if self._net is None or self._body is None or self._scale is None:
            raise UsageError("this model has learned nothing yet", remedy="call fit or load first")
        return self._net, self._body, self._scale


def _placed(net: Net, device: torch.device) -> Net:
    # on a CPU convolutions learn two to four times faster in this order
    placed: Net = net.to(device).to(memory_format=torch.channels_last)
    return placed


def _fill(net: Net, path: Path) -> None:
    """Put saved weights into a network; the error lists every key that does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load as load_tensors

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
        raise damaged(path, f"weights do not fit the network: {', '.join(unfit)}")
    net.load_state_dict(tensors)
