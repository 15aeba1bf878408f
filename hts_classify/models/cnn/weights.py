"""Weights from elsewhere into one of our networks.

Files hold one of two namings:

- ours, what `Cnn.save` writes: `body.…` and `head.…`. They fit a network of as many channels only.
- torchvision's or timm's own names. Those of the classifier (`fc.…`, `classifier.…`) become
  `head.…`, all others `body.…`.

A first layer of three channels, where there are not three, is adapted: its mean over red, green
and blue, repeated for every channel and multiplied by 3 / channels. With the same plane in every
channel it then answers as the unadapted one does to grey. Three channels are taken as they are.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from ...errors import ModelError, UsageError

if TYPE_CHECKING:
    from .networks import Net

__all__ = ["imagenet", "read_weights", "start_from", "timm"]

_WRAPPERS: Final = ("state_dict", "model")
"""Keys under which training scripts keep the state dict."""

_COUNTER: Final = "num_batches_tracked"
"""Ends the names of what batch norms count and nothing reads; some files lack them."""

_SHOWN: Final = 10
"""Keys that an error lists."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights: safetensors or what `torch.save` made of a state dict, by content.

    Nothing in the file is executed. The state dict may be the value of `state_dict` or `model`,
    and its keys may begin with the `module.` of a parallel run.

    Parameters
    ----------
    path : Path
        A local file.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    ModelError
        When the file is absent, damaged, holds code, or holds something else than tensors.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "net.pth"
    >>> torch.save({"state_dict": {"module.fc.bias": torch.ones(2)}}, path)
    >>> read_weights(path)
    {'fc.bias': tensor([1., 1.])}
    """
    content = _content(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise _unusable(path, "holds no tensors by name")
    for key, value in content.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise _unusable(path, f"holds no tensor but {type(value).__name__} at {key!r}")
    return {key.removeprefix("module."): value for key, value in content.items()}


def imagenet(name: str) -> dict[str, Tensor]:
    """Fetch a network's ImageNet weights (torchvision's first, timm's default), or from its cache.

    torchvision's second edition classifies ImageNet better; its soft targets make poorer features
    (Kornblith et al., NeurIPS 2021).

    Raises
    ------
    ModelError
        When they cannot be fetched.
    UsageError
        When timm is needed and absent.
    """
    try:
        if name == "inception_resnet_v2":
            state: dict[str, Tensor] = timm().create_model(name, pretrained=True).state_dict()
            return state
        weights = import_module("torchvision.models").get_model_weights(name).IMAGENET1K_V1
        return dict(
            torch.hub.load_state_dict_from_url(
                weights.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        )
    except UsageError:
        raise
    except Exception as error:  # no network, no right to write the cache, a damaged file in it
        raise ModelError(
            f"the ImageNet weights of {name} cannot be fetched ({_first_line(error)})",
            remedy="fetch them where there is a network, and name the file with --weights",
        ) from error


def timm() -> Any:
    """Import timm; `UsageError` says how to get it."""
    try:
        return import_module("timm")
    except ImportError:
        raise UsageError(
            "inception_resnet_v2 needs timm, which is not installed",
            remedy="pip install 'hts_classify[timm]'",
        ) from None


def start_from(
    net: Net,
    tensors: Mapping[str, Tensor],
    *,
    first: str,
    head: str,
    where: str,
    say: Callable[[str], None],
) -> None:
    """Put weights into a network; a head that does not fit stays as it was, and that is said.

    Parameters
    ----------
    net : Net
        Its body and head are changed.
    tensors : mapping of str to Tensor
        Weights in either naming.
    first, head : str
        Where in the body, by its own names, the first convolution is, and the head was.
    where : str
        Where the weights come from, for messages.
    say : callable
        Told what was left out.

    Raises
    ------
    ModelError
        When anything but the head does not fit; it lists the keys.
    """
    body, heads, notes = _split(
        {key: value for key, value in tensors.items() if not key.endswith(_COUNTER)}, head
    )
    wanted = net.body.state_dict()
    layer = f"{first}.weight"
    given, needed = body.get(layer), int(wanted[layer].shape[1])
    if given is not None and given.ndim == 4 and (channels := int(given.shape[1])) != needed:
        if _ours(tensors):
            raise ModelError(
                f"these weights are for {channels} channels, and the tiles have {needed}",
                where=where,
                remedy="use the channels that they were trained on, or other weights",
            )
        if channels == 3 and _sound(given):
            body[layer] = given.mean(dim=1, keepdim=True).expand(-1, needed, -1, -1) * (3 / needed)
            notes.append(f"the first layer's mean over RGB is used for each of {needed} channels")
    if unfit := _unfit(body, wanted):
        raise ModelError(
            f"these weights do not fit the network: {unfit}",
            where=where,
            remedy="name weights of this network, or the network of these weights",
        )
    net.body.load_state_dict(wanted | body)
    notes.insert(0, _fill_head(net.head, heads))
    for note in notes:
        say(f"weights {where}: {note}")


def _content(path: Path) -> Any:
    """Return what is in a file, whatever it may be."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), remedy="name a file of weights"
        ) from None
    try:
        if start[8:] == b"{":
            from safetensors.torch import load

            return load(path.read_bytes())
        if start[:2] in (b"PK", b"\x80\x02"):
            if start[:2] == b"PK":
                _check_archive(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        what = "is damaged, or holds more than tensors (code in a file is never run)"
        raise _unusable(path, what) from None
    except Exception as error:  # what a damaged file raises has no common kind
        raise _unusable(path, f"is damaged or cut short ({_first_line(error)})") from None
    raise _unusable(path, "is neither safetensors nor from torch.save")


def _check_archive(path: Path) -> None:
    """Hold what `torch.save` wrote against its own checksums: PyTorch does not."""
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise ValueError(f"{broken} does not match its checksum")


def _ours(tensors: Mapping[str, Tensor]) -> bool:
    return all(key.startswith(("body.", "head.")) for key in tensors)


def _split(
    tensors: Mapping[str, Tensor], head: str
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[str]]:
    """Part what is the body's, by its own names, from the heads; and say what is left out."""
    if _ours(tensors):
        prefixes = ("body.", "head.")
        body, heads = (
            {key.removeprefix(start): tensors[key] for key in tensors if key.startswith(start)}
            for start in prefixes
        )
        return body, heads, []
    heads = {key: value for key, value in tensors.items() if head and key.startswith(f"{head}.")}
    side = [key for key in tensors if key.startswith("AuxLogits.")]
    body = {
        # DenseNets of before 2018, which torchvision still hands out, have a dot more
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): value
        for key, value in tensors.items()
        if key not in heads and key not in side
    }
    return body, heads, ["the auxiliary head is left out"] if side else []


def _unfit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """List the keys that do not fit, the first of them; empty when all do."""
    unfit = [f"{key} is absent" for key in wanted if key not in given and _COUNTER not in key]
    unfit += [f"{key} is not known" for key in given if key not in wanted]
    for key in sorted(given.keys() & wanted.keys()):
        if (shape := given[key].shape) != (right := wanted[key].shape):
            unfit.append(f"{key} is {tuple(shape)} and not {tuple(right)}")
        elif not _sound(given[key]):
            unfit.append(f"{key} holds values that are no finite numbers")
    more = f", and {len(unfit) - _SHOWN} more" if len(unfit) > _SHOWN else ""
    return ", ".join(unfit[:_SHOWN]) + more


def _sound(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return plain and tensor.is_floating_point() and bool(tensor.float().isfinite().all())


def _fill_head(head: nn.Linear, given: Mapping[str, Tensor]) -> str:
    """Take over a head if it fits, and say what became of it."""
    if not given:
        return "they have no head; it starts anew"
    named = {key.rpartition(".")[2]: value for key, value in given.items()}
    wanted = head.state_dict()
    fits = len(given) == len(wanted) and all(
        key in named and named[key].shape == wanted[key].shape and _sound(named[key])
        for key in wanted
    )
    if fits:
        head.load_state_dict(named)
        return f"their head of {head.out_features} classes is kept"
    return f"their head does not fit {head.out_features} classes and is left out; it starts anew"


def _unusable(path: Path, what: str) -> ModelError:
    remedy = "fetch the file anew, or save its state_dict() with torch.save or safetensors"
    return ModelError(what, where=str(path), remedy=remedy)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
