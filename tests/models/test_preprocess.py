from __future__ import annotations

import pytest
import torch

from hts_classify.models.preprocess import Levels, orient, orientations, standardise


@pytest.fixture(scope="module")
def tiles():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (4, 2, 16, 16), generator=generator).float()


def test_every_channel_of_every_tile_comes_to_one_scale(tiles):
    ready = standardise(tiles * torch.tensor([1.0, 200.0]).view(1, 2, 1, 1))
    torch.testing.assert_close(ready.mean(dim=(2, 3)), torch.zeros(4, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(ready.std(dim=(2, 3), correction=0), torch.ones(4, 2))


def test_gain_and_background_do_not_matter(tiles):
    torch.testing.assert_close(standardise(tiles), standardise(tiles * 257 + 1000))


def test_an_empty_tile_gives_zeros():
    assert not standardise(torch.full((1, 1, 16, 16), 300.0)).any()


def test_levels_keep_the_brighter_tile_brighter(tiles):
    both = torch.cat([tiles, tiles * 4])
    levels = Levels.of([tiles, tiles * 4])
    ready = levels.standardise(both)
    assert (ready[4:].mean(dim=(1, 2, 3)) > ready[:4].mean(dim=(1, 2, 3)) + 1).all()
    torch.testing.assert_close(ready.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(ready.square().mean(dim=(0, 2, 3)), torch.ones(2))


def test_levels_do_not_depend_on_how_tiles_are_batched(tiles):
    once, twice = Levels.of([tiles]), Levels.of([tiles[:1], tiles[1:]])
    assert once.means == pytest.approx(twice.means, rel=1e-12)
    assert once.spreads == pytest.approx(twice.spreads, rel=1e-12)


def test_a_square_tile_has_eight_different_orientations(tiles):
    assert orientations(tiles) == 8
    views = {orient(tiles[:1], torch.tensor([turn])).numpy().tobytes() for turn in range(8)}
    assert len(views) == 8


def test_an_oblong_tile_keeps_its_shape():
    tile = torch.arange(16 * 20.0).view(1, 1, 16, 20)
    assert orientations(tile) == 4
    views = [orient(tile, torch.tensor([turn])) for turn in range(4)]
    assert {view.shape for view in views} == {tile.shape}
    assert len({view.numpy().tobytes() for view in views}) == 4


def test_each_tile_of_a_batch_is_turned_in_its_own_way(tiles):
    same = tiles[:1].repeat(8, 1, 1, 1)
    turned = orient(same, torch.arange(8))
    assert len({tile.numpy().tobytes() for tile in turned}) == 8
    # each is what it would have been alone, and the batch given is untouched
    for turn in range(8):
        alone = orient(same[:1], torch.tensor([turn]))
        assert torch.equal(turned[turn : turn + 1], alone)
    assert torch.equal(same[7], tiles[0])
