"""Frames corrected at another size than their own: the resize rule, its place in the correction, the option."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.cli.flags import Given
from acdc.engine.cli.story import story
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.sdedit.correct import correct
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.fused import WholeCorrection
from acdc.engine.sdedit.resize import cubic, resize, weights, working_size

SEEDS = [3, 4]
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@given(source=SIZES, target=SIZES)
@settings(max_examples=60, deadline=None)
def test_resize_is_pillows_and_torchs_bicubic(source: tuple[int, int], target: tuple[int, int]) -> None:
    pixels = picture(*source)
    found = resize(pixels, target)
    if source[1] > 1 and target[1] > 1:  # torch errs where a picture is one pixel wide: Pillow agrees with us
        theirs = F.interpolate(pixels, size=target, mode="bicubic", antialias=True).clamp(-1, 1)
        torch.testing.assert_close(found, theirs, rtol=0, atol=2e-5)
    channel = Image.fromarray(pixels[1, 2].numpy(), mode="F")
    pillow = np.asarray(channel.resize(target[::-1], Image.Resampling.BICUBIC)).clip(-1, 1)
    np.testing.assert_allclose(found[1, 2].numpy(), pillow, rtol=0, atol=2e-5)


@given(source=st.integers(1, 50), target=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_flat_colours_stay(source: int, target: int) -> None:
    matrix = weights(source, target, torch.device("cpu"), torch.float64)
    torch.testing.assert_close(matrix.sum(1), torch.ones(target, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(matrix, matrix.flip(0, 1), rtol=0, atol=1e-12)  # left is as right
    flat = torch.full((1, 3, source, source), 0.3, dtype=torch.float64)
    torch.testing.assert_close(resize(flat, (target, target)), flat[..., :1, :1].expand(-1, -1, target, target))


def test_small_cases_by_hand() -> None:
    assert cubic(torch.tensor([0.0, 1.0, 2.0, 3.0])).tolist() == [1, 0, 0, 0]
    assert cubic(torch.tensor([0.5, 1.5])).tolist() == [0.5625, -0.0625]
    assert weights(2, 1, torch.device("cpu"), torch.float32).tolist() == [[0.5, 0.5]]
    row = torch.zeros(1, 1, 1, 6, dtype=torch.float64)
    row[..., 3:] = 1
    grown = resize(row, (1, 12))
    assert grown.min() < 0, "the kernel overshoots"
    assert grown.max() == 1, "and is clamped at 1"


def test_the_own_size_is_untouched_and_the_type_stays() -> None:
    pixels = picture(8, 12)
    assert resize(pixels, (8, 12)) is pixels
    half = resize(pixels.bfloat16(), (16, 24))
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, resize(pixels.bfloat16().float(), (16, 24)).bfloat16())


def test_smooth_pictures_survive_the_way_up_and_down() -> None:
    axis = torch.linspace(0, torch.pi, 32)
    smooth = 0.8 * (axis[:, None].sin() * axis.cos()).expand(1, 3, 32, 32)
    lost = (resize(resize(smooth, (64, 64)), (32, 32)) - smooth).abs()
    assert lost.max() < 0.01
    assert lost[..., 2:-2, 2:-2].max() < 0.001, "away from the edges"


@pytest.mark.parametrize(
    ("frame", "size", "wanted"),
    [
        ((256, 256), None, (256, 256)),
        ((256, 256), 512, (512, 512)),
        ((512, 512), 256, (256, 256)),
        ((64, 96), 128, (128, 192)),
    ],
)
def test_the_shorter_side_becomes_the_working_size(
    frame: tuple[int, int], size: int | None, wanted: tuple[int, int]
) -> None:
    assert working_size(*frame, size) == wanted


def corrected(engine, size: int | None, **chosen) -> tuple[Correction, Tensor, Tensor]:
    """(the correction, two 16 px frames, what it makes of them)."""
    options = make_options(num_inference_steps=4, correction_size=size, **chosen).resolved(engine.defaults)
    correction, pixels = Correction(engine.models.corrector, options), picture(16, 16)
    conditioning, _ = correction.condition(["a cat", "a bear in snow"])
    return correction, pixels, correction.run(pixels, conditioning, SEEDS, 1)


@pytest.mark.parametrize("size", [8, 24, 32])
@torch.no_grad()
def test_it_is_a_correction_at_that_size_between_two_resizes(tiny_engine, size) -> None:
    correction, pixels, shown = corrected(tiny_engine, size, sample_posterior=True)
    conditioning, _ = correction.condition(["a cat", "a bear in snow"])
    noise, posterior = correction.noises(pixels, SEEDS, 1)
    side = size // correction.corrector.vae.downscale
    assert noise.shape == posterior.shape == (2, 4, side, side)
    vae, unet = correction.corrector.vae, correction.corrector.unet
    large = correct(vae, unet, resize(pixels, (size, size)), noise, conditioning, correction.schedule, posterior)
    assert torch.equal(shown, resize(large, (16, 16)))
    assert shown.shape == pixels.shape
    assert shown.abs().max() <= 1


@torch.no_grad()
def test_the_frames_own_size_is_what_none_means(tiny_engine) -> None:
    assert torch.equal(corrected(tiny_engine, None)[2], corrected(tiny_engine, 16)[2])


def test_a_frame_does_not_depend_on_its_neighbours(exact_engine) -> None:
    sentences = ["Benny the beagle sat in a garden.", "He ran."]
    values = {"num_inference_steps": 4, "correction_size": 32}
    pair = exact_engine.generate_batch([sentences, sentences[::-1]], seeds=[1, 2], **values)
    alone = exact_engine.generate(sentences, seed=1, **values)
    for one, other in zip(pair[0].frames, alone.frames, strict=True):
        assert one.codes == other.codes
        assert one.image.shape == (16, 16, 3)
        np.testing.assert_array_equal(one.image, other.image)
    plain = exact_engine.generate(sentences, seed=1, num_inference_steps=4)
    assert any((one.image != other.image).any() for one, other in zip(plain.frames, alone.frames, strict=True))
    assert exact_engine.settings(make_options(**values))["correction_size"] == 32


# --- one plan, one graph ---


def whole_of(engine, size: int, steps: int) -> tuple[WholeCorrection, list[Tensor], Tensor]:
    correction, pixels, shown = corrected(engine, size, strength=steps / 4)
    conditioning, _ = correction.condition(["a cat", "a bear in snow"])
    models, scale = engine.models, conditioning.guidance_scale
    whole = WholeCorrection(models.corrector, models.tokenizer, correction.schedule, scale, size=size)
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    return whole, [pixels, correction.noise(pixels, SEEDS, 1), *kv], shown


@torch.no_grad()
def test_the_whole_correction_resizes_too(tiny_engine) -> None:
    whole, inputs, shown = whole_of(tiny_engine, 32, steps=2)
    found, codes = whole(*inputs)
    assert torch.equal(found, shown)
    assert torch.equal(codes, tiny_engine.models.tokenizer.encode(shown))


@pytest.mark.slow
@torch.no_grad()
def test_one_cuda_graph_could_hold_it(tiny_engine) -> None:
    whole, inputs, _ = whole_of(tiny_engine, 24, steps=1)
    assert capture_hazards(whole, StageSpec.of("correction", inputs)) == []


class ThereAndBack(nn.Module):
    """[B, 3, 16, 16] at 24 px, and back."""

    def forward(self, pixels: Tensor) -> Tensor:
        return resize(torch.sin(resize(pixels, (24, 24))), (16, 16))


def test_a_plan_resizes_as_eager_does(tmp_path) -> None:
    run, pixels = ThereAndBack(), picture(16, 16)
    found = compile_stage(run, StageSpec.of("correction", [pixels]), "openvino", PlanCache(tmp_path))(pixels)
    torch.testing.assert_close(found, run(pixels), rtol=0, atol=1e-5)


# --- the option ---


@pytest.mark.parametrize("size", [0, -64])
def test_no_size_at_all_is_refused(size) -> None:
    with pytest.raises(ValueError, match=f"^correction_size {size} is too small; choose"):
        make_options(correction_size=size)


def test_sizes_that_the_unet_halves_unevenly_are_served(tiny_engine) -> None:
    """As diffusers serves 72 px: 5 x 5 latents of two levels."""
    (frame,) = tiny_engine.generate(["A cat sat."], correction_size=20, num_inference_steps=2).frames
    assert frame.image.shape == (16, 16, 3)


@pytest.mark.parametrize(("size", "choices"), [(18, "16 or 20"), (3, "4"), (33, "32 or 36")])
def test_sizes_that_the_corrector_cannot_halve_name_their_neighbours(tiny_engine, size, choices) -> None:
    with pytest.raises(ValueError, match=rf"^correction_size {size} is not a multiple .* 4 pixels; choose {choices}$"):
        tiny_engine.generate(["A cat sat."], correction_size=size)


def test_the_command_line_passes_it_on() -> None:
    assert Given({"correction.size": 512}).story().correction.size == 512
    assert Given({}).story().correction.size is None


def test_a_bundles_size_is_undone_by_the_frames_own(tiny_engine) -> None:
    """None leaves it to the bundle, as the help says."""
    defaults = {**tiny_engine.defaults, "correction_size": 32}
    assert StoryOptions().resolved(defaults).correction.size == 32
    assert make_options(correction_size=16).resolved(defaults).correction.size == 16
    helped = CliRunner().invoke(story, ["--help"], terminal_width=120).output
    assert "[default: the bundle's, or the frame's own size]" in " ".join(helped.split())
