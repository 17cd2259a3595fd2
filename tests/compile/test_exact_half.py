"""Weights that are float16 numbers take two bytes each on disk, and plans compute the same; others stay float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.exact_half import VAE_BATCH, _exact
from acdc.compile.spec import StageSpec

SIDE = 96


def stage(half: bool) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(SIDE, SIDE), nn.SiLU(), nn.Linear(SIDE, SIDE)).eval().requires_grad_(False)
    return model.half().float() if half else model


@pytest.mark.parametrize(("half", "width"), [(True, 2), (False, 4)])
@torch.no_grad()
def test_plans_are_eagers_and_as_small_as_exactness_allows(tmp_path: Path, half: bool, width: int) -> None:
    run, x = stage(half), torch.randn(3, SIDE)
    plan = compile_stage(run, StageSpec.of("unet", [x]), "openvino", PlanCache(tmp_path))
    torch.testing.assert_close(plan(x), run(x), rtol=1e-5, atol=1e-6)
    (weights,) = tmp_path.glob("*/plan.bin")
    numbers = 2 * SIDE * (SIDE + 1)
    assert width * numbers <= weights.stat().st_size < 1.1 * width * numbers


@given(value=st.floats(width=32))
def test_a_number_is_exact_if_float16_gives_it_back(value: float) -> None:
    with np.errstate(over="ignore"):
        back = np.float32(np.float16(np.float32(value)))
    assert _exact(np.array([1.0, value], np.float32)) == bool(back == np.float32(value))


@pytest.mark.parametrize("at", [0, VAE_BATCH - 1, VAE_BATCH, VAE_BATCH + 6])
def test_one_number_of_many_is_found_wherever_it_lies(at: int) -> None:
    values = np.ones(VAE_BATCH + 7, np.float32)
    assert _exact(values)
    values[at] = 1e-5
    assert not _exact(values)
