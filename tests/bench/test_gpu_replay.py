"""The check of replays, run on backends that need no GPU: it passes what is right and finds what is not."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from acdc.bench.gpu import replay
from acdc.bench.gpu.replay import check_replay
from acdc.compile.cache import PlanCache
from acdc.compile.spec import StageSpec, TensorSpec
from acdc.engine.models.causal.decode_pass import DrawPass

pytestmark = pytest.mark.measuring


class Looked(nn.Module):
    """codes int64 [3], x [3, 2] -> two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 2)

    def forward(self, codes, x):
        return self.table(codes) + x, x * 2


SPEC = StageSpec("looked", (TensorSpec((3,), torch.int64), TensorSpec((3, 2), torch.float32)))


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path)


def test_the_stage_itself_passes(cache):
    record = check_replay(Looked(), SPEC, cache, backend="eager", replays=20)
    assert record.passed
    assert (record.stage, record.equal, record.distinct) == ("looked(3 int64, 3x2 float32) on cpu", 20, 20)
    assert json.loads(json.dumps(asdict(record))) == asdict(record)


def stale(run, *_):
    """A plan that goes on with the inputs of its first call."""
    first = []
    return lambda *inputs: run(*(first or first.extend(inputs) or first))


def off_by_a_bit(run, *_):
    def plan(*inputs):
        one, two = run(*inputs)
        return one, torch.nextafter(two, torch.tensor(torch.inf))

    return plan


@pytest.mark.parametrize("broken", [stale, off_by_a_bit])
def test_a_broken_plan_does_not(cache, monkeypatch, broken):
    monkeypatch.setattr(replay, "compile_stage", broken)
    record = check_replay(Looked(), SPEC, cache, replays=5)
    assert not record.passed
    assert record.equal == 0


class Kept(Looked):
    """Reads its second input where it lies, as a KV cache is read."""

    STATIC_INPUTS = (1,)


def test_what_is_read_where_it_lies_stays_there_with_other_values(cache, monkeypatch):
    """Else every call would be the first one of a graph of its own."""
    assert DrawPass.STATIC_INPUTS, "the name that stages have for them"
    places, values = set(), set()

    def compiled(run, *_):
        def plan(codes, x):
            places.add(x.data_ptr())
            values.add(float(x.sum()))
            return run(codes, x)

        return plan

    monkeypatch.setattr(replay, "compile_stage", compiled)
    assert check_replay(Kept(), SPEC, cache, replays=5).passed
    assert (len(places), len(values)) == (1, 6)


def test_without_a_gpu_the_refusal_says_so(cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        check_replay(Looked(), SPEC, cache)
