"""The mechanisms that `hts_classify.synthetic.marker` states, held to pixel statistics.

No classifier comes near these tests: what is matched between classes must be equal to within the
sampling error of 24 fields, and what differs must differ by much more.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, convolve, maximum_filter

from hts_classify.synthetic import Recipe, lay_out, render_field
from hts_classify.synthetic.cells import Cells, draw_cells
from hts_classify.synthetic.marker import LEVEL, _spots, draw_marker

FIELDS = 24
SHAPE = (256, 256)
Photons = dict[str, list[tuple[Cells, NDArray[Any]]]]


@cache
def drawn(setting: str, difficulty: float = 0.0) -> Photons:
    """Draw each class in the same cells: photons before the camera, no compound individual."""
    recipe = Recipe(setting=setting, difficulty=difficulty, shape=SHAPE)  # type: ignore[arg-type]
    wells = {well.phenotype: well for well in lay_out(recipe)}
    result: Photons = {}
    for phenotype in recipe.classes:
        strength = 0.0 if phenotype == "diffuse" else 1.0
        well = replace(wells[phenotype], strength=strength, individuality=1.0)
        result[phenotype] = []
        for field in range(FIELDS):
            rng = np.random.default_rng(field)
            cells = draw_cells(rng, SHAPE)
            result[phenotype].append((cells, draw_marker(rng, cells, well=well, recipe=recipe)))
    return result


def relative(photons: Photons) -> dict[str, NDArray[Any]]:
    """Return the marker in units of its cell's level, inside the cells: one array a class."""
    return {
        phenotype: np.concatenate(
            [
                image[cells.body == 1] / (LEVEL * cells.paint(cells.brightness)[cells.body == 1])
                for cells, image in fields
            ]
        )
        for phenotype, fields in photons.items()
    }


def spread(values: list[float]) -> float:
    """Return how far classes lie apart, in units of their mean."""
    return float(np.ptp(values) / np.mean(values))


def high_frequencies(photons: Photons) -> dict[str, float]:
    """Return the share of the variance inside cells at wavelengths below four pixels."""
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    shares = {}
    for phenotype, fields in photons.items():
        power = np.zeros((32, 32))
        for cells, image in fields:
            for y, x in np.rint(cells.centres).astype(int) - 16:
                patch = image[max(y, 0) : y + 32, max(x, 0) : x + 32]
                if patch.shape == (32, 32) and cells.body[y : y + 32, x : x + 32].min() == 1:
                    power += np.abs(np.fft.fft2(patch / patch.mean() - 1)) ** 2
        shares[phenotype] = float(power[frequency > 0.25].sum() / power[frequency > 0].sum())
    return shares


def neighbourhoods(photons: Photons, threshold: float) -> dict[str, NDArray[Any]]:
    """Return, for each class, how often a bright pixel has 0 … 8 bright neighbours."""
    ring = np.ones((3, 3), int)
    ring[1, 1] = 0
    counts = {}
    for phenotype, fields in photons.items():
        total = np.zeros(9)
        for cells, image in fields:
            on = image > threshold * LEVEL * cells.paint(cells.brightness)
            on &= cells.body == 1
            near = convolve(on.astype(int), ring, mode="constant")
            total += np.bincount(near[on], minlength=9)
        counts[phenotype] = total / total.sum()
    return counts


def spots_by_cell(cells: Cells, image: NDArray[Any]) -> dict[int, NDArray[Any]]:
    """Find the spots of each cell that lies wholly in the field, about its centre."""
    level = LEVEL * cells.paint(cells.brightness)
    peaks = (image == maximum_filter(image, 5)) & (image > 3 * level) & (cells.body > 0.9)
    found = {}
    for index, (y, x) in enumerate(cells.centres, start=1):
        if 30 < y < SHAPE[0] - 30 and 30 < x < SHAPE[1] - 30:
            found[index] = np.argwhere(peaks & (cells.owner == index)) - (y, x)
    return found


def geometry(fields: list[tuple[Cells, NDArray[Any]]]) -> tuple[float, float, float]:
    """Return spots a cell, how one-sided they are (0 to 1), and how their radius varies."""
    number, side, radius = [], [], []
    for cells, image in fields:
        for points in spots_by_cell(cells, image).values():
            number.append(len(points))
            if len(points) > 2:
                direction = points / np.hypot(*points.T)[:, None]
                side.append(np.hypot(*direction.mean(axis=0)))
                radius.append(np.hypot(*points.T).std())
    return float(np.mean(number)), float(np.mean(side)), float(np.mean(radius))


def test_texture_matches_all_but_the_length() -> None:
    inside = relative(drawn("texture"))
    assert spread([x.mean() for x in inside.values()]) < 0.01
    assert spread([np.log(x).std() for x in inside.values()]) < 0.03
    for quantile in (0.01, 0.1, 0.5, 0.9, 0.99):
        assert spread([float(np.quantile(x, quantile)) for x in inside.values()]) < 0.03


def test_texture_differs_in_its_spectrum() -> None:
    share = high_frequencies(drawn("texture"))
    assert share["fine"] > 1.5 * share["medium"] > 1.5 * 1.5 * share["coarse"]
    hard = high_frequencies(drawn("texture", difficulty=1.0))
    assert 1 < hard["fine"] / hard["coarse"] < share["fine"] / share["coarse"] / 2


def test_texture_of_a_length_falls_to_1_over_e_at_that_length() -> None:
    from hts_classify.synthetic.marker import grains

    noise = grains(np.random.default_rng(0), (512, 512), 3.0)
    assert abs(noise.std() - 1) < 0.03
    assert abs((noise[:, 3:] * noise[:, :-3]).mean() - np.exp(-1)) < 0.04


@pytest.mark.parametrize("difficulty", [0.0, Recipe().difficulty])
def test_arrangement_matches_all_that_three_pixels_show(difficulty: float) -> None:
    photons = drawn("arrangement", difficulty)
    inside = relative(photons)
    assert spread([x.mean() for x in inside.values()]) < 0.01
    assert spread([x.std() for x in inside.values()]) < 0.03
    for quantile in (0.01, 0.5, 0.9, 0.99):
        assert spread([float(np.quantile(x, quantile)) for x in inside.values()]) < 0.03
    for threshold in (1.0, 1.5, 2.5):
        shares = np.array(list(neighbourhoods(photons, threshold).values()))
        assert np.abs(shares - shares.mean(axis=0)).max() < 0.015


@pytest.mark.parametrize("place", ["polar", "ring", "scattered"])
@pytest.mark.parametrize("difficulty", [0.0, Recipe().difficulty, 1.0])
def test_spots_of_a_cell_are_five_pixels_apart(place: Any, difficulty: float) -> None:
    distinctness = Recipe(difficulty=difficulty).distinctness
    for field in range(FIELDS):
        rng = np.random.default_rng(field)
        spots = _spots(rng, draw_cells(rng, SHAPE), place, distinctness).reshape(-1, 6, 2)
        apart = np.hypot(*(spots[:, :, None] - spots[:, None]).transpose(3, 0, 1, 2))
        assert apart[:, ~np.eye(6, dtype=bool)].min() >= 5


def test_neighbourhoods_would_show_a_difference_in_texture() -> None:
    """The statistic above is no blunt one: it tells the classes of `texture` apart."""
    shares = np.array(list(neighbourhoods(drawn("texture"), 1.0).values()))
    assert np.abs(shares - shares.mean(axis=0)).max() > 0.1


def test_arrangement_differs_in_where_the_spots_are() -> None:
    seen = {phenotype: geometry(f) for phenotype, f in drawn("arrangement").items()}
    number, side, radius = (
        dict(zip(seen, v, strict=True)) for v in zip(*seen.values(), strict=True)
    )
    assert spread(list(number.values())) < 0.02
    assert side["polar"] > 0.7 > 0.5 > side["scattered"] > side["ring"]
    assert radius["ring"] < 0.7 * radius["scattered"]


def test_mixed_splits_its_classes_between_texture_and_arrangement() -> None:
    photons = drawn("mixed")
    inside = relative(photons)
    assert spread([x.mean() for x in inside.values()]) < 0.01
    share = high_frequencies(photons)
    assert share["fine"] > 1.5 * share["coarse"]
    # The patches of the spectrum cut through the ring, so here the pair is held to 3×3 pixels.
    near = neighbourhoods(photons, 1.5)
    assert np.abs(near["polar"] - near["ring"]).max() < 0.02
    polar, ring = geometry(photons["polar"]), geometry(photons["ring"])
    assert polar[1] > 0.7 > 0.3 > ring[1]


def test_phenotypes_move_the_same_amount_of_marker() -> None:
    photons = drawn("phenotypes")
    totals = [sum(float(image.sum()) for _, image in fields) for fields in photons.values()]
    assert spread(totals) < 0.02
    cells_of = {p: [(c.nucleus > 0.5, c.body > 0.5, i) for c, i in f] for p, f in photons.items()}
    nuclear = {
        p: np.mean([i[nucleus].sum() / i[body].sum() for nucleus, body, i in fields])
        for p, fields in cells_of.items()
    }
    assert nuclear["nuclear"] > 4 * nuclear["diffuse"]
    assert nuclear["punctate"] < nuclear["diffuse"]
    assert nuclear["filamentous"] < nuclear["diffuse"]


def test_difficulty_leaves_a_fifth_of_what_is_moved() -> None:
    def nuclear(difficulty: float) -> dict[str, float]:
        return {
            phenotype: float(np.mean([i[c.nucleus > 0.5].sum() / i.sum() for c, i in fields]))
            for phenotype, fields in drawn("phenotypes", difficulty).items()
        }

    easy, hard = nuclear(0.0), nuclear(1.0)
    moved = (hard["nuclear"] - hard["diffuse"]) / (easy["nuclear"] - easy["diffuse"])
    assert moved == pytest.approx(0.2, abs=0.02)


def test_fibres_are_long_and_vesicles_are_not() -> None:
    """Bright pixels lose more of themselves to erosion along a line's width than in a disc."""
    kept = {}
    for phenotype in ("filamentous", "punctate"):
        on = np.stack([image > 2 * LEVEL for _, image in drawn("phenotypes")[phenotype]])
        kept[phenotype] = binary_erosion(on, np.ones((1, 3, 3))).sum() / on.sum()
    assert kept["filamentous"] < 0.5 * kept["punctate"]


@pytest.mark.parametrize("phenotype", ["nuclear", "punctate", "filamentous"])
def test_a_low_dose_looks_untreated(phenotype: str) -> None:
    recipe = Recipe(difficulty=0.0)
    wells = lay_out(recipe)

    def contrast(dose: float, kind: str) -> float:
        chosen = [w for w in wells if w.phenotype == kind and w.concentration == dose]
        fields = [render_field(recipe, well, 1)[1].astype(float) for well in chosen]
        return float(np.mean([f.std() / (f.mean() - 100) for f in fields]))

    untreated = contrast(0.0, "diffuse")
    low, high = contrast(0.1, phenotype), contrast(10.0, phenotype)
    assert abs(low - untreated) < 0.25 * (high - untreated)
