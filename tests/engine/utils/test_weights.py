"""Modules whose values come from a file."""

import torch
from torch import nn

from acdc.engine.utils.weights import skeleton


def test_a_skeleton_has_the_shapes_and_draws_nothing():
    before = torch.get_rng_state()
    with skeleton():
        made = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 4), nn.Conv2d(1, 1, 3))
    assert torch.equal(torch.get_rng_state(), before)
    assert {value.device.type for value in made.parameters()} == {"meta"}
    assert [tuple(value.shape) for value in made.parameters()] == [(3, 2), (4, 2), (4,), (1, 1, 3, 3), (1,)]
    outside = nn.Embedding(30, 20).weight
    assert outside.device.type == "cpu"
    assert outside.std() > 0
