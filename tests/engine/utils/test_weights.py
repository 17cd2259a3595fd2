"""Modules whose values come from a file."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from acdc.engine.utils import weights
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


@pytest.mark.parametrize("num_bytes", [0, weights.SMALL_FILE - 1, weights.SMALL_FILE])
@pytest.mark.parametrize("fails", [False, True])
def test_small_files_are_read_by_one_thread_and_the_others_come_back(num_bytes, fails):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with suppress(ValueError), weights.threads_for(num_bytes):
            assert torch.get_num_threads() == (1 if num_bytes < weights.SMALL_FILE else 2)
            if fails:
                raise ValueError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
