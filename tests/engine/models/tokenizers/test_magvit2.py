"""MAGVIT-v2: the published names and sizes, a plain restatement, codes and bits, and what the loader says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.models.layers.kernels import enable_triton
from acdc.engine.models.tokenizers.magvit2 import MAGVIT2
from acdc.engine.models.tokenizers.magvit2_config import MAGVIT2Config
from acdc.engine.utils.weights import skeleton
from tests.helpers import magvit2_plain as plain
from tests.helpers.published import randomise
from tests.helpers.small_magvit2 import MODEL, SMALL, pixels, small

# In the order in which they run: (level, blocks, channels into its first block, channels of its blocks).
DOWN = ((0, 4, 128, 128), (1, 3, 128, 256), (2, 4, 256, 256), (3, 3, 256, 512), (4, 4, 512, 512))
UP = ((4, 3, 512, 512), (3, 4, 512, 256), (2, 3, 256, 256), (1, 4, 256, 128), (0, 4, 128, 128))
LEVELS = (("encoder.down", "downsample", DOWN), ("decoder.up", "upsample", UP))


def specified() -> dict[str, tuple[int, ...]]:
    """Names and shapes as published."""
    shapes: dict[str, tuple[int, ...]] = {"quantize.embedding": (8192, 13), "quantize.power_vals": (13,)}

    def add(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    def block(name: str, inputs: int, outputs: int) -> None:
        add(f"{name}.norm1", inputs)
        add(f"{name}.conv1", outputs, inputs, 3, 3)
        add(f"{name}.norm2", outputs)
        add(f"{name}.conv2", outputs, outputs, 3, 3)
        if inputs != outputs:
            add(f"{name}.nin_shortcut", outputs, inputs, 1, 1)

    for side in ("encoder", "decoder"):
        block(f"{side}.mid.block_1", 512, 512)
        block(f"{side}.mid.block_2", 512, 512)
        add(f"{side}.mid.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            add(f"{side}.mid.attn_1.{part}", 512, 512, 1, 1)
    for side, resample, levels in LEVELS:
        for level, count, inputs, outputs in levels:
            for number in range(count):
                block(f"{side}.{level}.block.{number}", outputs if number else inputs, outputs)
            if level != levels[-1][0]:
                add(f"{side}.{level}.{resample}.conv", outputs, outputs, 3, 3)
    for name, shape in {
        "encoder.conv_in": (128, 3, 3, 3), "encoder.norm_out": (512,), "encoder.conv_out": (13, 512, 3, 3),
        "encoder.quant_conv": (13, 13, 1, 1), "decoder.post_quant_conv": (13, 13, 1, 1),
        "decoder.conv_in": (512, 13, 3, 3), "decoder.norm_out": (128,), "decoder.conv_out": (3, 128, 3, 3),
    }.items():  # fmt: skip
        add(name, *shape)
    return shapes


def test_full_size_has_the_published_keys_shapes_and_count() -> None:
    with skeleton():
        model = MAGVIT2(MAGVIT2Config())
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert found == specified()
    assert len(found) == 382
    assert sum(value.numel() for value in model.state_dict().values()) == 95_493_513
    assert model.state_dict()["quantize.power_vals"].dtype == torch.int64


def test_published_sizes() -> None:
    config = MAGVIT2Config()
    assert (config.grid, config.downsampling, config.codes_per_frame, config.codebook_size) == (16, 16, 256, 8192)
    assert MAGVIT2Config(resolution=512).codes_per_frame == 1024


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encoder_and_decoder_equal_the_plain_restatement(dtype: torch.dtype) -> None:
    model, given_pixels = small(dtype), pixels(2, dtype)
    bound = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-12}
    state = model.state_dict()
    latents = model.latents(given_pixels)
    torch.testing.assert_close(latents, plain.encode(given_pixels, state, SMALL.encoder_blocks, 2), **bound)
    codes = model.encode(given_pixels)
    assert codes[1].tolist() == [plain.code(vector) for vector in latents[1].flatten(1).T.tolist()]
    vectors = model.lookup(codes)
    wanted = plain.decode(vectors, state, SMALL.decoder_blocks, 2)
    torch.testing.assert_close(model.reconstruct(vectors), wanted, **bound)
    assert torch.equal(model.decode(codes), model.reconstruct(vectors).clamp(-1, 1))


@torch.no_grad()
def test_the_published_shape_of_levels_equals_the_plain_restatement() -> None:
    """Multipliers and numbers of blocks as published, a thirty-second of the channels."""
    torch.manual_seed(0)
    model = MAGVIT2(MAGVIT2Config(resolution=32, base_channels=4, num_groups=2)).double()
    randomise(model)
    seen = pixels(1, torch.float64, 32)
    wanted = plain.encode(seen, model.state_dict(), (4, 3, 4, 3, 4), 2)
    torch.testing.assert_close(model.latents(seen), wanted, rtol=0, atol=1e-12)
    vectors = model.lookup(torch.tensor([[0, 1, 4096, 8191]]))
    wanted = plain.decode(vectors, model.state_dict(), (4, 4, 3, 4, 3), 2)
    torch.testing.assert_close(model.reconstruct(vectors), wanted, rtol=0, atol=1e-12)


def test_codes_and_bits() -> None:
    """Published: index 1 is twelve times -1, then +1 in channel 12; zero is not positive."""
    model = MAGVIT2(MAGVIT2Config(resolution=32, base_channels=4, num_groups=2))
    signs = model.lookup(torch.tensor([[1, 4096, 0, 8191]]))[0].flatten(1).T.tolist()
    assert signs == [[-1] * 12 + [1], [1] + [-1] * 12, [-1] * 13, [1] * 13]
    assert model.quantise(torch.zeros(1, 13, 2, 2)).tolist() == [[0] * 4]
    buffers = model.quantize.state_dict()
    assert buffers["power_vals"].tolist() == [4096 >> bit for bit in range(13)]
    everything = torch.arange(8192)
    assert torch.equal(((buffers["embedding"] > 0).long() * buffers["power_vals"]).sum(1), everything)


@given(st.lists(st.integers(0, 31), min_size=16, max_size=16))
def test_every_code_survives_its_vectors(codes: list[int]) -> None:
    model = MODEL
    rows = torch.tensor([codes])
    vectors = model.lookup(rows)
    assert torch.equal(model.quantise(vectors), rows), "row-major, there and back"
    assert vectors[0, :, 2, 3].tolist() == model.quantize.embedding[codes[11]].tolist()


def test_rows_of_a_batch_do_not_mix() -> None:
    both = pixels(2, torch.float64)
    model = small(torch.float64)
    assert torch.equal(model.encode(both)[1], model.encode(both[1:])[0])


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"pixels have shape \[1, 3, 8, 16\], expected \[B, 3, 16, 16\]"):
        MODEL.encode(torch.zeros(1, 3, 8, 16))
    with pytest.raises(ValueError, match=r"codes have shape \[1, 15\], expected \[B, 16\]"):
        MODEL.decode(torch.zeros(1, 15, dtype=torch.int64))


@pytest.mark.long
@torch.no_grad()
def test_kernels_give_the_same_codes_and_pixels() -> None:
    """Interpreted on a CPU, compiled on a GPU."""
    ours = small()
    enable_triton(ours)
    latents = MODEL.latents(pixels())
    assert torch.equal(ours.quantise(latents), MODEL.quantise(latents))
    codes = MODEL.encode(pixels())
    torch.testing.assert_close(ours.decode(codes), MODEL.decode(codes), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.latents(pixels()), latents, rtol=0, atol=1e-5)


@pytest.mark.long
def test_both_halves_are_safe_to_capture() -> None:
    for run, seen in ((MODEL.encoder, pixels()), (MODEL.decoder, torch.zeros(2, 5, 4, 4))):
        assert capture_hazards(run, StageSpec.of("stage", [seen])) == []
