"""Stages of Janus-Pro and Emu3 at small size: no hazard for a captured graph, and engines for RTX GPUs are built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from acdc.bench import workloads
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.compile.tensorrt import TENSORRT_RTX
from acdc.engine.loading.families import ComponentSpec
from tests.helpers.small_systems import SMALL

KINDS = [("janus", "llamagen"), ("emu3", "emu3-vq")]


def stages(arm: str, tokenizer: str) -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    cpu, wide = torch.device("cpu"), torch.float32
    coder = ComponentSpec(tokenizer, {}, SMALL[tokenizer]).load(cpu, wide)
    yield from workloads.arm_stages(ComponentSpec(arm, {}, SMALL[arm]).load(cpu, wide), 2, 24, torch.zeros(1))
    side, grid = coder.config.resolution, coder.config.grid
    yield "tokenizer_decoder", coder.decoder, [torch.zeros(1, coder.config.z_channels, grid, grid)]
    yield "tokenizer_encoder", coder.encoder, [torch.zeros(1, 3, side, side)]


@pytest.mark.toolchain
@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds[0])
@torch.no_grad()
def test_no_stage_has_a_hazard(kinds: tuple[str, str]) -> None:
    found = {name: capture_hazards(run, StageSpec.of(name, inputs)) for name, run, inputs in stages(*kinds)}
    names = ("arm_prefill", "arm_draw", "tokenizer_decoder", "tokenizer_encoder")
    assert found == {name: [] for name in names}


@pytest.mark.toolchain
@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds[0])
@torch.no_grad()
def test_engines_are_built(kinds: tuple[str, str], tmp_path: Path) -> None:
    for name, run, inputs in stages(*kinds):
        spec = replace(StageSpec.of(name, inputs), device="cuda")
        assert TENSORRT_RTX.build_engine(run, spec, tmp_path).path.stat().st_size > 1e4, name
