"""What makes a simulated plate look like a real one: light, camera, wells, doses.

`hts_classify.synthetic.render` and `design` state it; here it is held to pixel statistics.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from numpy.typing import NDArray

from hts_classify.synthetic import Recipe, Setting, Treated, lay_out, render_field
from hts_classify.synthetic.design import grid_of
from hts_classify.synthetic.render import _expose

OFFSET = 100.0
BATCHES = 6
CAMERA = Recipe(shape=(64, 64), batches=BATCHES, replicates=BATCHES, seed=5)
SETTINGS: tuple[Setting, ...] = ("phenotypes", "texture", "arrangement", "mixed")


def flat(recipe: Recipe, well: Treated, photons: float) -> NDArray[np.float64]:
    """Photograph the same even light twice; counts above the camera's offset."""
    light = np.full((2, *recipe.shape), photons, np.float32)
    counts = _expose(np.random.default_rng(0), light, well=well, recipe=recipe)
    return counts.astype(float) - OFFSET


@cache
def levels(photons: float) -> dict[Treated, float]:
    """Return the mean count of each well of `CAMERA` under the same even light."""
    return {well: float(flat(CAMERA, well, photons).mean()) for well in lay_out(CAMERA)}


def on_edge(well: Treated) -> bool:
    rows, columns = grid_of(len(levels(0.0)))
    return well.row in (0, rows - 1) or well.column in (0, columns - 1)


def by_batch(photons: float, *, edge: bool) -> list[list[float]]:
    wells = [(w.batch, np.log(v)) for w, v in levels(photons).items() if on_edge(w) == edge]
    return [[value for own, value in wells if own == batch] for batch in range(BATCHES)]


def test_corners_are_darker_than_the_centre() -> None:
    recipe = Recipe()
    image = flat(recipe, lay_out(recipe)[0], 20_000)[0]
    corners = [image[y, x].mean() for y in (np.s_[:16], np.s_[-16:]) for x in (np.s_[:16],)]
    corners += [image[y, x].mean() for y in (np.s_[:16], np.s_[-16:]) for x in (np.s_[-16:],)]
    assert 0.84 < np.mean(corners) / image[120:136, 120:136].mean() < 0.88


@pytest.mark.parametrize("difficulty", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("photons", [0.0, 1000.0])
def test_noise_is_that_of_photons_and_of_the_camera(difficulty: float, photons: float) -> None:
    """Difficulty takes photons, to a quarter, and leaves the counts where they were."""
    recipe = Recipe(difficulty=difficulty)
    well = lay_out(recipe)[0]
    first, second = flat(recipe, well, photons)
    assert first.mean() == pytest.approx(flat(Recipe(difficulty=0), well, photons).mean(), rel=0.01)
    counts_a_photon = 1 + 3 * difficulty
    expected = first.mean() * counts_a_photon + 4.0**2 + 1 / 12
    assert (first - second).var() / 2 == pytest.approx(expected, rel=0.025)


def test_batches_differ_in_gain_and_background_more_than_their_wells_do() -> None:
    gain, dark = by_batch(20_000.0, edge=False), by_batch(0.0, edge=False)
    background = [np.subtract(d, g).tolist() for d, g in zip(dark, gain, strict=True)]
    for batches in (gain, background):
        assert np.std([np.mean(batch) for batch in batches]) > 0.07
        assert 0.02 < np.mean([np.std(batch) for batch in batches]) < 0.07


def test_wells_at_the_edge_have_less_signal_and_more_background() -> None:
    for photons, low, high in ((20_000.0, 0.91, 0.95), (0.0, 1.03, 1.11)):
        pairs = zip(by_batch(photons, edge=True), by_batch(photons, edge=False), strict=True)
        ratio = np.exp(np.mean([np.mean(edge) - np.mean(inner) for edge, inner in pairs]))
        assert low < ratio < high


@pytest.mark.parametrize("setting", SETTINGS)
def test_numbers_of_compounds_do_not_tell_their_class(setting: Setting) -> None:
    orders = set()
    for seed in range(5):
        wells = lay_out(Recipe(setting=setting, seed=seed, compounds=10, concentrations=(10.0,)))
        kinds = {w.compound: w.phenotype for w in wells if w.compound.startswith("CPD")}
        order = tuple(kinds[compound] for compound in sorted(kinds))
        assert len(list(groupby(order))) > 2 * len(set(order))
        orders.add(order)
    assert len(orders) == 5


@pytest.mark.parametrize("setting", ["texture", "arrangement", "mixed"])
def test_one_well_of_each_class_is_left_to_be_predicted(setting: Setting) -> None:
    recipe = Recipe(setting=setting)
    hidden = [well.phenotype for well in lay_out(recipe) if not well.labelled]
    assert sorted(hidden) == sorted(recipe.classes)


def test_strong_doses_cost_cells_and_inert_compounds_do_too() -> None:
    wells = [well for seed in range(5) for well in lay_out(Recipe(seed=seed))]
    strong = {
        kind: [
            well.viability
            for well in wells
            if well.concentration == 10 and well.phenotype == kind and well.control == "treatment"
        ]
        for kind in Recipe().classes
    }
    for viabilities in strong.values():
        assert 0.75 <= min(viabilities) < 0.95
        assert max(viabilities) < 1
    assert all(well.viability > 0.93 for well in wells if well.concentration == 0.1)
    assert all(well.viability == 1 for well in wells if well.control == "negcon")


def test_fewer_cells_are_seen_where_fewer_live() -> None:
    recipe = Recipe(difficulty=0.0)
    well = lay_out(recipe)[0]

    def nuclei(viability: float) -> float:
        poorer = replace(well, viability=viability)
        return float(np.mean([render_field(recipe, poorer, site)[0] > 800 for site in range(12)]))

    assert 0.4 < nuclei(0.5) / nuclei(1.0) < 0.65
