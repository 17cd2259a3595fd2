"""Our UNet with motion modules against diffusers', whose weights it loads, and against the UNet of pictures."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.diffusion.motion import MotionAdapter, MotionConfig, MotionModule, position_tables, sinusoids
from acdc.engine.models.diffusion.motion_unet import MotionUNet
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.models.layers.kernels import enable_triton
from acdc.engine.utils.weights import skeleton
from tests.helpers.motion import ADAPTERS, motion_pair
from tests.helpers.published import DTYPES, close, normal, parameters, unet_pair

PUBLISHED = MotionConfig()  # guoyww/animatediff-motion-adapter-v1-5-2


def clip_of(unet: UNet, clips: int, frames: int, height: int = 8, width: int = 12) -> torch.Tensor:
    return normal(clips, frames, unet.config.in_channels, height, width)


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ADAPTERS)
@torch.no_grad()
def test_unet_is_the_published_one(name: str, dtype: torch.dtype) -> None:
    ours, theirs = motion_pair(name, dtype)
    latents = clip_of(ours, 2, 5).to(dtype)
    context = normal(2, 7, ours.config.cross_attention_dim, seed=2).to(dtype)
    timesteps = torch.tensor([3, 801])
    wanted = theirs(latents.transpose(1, 2), timesteps, context.repeat_interleave(5, 0)).sample.transpose(1, 2)
    close(ours(latents, timesteps, context), wanted, dtype)


@torch.no_grad()
def test_unet_takes_sizes_that_do_not_halve() -> None:
    ours, theirs = motion_pair("v1-5-2-like", torch.float64)
    latents, context, step = clip_of(ours, 1, 3, 11, 14), normal(1, 5, 24), torch.tensor([7])
    wanted = theirs(latents.transpose(1, 2), step, context.repeat_interleave(3, 0)).sample.transpose(1, 2)
    close(ours(latents, step, context), wanted, torch.float64)


@pytest.mark.long
@pytest.mark.parametrize("name", ADAPTERS)
@torch.no_grad()
def test_frames_and_branches_share_what_is_computed_once(name: str) -> None:
    """Time shifts and keys and values passed in; given each clip once, the pass is that of the clip in every branch."""
    ours, _ = motion_pair(name, torch.float64)
    latents, step = clip_of(ours, 2, 3), torch.tensor([250])
    for branches in (1, 2):
        context = normal(2 * branches, 5, ours.config.cross_attention_dim)
        kv = ours.context_kv(context)
        assert len(kv[0][0]) == 2 * branches, "one row a prompt, whatever the number of frames"
        wanted = ours(latents.repeat(branches, 1, 1, 1, 1), step, context)
        close(ours(latents, ours.time_shifts(step), kv), wanted, torch.float64)


@torch.no_grad()
def test_clips_do_not_see_their_neighbours() -> None:
    ours, _ = motion_pair("v1-5-2-like", torch.float64)
    latents, context, steps = clip_of(ours, 3, 4), normal(3, 5, 24), torch.tensor([0, 500, 999])
    together = ours(latents, steps, context)
    for i in range(3):
        close(ours(latents[i : i + 1], steps[i : i + 1], context[i : i + 1]), together[i : i + 1], torch.float64)


@torch.no_grad()
def test_modules_that_add_nothing_leave_the_unet_of_pictures() -> None:
    ours = deepcopy(motion_pair("v1-5-2-like", torch.float64)[0])
    still, _ = unet_pair("sd1-like", torch.float64)
    latents, context, step = clip_of(ours, 2, 3), normal(2, 5, 24), torch.tensor([400])
    wanted = still(latents.flatten(0, 1), step, context.repeat_interleave(3, 0)).unflatten(0, (2, 3))
    moving = ours(latents, step, context)
    assert (moving - wanted).abs().max() > 0.1, "as they are, they add something"
    for module in ours.modules():
        if isinstance(module, MotionModule):
            module.proj_out.weight.zero_()
            module.proj_out.bias.zero_()
    close(ours(latents, step, context), wanted, torch.float64)


@torch.no_grad()
def test_a_picture_is_a_clip_of_one_frame() -> None:
    ours, _ = motion_pair("no middle", torch.float64)
    pictures, context, step = clip_of(ours, 3, 1)[:, 0], normal(3, 5, 20), torch.tensor([99])
    close(ours(pictures, step, context), ours(pictures[:, None], step, context)[:, 0], torch.float64)


@given(order=st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
@torch.no_grad()
def test_positions_alone_tell_frames_apart(order: list[int]) -> None:
    """Without the table, a clip in another order gives the same frames in that order; with it, it does not."""
    torch.manual_seed(0)
    module = MotionModule(8, heads=2, layers=2, groups=4, max_frames=5).double()
    clip = normal(5, 8, 3, 4)
    shuffled = module(clip[order], 5)
    assert (order == sorted(order)) == torch.allclose(shuffled, module(clip, 5)[order])
    for block in module.transformer_blocks:
        block.pos_embed.pe.zero_()
    close(module(clip[order], 5), module(clip, 5)[order], torch.float64)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_our_kernels_take_clips(layout: torch.memory_format) -> None:
    """Interpreted without a GPU: the norm's kernel finds all frames of a clip, in both memory layouts."""
    torch.manual_seed(0)
    module = MotionModule(4, heads=2, layers=1, groups=2, max_frames=3)
    clips = normal(6, 4, 2, 2).float()
    wanted = module(clips, 3)
    enable_triton(module)
    close(module(clips.contiguous(memory_format=layout), 3), wanted, torch.float32)


def test_a_clip_that_is_too_long_is_one_line() -> None:
    with skeleton():
        unet = MotionUNet(UNetConfig(cross_attention_dim=768), PUBLISHED)
    latents = torch.empty(1, 33, 4, 8, 8, device="meta")
    with pytest.raises(ValueError, match=r"^a clip of 33 frames is too long.*choose at most 32$"):
        unet(latents, torch.empty(1, device="meta"), torch.empty(1, 77, 768, device="meta"))


def test_full_size_names_shapes_and_parameter_counts() -> None:
    """Adapters v1-5-2 and v1-5, and the former in SD 1.5's UNet; the tables of positions are not parameters."""
    with skeleton():
        ours = MotionAdapter(PUBLISHED)
        early = MotionAdapter(MotionConfig(use_motion_mid_block=False, motion_max_seq_length=24))
        unet = MotionUNet(UNetConfig(cross_attention_dim=768), PUBLISHED)
    with torch.device("meta"):
        theirs = diffusers.MotionAdapter()
    found, wanted = ours.state_dict(), theirs.state_dict()
    assert {name: v.shape for name, v in found.items()} == {name: v.shape for name, v in wanted.items()}
    assert found.keys() == unet.adapter_state().keys()
    assert parameters(ours) == parameters(theirs) == 453_209_280
    assert parameters(early) == 417_137_600
    assert parameters(unet) == 859_520_964 + 453_209_280


def test_position_tables_are_diffusers() -> None:
    table = sinusoids(3, 4)
    sin, cos = torch.sin, torch.cos
    angles = torch.tensor([[0.0, 0.0], [1.0, 0.01], [2.0, 0.02]])
    torch.testing.assert_close(table[0, :, 0::2], sin(angles))
    torch.testing.assert_close(table[0, :, 1::2], cos(angles))
    theirs = diffusers.MotionAdapter(**ADAPTERS["v1-5-2-like"][1]).state_dict()
    ours = position_tables(MotionAdapter(MotionConfig(**{k: _tuple(v) for k, v in ADAPTERS["v1-5-2-like"][1].items()})))
    assert len(ours) == 4 * 2 + 1 + 4 * 3
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "UNetMotionModel"),
        ("conv_in_channels", 9),
        ("motion_mid_block_layers_per_block", 2),
        ("motion_layers_per_block", [2, 2]),
        ("motion_transformer_layers_per_block", [[1, 1], [1, 1], [1, 1], [1, 1]]),
        ("motion_transformer_layers_per_mid_block", [1, 1]),
        ("motion_num_attention_heads", 7),
        ("motion_norm_num_groups", 7),
        ("motion_max_seq_length", 0),
        ("use_motion_mid_block", 1),
        ("block_out_channels", [33, 64]),
        ("rotary", True),
    ],
)
def test_adapter_refuses_by_name(key: str, value: Any) -> None:
    given_fields = {"motion_norm_num_groups": 1, "motion_num_attention_heads": 1} | {key: value}
    with pytest.raises(ValueError, match=key) as error:
        MotionConfig.from_dict(given_fields, "x/config.json")
    assert str(error.value).startswith("x/config.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_out_channels", (320, 640, 1280)),
        ("motion_layers_per_block", (2, 2, 2, 1)),
        ("motion_norm_num_groups", 16),
    ],
)
def test_adapter_of_another_unet_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^motion adapter: {key}=.* does not fit the UNet") as error, skeleton():
        MotionUNet(UNetConfig(), MotionConfig(**{key: value}))
    assert "\n" not in str(error.value)
