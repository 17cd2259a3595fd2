"""Convolutions by Winograd's way: the plain ones, at any size, and only where they gain."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from acdc.engine.models.layers.products import choose_products
from acdc.engine.models.layers.winograd import TILES, WinogradConv2d, gains, slices, transform, transformed

CPU = torch.device("cpu")


def of_its_kind(conv: nn.Conv2d) -> WinogradConv2d:
    """The convolution, transformed whatever its width."""
    twin = WinogradConv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
    twin.weight = nn.Parameter(transformed(conv.weight.detach()))
    twin.bias = conv.bias
    return twin.requires_grad_(False)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 5),
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    height=st.integers(1, 40),
    width=st.integers(1, 90),
    last=st.booleans(),
    bias=st.booleans(),
)
def test_it_is_the_convolution(batch, inputs, outputs, height, width, last, bias) -> None:
    torch.manual_seed(height * width)
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias).double().requires_grad_(False)
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(batch, inputs, height, width, dtype=torch.float64).to(memory_format=layout)
    found = of_its_kind(conv)(x)
    torch.testing.assert_close(found, conv(x), rtol=0, atol=1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_many_tiles_go_by_slices() -> None:
    conv = nn.Conv2d(3, 2, 3, padding=1).double().requires_grad_(False)
    for shape in ((2, 3, 4 * TILES + 3, 6), (2, 3, 5, 4 * TILES + 3), (TILES + 1, 3, 3, 4)):
        x = torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(of_its_kind(conv)(x), conv(x), rtol=0, atol=1e-12)


@given(batch=st.integers(1, 9), down=st.integers(1, 400), across=st.integers(1, 400))
def test_slices_are_every_tile_once_and_no_more_than_fit(batch, down, across) -> None:
    seen = torch.zeros(batch, down, dtype=torch.int64)
    for pictures, rows in slices(batch, down, across):
        assert 0 < seen[pictures, rows].numel() * across <= max(TILES, across)
        seen[pictures, rows] += 1
    assert bool((seen == 1).all())


def test_its_rounding_is_float32s() -> None:
    """Against the sum in float64. The transforms grow a value by up to 10 x 10 on the way in and by 18 x 18 on the way
    out, and what they grew cancels, its roundings do not: 120 are seen. A wrong matrix is off by thousands."""
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 256, 3, padding=1).requires_grad_(False)
    x = torch.randn(2, 256, 16, 16)
    exact = nn.functional.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    assert (of_its_kind(conv)(x) - exact).abs().max() < 1000 * 2**-24 * exact.abs().max()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(256, 256, 1),
        nn.Conv2d(256, 256, 3, padding=1, stride=2),
        nn.Conv2d(256, 256, 3),
        nn.Conv2d(256, 256, 3, padding=1, groups=2),
        nn.Conv2d(256, 256, 3, padding=2, dilation=2),
        nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(256, 256, 3, padding=1).double(),
        nn.Conv2d(255, 300, 3, padding=1),
        nn.Conv2d(300, 255, 3, padding=1),
        nn.Conv2d(1280, 1280, 3, padding=1, device="meta"),
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(conv) -> None:
    assert not gains(conv)


def test_a_wide_convolution_of_an_eager_part_is_transformed_where_that_was_measured(monkeypatch) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 256, 6, 5)
    for capability, wanted in (("AVX2", WinogradConv2d), ("AVX512", nn.Conv2d), ("DEFAULT", nn.Conv2d)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        part = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.Conv2d(256, 8, 3, padding=1)).requires_grad_(False)
        before = part(x)
        choose_products(CPU, torch.float32, [part], [part])
        assert [type(layer) for layer in part] == [wanted, nn.Conv2d]
        torch.testing.assert_close(part(x), before, rtol=1e-4, atol=1e-5)


def test_a_part_that_a_plan_is_made_of_keeps_its_weights() -> None:
    part = nn.Conv2d(256, 256, 3, padding=1)
    choose_products(CPU, torch.float32, [part], [])
    assert type(part) is nn.Conv2d


def test_nothing_is_transformed_twice(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    part = nn.Conv2d(256, 256, 3, padding=1)
    transform(part)
    weight = part.weight
    transform(part)
    assert part.weight is weight
    assert part.weight.shape == (256, 256, 6, 6)
