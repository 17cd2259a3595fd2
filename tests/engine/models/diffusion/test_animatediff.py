"""Clips corrected by AnimateDiff as diffusers does it, and what a clip's frames have to do with one another."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.pipelines.animatediff import pipeline_animatediff_video2video as video2video
from torch import Tensor

from acdc.engine.models.diffusion.animatediff import AnimateDiff
from acdc.engine.sdedit.correction import Correction
from acdc.engine.utils.rng import Purpose
from tests.helpers.motion import PROMPTS, SEEDS, SIDE, clips_of, options_of
from tests.helpers.published import close


@torch.inference_mode()
def corrected(corrector: AnimateDiff, pixels: Tensor, prompts: list[str], seeds: list[int], **chosen: Any) -> Tensor:
    correction = Correction(corrector, options_of(**chosen))
    conditioning, _ = correction.condition(prompts)
    return correction.run(pixels, conditioning, seeds, 0)


@pytest.mark.long
@pytest.mark.parametrize(("strength", "guidance"), [(0.6, 5.0), (0.4, 1.0), (1.0, 7.5)])
def test_it_is_diffusers_video_to_video(
    base: Any, adapter: Any, corrector: AnimateDiff, monkeypatch: pytest.MonkeyPatch, strength: float, guidance: float
) -> None:
    """The whole pipeline with the posterior's and the schedule's noise injected: pixels within 1e-3."""
    chosen = {"strength": strength, "guidance_scale": guidance, "sample_posterior": True}
    parts = base[1].components
    pipeline = diffusers.AnimateDiffVideoToVideoPipeline(
        **{name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet")},
        motion_adapter=adapter[1],
        scheduler=diffusers.DDIMScheduler.from_pretrained(
            base[0],
            subfolder="scheduler",
            beta_schedule="linear",
            timestep_spacing="linspace",
            steps_offset=1,
            clip_sample=False,
        ),
    )
    pipeline.set_progress_bar_config(disable=True)
    pixels = clips_of(2)
    noise, posterior = Correction(corrector, options_of(**chosen)).noises(pixels, SEEDS, 0)
    waiting = list(posterior)  # the pipeline encodes one clip after another

    def of_posterior(shape: Any, **_: Any) -> Tensor:
        drawn = waiting.pop(0)
        assert tuple(shape) == tuple(drawn.shape)
        return drawn

    def of_schedule(shape: Any, **_: Any) -> Tensor:
        assert tuple(shape) == tuple(noise.shape)
        return noise

    monkeypatch.setattr(diffusers_vae, "randn_tensor", of_posterior)
    monkeypatch.setattr(video2video, "randn_tensor", of_schedule)
    theirs = pipeline(
        video=(pixels + 1) / 2, prompt=PROMPTS, height=SIDE, width=SIDE, num_inference_steps=8, strength=strength,
        guidance_scale=guidance, negative_prompt=[options_of().correction.negative_prompt] * 2, output_type="pt",
    ).frames  # fmt: skip
    ours = corrected(corrector, pixels, PROMPTS, SEEDS, **chosen)
    assert not waiting
    assert (ours - pixels).abs().mean() > 0.05, "something happened"
    torch.testing.assert_close((ours + 1) / 2, theirs, rtol=0, atol=1e-3)


@pytest.mark.long
def test_clips_side_by_side_are_the_clips_alone(base: Any, adapter: Any) -> None:
    exact = AnimateDiff.from_directory(base[0], "cpu", torch.float64, adapter[0])
    pixels = clips_of(2).double()
    together = corrected(exact, pixels, PROMPTS, SEEDS)
    for row in range(2):
        alone = corrected(exact, pixels[row : row + 1], PROMPTS[row : row + 1], SEEDS[row : row + 1])
        close(alone, together[row : row + 1], torch.float64)


def test_each_frame_has_noise_of_its_own(corrector: AnimateDiff) -> None:
    """Drawn by seed, clip and position alone: neither length nor neighbours change it; a clip of one is a frame."""
    correction, pixels = Correction(corrector, options_of()), clips_of(2, frames=5)
    noise = correction.noise(pixels, SEEDS, 3)
    assert noise.shape == (2, 5, 4, SIDE // 8, SIDE // 8)
    assert torch.equal(correction.noise(pixels[1:, :2], SEEDS[1:], 3), noise[1:, :2])
    assert torch.equal(correction.noise(pixels[:, 0], SEEDS, 3), noise[:, 0])
    others = [correction.noise(pixels, SEEDS, 4), correction.noise(pixels, SEEDS, 3, Purpose.POSTERIOR)]
    frames = torch.cat([noise, *others]).flatten(0, 1).flatten(1)
    assert len(frames.unique(dim=0)) == len(frames)


def test_frames_are_corrected_together(corrector: AnimateDiff) -> None:
    """The last frame sees the first: what is corrected alone is not what is corrected in a clip."""
    pixels = clips_of(1)
    changed = pixels.clone()
    changed[:, -1] = -1
    one, other = (corrected(corrector, given, PROMPTS[:1], SEEDS[:1]) for given in (pixels, changed))
    assert (one[:, 0] - other[:, 0]).abs().max() > 1e-3


def test_a_clip_beyond_the_positions_is_one_line(corrector: AnimateDiff) -> None:
    with pytest.raises(ValueError, match=r"^a clip of 9 frames is too long for this UNet; choose at most 8$"):
        corrected(corrector, clips_of(1, frames=9), PROMPTS[:1], SEEDS[:1])
