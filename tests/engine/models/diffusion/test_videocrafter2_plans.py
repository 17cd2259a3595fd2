"""The correction of clips by VideoCrafter2 as one function of tensors and as passes: what backends make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.compile.tensorrt import FILE, TENSORRT_RTX
from acdc.engine.loading.families.videocrafter2 import make
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.models.tokenizers.vqgan import VQGAN
from acdc.engine.runtime.compiled import PlannedUNet, UNetPass
from acdc.engine.sdedit.correct import Conditioning, correct
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.fused import WholeCorrection
from tests.helpers.motion import PROMPTS, SEEDS, clips_of, options_of
from tests.helpers.small_systems import VIDEOCRAFTER2

GUIDANCE, FRAMES = 5.0, 3


@pytest.fixture(scope="module")
def tokenizer(tiny_path: Path) -> VQGAN:
    return VQGAN.from_directory(tiny_path / "tokenizer", "cpu", torch.float32)


@pytest.fixture(scope="module")
def corrector() -> StableDiffusion:
    return make(VIDEOCRAFTER2, torch.device("cpu"), torch.float32)


Given = tuple[Correction, Tensor, Conditioning]


@pytest.fixture(scope="module")
def given(corrector: StableDiffusion) -> Given:
    """Two clips of 16 px, guided, one step from a frame rate that is not the default."""
    chosen = options_of(guidance_scale=GUIDANCE, num_inference_steps=2, correction_fps=24)
    correction = Correction(corrector, chosen)
    return correction, clips_of(2, frames=FRAMES, side=16), correction.condition(PROMPTS)[0]


@pytest.fixture(scope="module")
def a_pass(corrector: StableDiffusion, given: Given) -> tuple[UNetPass, list[Tensor]]:
    correction, _, conditioning = given
    latents = torch.randn(2, FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    return UNetPass(corrector.unet), [latents, correction.table[:1], *kv]


def whole_of(tokenizer: VQGAN, given: Given) -> tuple[WholeCorrection, list[Tensor]]:
    """The whole correction of both clips, and its inputs."""
    correction, pixels, conditioning = given
    whole = WholeCorrection(correction.corrector, tokenizer, correction.schedule, GUIDANCE)
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    return whole, [pixels, *correction.noises(pixels, SEEDS, 1), *kv]


@torch.no_grad()
def test_the_whole_is_the_stages_one_after_another(tokenizer: VQGAN, given: Given) -> None:
    correction, pixels, conditioning = given
    whole, inputs = whole_of(tokenizer, given)
    found, codes = whole(*inputs)
    shown = correction.run(pixels, conditioning, SEEDS, 1)
    assert torch.equal(found, shown)
    assert torch.equal(codes.flatten(0, 1), tokenizer.encode(shown.flatten(0, 1)))


@pytest.mark.slow
@torch.no_grad()
def test_one_cuda_graph_could_hold_a_pass_and_the_whole(
    a_pass: tuple[UNetPass, list[Tensor]], tokenizer: VQGAN, given: Given
) -> None:
    run, inputs = a_pass
    assert capture_hazards(run, StageSpec.of("unet", inputs)) == []
    whole, inputs = whole_of(tokenizer, given)
    assert capture_hazards(whole, StageSpec.of("correction", inputs)) == []


@pytest.mark.slow
@torch.no_grad()
def test_planned_passes_are_the_eager_ones(corrector: StableDiffusion, given: Given, tmp_path: Path) -> None:
    correction, pixels, conditioning = given
    settings = pixels, correction.noise(pixels, SEEDS, 0), conditioning, correction.schedule
    unet = PlannedUNet(corrector.unet, "openvino", PlanCache(tmp_path))
    assert replace(corrector, unet=unet).max_clip_frames == corrector.max_clip_frames == 4
    planned, eager = (correct(corrector.vae, one, *settings) for one in (unet, corrector.unet))
    torch.testing.assert_close(planned, eager, rtol=0, atol=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_as_one_plan_it_equals_eager(tokenizer: VQGAN, given: Given, tmp_path: Path) -> None:
    correction, pixels, conditioning = given
    whole, inputs = whole_of(tokenizer, given)
    found, _ = compile_stage(whole, StageSpec.of("correction", inputs), "openvino", PlanCache(tmp_path))(*inputs)
    torch.testing.assert_close(found, correction.run(pixels, conditioning, SEEDS, 1), rtol=0, atol=1e-3)


@pytest.mark.toolchain
def test_tensorrt_builds_a_pass_without_a_gpu(a_pass: tuple[UNetPass, list[Tensor]], tmp_path: Path) -> None:
    run, inputs = a_pass
    spec = replace(StageSpec.of("unet", inputs), device="cuda")
    folder = TENSORRT_RTX.stored(run, spec, PlanCache(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", FILE]
