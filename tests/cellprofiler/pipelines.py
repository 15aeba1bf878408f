"""Make a pipeline file from a plan; CellProfiler's own Python runs this.

`python pipelines.py plan.json pipeline.cppipe`. A plan is `{"plugins": folder, "modules": [[name,
settings], ...]}`, settings by their texts; `+` holds what to press, and how often.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Plan = Sequence[tuple[str, dict[str, Any]]]
Run = Callable[[Path, Plan], "subprocess.CompletedProcess[str]"]
"""Of `conftest.run_pipeline`."""


def make(plan: dict[str, Any]) -> Any:
    """Return CellProfiler's pipeline of a plan."""
    import cellprofiler_core.preferences as preferences

    preferences.set_headless()
    preferences.set_plugin_directory(plan["plugins"], globally=False)
    from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module

    logging.disable()  # it fills them twice, and says so of each
    fill_modules()
    logging.disable(logging.NOTSET)
    from cellprofiler_core.pipeline import Pipeline

    pipeline = Pipeline()
    for number, (name, settings) in enumerate(plan["modules"], start=1):
        module = instantiate_module(name)
        module.set_module_num(number)
        module.show_window = False
        for press, times in settings.pop("+", {}).items():
            for _ in range(times):
                getattr(module, press)()
        for text, value in settings.items():
            found = [setting for setting in module.settings() if setting.text == text]
            values = value if isinstance(value, list) else [value]
            if len(found) < len(values):
                texts = [setting.text for setting in module.settings()]
                raise SystemExit(f"{name}: {text!r} is not {len(values)} times in {texts}")
            for setting, one in zip(found, values, strict=False):
                setting.value = one
        pipeline.add_module(module)
    return pipeline


def main(arguments: list[str]) -> None:
    """Read the plan and write the pipeline."""
    plan, target = map(Path, arguments)
    with target.open("w", encoding="utf-8") as file:
        make(json.loads(plan.read_text("utf-8"))).dump(file)


if __name__ == "__main__":
    main(sys.argv[1:])
