"""Which errors mean that memory ran out."""

import pytest
import torch

from acdc.engine.utils.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes. Error code 12"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried 9 bytes"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
    ],
)
def test_memory_ran_out(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("not enough memory"), KeyError("bad_alloc")],
)
def test_something_else_went_wrong(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_what_torch_says_on_a_cpu() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
