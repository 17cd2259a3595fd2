"""IF's UNets are diffusers' with the same weights; their sizes are the published ones."""

import pytest
import torch

from acdc.engine.loading.families.deepfloyd_if import IF_I_XL, IF_II_L
from acdc.engine.models.diffusion.deepfloyd.config import IFUNetConfig
from acdc.engine.models.diffusion.deepfloyd.t5_text import T5Text, T5TextConfig
from acdc.engine.models.diffusion.deepfloyd.unet import IFUNet
from acdc.engine.utils.weights import skeleton
from tests.helpers.small_if import UNETS, count, largest, our_unet, states, their_unet

STAGES = list(UNETS)
BOUNDS = {torch.float32: 2e-5, torch.float64: 1e-6}  # diffusers pools the text in float32


def test_the_full_sizes_are_the_published_ones():
    with skeleton():
        unets = [IFUNet(IFUNetConfig.from_dict(config)) for config in (IF_I_XL, IF_II_L)]
        networks = [*unets, T5Text(T5TextConfig())]
    assert [count(network) for network in networks] == [4_304_695_110, 1_243_277_190, 4_762_310_656]
    assert [len(network.state_dict()) for network in networks[:2]] == [775, 939]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("size", [(16, 16), (24, 40)])
@pytest.mark.parametrize("stage", STAGES)
@torch.no_grad()
def test_the_prediction_is_theirs(stage, size, dtype):
    ours, theirs = our_unet(stage, dtype), their_unet(stage).to(dtype)
    channels = UNETS[stage]["in_channels"]
    x = torch.randn((2, channels, *size), generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    text, levels = states(2, dtype=dtype), torch.full((2,), ours.noise_level)
    labels = {"class_labels": levels} if channels == 6 else {}
    wanted = theirs(x, torch.tensor([321, 321]), encoder_hidden_states=text, **labels).sample
    found = ours(x, torch.tensor([321]), text)
    assert found.dtype == dtype
    assert largest(found, wanted) <= BOUNDS[dtype] * max(1, wanted.abs().max())
    their_unet(stage).to(torch.float32)


@pytest.mark.parametrize("stage", STAGES)
@torch.no_grad()
def test_parts_computed_once_give_the_same(stage):
    """Time embeddings of a schedule, the text of a prompt, and two branches of one picture."""
    unet = our_unet(stage, torch.float64)
    x, text = torch.randn((2, UNETS[stage]["in_channels"], 8, 8), dtype=torch.float64), states(4, dtype=torch.float64)
    table, kv = unet.time_shifts(torch.tensor([980, 321, 0])), unet.context_kv(text)
    assert len(kv) == unet.num_contexts
    found = unet(x, table[1:2], kv)
    wanted = unet(torch.cat((x, x)), torch.tensor([321] * 4), text)
    assert largest(found, wanted) <= 1e-12


@pytest.mark.parametrize("size", [(9, 13), (7, 10), (5, 5)])
@torch.no_grad()
def test_a_map_of_any_size_passes_and_an_even_part_is_not_moved(size):
    """The published networks halve even maps only; here what an odd one lacks at its edge is left out of its means."""
    unet = our_unet("stage I", torch.float64)
    x = torch.randn((1, 3, *size), dtype=torch.float64)
    found = unet(x, torch.tensor([100]), states(1, dtype=torch.float64))
    assert found.shape == (1, 6, *size)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("act_fn", None, "act_fn is missing"),
        ("act_fn", "silu", "act_fn='silu' is not supported"),
        ("resnet_time_scale_shift", "default", "resnet_time_scale_shift='default' is not supported"),
        ("cross_attention_norm", "layer_norm", "cross_attention_norm='layer_norm' is not supported"),
        ("class_embed_type", "timestep", "in_channels=3 is not supported .served: 3, or 6 with class_embed_type"),
        ("class_embed_type", "projection", "class_embed_type='projection' is not supported"),
        ("time_embedding_act_fn", "silu", "time_embedding_act_fn='silu' is not supported"),
        ("cross_attention_dim", 40, "cross_attention_dim=40 is not supported .served: a multiple of 32"),
        ("attention_head_dim", 10, "attention_head_dim=10 is not supported .served: a divisor of 32"),
        ("layers_per_block", [1, 2], "layers_per_block=.1, 2. is not supported .served: one entry for each of 3"),
        ("encoder_hid_dim", 62, "encoder_hid_dim=62 is not supported"),
        ("down_block_types", ["DownBlock2D"] * 3, "down_block_types='DownBlock2D' is not supported"),
    ],
)
def test_another_network_is_refused_by_its_field(field, value, said):
    with pytest.raises(ValueError, match=said) as refusal:
        IFUNetConfig.from_dict({**UNETS["stage I"], field: value}, "unet/config.json")
    assert str(refusal.value).startswith("unet/config.json: ")
    assert "\n" not in str(refusal.value)
