"""No stage does what a CUDA graph would replay wrongly; and what does is found, all on a CPU."""

import random

import pytest
import torch
from torch import nn

from acdc.compile.capture import META, capture_hazards, trace
from acdc.compile.spec import StageSpec
from acdc.engine.runtime.backends import STAGES
from tests.helpers.stages import stage

X = torch.ones(2, 3)


@pytest.mark.long
@pytest.mark.parametrize("name", STAGES)
def test_no_stage_has_a_hazard(tiny_engine, name):
    """Neither does a stage do something else at its second call; and each trace reaches the weights."""
    run, inputs = stage(tiny_engine, name, 3)
    spec = StageSpec.of(name, inputs)
    assert capture_hazards(run, spec) == []
    assert len(trace(run, spec, META).nodes) > len(inputs) + len(list(run.parameters()))


class Stage(nn.Module):
    """x [2, 3] -> whatever the function makes of it."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.outside = function, torch.ones(3)
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("table", torch.ones(3))

    def forward(self, x):
        return self.function(self, x)


def counting(stage, x):
    stage.calls = getattr(stage, "calls", 0) + 1
    return x * stage.calls


HAZARDS = {  # what the stage does: (function, what is said of it)
    "item": (lambda s, x: x * x[0, 0].item(), "reads a tensor on the host"),
    "branch on a value": (lambda s, x: x if x.sum() > 0 else -x, "traced on cpu: GuardOnDataDependentSymNode"),
    "list of values": (lambda s, x: x * x.tolist()[0][0], "reads a tensor on the host"),
    "copy to the CPU": (lambda s, x: x.cpu() * 2, "traced on meta: NotImplementedError"),
    "operand elsewhere": (lambda s, x: x * torch.arange(3), "traced on meta: RuntimeError: Tensor on device cpu"),
    "result elsewhere": (lambda s, x: (x * 2, torch.arange(3)), "makes a tensor on another device"),
    "host data": (lambda s, x: x * torch.tensor([1.0, 2.0, 3.0]), "host data"),
    "host data on the device": (lambda s, x: x * torch.tensor([1.0, 2.0, 3.0], device=x.device), "host data"),
    "a tensor outside of the buffers": (lambda s, x: x * s.outside, "not an input, a weight or a buffer"),
    "random numbers": (lambda s, x: x + torch.randn(3, device=x.device), "draws random numbers"),
    "random numbers in place": (lambda s, x: torch.empty_like(x).normal_(), "draws random numbers"),
    "dropout": (lambda s, x: nn.functional.dropout(x, 0.5), "draws random numbers"),
    "dropout in attention": (
        lambda s, x: nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.5),
        "draws random numbers",
    ),
    "shape from data": (lambda s, x: x[x > 0], "takes a shape from data"),
    "positions from data": (lambda s, x: x.nonzero(), "takes a shape from data"),
    "random number of Python": (lambda s, x: x * random.random(), "something else at the second call"),
    "count of the calls": (counting, "something else at the second call"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", HAZARDS)
def test_each_hazard_is_found(name):
    function, said = HAZARDS[name]
    hazards = capture_hazards(Stage(function), StageSpec.of("stage", [X]))
    assert any(said in hazard for hazard in hazards), hazards
    assert not any("\n" in hazard for hazard in hazards)


def test_several_hazards_are_all_listed():
    run = Stage(lambda s, x: (x + torch.randn_like(x)) * x[0, 0].item() * s.outside)
    hazards = capture_hazards(run, StageSpec.of("stage", [X]))
    for said in ("draws random numbers", "reads a tensor on the host", "not an input, a weight or a buffer"):
        assert any(said in hazard for hazard in hazards), hazards


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: x * s.weight + s.table,
        lambda s, x: x + torch.arange(3, device=x.device),
        lambda s, x: x.to(torch.float64),
        lambda s, x: nn.functional.scaled_dot_product_attention(x[None], x[None], x[None]),
        lambda s, x: torch.where(x > 0, x, 0.0),
        lambda s, x: x.new_zeros(3) + x,
    ],
)
def test_what_a_graph_can_hold_is_not_a_hazard(function):
    assert capture_hazards(Stage(function), StageSpec.of("stage", [X])) == []
