"""The training pass computes what the model computes, forwards and backwards."""

import pytest
import torch

from acdc.bench.storyworld.train.arm_pass import fast_hidden
from acdc.engine.models.lwm.model import LWM, LWMConfig

pytestmark = pytest.mark.training


def test_outputs_and_gradients_equal_the_models_in_float64() -> None:
    torch.manual_seed(0)
    model = LWM(LWMConfig(2, 32, 48, 2, 20, 24, rope_theta=1e4, max_position=256)).double()
    ids = torch.randint(0, 20, (2, 150))
    is_vision = torch.rand(2, 150) < 0.6
    pull = torch.randn(2, 150, 32, dtype=torch.float64)
    results = []
    for run in (model, lambda *x: fast_hidden(model, *x, dtype=torch.float64)):
        out = run(ids, is_vision)
        (out * pull).sum().backward()
        results.append([out, *(p.grad for p in model.parameters() if p.grad is not None)])
        model.zero_grad(set_to_none=True)
    assert len(results[0]) == len(results[1]) == len(list(model.parameters())) - 1  # all but the two heads
    for wanted, got in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
