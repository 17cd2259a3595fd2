"""Signs to indices and back: kernels, interpreted, against references and against Python's own bits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import lfq as module
from acdc.kernels.jit import on_triton
from acdc.kernels.lfq import ROWS, lfq_index, lfq_index_reference, lfq_vectors, lfq_vectors_reference

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
COUNTS = st.sampled_from([1, 2, ROWS, ROWS + 1])


def by_text(row):
    """The index as a binary numeral."""
    return int("".join("1" if value > 0 else "0" for value in row), 2)


@given(count=COUNTS, channels=st.integers(1, 30), dtype=DTYPES, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_there_and_back(count, channels, dtype, seed):
    vectors = torch.randn(count, channels, generator=torch.Generator().manual_seed(seed)).to(dtype)
    assert on_triton(vectors), "otherwise the reference would be compared with itself"
    wanted = torch.tensor([by_text(row) for row in vectors.tolist()])
    assert torch.equal(lfq_index(vectors), wanted)
    assert torch.equal(lfq_index_reference(vectors), wanted)
    signs = torch.where(vectors > 0, 1, -1).to(dtype)
    assert torch.equal(lfq_vectors(wanted, channels, dtype), signs)
    assert torch.equal(lfq_vectors_reference(wanted, channels, dtype), signs)


def test_show_os_order_of_bits():
    """specs: the first channel is the most significant of 13 bits."""
    first = torch.full((1, 13), -1.0)
    first[0, 0] = 1
    assert lfq_index(first).item() == 4096
    assert lfq_vectors(torch.tensor([5]), 3).tolist() == [[1, -1, 1]]


def test_zero_and_not_a_number_are_not_positive():
    vectors = torch.tensor([[0.0, -0.0, float("nan"), float("inf"), -float("inf")]])
    assert lfq_index(vectors).tolist() == lfq_index_reference(vectors).tolist() == [2]


def test_strided_and_empty():
    vectors = torch.randn(5, 40).T
    assert torch.equal(lfq_index(vectors), lfq_index_reference(vectors))
    indices = torch.arange(16)[::3]
    assert torch.equal(lfq_vectors(indices, 4), lfq_vectors_reference(indices, 4))
    assert lfq_index(vectors[:0]).shape == (0,)
    assert lfq_vectors(indices[:0], 4).shape == (0, 4)


def test_everything_is_written(monkeypatch):
    def poisoned(*size, dtype, device):
        return torch.full(size, float("nan") if dtype.is_floating_point else -(2**62), dtype=dtype, device=device)

    monkeypatch.setattr(module.torch, "empty", poisoned)
    indices = torch.arange(ROWS + 3) % 8
    vectors = lfq_vectors(indices, 3)
    assert vectors.abs().sum() == vectors.numel()
    assert torch.equal(lfq_index(vectors), indices)


@pytest.mark.parametrize("channels", [0, 31])
def test_too_many_channels_are_refused(channels):
    with pytest.raises(ValueError, match=f"{channels} channels are not supported; choose 1 to 30"):
        lfq_index(torch.zeros(2, channels))
    with pytest.raises(ValueError, match=f"{channels} channels are not supported"):
        lfq_vectors(torch.zeros(2, dtype=torch.int64), channels)


@pytest.mark.long
def test_shapes_are_known_without_running():
    with torch.device("meta"):
        assert lfq_index(torch.empty(7, 13)).shape == (7,)
        found = lfq_vectors(torch.empty(7, dtype=torch.int64), 13, torch.bfloat16)
    assert found.shape == (7, 13)
    assert found.dtype == torch.bfloat16
