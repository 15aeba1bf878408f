"""The names that every table, file and figure uses, in one place.

Columns at every border are the Cytomining and CellProfiler ones; the well is written
`B03`; the TAS words are those of Hamilton et al. 2007 as the package draws them
(`hts_classify.features`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, get_args

from .errors import DataError

__all__ = [
    "ALIASES",
    "BATCH",
    "CALL",
    "CENTRES",
    "COMPOUND",
    "CONCENTRATION",
    "CONTROL",
    "DISTANCE",
    "FIGURES",
    "FOLD",
    "GROUP",
    "INTERVALS",
    "LEVEL",
    "LEVELS",
    "MARGIN",
    "METADATA",
    "PATH",
    "PATHS",
    "PLATE",
    "PROBA",
    "PROFILE",
    "REPEAT",
    "ROLE",
    "SCORE",
    "SCORED",
    "SEED",
    "SITE",
    "TARGET",
    "TILE",
    "TIMEPOINT",
    "TITLES",
    "TRAINED",
    "UNLABELLED",
    "UNLIKE",
    "UNSCORED",
    "WELL",
    "FeatureKind",
    "channel_word",
    "columns_with",
    "feature_columns",
    "figure_column",
    "figure_columns",
    "row_letters",
    "row_number",
    "split_well",
    "well_name",
]

METADATA: Final = "Metadata_"
PLATE: Final = "Metadata_Plate"
WELL: Final = "Metadata_Well"
SITE: Final = "Metadata_Site"
TIMEPOINT: Final = "Metadata_Timepoint"
COMPOUND: Final = "Metadata_Compound"
CONCENTRATION: Final = "Metadata_Concentration"
BATCH: Final = "Metadata_Batch"
CONTROL: Final = "Metadata_ControlType"

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    PLATE: ("plate", "plate_id", "plateid", "barcode", "plate_barcode", "assay_plate_barcode"),
    WELL: ("well", "well_id", "wellid", "well_name", "well_position", "wellposition"),
    COMPOUND: ("compound", "compound_name", "drug", "pert_iname", "pert_name", "broad_sample"),
    CONCENTRATION: ("concentration", "conc", "dose", "mmoles_per_liter", "pert_dose"),
    BATCH: ("batch", "batch_id", "replicate_batch"),
    CONTROL: ("control_type", "controltype", "control", "pert_type"),
}
"""What plate maps in the field call each column; case and a leading `Metadata_` do not count."""

FeatureKind = Literal["tas", "pftas"]
INTERVALS: Final = ("Band", "Lower", "Mean")
CENTRES: Final = ("On", "Off")

FIGURES: Final = (
    "MeanIntensity",
    "StdIntensity",
    "MedianIntensity",
    "MADIntensity",
    "MinIntensity",
    "MaxIntensity",
    "Percentile01",
    "Percentile99",
    "PercentSaturated",
    "PercentForeground",
    "LaplacianVariance",
)
"""What is said of a channel's pixels, where CellProfiler says it too in its words; in grey levels,
where CellProfiler scales to 1."""

PATHS: Final = ("tas_svm", "cnn")
"""The two ways through one plate, by the names that tables and files carry."""
TITLES: Final = {"tas_svm": "TAS + SVM", "cnn": "CNN"}
"""What people call them."""

LEVELS: Final = ("field", "well", "treatment")
"""What is called: fields, wells from their fields, treatments from their wells."""
TILE: Final = "tile"
"""The level below, of the CNN alone, and only where it sees several crops of a field."""

TARGET: Final = "Target"
GROUP: Final = "Group"
FOLD: Final = "Fold"
ROLE: Final = "Role"
LEVEL: Final = "Level"
PATH: Final = "Path"
CALL: Final = "Class"
MARGIN: Final = "Margin"
SCORE: Final = "Score_"
PROBA: Final = "Proba_"
"""Columns of `folds.csv` and of the predictions."""

DISTANCE: Final = "Distance"
UNLIKE: Final = "Unlike"
"""Columns of the predictions: how far a well is from those that its model learned from, and whether
that is too far for any of the classes."""

REPEAT: Final = "Repeat"
SEED: Final = "Seed"
"""Columns of repeats with other seeds: which one it is, from 1 (the run itself), and its seed."""

PROFILE: Final = "Profile_"
TRAINED: Final = "Trained"
"""Columns of how a model sees each well."""

SCORED: Final = "scored"
UNSCORED: Final = "unscored"
UNLABELLED: Final = "unlabelled"
"""Roles of a well: tested in its own fold, only ever trained on, or without a class."""

_WELL = re.compile(r"^\s*([A-Za-z]{1,2})[\s_-]*0*([1-9][0-9]?)\s*$")
_NUMBERED = re.compile(r"^\s*r\s*0*([1-9][0-9]?)\s*c\s*0*([1-9][0-9]?)\s*$", re.IGNORECASE)
"""As Opera and Operetta write a well: `r02c11`."""


def well_name(row: str, column: str | int) -> str:
    """Return a well's name as everything here writes it.

    Examples
    --------
    >>> well_name("b", "3"), well_name("AF", 48)
    ('B03', 'AF48')
    """
    match = _WELL.match(f"{row}{column}")
    if match is None:
        raise DataError(
            f"row {row!r} and column {column!r} name no well",
            remedy="rows are letters, columns whole numbers from 1",
        )
    return f"{match[1].upper()}{int(match[2]):02d}"


def row_letters(number: int) -> str:
    """Return the letters of a row by its number from 1: those of 1536 wells end at AF.

    Examples
    --------
    >>> row_letters(2), row_letters(32)
    ('B', 'AF')
    """
    before, last = divmod(number - 1, 26)
    return (chr(ord("A") + before - 1) if before else "") + chr(ord("A") + last)


def row_number(letters: str) -> int:
    """Return a row's number, from 1, by its letters.

    Examples
    --------
    >>> row_number("B"), row_number("AF")
    (2, 32)
    """
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def split_well(text: str) -> tuple[str, int]:
    """Take a well in any spelling apart into its row letters and column number.

    Examples
    --------
    >>> split_well("A1"), split_well("a01"), split_well("AB7"), split_well("r02c11")
    (('A', 1), ('A', 1), ('AB', 7), ('B', 11))
    """
    numbered = _NUMBERED.match(text)
    if numbered and int(numbered[1]) <= 52:
        return row_letters(int(numbered[1])), int(numbered[2])
    match = _WELL.match(text)
    if match is None:
        raise DataError(f"{text!r} is no well", remedy="write wells as B03 or B3")
    return match[1].upper(), int(match[2])


def channel_word(channel: str) -> str:
    """Return a channel's name as a part of a column's name: letters and digits only.

    Examples
    --------
    >>> channel_word("Alexa Fluor 488"), channel_word("GFP")
    ('AlexaFluor488', 'GFP')
    """
    return re.sub(r"[^0-9A-Za-z]", "", channel)


def columns_with(prefix: str, columns: Iterable[Any]) -> list[str]:
    """Return the names that begin with a prefix, of a table or of columns, in their order.

    Examples
    --------
    >>> columns_with(SCORE, ["Class", "Score_a", "Score_b"])
    ['Score_a', 'Score_b']
    """
    return [name for name in map(str, columns) if name.startswith(prefix)]


def feature_columns(
    kind: FeatureKind, channel: str, *, neighbours: int = 8, objects: str = "Image"
) -> list[str]:
    """Name one channel's statistics, in the order in which `hts_classify.tas` returns them.

    Parameters
    ----------
    kind : {"tas", "pftas"}
        The rule that set threshold and margin.
    channel : str
        The channel's name.
    neighbours : {8, 26}
        Neighbours of a pixel (2-D) or a voxel (3-D).
    objects : str, optional
        `"Image"` for a field, or an object set's name (`"Cells"`).

    Returns
    -------
    list of str
        54 names for 8 neighbours, 162 for 26: intervals, then centres, then neighbours.

    Examples
    --------
    >>> names = feature_columns("pftas", "GFP")
    >>> len(names), names[0], names[-1]
    (54, 'Image_PFTAS_GFP_Band_On_0', 'Image_PFTAS_GFP_Mean_Off_8')
    """
    if kind not in get_args(FeatureKind):
        raise DataError(f"{kind!r} is no kind of feature", remedy="use 'tas' or 'pftas'")
    stem = f"{objects}_{kind.upper()}_{channel_word(channel)}"
    return [
        f"{stem}_{interval}_{centre}_{n}"
        for interval in INTERVALS
        for centre in CENTRES
        for n in range(neighbours + 1)
    ]


def figure_column(figure: str, channel: str) -> str:
    """Name one of the `FIGURES` of a channel, as CellProfiler's `Per_Image` table spells it.

    Examples
    --------
    >>> figure_column("MeanIntensity", "DNA")
    'Image_ImageQuality_MeanIntensity_DNA'
    """
    if figure not in FIGURES:
        raise DataError(f"{figure!r} is no figure", remedy=f"use one of {', '.join(FIGURES)}")
    return f"Image_ImageQuality_{figure}_{channel_word(channel)}"


def figure_columns(channel: str) -> list[str]:
    """Name a channel's figures, in the order of `hts_classify.features.Figures.values`.

    Examples
    --------
    >>> figure_columns("DNA")[-1]
    'Image_ImageQuality_LaplacianVariance_DNA'
    """
    return [figure_column(figure, channel) for figure in FIGURES]
