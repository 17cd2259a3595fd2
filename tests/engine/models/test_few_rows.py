"""Linear layers of few rows: the sums of ``F.linear``, whichever form is taken."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from acdc.compile.processor import maker
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.models.layers import few_rows
from acdc.engine.models.layers.few_rows import FewRowsLinear, multiply_rows, turn
from acdc.engine.runtime.execution import choose_execution, prepare
from tests.helpers.tiny import tiny_bundle

ADDMM = torch.addmm
AMD, INTEL = "vendor_id\t: AuthenticAMD\nflags\t: avx2\n", "vendor_id\t: GenuineIntel\nflags\t: avx2\n"


@pytest.fixture
def turned(monkeypatch):
    """Products of weights of any size in the second form, on any processor; counts them."""
    taken = []

    def addmm(bias, weight, columns):
        taken.append(columns.shape[1])
        return ADDMM(bias, weight, columns)

    monkeypatch.setattr(few_rows, "shares_rows", lambda: True)
    monkeypatch.setattr(few_rows, "LARGE", 1)
    monkeypatch.setattr(torch, "addmm", addmm)
    return taken


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3), outputs=st.integers(1, 40), inputs=st.integers(1, 40),
    bias=st.booleans(), strided=st.booleans(),
)  # fmt: skip
def test_whole_numbers_give_the_very_same_sums(shape, outputs, inputs, bias, strided) -> None:
    draw = torch.Generator().manual_seed(outputs * inputs)
    x = torch.randint(-8, 9, (*shape, 2 * inputs), generator=draw).float()
    x = x[..., ::2] if strided else x[..., :inputs].contiguous()
    weight = torch.randint(-8, 9, (outputs, inputs), generator=draw).float()
    added = torch.randint(-8, 9, (outputs,), generator=draw).float() if bias else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_rows, "shares_rows", lambda: True)
        patch.setattr(few_rows, "LARGE", 1)
        found = multiply_rows(x, weight, added)
    assert torch.equal(found, F.linear(x, weight, added))
    assert found.is_contiguous()


@pytest.mark.parametrize(("rows", "second"), [(1, False), (2, True), (64, True), (65, False)])
def test_rows_decide(turned, rows, second) -> None:
    multiply_rows(torch.ones(rows, 3), torch.ones(5, 3), torch.ones(5))
    assert turned == ([rows] if second else [])


def test_small_weights_and_other_processors_keep_the_first_form(turned, monkeypatch) -> None:
    x, weight, bias = torch.ones(2, 3), torch.ones(5, 3), torch.ones(5)
    monkeypatch.setattr(few_rows, "LARGE", 16)
    multiply_rows(x, weight, bias)
    monkeypatch.setattr(few_rows, "LARGE", 15)
    monkeypatch.setattr(few_rows, "shares_rows", lambda: False)
    multiply_rows(x, weight, bias)
    assert turned == []


def test_who_made_the_processor(tmp_path) -> None:
    for number, (text, name) in enumerate([(AMD, "AuthenticAMD"), (INTEL, "GenuineIntel"), ("", "")]):
        path = tmp_path / str(number)
        path.write_text(text, encoding="utf-8")
        assert maker(path) == name


def test_large_layers_in_float32_turn_in_place() -> None:
    large, small, other, half = nn.Linear(1024, 512), nn.Linear(1023, 512), nn.Conv2d(1, 1, 1), nn.Linear(1024, 512)
    model = nn.Sequential(large, small, other, half.bfloat16())
    state = model.state_dict()
    turn(model)
    assert [type(layer) for layer in model] == [FewRowsLinear, nn.Linear, nn.Conv2d, nn.Linear]
    assert all(value.data_ptr() == state[name].data_ptr() for name, value in model.state_dict().items())


def test_a_plan_is_made_of_the_first_form(turned, monkeypatch) -> None:
    layer, x = nn.Linear(3, 5).requires_grad_(False), torch.ones(2, 3)
    turn(layer)
    traced = torch.jit.trace(layer, x, check_trace=False)
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        layer(x)
    assert turned == []
    assert torch.equal(traced(x), F.linear(x, layer.weight, layer.bias))
    layer(x)
    assert turned == [2]


def test_an_engines_networks_are_turned(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(few_rows, "LARGE", 1)
    device = torch.device("cpu")
    loaded = find_bundle(tiny_bundle(tmp_path)).load(device, torch.float32)
    how = choose_execution(device, torch.float32, "eager", "exact", "sdpa", "torch")
    prepare(how, how.backends, loaded.corrector, loaded.networks)
    kinds = {type(layer) for model in loaded.networks for layer in model.modules() if isinstance(layer, nn.Linear)}
    assert kinds == {FewRowsLinear}
