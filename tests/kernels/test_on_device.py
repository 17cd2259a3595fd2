"""The way to a GPU and back that these tests take where there is one, with the CPU in the place of the GPU."""

import torch

from acdc.kernels.gated import swiglu, swiglu_reference
from acdc.kernels.qk_norm_rope_kv import heads_of, qk_norm_rope_kv, qk_norm_rope_kv_reference
from tests.helpers.on_device import as_it_lies, operators, there_and_back


def test_every_operator_is_sent():
    names = {op._qualname.removeprefix("acdc::") for op in operators()}
    assert {"swiglu", "geglu", "rms_norm", "add_rms_norm", "cfg_ddim", "add_noise", "draw", "decode_attention"} <= names
    assert len(names) == len(list(operators())), "each once"


def test_views_keep_their_place_in_memory():
    whole = torch.arange(24.0).reshape(2, 12)
    for value in (whole, *whole.chunk(2, -1), whole.T, whole[1:, 3:5], whole.new_empty(0, 3)):
        copy = as_it_lies(value, "cpu")
        assert torch.equal(copy, value)
        assert (copy.stride(), copy.storage_offset()) == (value.stride(), value.storage_offset())
        assert not copy.numel() or copy.data_ptr() != value.data_ptr()


def test_results_come_back():
    seen = []

    def call(gate, value):
        seen.append(gate)
        return swiglu_reference(gate, value)

    gate, value = torch.randn(3, 8).chunk(2, -1)
    assert torch.equal(there_and_back(swiglu, "cpu", call)(gate, value), swiglu_reference(gate, value))
    assert seen[0].stride() == gate.stride()
    assert seen[0].data_ptr() != gate.data_ptr()


def test_what_an_operator_writes_comes_back_too():
    q, k, v = heads_of(torch.randn(1, 2, 3 * 2 * 4), 2)
    cos, sin = torch.randn(2, 8, 4)
    positions, wanted, found = torch.tensor([[1, 2]]), torch.zeros(2, 1, 2, 8, 4), torch.zeros(2, 1, 2, 8, 4)
    turned = qk_norm_rope_kv_reference(q, k, v, cos, sin, positions, *wanted)
    result = there_and_back(qk_norm_rope_kv, "cpu", qk_norm_rope_kv_reference)(q, k, v, cos, sin, positions, *found)
    assert torch.equal(result, turned)
    assert torch.equal(found, wanted)
    assert found.abs().sum() > 0
