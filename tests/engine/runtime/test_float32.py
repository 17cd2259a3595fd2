"""float32 never means TF32."""

import pytest
import torch

from acdc.engine.runtime.float32 import exact_float32


@pytest.mark.parametrize(("device", "allowed"), [("cuda", False), ("cuda:1", False), ("cpu", True)])
def test_convolutions_on_a_gpu_do_not_round_their_inputs(monkeypatch, device, allowed):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    exact_float32(torch.device(device))
    assert torch.backends.cudnn.allow_tf32 is allowed
