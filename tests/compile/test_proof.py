"""A translation that is another function than its stage is never used."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from acdc.compile import openvino
from acdc.compile.backends import compile_stage
from acdc.compile.builder import PlanRefused
from acdc.compile.cache import PlanCache
from acdc.compile.proof import Proof
from acdc.compile.spec import StageSpec
from acdc.compile.torchscript import trace


class Stage(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


X, IDS = torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64)


def proof(function, *inputs):
    return Proof(Stage(function), StageSpec.of("stage", inputs))


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x: x * 2 if x.sum() > 5 else -x, [X]),
        (lambda x: x[:, int(x[0].argmax()) :], [X]),
        (lambda x: x * x.max().item(), [X]),
        (lambda ids: ids * 3 if ids[0] == 1 else ids, [IDS]),
        (lambda x: x + max(x.flatten().tolist()), [X]),  # no operator reads it
        (lambda x: x + float(x.numpy().sum()), [X]),
        (lambda x: x + torch.rand(3, 4), [X]),
        (lambda x: {"x": x, 3: x}, [X]),  # a trace has no such result
    ],
)
def test_what_a_trace_would_lose_is_not_traced(function, inputs):
    assert trace(proof(function, *inputs)) is None


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x: x.softmax(1), [X]),
        (lambda x: x.log(), [X]),  # NaN on both sides
        (lambda x: (x, x.argmax(1)), [X]),
        (lambda x: torch.where(x > 0, x * 2, -x), [X]),
        (lambda x: x * 2 if x.shape[0] == 3 else x, [X]),
        (lambda x, ids: x.gather(1, ids[None].expand(3, -1)), [X, IDS]),
    ],
)
def test_what_a_trace_keeps_is_traced(function, inputs):
    checked = proof(function, *inputs)
    traced = trace(checked)
    assert traced is not None
    assert checked.equals(traced)


def test_a_branch_on_a_number_is_refused_by_the_backend(tmp_path):
    stage = Stage(lambda x: x * 2 if x.sum() > 5 else -x)
    with pytest.raises(Exception, match=r"(?i)data-dependent|cannot translate"):
        compile_stage(stage, StageSpec.of("stage", [X]), "openvino", PlanCache(tmp_path))


@pytest.mark.parametrize("wrong", [lambda x: x * 1.01, lambda x: x * float("nan"), lambda x: x[:2]])
def test_another_function_is_refused_and_remembered(tmp_path, monkeypatch, wrong):
    spec, right, cache = StageSpec.of("stage", [X]), Stage(lambda x: x * 1.0), PlanCache(tmp_path)
    save = openvino.save_ir
    monkeypatch.setattr(openvino, "save_ir", lambda _, folder: save(Proof(Stage(wrong), spec), folder))
    with pytest.raises(PlanRefused, match="from plain PyTorch's; choose another backend") as first:
        compile_stage(right, spec, "openvino", cache)
    monkeypatch.setattr(PlanCache, "built", lambda *_: pytest.fail("built again"))
    with pytest.raises(PlanRefused) as second:
        compile_stage(right, spec, "openvino", cache)
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)


@given(st.floats(1e-6, 1e3), st.integers(0, 12))
def test_deviation_is_the_error_by_the_norm_and_the_share_of_codes(error, wrong):
    checked = proof(lambda x: (x, x.argsort(1)), X)
    x, codes = (value.clone() for value in checked.outputs)
    codes.view(-1)[:wrong] += 1
    norm, share = checked.deviation(lambda *_: (x * (1 + error), codes))
    assert norm == pytest.approx(error, rel=0.1)
    assert share == pytest.approx(wrong / 12)


def test_what_is_not_finite_in_the_reference_is_not_compared():
    checked = proof(lambda x: (x.log(), x), X)
    assert checked.deviation(lambda x: (x, x))[0] == 0
