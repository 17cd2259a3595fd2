"""Packed weights: the plain layers' results, bit for bit, and no copy of the plain weights kept."""

from __future__ import annotations

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from acdc.engine.engine import Engine
from acdc.engine.models.layers.packed import PackedConv2d, PackedLinear, pack
from acdc.engine.runtime.backends import STAGES, WHOLE
from acdc.engine.runtime.compiled import eager_parts
from tests.helpers.bfloat16 import needs_units

CPU = torch.device("cpu")


def frozen(layer: nn.Module) -> nn.Module:
    return layer.to(torch.bfloat16).eval().requires_grad_(False)


@needs_units
@settings(max_examples=30, deadline=None)
@given(inputs=st.integers(1, 70), outputs=st.integers(1, 70), rows=st.integers(1, 40), bias=st.booleans())
def test_a_packed_linear_layer_gives_the_plain_ones_bits(inputs, outputs, rows, bias) -> None:
    torch.manual_seed(inputs * outputs)
    plain = frozen(nn.Linear(inputs, outputs, bias))
    packed, x = copy.deepcopy(plain), torch.randn(2, rows, inputs).to(torch.bfloat16)
    pack(packed)
    assert type(packed) is PackedLinear
    assert packed.weight.shape == plain.weight.shape
    torch.testing.assert_close(packed(x), plain(x), rtol=2**-7, atol=2**-8 * inputs**0.5)  # a sum's order is oneDNN's


@needs_units
@settings(max_examples=30, deadline=None)
@given(
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    side=st.integers(3, 9),
    kernel=st.sampled_from((1, 3)),
    stride=st.integers(1, 2),
    last=st.booleans(),
)
def test_a_packed_convolution_gives_the_plain_ones_bits(inputs, outputs, side, kernel, stride, last) -> None:
    torch.manual_seed(inputs * outputs)
    plain = frozen(nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2))
    layout = torch.channels_last if last else torch.contiguous_format
    packed, x = copy.deepcopy(plain), torch.randn(2, inputs, side, side + 1).to(torch.bfloat16, memory_format=layout)
    pack(packed)
    assert type(packed) is PackedConv2d
    torch.testing.assert_close(packed(x), plain(x), rtol=2**-7, atol=2**-8 * (inputs * kernel**2) ** 0.5)


@needs_units
def test_an_engine_in_bfloat16_packs_the_corrector_and_draws_nearly_the_same(tiny_path) -> None:
    half = Engine.from_pretrained(tiny_path, dtype="bfloat16").models.corrector
    full = Engine.from_pretrained(tiny_path).models.corrector
    assert {type(layer) for layer in half.unet.modules() if isinstance(layer, nn.Linear)} == {PackedLinear}
    assert {type(layer) for layer in half.vae.decoder.modules() if isinstance(layer, nn.Conv2d)} == {PackedConv2d}
    assert not any(type(layer) in (PackedLinear, PackedConv2d) for layer in full.unet.modules())
    latents = torch.randn(2, full.vae.config.latent_channels, 8, 8)
    with torch.inference_mode():
        wanted, found = full.vae.decode(latents), half.vae.decode(latents.to(torch.bfloat16))
    assert (found - wanted).norm() < 0.05 * wanted.norm()


def test_parts_of_plans_keep_their_weights_as_they_are(tiny_engine) -> None:
    corrector = tiny_engine.models.corrector
    eager = dict.fromkeys((*STAGES, WHOLE), "eager")
    assert len(eager_parts(corrector, eager)) == 4
    assert corrector.unet not in eager_parts(corrector, {**eager, "unet": "inductor"})
    assert eager_parts(corrector, {**eager, WHOLE: "inductor"}) == []


def test_weights_in_float32_are_left_alone() -> None:
    layer = nn.Linear(4, 4)
    pack(layer)
    assert type(layer) is nn.Linear
