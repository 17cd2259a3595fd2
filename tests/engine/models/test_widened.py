"""bfloat16 and float16 where the CPU has no units for them: exact sums rounded once, two bytes a weight, slices."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from acdc.engine.engine import Engine
from acdc.engine.models.layers import half_precision as widened
from acdc.engine.models.layers.half_precision import HALVES, WidenedConv2d, WidenedLinear, emulated, widen

CPU = torch.device("cpu")
MANY_SLICES = 128  # numbers at once, where a test wants several slices of a small layer


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    return nn.Linear(inputs, outputs, bias)


def conv(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=bias)


def filled(layer: nn.Module, draw: torch.Generator, whole: bool, dtype: torch.dtype) -> nn.Module:
    """With normal weights, or with whole numbers from -8 to 8, of which every order sums to the same."""
    for weight in layer.parameters():
        numbers = torch.randint(-8, 9, weight.shape, generator=draw).float()
        weight.data = numbers if whole else torch.randn(weight.shape, generator=draw)
    return layer.to(dtype).eval().requires_grad_(False)


def inputs_of(layer: nn.Module, draw: torch.Generator, whole: bool) -> Tensor:
    shape = (2, 3, layer.in_features) if isinstance(layer, nn.Linear) else (2, layer.in_channels, 5, 6)
    made = torch.randint(-8, 9, shape, generator=draw) if whole else torch.randn(shape, generator=draw)
    return made.to(layer.weight.dtype)


def in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """The plain layer's product in float32, not rounded."""
    return copy.deepcopy(layer).float()(x.float())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("make", [linear, conv])
@settings(max_examples=40, deadline=None)
@given(inputs=st.integers(1, 40), outputs=st.integers(1, 40), bias=st.booleans(), at_once=st.integers(1, 999))
def test_exact_sums_are_rounded_once_whatever_the_slices(make, dtype, inputs, outputs, bias, at_once) -> None:
    draw = torch.Generator().manual_seed(inputs * outputs)
    layer = filled(make(inputs, outputs, bias), draw, True, dtype)
    x = inputs_of(layer, draw, True)
    wanted = in_float32(layer, x).to(dtype)
    plain = layer(x)
    widen(layer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(widened, "WIDENED_AT_ONCE", at_once)
        found = layer(x)
    assert isinstance(layer, WidenedLinear | WidenedConv2d)
    assert torch.equal(found, wanted)
    torch.testing.assert_close(plain, wanted, rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rows", range(1, widened.FEW + 2))
@pytest.mark.parametrize("bias", [True, False])
def test_few_rows_are_rounded_once_too(dtype: torch.dtype, rows: int, bias: bool) -> None:
    draw = torch.Generator().manual_seed(rows)
    layer = filled(linear(300, 200, bias), draw, True, dtype)
    x = torch.randint(-8, 9, (rows, 300), generator=draw).to(dtype)
    wanted = in_float32(layer, x).to(dtype)
    widen(layer)
    assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("make", [linear, conv])
def test_any_numbers_give_the_rounded_float32_product(make, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    layer = filled(make(96, 80), draw, False, dtype)
    x = inputs_of(layer, draw, False)
    wide, plain = in_float32(layer, x), layer(x)
    widen(layer)
    assert torch.equal(layer(x), wide.to(dtype))
    size = in_float32(filled_like(layer, torch.abs), x.abs())  # sum |x| |W|: what errors of an order of sums scale with
    assert ((layer(x) - plain).abs() <= torch.finfo(dtype).eps * size).all()


def filled_like(layer: nn.Module, change) -> nn.Module:
    plain = copy.deepcopy(layer)
    for weight in plain.parameters():
        weight.data = change(weight.data)
    return plain


class Widenings(TorchDispatchMode):
    """Count the numbers of each cast to float32."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and made.dtype == torch.float32:
            self.sizes.append(made.numel())
        return made


@pytest.mark.parametrize("make", [linear, conv])
def test_a_weight_is_never_wide_as_a_whole(make, monkeypatch) -> None:
    monkeypatch.setattr(widened, "WIDENED_AT_ONCE", MANY_SLICES)
    monkeypatch.setattr(widened, "FEW", 0)
    draw = torch.Generator().manual_seed(0)
    layer = filled(make(8, 64, False), draw, False, torch.bfloat16)
    x = inputs_of(layer, draw, False)[:1]
    widen(layer)
    with Widenings() as seen:
        layer(x)
    assert seen.sizes[0] == x.numel()
    assert sum(seen.sizes[1:]) == layer.weight.numel() > 2 * MANY_SLICES
    assert max(seen.sizes[1:]) <= MANY_SLICES


def test_names_weights_and_modules_stay_and_other_layers_too() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 1), nn.LayerNorm(4)).bfloat16()
    model.append(nn.Linear(4, 4))  # float32, as what finds codes may be
    modules, state = list(model), model.state_dict()
    widen(model)
    kinds = [WidenedLinear, nn.Conv2d, WidenedConv2d, nn.LayerNorm, nn.Linear]
    assert [type(layer) for layer in model] == kinds
    assert all(now is before for now, before in zip(model, modules, strict=True))
    for name, value in model.state_dict().items():
        assert value.data_ptr() == state[name].data_ptr()
        assert value.dtype == state[name].dtype
    assert isinstance(model[0], nn.Linear), "a search for linear layers still finds it"


@torch.no_grad()
@pytest.mark.parametrize("dtype", HALVES)
def test_a_whole_unet_is_as_far_from_float32_as_the_plain_one(tiny_path, dtype: torch.dtype) -> None:
    ours = Engine.from_pretrained(tiny_path).models.corrector.unet
    draw = torch.Generator().manual_seed(0)
    shapes = (2, 4, 8, 8), (2, 5, ours.config.cross_attention_dim)
    latents, context = (torch.randn(shape, generator=draw) for shape in shapes)
    exact = ours(latents, torch.tensor([3]), context)
    halves = (latents.to(dtype), torch.tensor([3]), context.to(dtype))
    plain = copy.deepcopy(ours).to(dtype)
    ours.to(dtype)
    widen(ours)
    found, of_plain = ours(*halves), plain(*halves)
    assert found.dtype == dtype
    error, allowed = ((value.float() - exact).norm() / exact.norm() for value in (found, of_plain))
    assert 0 < error <= 1.25 * allowed


@torch.no_grad()
def test_a_traced_graph_gives_the_same_bits(monkeypatch) -> None:
    monkeypatch.setattr(widened, "WIDENED_AT_ONCE", MANY_SLICES)
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(conv(4, 16), nn.SiLU(), nn.Flatten(2), linear(9, 33))
    filled(model, draw, False, torch.bfloat16)
    widen(model)
    x = torch.randn(2, 4, 5, 6, generator=draw).bfloat16()
    traced = torch.export.export(model, (x,)).module()
    assert torch.equal(traced(x), model(x))


def without_units(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool = False, float16: bool = False) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bfloat16)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: float16)


def test_emulated_is_what_the_machine_lacks_and_no_other_dtype(monkeypatch) -> None:
    without_units(monkeypatch)
    assert [emulated(CPU, kind) for kind in (*HALVES, torch.float32, torch.float64)] == [True, True, False, False]
    assert not emulated(torch.device("cuda"), torch.bfloat16)
    without_units(monkeypatch, bfloat16=True)
    assert [emulated(CPU, kind) for kind in HALVES] == [False, True]
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert emulated(CPU, torch.bfloat16)


def layers(engine: Engine) -> list[nn.Module]:
    networks = [*engine.models.networks, engine.models.corrector.text_encoder]
    return [layer for model in networks for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_story_is_drawn_with_widened_products_and_no_weight_is_float32(tiny_path, monkeypatch, dtype: str) -> None:
    without_units(monkeypatch)
    engine = Engine.from_pretrained(tiny_path, dtype=dtype)
    assert {type(layer) for layer in layers(engine)} == {WidenedLinear, WidenedConv2d}
    assert {layer.weight.dtype for layer in layers(engine)} == {getattr(torch, dtype)}
    story = ["Benny the beagle sat.", "He ran."]
    first, again = (engine.generate(story, seed=3, num_inference_steps=4) for _ in range(2))
    for frame, same in zip(first.frames, again.frames, strict=True):
        assert (frame.codes, frame.draft_codes) == (same.codes, same.draft_codes)
        assert frame.image.std() > 0
    floats = [value for model in engine.models.networks for value in model.parameters()]
    assert {value.dtype for value in floats} == {getattr(torch, dtype)}


@pytest.mark.parametrize(("dtype", "units"), [("float32", False), ("float64", False), ("bfloat16", True)])
def test_nothing_is_widened_in_other_dtypes_and_where_there_are_units(tiny_path, monkeypatch, dtype, units) -> None:
    """With such units the corrector's four parts are packed for them instead (test_packed.py)."""
    without_units(monkeypatch, bfloat16=units)
    packed: list[nn.Module] = []
    monkeypatch.setattr("acdc.engine.models.layers.products.pack", lambda *parts: packed.extend(parts))
    kinds = {type(layer) for layer in layers(Engine.from_pretrained(tiny_path, dtype=dtype))}
    assert kinds == {nn.Linear, nn.Conv2d}
    assert len(packed) == (4 if units else 0)


@pytest.mark.parametrize(("slow_loops", "products"), [(True, torch.float32), (False, torch.bfloat16)])
def test_products_are_float32s_where_they_are_widened(slow_loops, products, monkeypatch) -> None:
    monkeypatch.setattr(widened, "emulated", lambda device, dtype: slow_loops)
    assert widened.product_dtype(CPU, torch.bfloat16) == products
