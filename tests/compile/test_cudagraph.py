"""CUDA graphs where there is no GPU: what is refused, and why. The capture itself is checked by ``bench/gpu``."""

import pytest
import torch
from torch import nn

from acdc.compile import cudagraph
from acdc.compile.backends import compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache
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


@pytest.mark.gpu
def test_replays_are_bit_equal(tmp_path):
    from acdc.bench.gpu.replay import check_replay

    run = nn.Linear(3, 5).cuda()
    record = check_replay(run, StageSpec.of("linear", [X.cuda()]), PlanCache(tmp_path))
    assert record.passed, record
