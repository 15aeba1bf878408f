"""Model cards: what each saved model is for, what it learned from, and how far it was judged.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019): use, data, figures with the unit
they hold for, and limits. The same run gives the same bytes, so they stand beside the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..files import whole
from ..vocabulary import TILE, TITLES
from .method import method
from .record import Record
from .trust import levels, share, tiles

__all__ = ["model_card", "write_cards"]

_WITHOUT = {
    "commonest": "the commonest class",
    "position": "position alone",
    "background": "the background alone",
}
_FIGURES = ("level", "right", "accuracy", "interval", "balanced", "kappa")
_OF_PATH = {
    "tas_svm": ("features", "thresholds", "normalisation"),
    "cnn": ("CNN", "grey levels", "augmentation"),
}


def write_cards(record: Record) -> None:
    """Write `models/card-<path>.md` of a finished run."""
    for path in TITLES:
        with whole(record.folder / "models" / f"card-{path}.md") as part:
            part.write_text(model_card(record, path), encoding="utf-8")


def model_card(record: Record, path: str) -> str:
    """Say in Markdown what one path's model is.

    Parameters
    ----------
    record : Record
        A finished run.
    path : str
        One of `vocabulary.PATHS`.
    """
    comparison, run = record.comparison, record.run
    result = comparison["paths"][path]
    wells = ", ".join(
        f"{name} {sum(row)}"
        for name, row in zip(result["classes"], result["confusion"], strict=True)
        if sum(row)
    )
    facts = [
        ("calls", f"{run['settings']['target']}: {', '.join(record.classes)}"),
        ("sees", f"channels {', '.join(run['channels'])}, in this order"),
        ("learned from", f"plates {', '.join(run['plates'])}; wells that were scored: {wells}"),
        *((what, how) for what, how in method(record) if what in _OF_PATH[path]),
        ("seed", str(run["settings"]["seed"])),
        ("versions", ", ".join(f"{name} {held}" for name, held in run["versions"].items())),
    ]
    lines = [
        f"# {TITLES[path]}: {_cell(str(run['settings']['target']))} of every well",
        "",
        "This model learned from every well with a class. The figures are of its sisters, which"
        f" were trained the same way without a well's {comparison['unseen']}"
        f" ({comparison['protocol']}, {comparison['folds']} folds).",
        "",
        "| what | |",
        "|---|---|",
        *(f"| {what} | {_cell(how)} |" for what, how in facts),
        "",
        "## Figures",
        "",
        "| of | right | accuracy | 95% interval | balanced | kappa |",
        "|---|---|---|---|---|---|",
        *(
            f"| {' | '.join(row[name] for name in _FIGURES)} |"
            for row in levels(comparison)
            if row["path"] == TITLES[path]
        ),
        "",
        f"Intervals are over {result['groups']} groups ({comparison['unit']}).",
        *([tiles(comparison)] if comparison["levels"].get(TILE, {}).get(path) else []),
        *_seeds(comparison, path),
        "",
        "## Limits",
        "",
        *(f"- {_cell(text)}" for text in _limits(record)),
    ]
    return "\n".join(lines) + "\n"


def _seeds(comparison: Mapping[str, Any], path: str) -> Iterator[str]:
    """Say how far the seed alone moves the accuracy, where the run was repeated."""
    if again := comparison.get("repeats"):
        held = again["accuracy"][path]
        yield (
            f"Over {len(again['repeats'])} seeds, on the same wells, the accuracy went from"
            f" {share(held['least'])} to {share(held['most'])} (mean {share(held['mean'])}); the"
            " table is the first seed's."
        )


def _limits(record: Record) -> Iterator[str]:
    yield (
        "It knows no class but these: a well that shows something else is called one of them all"
        " the same, and flagged as unlike them where it is far from what was learned (Unlike)."
    )
    if record.run["settings"].get("normalise", "none") != "none":
        yield (
            "Where TAS features were brought to the scale of a plate's negative controls, a plate"
            " to be called needs such controls in its plate map."
        )
    yield (
        "It is for plates of the same stains, magnification and type of pixels; predict refuses"
        " other channels and types, and says where a plate is read in another way."
    )
    for one in record.comparison["audit"]["contestants"]:
        yield (
            f"Without the cells, by {_WITHOUT[one['name']]}, {one['correct']}/{one['total']} wells"
            " are called right under the same folds."
        )
    yield from record.warnings()


def _cell(text: str) -> str:
    """Show text in a table as it is: no column of its own, no markup, one line."""
    plain = " ".join(text.split())
    return "".join(f"\\{c}" if c in r"\|<>[]*_`#" else c for c in plain)
