"""The search for the nearest code: the kernel, interpreted, against its reference and against plain distances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import codebook_nearest as module
from acdc.kernels.codebook_nearest import (
    CODES,
    PROGRAMS,
    ROWS,
    codebook_nearest,
    codebook_nearest_reference,
    codes_each,
    width,
)
from acdc.kernels.jit import on_triton


def distances(vectors, codebook):
    """Squared, in float64: [N, K]."""
    return (vectors.double()[:, None] - codebook.double()).square().sum(2)


@pytest.mark.long
@given(
    count=st.sampled_from([1, 2, ROWS, ROWS + 1, 37]),
    num_codes=st.sampled_from([1, 3, CODES, CODES + 1, 300]),
    channels=st.sampled_from([1, 3, 16, 33, 64]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_kernel_and_reference_find_a_nearest_code(count, num_codes, channels, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, channels, generator=generator).to(dtype)
    codebook = torch.randn(num_codes, channels, generator=generator).to(dtype)
    assert on_triton(vectors), "otherwise the reference would be compared with itself"
    far = distances(vectors, codebook)
    for found in (codebook_nearest(vectors, codebook), codebook_nearest_reference(vectors, codebook)):
        assert found.dtype == torch.int64
        assert found.shape == (count,)
        gap = far.gather(1, found[:, None])[:, 0] - far.min(1).values
        assert (gap <= 1e-5 * (1 + channels)).all(), "only a near tie may fall otherwise (DESIGN 2.6)"


def test_the_first_of_equal_codes_wins_also_across_tiles():
    once = torch.eye(8, 16) * 3  # whole numbers, so that no order of sums changes a distance
    codebook = once.repeat(CODES // 4, 1)  # every code again and again, in both tiles
    vectors = once + 1
    assert codebook_nearest(vectors, codebook).tolist() == list(range(8))
    assert codebook_nearest_reference(vectors, codebook).tolist() == list(range(8))


def test_strided_vectors_no_vectors_and_not_a_number():
    codebook = torch.randn(50, 8)
    vectors = codebook[:20].T.contiguous().T
    assert not vectors.is_contiguous()
    assert codebook_nearest(vectors, codebook).tolist() == list(range(20))
    assert codebook_nearest(vectors[:0], codebook).shape == (0,)
    lost = vectors.clone()
    lost[3, 2] = float("nan")
    lost[4] = float("inf")
    found = codebook_nearest(lost, codebook)
    assert found[3] == 0
    assert 0 <= found[4] < 50
    assert found[5:].tolist() == list(range(5, 20))


def test_all_codes_are_written(monkeypatch):
    def poisoned(*size, dtype, device):
        return torch.full(size, -(2**30), dtype=dtype, device=device)

    vectors, codebook = torch.randn(33, 4), torch.randn(9, 4)
    monkeypatch.setattr(module.torch, "empty", poisoned)
    found = codebook_nearest(vectors, codebook)
    assert found.min() >= 0
    assert found.max() < 9


@pytest.mark.parametrize(("channels", "wanted"), [(1, 16), (16, 16), (17, 32), (64, 64), (256, 256)])
def test_the_width_holds_all_channels(channels, wanted):
    assert width(channels) == wanted


@pytest.mark.parametrize(("tiles", "num_codes"), [(1, 1), (1, 8192), (16, 8192), (64, 8192), (999, 300), (16, 65)])
def test_the_walks_cover_the_codebook_once(tiles, num_codes):
    walk = codes_each(tiles, num_codes)
    parts = -(-num_codes // walk)
    assert walk % CODES == 0
    assert (parts - 1) * walk < num_codes <= parts * walk
    assert parts == 1 or parts * tiles <= 2 * PROGRAMS


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        found = codebook_nearest(torch.empty(7, 4), torch.empty(9, 4))
    assert found.shape == (7,)
    assert found.dtype == torch.int64
