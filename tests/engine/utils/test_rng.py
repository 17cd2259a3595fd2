"""Draws depend on what they are for and on nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.utils.rng import Purpose, gumbel, make_keys, normal, philox, random_bits

# Known answers published with the Random123 library (philox4x32, 10 rounds).
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, answer):
    words = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert tuple(int(w) for w in words) == answer


def test_worked_example_of_the_docstring():
    bits = random_bits(make_keys([5], 2, Purpose.TOKEN), torch.tensor([9]), 8)
    words = philox(tuple(map(torch.tensor, (1, 9, 2, 0))), tuple(map(torch.tensor, (5, 0))))
    assert bits[0, 0, 6] == words[2]


@given(
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    chunk=st.integers(0, 1000),
    count=st.integers(1, 70),
    width=st.integers(1, 9),
)
def test_a_draw_does_not_depend_on_its_neighbours(seeds, chunk, count, width):
    together = gumbel(make_keys(seeds, chunk, Purpose.TOKEN), torch.arange(width), count)
    for row, seed in enumerate(seeds):
        for position in range(width):
            alone = gumbel(make_keys([seed], chunk, Purpose.TOKEN), torch.tensor([position]), count)
            assert torch.equal(together[row, position], alone[0, 0])


def test_ragged_positions_equal_single_ones():
    keys = make_keys([3, 4], 1, Purpose.TOKEN)
    ragged = gumbel(keys, torch.tensor([[0, 1], [5, 6]]), 10)
    assert torch.equal(ragged[1, 0], gumbel(keys[1:], torch.tensor([5]), 10)[0, 0])


def test_purposes_chunks_and_seeds_share_no_bits():
    rows = [
        random_bits(make_keys([seed], chunk, purpose), torch.arange(4), 64).flatten()
        for seed in (0, 1, 2**32)
        for chunk in (0, 1)
        for purpose in Purpose
    ]
    every = torch.cat(rows)
    assert every.unique().numel() > 0.999 * every.numel()


def test_moments_and_range():
    noise = normal(make_keys([7], 0, Purpose.NOISE), (200_001,))
    assert noise.dtype == torch.float32
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    draws = gumbel(make_keys([7], 0, Purpose.TOKEN), torch.arange(100), 1000)
    assert torch.isfinite(draws).all()
    assert abs(draws.mean() - 0.5772) < 0.02


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range_names_it(seed):
    with pytest.raises(ValueError, match=str(seed)):
        make_keys([seed], 0, Purpose.TOKEN)
