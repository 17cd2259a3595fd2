"""The precision of training passes: bfloat16 only where the machine multiplies it natively."""

from __future__ import annotations

import pytest
import torch

from acdc.bench.storyworld.train.precision import autocast, compute_dtype

pytestmark = pytest.mark.training


def pretend(monkeypatch: pytest.MonkeyPatch, *, amx: bool, avx512_bf16: bool, capability: str = "AVX512") -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)


def test_a_gpu_multiplies_in_bfloat16() -> None:
    assert compute_dtype("cuda") == torch.bfloat16
    assert compute_dtype("cuda:1") == torch.bfloat16


@pytest.mark.parametrize(("amx", "avx512_bf16"), [(True, False), (False, True), (True, True)])
def test_a_cpu_with_units_for_it_too(monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool) -> None:
    pretend(monkeypatch, amx=amx, avx512_bf16=avx512_bf16)
    assert compute_dtype("cpu") == torch.bfloat16
    with autocast("cpu"):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


def test_any_other_cpu_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, amx=False, avx512_bf16=False)
    assert compute_dtype("cpu") == torch.float32
    with autocast("cpu"):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32


def test_units_that_pytorch_may_not_use_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, amx=True, avx512_bf16=True, capability="AVX2")
    assert compute_dtype("cpu") == torch.float32
