"""The correction of clips as one function of tensors: the tiny bundle with a tiny adapter, as stages and as plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
from torch import Tensor

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.models.diffusion.animatediff import AnimateDiff
from acdc.engine.models.tokenizers.vqgan import VQGAN
from acdc.engine.runtime.compiled import PlannedUNet
from acdc.engine.sdedit import correct as correct_module
from acdc.engine.sdedit.correct import correct, in_portions
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.fused import WholeCorrection
from tests.helpers.motion import PROMPTS, SEEDS, clips_of, options_of
from tests.helpers.published import randomise


@pytest.fixture(scope="module")
def tiny(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AnimateDiff, VQGAN]:
    folder = tmp_path_factory.mktemp("tiny_adapter")
    config = {"motion_layers_per_block": 1, "motion_num_attention_heads": 2, "motion_norm_num_groups": 4}
    randomise(diffusers.MotionAdapter(block_out_channels=[8, 16], **config)).save_pretrained(folder)
    corrector = AnimateDiff.from_directory(tiny_path / "corrector", adapter=folder)
    return corrector, VQGAN.from_directory(tiny_path / "tokenizer", "cpu", torch.float32)


Whole = tuple[WholeCorrection, list[Tensor], Tensor]


def whole_of(corrector: AnimateDiff, tokenizer: VQGAN, guidance: float, steps: int) -> Whole:
    """(module, its inputs, what the stages show): 16 px clips worked on at 24 px."""
    chosen = options_of(guidance_scale=guidance, num_inference_steps=2 * steps, correction_size=24)
    correction, pixels = Correction(corrector, chosen), clips_of(2, frames=3, side=16)
    conditioning, _ = correction.condition(PROMPTS)
    shown = correction.run(pixels, conditioning, SEEDS, 1)
    whole = WholeCorrection(corrector, tokenizer, correction.schedule, guidance, size=24)
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    return whole, [pixels, *correction.noises(pixels, SEEDS, 1), *kv], shown


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@torch.no_grad()
def test_the_whole_is_the_stages_one_after_another(tiny: tuple[AnimateDiff, VQGAN], guidance: float) -> None:
    corrector, tokenizer = tiny
    whole, inputs, shown = whole_of(corrector, tokenizer, guidance, steps=3)
    found, codes = whole(*inputs)
    assert torch.equal(found, shown)
    assert codes.shape == (2, 3, 16)
    assert torch.equal(codes.flatten(0, 1), tokenizer.encode(shown.flatten(0, 1)))


@torch.no_grad()
def test_the_frames_of_a_clip_are_coded_a_few_at_a_time(
    tiny: tuple[AnimateDiff, VQGAN], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the VAE and by the tokenizer, which sees no frame of another one's portion: float32 may round otherwise."""
    corrector, tokenizer = tiny
    seen: list[int] = []

    def counted(run: Callable[[Tensor], object]) -> Callable[[Tensor], object]:
        def watched(value: Tensor) -> object:
            seen.append(len(value))
            return run(value)

        return watched

    def run(at_once: int) -> tuple[Tensor, Tensor, list[int]]:
        monkeypatch.setattr(correct_module, "VAE_BATCH", at_once)
        seen.clear()
        whole, inputs, shown = whole_of(corrector, tokenizer, 5.0, steps=1)
        found, codes = whole(*inputs)
        assert torch.equal(found, shown)
        return found, codes, list(seen)

    monkeypatch.setattr(corrector.vae, "encode", counted(corrector.vae.encode))
    monkeypatch.setattr(corrector.vae, "decode", counted(corrector.vae.decode))
    monkeypatch.setattr(tokenizer, "latents", counted(tokenizer.latents))
    together, codes, whole = run(6)
    apart, same, parts = run(4)
    assert (whole, parts) == ([6] * 5, [4, 2] * 5)
    torch.testing.assert_close(apart, together, rtol=0, atol=2e-5)
    assert torch.equal(same, codes)


def test_portions_are_joined_in_order() -> None:
    rows = torch.arange(12).reshape(6, 2)
    for at_once in (1, 4, 6, 9):
        assert torch.equal(in_portions(torch.add, at_once, rows, rows), 2 * rows)


@pytest.mark.slow
@torch.no_grad()
def test_one_cuda_graph_could_hold_it(tiny: tuple[AnimateDiff, VQGAN], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a clip's six frames in two portions."""
    monkeypatch.setattr(correct_module, "VAE_BATCH", 4)
    whole, inputs, _ = whole_of(*tiny, 5.0, steps=1)
    assert capture_hazards(whole, StageSpec.of("correction", inputs)) == []


@pytest.mark.slow
@torch.no_grad()
def test_planned_passes_are_the_eager_ones(tiny: tuple[AnimateDiff, VQGAN], tmp_path: Path) -> None:
    """The wrapper of plans takes this UNet as it takes that of pictures."""
    corrector, _ = tiny
    pixels, correction = clips_of(1, frames=3, side=16), Correction(corrector, options_of())
    conditioning, _ = correction.condition(PROMPTS[:1])
    given = (pixels, correction.noise(pixels, SEEDS[:1], 0), conditioning, correction.schedule)
    unet = PlannedUNet(corrector.unet, "openvino", PlanCache(tmp_path))
    assert replace(corrector, unet=unet).max_clip_frames == corrector.max_clip_frames
    planned = correct(corrector.vae, unet, *given)
    torch.testing.assert_close(planned, correct(corrector.vae, corrector.unet, *given), rtol=0, atol=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_as_one_plan_it_equals_eager(tiny: tuple[AnimateDiff, VQGAN], tmp_path: Path) -> None:
    whole, inputs, shown = whole_of(*tiny, 5.0, steps=1)
    found, _ = compile_stage(whole, StageSpec.of("correction", inputs), "openvino", PlanCache(tmp_path))(*inputs)
    torch.testing.assert_close(found, shown, rtol=0, atol=1e-3)
