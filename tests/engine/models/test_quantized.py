"""The ARM with int8 and fp8 weights: what is replaced, how far off it is, joint products, kernels, bad choices."""

import pytest
import torch
from torch import nn

from acdc.engine.engine import Engine
from acdc.engine.models.layers.fused import Fusable
from acdc.engine.models.layers.quantized import QuantizedLinear, check_quantization, quantize
from acdc.kernels.weight_only_linear import quantise
from tests.helpers.small_arm import make_arm

KINDS = ("int8", "fp8")


def widened(model: nn.Module, kind: str) -> nn.Module:
    """Every weight of the blocks rounded to the kind and back: a full-size model with the same errors."""
    for layer in model.blocks.modules():
        if isinstance(layer, nn.Linear):
            packed, scales = quantise(layer.weight.detach(), kind)
            layer.weight = nn.Parameter(packed.to(scales.dtype).mul(scales[:, None]).to(layer.weight.dtype))
    return model


def passed(model: nn.Module) -> torch.Tensor:
    ids = torch.arange(12).reshape(2, 6)
    return model.vision_logits(model(ids, torch.ones_like(ids, dtype=torch.bool)))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("joint", [False, True])
def test_the_quantized_model_is_the_one_with_rounded_weights(kind: str, joint: bool) -> None:
    ours, wanted = make_arm().model, widened(make_arm().model, kind)
    if joint:
        for part in ours.modules():
            if isinstance(part, Fusable):
                part.fuse()
    quantize(ours.blocks, kind)
    torch.testing.assert_close(passed(ours), passed(wanted), rtol=0, atol=1e-6)
    assert not torch.allclose(passed(ours), passed(make_arm().model), rtol=0, atol=1e-6), "lossy it is"


@pytest.mark.parametrize("joint", [False, True])
def test_the_blocks_hold_one_byte_a_weight_and_the_rest_is_untouched(joint: bool) -> None:
    model = make_arm().model
    weights = sum(layer.weight.numel() for layer in model.blocks.modules() if isinstance(layer, nn.Linear))
    if joint:
        for part in model.modules():
            if isinstance(part, Fusable):
                part.fuse()
    quantize(model.blocks, "int8")
    held = {tensor.data_ptr(): tensor for tensor in [*model.blocks.parameters(), *model.blocks.buffers()]}
    assert sum(tensor.numel() for tensor in held.values() if tensor.dtype == torch.int8) == weights
    assert not any(isinstance(layer, nn.Linear) and layer.weight.numel() for layer in model.blocks.modules())
    assert isinstance(model.vision_head, nn.Linear)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_multiplies_as_the_reference_does(kind: str) -> None:
    torch.manual_seed(0)
    layer, x = QuantizedLinear(torch.randn(24, 40), kind), torch.randn(3, 40)
    wanted = layer(x)
    layer.enable_triton()
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-5)


@pytest.mark.long
def test_a_story_says_that_it_was_drawn_with_quantized_weights(tiny_path) -> None:
    engine = Engine.from_pretrained(tiny_path, quantization="int8")
    story = engine.generate(["Benny the beagle sat.", "He ran."], num_inference_steps=2)
    assert story.settings["quantization"] == "int8"
    assert len(story.frames) == 2
    assert Engine.from_pretrained(tiny_path).generate(["Benny."], correction=False).settings["quantization"] == "none"


@pytest.mark.parametrize("quantization", ["int4", "", "INT8"])
def test_an_unknown_kind_is_refused_with_the_choices(tiny_path, quantization: str) -> None:
    with pytest.raises(ValueError, match=f"unknown quantization '{quantization}'; choose one of none, int8, fp8"):
        Engine.from_pretrained(tiny_path, quantization=quantization)


@pytest.mark.parametrize(("capability", "refused"), [((8, 0), True), ((8, 9), False), ((9, 0), False)])
def test_fp8_needs_a_gpu_that_knows_it(monkeypatch, capability: tuple[int, int], refused: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    check_quantization("int8", torch.device("cuda"))
    if refused:
        with pytest.raises(ValueError, match=r"fp8 weights need compute capability 8\.9"):
            check_quantization("fp8", torch.device("cuda"))
    else:
        check_quantization("fp8", torch.device("cuda"))
