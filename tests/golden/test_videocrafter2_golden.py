"""Our VideoCrafter2 against the published modules (commit 11bcd76f, open_clip 2.22.0) on made-up weights.

The weights are read from a ``model.ckpt``. Bounds are four times what an independent restatement reached on a CPU.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acdc.engine.loading.videocrafter2 import FILE, SIZES, Networks, load_videocrafter2
from acdc.engine.models.diffusion.schedule import add_noise, make_schedule
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.options import make_options
from acdc.engine.sdedit.correct import Conditioning, correct, encode_latents, step_on, time_table
from acdc.engine.sdedit.correction import schedule_of
from tests.golden.conftest import normals
from tests.helpers.published import write_tokenizer

EPS, TAPS, VAE, START, STEPS, DECODED, CONTEXT = (4 * e for e in (1.7e-6, 1.4e-5, 2.7e-6, 1.2e-7, 3.3e-5, 9e-6, 1.4e-6))
SMALL: dict[str, dict[str, Any]] = {
    "unet": {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (64, 128, 128),
        "layers_per_block": 1,
        "cross_attention_dim": 48,
        "attention_head_dim": (4, 8, 8),
        "use_linear_projection": True,
        "max_frames": 8,
    },
    "vae": {
        "block_out_channels": (32, 64, 64, 64),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    },
    "text_encoder": {
        "hidden_size": 48,
        "intermediate_size": 192,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "hidden_act": "gelu",
    },
}
LATENTS, GUIDANCE, FPS, TIMESTEP = (1, 4, 8, 8, 12), 12.0, 16, 376
MODULES = {  # the reference's name -> ours
    "time_embed": "time_embedding",
    "fps_embedding": "fps_embedding",
    "input_blocks.0": "conv_in",
    "init_attn": "init_attn",
    "input_blocks.1.0": "down_blocks.0.resnets.0",
    "input_blocks.1.1": "down_blocks.0.attentions.0",
    "input_blocks.1.2": "down_blocks.0.motion_modules.0",
    "middle_block": "mid_block",
    "output_blocks.5": "up_blocks.2.motion_modules.1",
}
Fill = Callable[[str, tuple[int, ...]], Tensor]


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "videocrafter2_small.json").read_text())


@pytest.fixture(scope="module")
def golden(vectors: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return vectors("videocrafter2_small")


@pytest.fixture(scope="module")
def model(written: dict[str, Any], fill: Fill, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StableDiffusion]:
    folder = tmp_path_factory.mktemp("videocrafter2")
    (folder / "tokenizer").mkdir()
    write_tokenizer(folder / "tokenizer", length=77)
    torch.save({name: fill(name, tuple(shape)) for name, shape in written["keys"].items()}, folder / FILE)
    cpu = torch.device("cpu")
    with torch.inference_mode():
        yield load_videocrafter2(folder, None, {**SIZES, **SMALL}, cpu, torch.float32)


def clips(name: str) -> Tensor:
    """Standard normals [1, L, 4, h, w]."""
    return normals(f"input/{name}", LATENTS).transpose(1, 2)


def near(found: Tensor, wanted: Tensor, bound: float) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=bound)


def scene(size: int) -> Tensor:
    """The picture of all golden inputs: gradients, a ring, a rectangle and checks; [3, size, size] in [0, 1]."""
    t = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    y, x = t[:, None].expand(size, size), t.expand(size, size)
    red = 0.5 + 0.5 * torch.sin(2 * math.pi * (1.5 * x + 0.5 * y))
    green = 0.15 + 0.7 * y * (1 - 0.5 * x)
    blue = 0.5 + 0.4 * torch.cos(2 * math.pi * (2 * y - x * x))
    found = torch.stack([red, green, blue])
    radius = ((x - 0.62) ** 2 + (y - 0.36) ** 2).sqrt()
    for where, colour in (
        ((radius > 0.16) & (radius < 0.22), (0.95, 0.85, 0.1)),
        ((x > 0.12) & (x < 0.4) & (y > 0.55) & (y < 0.85), (0.1, 0.2, 0.7)),
    ):
        found[:, where] = torch.tensor(colour, dtype=torch.float64)[:, None]
    checks = ((x * 32).floor() + (y * 32).floor()) % 2
    corner = (x > 0.75) & (y > 0.75)
    found[:, corner] = checks[corner].expand(3, -1)
    return found.clamp(0, 1).float()


@pytest.fixture(scope="module")
def pixels(golden: dict[str, Tensor]) -> Tensor:
    """The clip [1, L, 3, 64, 96]."""
    found = torch.stack([2 * torch.roll(scene(96), 3 * f, -1)[:, 16:80] - 1 for f in range(LATENTS[2])])
    near(found[[0, -1], :, ::8, ::8].transpose(0, 1), golden["pixels_probe"], 0)
    return found[None]


def test_weights_are_rebuilt_and_names_and_shapes_are_the_references(written: dict[str, Any], fill: Fill) -> None:
    for name, first in written["weight_probe"].items():
        near(fill(name, tuple(written["keys"][name])).flatten()[: len(first)], torch.tensor(first), 0)
    wanted = {name: tuple(shape) for name, shape in written["keys"].items()}
    assert Networks.of({**SIZES, **SMALL}).published() == wanted


def test_published_sizes() -> None:
    """By the prefix of the names: tensors and elements; on the meta device."""
    found: dict[str, list[int]] = {}
    for name, shape in Networks.of(SIZES).published().items():
        found.setdefault(name.partition(".")[0], []).append(math.prod(shape))
    assert {prefix: (len(sizes), sum(sizes)) for prefix, sizes in found.items()} == {
        "model": (1484, 1_413_284_420),
        "first_stage_model": (248, 83_653_863),
        "cond_stage_model": (294, 354_032_641),
    }


def test_text(model: StableDiffusion, golden: dict[str, Tensor]) -> None:
    near(model.text_encoder(golden["text_ids"]), golden["context"], CONTEXT)


@pytest.mark.parametrize(
    ("name", "row", "timestep", "fps"),
    [
        ("eps_cond", 0, TIMESTEP, FPS),
        ("eps_uncond", 1, TIMESTEP, None),
        ("eps_cond_other_fps", 0, TIMESTEP, 2 * FPS + 1),
        ("eps_cond_t1", 0, 1, FPS),
    ],
)
def test_a_pass(
    model: StableDiffusion, golden: dict[str, Tensor], name: str, row: int, timestep: int, fps: int | None
) -> None:
    unet = model.unet
    kv = unet.context_kv(golden["context"][row : row + 1])
    found = unet(clips("x"), unet.time_shifts(torch.tensor([timestep]), None, fps), kv)
    near(found.transpose(1, 2), golden[name], EPS)


def test_both_branches_in_a_pass_share_what_comes_before_the_text(
    model: StableDiffusion, golden: dict[str, Tensor]
) -> None:
    found = model.unet(
        clips("x"), model.unet.time_shifts(torch.tensor([TIMESTEP])), model.unet.context_kv(golden["context"])
    )
    near(found.transpose(1, 2), torch.cat((golden["eps_cond"], golden["eps_uncond"])), EPS)


def test_inside_a_pass(model: StableDiffusion, golden: dict[str, Tensor]) -> None:
    unet, seen = model.unet, {}
    assert isinstance(unet, nn.Module)
    hooks = [
        unet.get_submodule(ours).register_forward_hook(lambda _, __, out, name=theirs: seen.setdefault(name, out))
        for theirs, ours in MODULES.items()
    ]
    kv = unet.context_kv(golden["context"][:1])
    unet(clips("x"), unet.time_shifts(torch.tensor([TIMESTEP])), kv)
    for hook in hooks:
        hook.remove()
    assert {f"tap/{name}" for name in seen} == {name for name in golden if name.startswith("tap/")}
    for name, found in seen.items():
        part = found if found.ndim == 2 else found[[0, -1], ::8][None]
        near(part, golden[f"tap/{name}"], TAPS)


def test_first_stage(model: StableDiffusion, golden: dict[str, Tensor], pixels: Tensor) -> None:
    mean, logvar = model.vae.encode(pixels[0])
    near(mean.transpose(0, 1), golden["vae_mean"], VAE)
    near(logvar.transpose(0, 1), golden["vae_logvar"], VAE)
    found = encode_latents(model.vae, pixels[0], clips("posterior_noise")[0])
    near(found.transpose(0, 1)[None], golden["z0"], VAE)


@pytest.mark.long
def test_a_guided_correction_step_by_step(model: StableDiffusion, golden: dict[str, Tensor]) -> None:
    """Latents are compared in the network's scale: they are the sampler's times the step's ``input_scale``."""
    schedule = schedule_of(model, make_options(num_inference_steps=8, strength=0.5).correction)
    assert [step.timestep for step in schedule.steps] == [376, 251, 126, 1]
    conditioning = Conditioning.of(model.unet, golden["context"][:1], golden["context"][1:], GUIDANCE)
    table = time_table(model.unet, schedule, torch.device("cpu"), GUIDANCE)
    latents = add_noise(golden["z0"].transpose(1, 2), clips("sdedit_noise"), schedule.start.alpha)
    near((latents * schedule.start.input_scale).transpose(1, 2), golden["x_start"], START)
    scales = [*(step.input_scale for step in schedule.steps[1:]), 1.0]
    for number, (step, shifts, after) in enumerate(zip(schedule.steps, table.split(1), scales, strict=True)):
        prediction = model.unet(latents * step.input_scale, shifts, conditioning.kv)
        latents, clean = step_on(schedule.config, latents, prediction, GUIDANCE, step)
        near(clean.transpose(1, 2), golden[f"step{number}/pred_x0"], STEPS)
        near((latents * after).transpose(1, 2), golden[f"step{number}/x"], STEPS)
    decoded = model.vae.decode(golden["step3/x"][0, :, [0, 7]].transpose(0, 1) / 0.18215)
    near(decoded[..., ::2, ::2].transpose(0, 1), golden["decoded"], DECODED)


@pytest.mark.long
def test_a_clip_from_pixels_to_pixels(model: StableDiffusion, golden: dict[str, Tensor], pixels: Tensor) -> None:
    schedule = schedule_of(model, make_options(num_inference_steps=8, strength=0.5, correction_fps=FPS).correction)
    conditioning = Conditioning.of(model.unet, golden["context"][:1], golden["context"][1:], GUIDANCE)
    noises = clips("sdedit_noise"), clips("posterior_noise")
    shown = correct(model.vae, model.unet, pixels, noises[0], conditioning, schedule, noises[1])
    near(shown[0, [0, 7], :, ::2, ::2].transpose(0, 1), golden["decoded"].clamp(-1, 1), STEPS)


@pytest.mark.long
@pytest.mark.parametrize(
    ("timestep", "signal", "spread"),
    [(1, 0.998396, 0.041279), (201, 0.736195, 0.497852), (399, 0.456927, 0.757571), (481, 0.384870, 0.835287),
     (981, 0.053198, 0.997108)],
)  # fmt: skip
def test_signal_and_spread_of_the_published_schedule(timestep: int, signal: float, spread: float) -> None:
    config = SchedulerConfig.from_dict(SIZES["scheduler"])
    steps = {step.timestep: step for n in (50, 500) for step in make_schedule(config, n).steps}
    step = steps[timestep]
    assert math.sqrt(step.alpha) * step.input_scale == pytest.approx(signal, abs=1e-6)
    assert math.sqrt(1 - step.alpha) * step.input_scale == pytest.approx(spread, abs=1e-6)
    assert make_schedule(config, 50).steps[-1].alpha_next == pytest.approx(0.99914998)
