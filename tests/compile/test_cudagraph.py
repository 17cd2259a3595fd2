"""CUDA graphs without a GPU: refusals and their reasons. The capture itself is checked by ``bench/gpu``."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from acdc.compile import cudagraph
from acdc.compile.backends import compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache
from acdc.compile.graph_pool import count_captures
from acdc.compile.spec import StageSpec

X = torch.ones(2, 3)
SPEC = StageSpec.of("stage", [X])


class Scaled(nn.Module):
    def forward(self, x):
        return x * x[0, 0].item()


def test_all_reasons_are_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert unsupported_reasons(SPEC, "cudagraph") == ["torch sees no CUDA device", "it runs on cuda, not on cpu"]
    with pytest.raises(ValueError, match=r"cannot run stage\(2x3 float32\) on cpu: torch sees no CUDA device; it runs"):
        compile_stage(nn.Identity(), SPEC, "cudagraph", PlanCache(tmp_path))


def test_a_stage_with_hazards_is_refused_with_all_of_them(tmp_path):
    with pytest.raises(ValueError, match=r"'cudagraph' cannot capture stage.*: reads a tensor on the host") as error:
        cudagraph.make_plan(Scaled(), SPEC, PlanCache(tmp_path))
    assert "\n" not in str(error.value)


def test_plans_of_one_cache_share_a_slot(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    one, two = PlanCache(tmp_path), PlanCache(tmp_path)
    first, second, other = (cudagraph.make_plan(nn.Identity(), SPEC, cache) for cache in (one, one, two))
    assert first.pool is second.pool
    assert first.pool is not other.pool
    assert len(first.pool) == 0, "captured at the first call"


class Attending(nn.Module):
    STATIC_INPUTS = (1, 5)

    def forward(self, x, kept):
        return x + kept


def test_held_inputs_are_read_where_they_lie_and_others_are_copied(monkeypatch, tmp_path):
    """A graph a place; with torch's capture replaced by a plain run over the graph's own tensors."""
    made = []

    class Graph(cudagraph.StageGraph):
        def __init__(self, run, spec, handle, held):
            self.held, self.num_bytes, self.graph = held, 1, self
            self.inputs = [held.get(at, example) for at, example in enumerate(spec.examples())]
            self.capture = run
            made.append(self)

        def replay(self, inputs=None):
            if inputs is None:  # as a CUDA graph: its own tensors, whatever they hold now
                self.outputs = self.capture(*self.inputs)
                return None
            return super().replay(inputs)

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(cudagraph, "StageGraph", Graph)
    one, other = torch.ones(2, 3), torch.full((2, 3), 5.0)
    plan = cudagraph.make_plan(Attending(), StageSpec.of("stage", [X, one]), PlanCache(tmp_path))
    assert torch.equal(plan(X, one), X + 1)
    assert torch.equal(plan(X, other), X + 5)
    one.fill_(7)
    assert torch.equal(plan(2 * X, one), 2 * X + 7)
    assert len(made) == 2, "one for each place of the held input"
    assert made[0].inputs[1] is one
    assert made[0].inputs[0] is not X
    assert torch.equal(X, torch.ones(2, 3)), "nothing is written into the caller's tensors"


def test_captures_are_counted_and_those_that_had_to_be_done_again(monkeypatch, tmp_path):
    """A buffer that moves, and a graph that had to go; with objects in the place of graphs."""
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    graph = SimpleNamespace(num_bytes=1, replay=lambda inputs: inputs[0])
    monkeypatch.setattr(cudagraph, "StageGraph", lambda *_: graph)
    mine, other, unused = (PlanCache(tmp_path) for _ in range(3))
    one, two = torch.ones(2, 3), torch.ones(2, 3)
    spec = StageSpec.of("stage", [X, one])
    first, second, third = (cudagraph.make_plan(Attending(), spec, cache) for cache in (mine, mine, other))
    for _ in range(3):
        first(X, one)
    assert count_captures([mine]) == (1, 0)
    second(X, one)
    assert count_captures([mine]) == (2, 0), "another plan's first"
    first(X, two)
    first(X, one)
    assert count_captures([mine]) == (3, 1), "it moved, and came back"
    first.pool.clear()
    first(X, one)
    third(X, one)
    assert count_captures([mine, unused]) == (4, 2)
    assert count_captures([mine, other]) == (5, 2)


@pytest.mark.gpu
def test_replays_are_bit_equal(tmp_path):
    from acdc.bench.gpu.replay import check_replay

    run = nn.Linear(3, 5).cuda()
    record = check_replay(run, StageSpec.of("linear", [X.cuda()]), PlanCache(tmp_path))
    assert record.passed, record


@pytest.mark.parametrize("own", [True, False])
def test_a_slot_captures_on_its_own_stream(monkeypatch, own):
    """With names in the places of streams: torch gives out 32, and a fresh one may be another slot's."""
    fresh = SimpleNamespace(wait_stream=lambda stream: None)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda: "default")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "slot 1" if own else "default")
    monkeypatch.setattr(torch.cuda, "Stream", lambda: fresh)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    calls = []
    assert cudagraph.warmed_up(calls.append, [X]) == ("slot 1" if own else fresh)
    assert len(calls) == cudagraph.WARM_UPS
