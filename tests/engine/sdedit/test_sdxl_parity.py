"""SDXL and SDXL-Lightning draw the pictures of diffusers' pipeline, given the same noise. Latents have an odd size."""

from __future__ import annotations

from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from acdc.engine.loading.stable_diffusion_xl import SIZES, skeletons
from acdc.engine.models.diffusion.sdxl.model import SDXL
from acdc.engine.models.diffusion.sdxl.unet import SDXLUNet, SDXLUNetConfig
from acdc.engine.text_to_image import TextToImage, few_steps
from acdc.engine.utils.rng import Purpose, make_keys, normal
from tests.helpers.published import parameters, randomise
from tests.helpers.small_sdxl import UNET, write_sdxl

PROMPT = "Benny the beagle in a vibrant garden."
TOLERANCE = 5e-5  # of pictures in 0..1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sdxl")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> diffusers.StableDiffusionXLPipeline:
    return write_sdxl(folder)


@pytest.fixture(scope="module")
def model(folder: Path, theirs: diffusers.StableDiffusionXLPipeline) -> SDXL:
    return SDXL.from_directory(folder / "sdxl")


def trailing(theirs: diffusers.StableDiffusionXLPipeline, prediction: str) -> None:
    """The scheduler as the model card of SDXL-Lightning makes it of the base's."""
    changes = {"timestep_spacing": "trailing", "prediction_type": prediction}
    theirs.scheduler = diffusers.EulerDiscreteScheduler.from_config(theirs.scheduler.config, **changes)


@pytest.mark.long
@pytest.mark.parametrize(("steps", "prediction"), [(1, "sample"), *((steps, "epsilon") for steps in (1, 2, 4, 6, 8))])
@pytest.mark.parametrize("prompt", [PROMPT, "", "the garden " * 20])
def test_pictures_are_those_of_diffusers(
    theirs: diffusers.StableDiffusionXLPipeline, model: SDXL, steps: int, prediction: str, prompt: str
) -> None:
    trailing(theirs, prediction)
    noise = torch.randn((1, 4, 9, 13), generator=torch.Generator().manual_seed(steps))
    wanted = theirs(
        prompt, latents=noise, num_inference_steps=steps, guidance_scale=0, height=72, width=104, output_type="pt"
    ).images
    assert wanted.std() > 0.1, "not all of one colour"
    with torch.inference_mode():
        prompts = model.embed([prompt])
        found = TextToImage(model, few_steps(model, steps, prediction)).paint(noise, prompts.states, prompts.pooled)
    torch.testing.assert_close((found + 1) / 2, wanted, rtol=0, atol=TOLERANCE)


def test_a_picture_of_the_library_is_drawn_from_the_noise_of_its_number(
    theirs: diffusers.StableDiffusionXLPipeline, folder: Path
) -> None:
    painter = TextToImage.from_pretrained(folder / "sdxl", steps=2)
    trailing(theirs, "epsilon")
    noise = normal(make_keys([7], 3, Purpose.REFERENCE), (4, 8, 8))
    wanted = theirs(PROMPT, latents=noise, num_inference_steps=2, guidance_scale=0, height=64, width=64).images[0]
    first = painter(PROMPT, seed=7, index=3)
    assert first.size == (64, 64)  # the UNet's own: 8 latents
    assert np.abs(np.asarray(first, int) - np.asarray(wanted, int)).max() <= 1
    painter("another picture in between", seed=7, index=2)
    assert first.tobytes() == painter(PROMPT, seed=7, index=3).tobytes()
    others = [painter(PROMPT, seed=7, index=4), painter(PROMPT, seed=8, index=3)]
    assert all(first.tobytes() != other.tobytes() for other in others)
    assert painter(PROMPT, seed=7, index=3, size=72).size == (72, 72)


@torch.no_grad()
def test_the_network_is_diffusers_own(theirs: diffusers.StableDiffusionXLPipeline, model: SDXL) -> None:
    generator = torch.Generator().manual_seed(0)
    latents, states, pooled = (torch.randn(s, generator=generator) for s in ((1, 4, 8, 8), (1, 16, 64), (1, 20)))
    sizes, time = torch.tensor([[512, 768, 8, 0, 1024, 1000]]), torch.tensor([321])
    added = {"text_embeds": pooled, "time_ids": sizes}
    wanted = theirs.unet(latents, time, states, added_cond_kwargs=added).sample
    found = model.unet(latents, model.unet.prompt_shifts(time, pooled, sizes), model.unet.context_kv(states))
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)
    with pytest.raises(TypeError, match="prompt_shifts"):
        model.unet(latents, time, states)


def test_the_published_sizes() -> None:
    """Counts of stabilityai/stable-diffusion-xl-base-1.0, on the meta device."""
    unet, vae, first, second = skeletons(SIZES)
    assert (parameters(unet), len(unet.state_dict())) == (2_567_463_684, 1_680)
    assert [parameters(one) for one in (vae, first, second)] == [83_653_863, 123_060_480, 694_659_840]


@pytest.mark.long
def test_a_file_takes_the_place_of_the_unet(folder: Path, model: SDXL, tmp_path: Path) -> None:
    """As SDXL-Lightning's are published: half precision, diffusers' names; its name says steps and prediction."""
    other = diffusers.UNet2DConditionModel(**UNET)
    randomise(other)
    state = {name: (1.5 * value).half().contiguous() for name, value in other.state_dict().items()}
    for name, steps, prediction in (
        ("sdxl_lightning_1step_unet_x0.safetensors", 1, "sample"),
        ("sdxl_lightning_8step_unet.safetensors", 8, "epsilon"),
    ):
        save_file(state, tmp_path / name)
        painter = TextToImage.from_pretrained(folder / "sdxl", unet=tmp_path / name)
        loaded = painter.model.unet.state_dict()
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], value.float()) for key, value in state.items())
        assert torch.equal(
            painter.model.text_encoder_2.text_projection.weight, model.text_encoder_2.text_projection.weight
        )
        settings = painter.settings()
        assert (settings["steps"], settings["prediction_type"]) == (steps, prediction)
    six = TextToImage.from_pretrained(folder / "sdxl", unet=tmp_path / name, steps=6)  # the paper's number
    assert len(six.schedule.steps) == 6
    own = TextToImage.from_pretrained(folder / "sdxl", steps=6)
    assert own.settings()["weights"] != six.settings()["weights"]


def test_half_precision_keeps_the_vae_in_float32(folder: Path, model: SDXL) -> None:
    half = TextToImage.from_pretrained(folder / "sdxl", steps=2, dtype="bfloat16")
    assert {p.dtype for p in half.model.unet.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.model.vae.parameters()} == {torch.float32}
    picture, exact = (np.asarray(one(PROMPT), float) for one in (half, TextToImage(model, half.schedule)))
    assert np.abs(picture - exact).mean() < 8


def test_config_of_another_network_is_refused() -> None:
    for change, words in (
        ({"addition_embed_type": "text"}, "addition_embed_type='text' is not supported"),
        ({"time_cond_proj_dim": 32}, "time_cond_proj_dim=32 is not supported"),
        ({"transformer_layers_per_block": [1, 2]}, "transformer_layers_per_block=.1, 2. is not supported"),
        ({"projection_class_embeddings_input_dim": 48}, "projection_class_embeddings_input_dim=48 is not supported"),
    ):
        with pytest.raises(ValueError, match=words):
            SDXLUNet(SDXLUNetConfig.from_dict({**UNET, **change}))
