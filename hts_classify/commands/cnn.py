"""The CNN's flags, and the settings that they make."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from typing import Any, Final, get_args

from ..errors import UsageError
from ..models.settings import (
    NETWORKS,
    Augmentation,
    CnnSettings,
    Learning,
    Precision,
    Scaling,
    Tune,
    check_device,
)

__all__ = ["add_call_options", "add_cnn_options", "add_device_option", "cnn_settings", "varied"]

_LEARNING: Final = (
    "epochs",
    "steps",
    "batch",
    "learning_rate",
    "weight_decay",
    "trials",
    "schedule",
    "balance",
    "dropout",
    "smoothing",
    "average",
)
_OWN: Final = ("weights", "tune", "scaling", "precision", "enlarge", "cache_mib")
"""Flags with the name of what they set, in `Learning` and in `CnnSettings`."""


def add_cnn_options(parser: argparse.ArgumentParser) -> None:
    """Add how the CNN is made and trained."""
    usual, pace = CnnSettings(), Learning()
    group = parser.add_argument_group("the CNN", argument_default=None)
    group.add_argument(
        "--cnn", choices=tuple(NETWORKS), default=usual.network, help="network (default: compact)"
    )
    group.add_argument(
        "--weights",
        metavar="FILE|imagenet",
        help="a file of weights to start from, or ImageNet's by name (default: from scratch)",
    )
    group.add_argument(
        "--tune", choices=get_args(Tune), help="what of it learns, with weights (default: all)"
    )
    group.add_argument(
        "--scaling",
        choices=get_args(Scaling),
        help="grey levels to one scale: each tile by itself, by the training tiles' mean and"
        " deviation or percentiles, or each plate by its negative controls (default: tile)",
    )
    group.add_argument(
        "--enlarge", type=int, metavar="N", help="enlarge smaller tiles to N pixels (longer side)"
    )
    group.add_argument(
        "--augment",
        type=varied,
        metavar="LIST",
        help="how training tiles are varied, as 'turns,zoom=0.1,rotation=180', or none"
        f" (of {', '.join(field.name for field in fields(Augmentation))};"
        f" default: {_spelt(usual.augmentation)})",
    )
    group.add_argument(
        "--epochs", type=int, metavar="N", help=f"fewest passes planned (default {pace.epochs})"
    )
    group.add_argument(
        "--steps", type=int, metavar="N", help=f"fewest steps planned (default {pace.steps})"
    )
    group.add_argument(
        "--batch", type=int, metavar="N", help=f"most tiles in a step (default {pace.batch})"
    )
    group.add_argument(
        "--learning-rate",
        type=float,
        metavar="R",
        help="peak rate (default 0.003, or 0.0003 where weights are tuned)",
    )
    group.add_argument(
        "--weight-decay", type=float, metavar="D", help=f"default {pace.weight_decay}"
    )
    group.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="pairs of rate and decay tried inside the training folds (default: none)",
    )
    group.add_argument(
        "--schedule", choices=("cosine", "onecycle"), help="course of the rate (default: cosine)"
    )
    group.add_argument(
        "--balance",
        choices=("weights", "sampling", "none"),
        help="how rare classes come to count alike (default: weights)",
    )
    group.add_argument(
        "--dropout",
        type=float,
        metavar="P",
        help=f"share of features left out in a step (default {pace.dropout})",
    )
    group.add_argument(
        "--smoothing",
        type=float,
        metavar="S",
        help=f"share of a target spread over all classes (default {pace.smoothing:g})",
    )
    group.add_argument(
        "--average",
        type=float,
        metavar="D",
        help=f"decay of the weights' moving average, 0 for none (default {pace.average})",
    )
    group.add_argument(
        "--no-refit",
        action="store_true",
        help="keep the best judged weights, and do not learn anew from every training tile",
    )
    group.add_argument(
        "--no-views", action="store_true", help="score tiles as they are, not over flips and turns"
    )
    group.add_argument(
        "--precision",
        choices=get_args(Precision),
        help="default: auto, bfloat16 on CUDA and float32 elsewhere",
    )
    group.add_argument("--compile", action="store_true", help="compile the network")
    group.add_argument(
        "--cache-mib",
        type=int,
        metavar="N",
        help="MiB of training tiles kept on the device; more are read batch by batch (default"
        " 2048, or half of what is free on a GPU)",
    )
    add_device_option(group, "; several, cuda:0,cuda:1, share the folds' fits")


def add_device_option(parser: argparse._ActionsContainer, several: str = "") -> None:
    """Add where the CNN runs."""
    parser.add_argument(
        "--device",
        type=_devices if several else _device,
        default="auto",
        metavar="WHERE",
        help="auto, cpu, cuda, cuda:1 or mps (default: auto, which says what it chose)" + several,
    )


def add_call_options(parser: argparse._ActionsContainer, usual: str) -> None:
    """Add how scores become calls."""
    parser.add_argument(
        "--aggregate",
        choices=("mean", "median"),
        help=f"how scores of fields make those of wells and treatments (default: {usual})",
    )
    parser.add_argument(
        "--proba",
        action="store_true",
        help="add what each path deems probable, calibrated on training folds",
    )


def cnn_settings(options: argparse.Namespace) -> CnnSettings:
    """Return what `add_cnn_options` was given.

    Raises
    ------
    UsageError
        For values that make no sense, or not together.
    """
    learning: dict[str, Any] = _given(options, _LEARNING)
    own: dict[str, Any] = _given(options, _OWN)
    if options.augment is not None:
        own["augmentation"] = options.augment
    try:
        return CnnSettings(
            network=options.cnn,
            views=not options.no_views,
            compile=options.compile,
            learning=Learning(refit=not options.no_refit, **learning),
            **own,
        )
    except UsageError as error:
        name, _, rest = error.what.partition(" ")
        if name not in {*learning, *own}:
            raise
        flag = "--" + name.replace("_", "-")
        raise UsageError(f"{flag} {rest}", remedy=error.remedy) from None


def varied(text: str) -> Augmentation:
    """Take `turns,zoom=0.1` apart: what is not named is switched off, but for the network's crop.

    Examples
    --------
    >>> varied("zoom=0.1").turns, varied("zoom=0.1, turns").zoom, varied("none").turns
    (False, 0.1, False)
    """
    none = text.strip() == "none"
    parts: dict[str, Any] = {field.name: 0.0 for field in fields(Augmentation)}
    parts |= {"turns": False, "crop": 0 if none else None}
    words = [] if none else [word.strip() for word in text.split(",")]
    for word in words:
        name, given, amount = word.partition("=")
        try:
            if name not in parts or (name == "turns") == bool(given):
                raise ValueError
            kind = int if name == "crop" else float
            parts[name] = kind(amount) if given else True
        except ValueError:
            known = ", ".join(f"{n}=…" for n in parts if n != "turns")
            raise argparse.ArgumentTypeError(f"{word!r}: use turns, {known}, or none") from None
    try:
        return Augmentation(**parts)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _spelt(augmentation: Augmentation) -> str:
    """Spell an augmentation as `varied` reads it."""
    held = asdict(augmentation).items()
    words = [name if amount is True else f"{name}={amount:g}" for name, amount in held if amount]
    return ",".join(words) or "none"


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that the user gave; the others are as the settings have them."""
    held = {name: getattr(options, name) for name in names}
    return {name: value for name, value in held.items() if value is not None}


def _devices(text: str) -> str:
    return ",".join(_device(name) for name in text.split(","))


def _device(text: str) -> str:
    try:
        return check_device(text.strip())
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
