"""Both paths on the same folds: what is to be fitted, and where.

One fit is one step (`fits`). Its calls go into a shard named after everything that the fit follows
from, so that a step is done once and a stopped run goes on with the next; the CNN's goes on with
the round at which it stopped. The models trained on all labelled wells are saved; they call the
wells that have no class. Several devices share the CNN's fits.

Repeats with other seeds come last, and are fits of folds alone: what is kept is the run's. What
they cost is noted apart (`repeats` in `timings.json`), so that a run's cost is that of one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cost import peak_memory
from .extract.spread import spread
from .fits import Fits, Step
from .models import set_threads, threads
from .predictions import UNFOLDED
from .progress import Advance, Progress
from .timings import Timings
from .vocabulary import PATHS, TITLES

__all__ = ["Trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All fits of a run, and who is told about them."""

    fits: Fits
    devices: tuple[str, ...]
    """Where the CNN is trained: with several, a process on each."""
    timings: Timings
    progress: Progress

    def shards(self) -> dict[Step, Path]:
        """Do what is not done yet; return the shards of all calls by their steps."""
        self._forget_stale()
        steps = [
            Step(path, fold) for path in PATHS for fold in (*range(self.fits.folds.count), UNFOLDED)
        ]
        later = [
            Step(path, fold, repeat)
            for repeat, folds in enumerate(self.fits.repeats, 2)
            for path in PATHS
            for fold in range(folds.count)
        ]
        self.timings.keep("fits", {step.name for step in steps})
        self._keep_costs_of_repeats()
        steps += later
        todo = [step for step in steps if not self.fits.is_done(step)]
        shared = [step for step in todo if step.path == "cnn" and len(self.devices) > 1]
        cache: dict[Any, Any] = {}
        for step in todo:
            if step not in shared:
                self._do(step, cache)
        if shared:
            self._spread(shared)
        shutil.rmtree(self.fits.out / "checkpoints", ignore_errors=True)
        return {step: self.fits.shard(step) for step in steps}

    def _do(self, step: Step, cache: dict[Any, Any]) -> None:
        """Do one step in this process."""
        with self.progress.stage(step.title, 100) as advance:
            cost = self.fits.do(
                step,
                self.devices[0],
                cache,
                on_epoch=_percent(advance),
                say=self.progress.note,
            )
        self._note(step, cost)

    def _spread(self, steps: Sequence[Step]) -> None:
        """Do steps in a process a device."""
        name = f"{TITLES['cnn']} on {len(self.devices)} devices"
        with self.progress.stage(name, len(steps), "fits") as advance:
            for step, cost, said in spread(
                _Elsewhere(self.fits, threads()), steps, self.devices, say=self.progress.note
            ):
                for text in said:
                    self.progress.note(text)
                self._note(step, cost)
                advance(1)

    def _note(self, step: Step, cost: dict[str, float]) -> None:
        self.timings.note("fits" if step.repeat == 1 else "repeats", step.name, cost=cost)
        held = [self.timings.content.get("peak_memory"), peak_memory()]
        most = max((size for size in held if size is not None), default=None)
        self.timings.note(cost={"peak_memory": most})
        self.timings.save()

    def _keep_costs_of_repeats(self) -> None:
        """Forget what repeats cost whose calls are gone; those of more than are asked for stay."""
        if held := self.timings.content.get("repeats"):
            kept = {file.name for file in (self.fits.out / "predictions").glob("*.parquet")}
            names = {name for name in held if f"{name}-{self.fits.key}.parquet" in kept}
            self.timings.keep("repeats", names)

    def _forget_stale(self) -> None:
        """Remove what earlier runs left here that was made from something else."""
        for stale in (self.fits.out / "predictions").glob("*.*"):
            if self.fits.key not in stale.name:
                stale.unlink()
        for stale in (self.fits.out / "checkpoints").glob("*"):
            if self.fits.key not in stale.name:
                shutil.rmtree(stale, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """Fits as another process does them."""

    fits: Fits
    threads: int
    """As many as here, so that the bytes are those of here."""

    def __call__(
        self, step: Step, device: str, shared: dict[Any, Any]
    ) -> tuple[Step, dict[str, float], list[str]]:
        set_threads(self.threads)
        said: list[str] = []
        return step, self.fits.do(step, device, shared, say=said.append), said


def _percent(advance: Advance) -> Callable[[int, int], None]:
    """Turn a fit's (done, planned) rounds into steps of a hundred."""
    shown = 0

    def on_epoch(done: int, planned: int) -> None:
        nonlocal shown
        now = min(99, 100 * done // max(planned, 1))
        if now > shown:
            advance(now - shown)
            shown = now

    return on_epoch
