"""DeepFloyd IF's networks through ONNX into engines for RTX GPUs, on a machine without one: small always, stage II at
full size where minutes are allowed."""

from dataclasses import replace

import pytest
import torch

from acdc.compile.spec import StageSpec
from acdc.compile.tensorrt import TENSORRT_RTX
from acdc.engine.loading.families.deepfloyd_if import IF_II_L
from acdc.engine.models.diffusion.deepfloyd.config import IFUNetConfig
from acdc.engine.models.diffusion.deepfloyd.t5_text import T5Text, T5TextConfig
from acdc.engine.models.diffusion.deepfloyd.unet import IFUNet
from acdc.engine.runtime.compiled import UNetPass
from acdc.engine.utils.weights import skeleton
from tests.helpers.small_if import STATES, TEXT, UNETS, our_unet


def unet_pass(unet, size, states, dtype=torch.float32):
    """A pass of one picture with two branches, and its inputs."""
    unet = unet.requires_grad_(False)
    kv = [value.contiguous() for pair in unet.context_kv(torch.zeros((2, 77, states), dtype=dtype)) for value in pair]
    pixels = torch.zeros((1, unet.config.in_channels, size, size), dtype=dtype)
    return UNetPass(unet), [pixels, unet.time_shifts(torch.tensor([321])), *kv]


def built(name, run, inputs, folder):
    spec = replace(StageSpec.of(name, inputs), device="cuda")
    return TENSORRT_RTX.build_engine(run, spec, folder)


@pytest.mark.toolchain
@pytest.mark.parametrize("stage", UNETS)
@torch.no_grad()
def test_a_unet_is_built(stage, tmp_path):
    assert built("unet", *unet_pass(our_unet(stage), 16, STATES), tmp_path).path.stat().st_size > 1e5


@pytest.mark.toolchain
@torch.no_grad()
def test_the_text_encoder_is_built(tmp_path):
    run = T5Text(T5TextConfig(**TEXT)).requires_grad_(False).eval().encoder
    mask = torch.arange(77)[None] < 5
    assert built("text_encoder", run, [torch.zeros(1, 77, STATES), mask], tmp_path).path.stat().st_size > 1e4


@pytest.mark.slow
@torch.no_grad()
def test_stage_two_is_built_at_full_size(tmp_path):
    """In float16, with small random weights."""
    config = IFUNetConfig.from_dict(IF_II_L)
    with skeleton():
        unet = IFUNet(config).half()
    unet = unet.to_empty(device="cpu").eval()
    for value in unet.parameters():
        value.normal_(0, 0.02)
    run, inputs = unet_pass(unet, 256, config.encoder_hid_dim, torch.float16)
    size = built("unet", run, inputs, tmp_path).path.stat().st_size
    assert 2.2e9 < size < 1.5 * 2.5e9
