from __future__ import annotations

import pytest
import torch

from hts_classify.errors import UsageError
from hts_classify.models.cnn import ARCHITECTURES, LEAST_TILE, build


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 128, 128), (5, 40, 40), (3, 17, 90)])
def test_any_channels_and_any_tile_give_finite_logits(name, shape):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build(name, channels=shape[0], classes=4, dropout=0.1).eval()
        logits = net(torch.randn(2, *shape))
    assert logits.shape == (2, 4)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_two_of_the_smallest_tiles_can_be_learned_from(name):
    net = build(name, channels=1, classes=2, dropout=0.0).train()
    net(torch.rand(2, 1, LEAST_TILE, LEAST_TILE)).sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in net.parameters())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_where_a_pattern_lies_hardly_matters(name):
    """Global pooling: a shift by the network's whole stride moves nothing but the borders."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build(name, channels=1, classes=2, dropout=0.0).eval()
        torch.nn.init.normal_(net.head.weight)  # it starts at zero, so that all logits are zero
        tile = torch.zeros(1, 1, 128, 128)
        tile[:, :, 48:64, 48:64] = torch.rand(16, 16)
    shifted = torch.roll(tile, (16, 16), dims=(2, 3))
    torch.testing.assert_close(net(tile), net(shifted))
    assert not torch.allclose(net(tile), net(torch.zeros_like(tile)))


def test_an_architecture_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="'resnet'; use small"):
        build("resnet", channels=1, classes=2, dropout=0.0)
