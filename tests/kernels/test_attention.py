"""Attention by name: the same numbers, or every reason why not."""

import sys
from importlib.metadata import PackageNotFoundError
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.compile.key import plan_key
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.models.diffusion.attention import Attention, set_attention
from acdc.kernels import attention
from acdc.kernels.attention import ATTENTIONS, find_attention, unsupported_reasons


def plain(q, k, v):
    """Eq. 1 of arXiv 1706.03762, in float64."""
    q, k, v = q.double(), k.double(), v.double()
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v


def by_xformers_layout(q, k, v):
    """The package's result, [B, T, H, D] in and out."""
    return plain(*(value.transpose(1, 2) for value in (q, k, v))).transpose(1, 2).to(q.dtype)


def compiled_stage(patch):
    """For xformers, whose kernels need a GPU: only its layout is imitated."""
    ops = ModuleType("xformers.ops")
    ops.memory_efficient_attention = by_xformers_layout
    patch.setitem(sys.modules, "xformers", ModuleType("xformers"))
    patch.setitem(sys.modules, "xformers.ops", ops)
    patch.setattr(attention, "version", lambda name: "9")
    return ops


@pytest.mark.parametrize("name", ATTENTIONS)
@settings(deadline=None)
@given(batch=st.integers(1, 3), heads=st.integers(1, 3), queries=st.integers(1, 9), keys=st.integers(1, 9))
def test_every_attention_is_the_formula(name, batch, heads, queries, keys):
    with pytest.MonkeyPatch.context() as patch:
        compiled_stage(patch)
        generator = torch.Generator().manual_seed(queries)
        q, k, v = (torch.randn(batch, heads, n, 8, generator=generator) for n in (queries, keys, keys))
        torch.testing.assert_close(ATTENTIONS[name](q, k, v).double(), plain(q, k, v), rtol=1e-4, atol=1e-5)


def test_an_unknown_name_is_named_with_the_choices():
    with pytest.raises(ValueError, match="unknown attention 'flash'; choose among sdpa, xformers"):
        Engine.from_pretrained(attention="flash")


def test_all_reasons_are_listed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(attention, "version", missing)
    with pytest.raises(ValueError, match=r"attention 'xformers' cannot run: .*") as error:
        find_attention("xformers", "cpu", torch.float64)
    said = str(error.value)
    assert "xformers is not installed: pip install 'acdc-engine[xformers]'" in said
    assert "on cuda, not on cpu" in said
    assert "not float64" in said
    assert "\n" not in said
    assert unsupported_reasons("sdpa", "cpu", torch.float64) == []


def test_a_wheel_for_another_torch_says_so(monkeypatch):
    package = compiled_stage(monkeypatch)
    assert unsupported_reasons("xformers", "cuda", torch.float16) == []
    monkeypatch.delattr(package, "memory_efficient_attention")
    (reason,) = unsupported_reasons("xformers", "cuda", torch.float16)
    assert f"xformers 9 does not load with torch {torch.__version__}" in reason


def test_the_choice_reaches_every_attention_of_the_unet_and_the_plans_key(tiny_engine):
    unet = tiny_engine.models.corrector.unet
    spec = StageSpec.of("unet", [torch.zeros(1)])
    before = plan_key(unet, spec, "eager", "1")
    try:
        set_attention(unet, plain)
        assert all(m.attend is plain for m in unet.modules() if isinstance(m, Attention))
        assert plan_key(unet, spec, "eager", "1") != before
    finally:
        set_attention(unet, attention.sdpa)
    assert plan_key(unet, spec, "eager", "1") == before
