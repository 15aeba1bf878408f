"""A fit that was stopped goes on: its state after each round, in one file without code.

The file is a safetensors file; what is no tensor is JSON in its header. It carries what the fit
follows from, so that a checkpoint of another fit is refused, not mixed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ...errors import ModelError
from ...files import whole

__all__ = ["Checkpoint", "Saved"]

_FILE = "checkpoint.safetensors"


class Saved(NamedTuple):
    """What a checkpoint holds."""

    notes: dict[str, Any]
    """The stage, the step, the curve so far, … (JSON)."""
    tensors: dict[str, Tensor]


class Checkpoint:
    """The state of one fit on disk; with no folder it keeps nothing.

    Parameters
    ----------
    folder : Path or None
        Where the file goes.
    identity : mapping
        All that the fit follows from (JSON).
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any]) -> None:
        self._path = folder / _FILE if folder else None
        self._identity = json.loads(json.dumps(identity))

    def save(self, notes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write the state, whole or not at all."""
        if self._path is None:
            return
        from safetensors.torch import save_file

        header = {"identity": json.dumps(self._identity), "notes": json.dumps(notes)}
        # a copy of each: the format refuses what shares memory with another
        held = {
            key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()
        }
        with whole(self._path) as part:
            save_file(held, part, metadata=header)

    def load(self) -> Saved | None:
        """Read the state; None where there is none.

        Raises
        ------
        ModelError
            For a file that is damaged or of another fit.
        """
        if self._path is None or not self._path.exists():
            return None
        from safetensors import SafetensorError, safe_open

        where = str(self._path)
        try:
            with safe_open(self._path, "pt") as file:
                header = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            identity, notes = json.loads(header["identity"]), json.loads(header["notes"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ModelError(
                f"the checkpoint is cut short or damaged ({error})",
                where=where,
                remedy="delete it: the fit begins anew",
            ) from error
        if identity != self._identity:
            keys = {*identity, *self._identity}
            other = sorted(k for k in keys if identity.get(k) != self._identity.get(k))
            raise ModelError(
                f"the checkpoint is of another fit (its {', '.join(other)} differs)",
                where=where,
                remedy="delete it, or name another folder",
            )
        return Saved(notes, tensors)
