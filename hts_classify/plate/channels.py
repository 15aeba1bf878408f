"""What a plate's channels are called."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ..errors import HTSWarning, UsageError
from ..vocabulary import channel_word

__all__ = ["check_names", "name_channels"]


def name_channels(labels: Sequence[str], count: int, *, where: str) -> tuple[str, ...]:
    """Name a plate's channels after the store's labels, each with a word of its own.

    A label without a letter or digit becomes `Channel<i>`, counted from 0, as every channel does
    where the store has no labels; a second `DNA` becomes `DNA_2`, with a warning.

    Parameters
    ----------
    labels : sequence of str
        The store's labels; empty where it has none.
    count : int
        Number of channels in the pixels.
    where : str
        The store, for warnings.

    Examples
    --------
    >>> name_channels((), 2, where="p.zarr"), name_channels(("GFP", "?"), 2, where="p.zarr")
    (('Channel0', 'Channel1'), ('GFP', 'Channel1'))
    """
    if labels and len(labels) != count:
        _warn(where, f"{len(labels)} channel labels for {count} channels; none of them is used")
        labels = ()
    names: list[str] = []
    for index in range(count):
        label = labels[index].strip() if labels else ""
        label = label if channel_word(label) else f"Channel{index}"
        name, copy = label, 1
        while channel_word(name).lower() in {channel_word(other).lower() for other in names}:
            copy += 1
            name = f"{label}_{copy}"
        if name != label:
            _warn(where, f"channel {index} is called {label!r} like another one, here {name!r}")
        names.append(name)
    return tuple(names)


def check_names(names: Sequence[str], count: int, *, where: str) -> tuple[str, ...]:
    """Check the names that a user gives to a plate's channels.

    Raises
    ------
    UsageError
        When there are more or fewer names than channels, a name without a letter or digit, or
        two names that make one word.
    """
    if isinstance(names, str):
        raise UsageError(f"channels={names!r}", remedy="give a tuple of names, one a channel")
    if len(names) != count:
        raise UsageError(
            f"{len(names)} channel names ({', '.join(names)}) for {count} channels",
            where=where,
            remedy="name each channel once, in the order in which they are stored",
        )
    words = [channel_word(name).lower() for name in names]
    for name, word in zip(names, words, strict=True):
        if not word or words.count(word) > 1:
            raise UsageError(
                f"channel name {name!r} {'comes twice' if word else 'has no letter or digit'}",
                where=where,
                remedy="letters and digits make the columns' names, so they must differ there",
            )
    return tuple(names)


def _warn(where: str, what: str) -> None:
    warnings.warn(f"{where}: {what}; name them with channels=", HTSWarning, stacklevel=4)
