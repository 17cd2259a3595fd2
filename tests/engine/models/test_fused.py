"""Joint products: the same results, weights under their old names, in place changes that count."""

import pytest
import torch
from torch import nn

from acdc.engine.models.layers.fused import Fusable, Fused, fuse
from tests.helpers.published import close, normal, unet_pair
from tests.helpers.small_arm import make_arm


def test_one_product_is_the_layers_one_by_one() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(5, size, bias=False).double() for size in (3, 4, 2)]
    x = torch.randn(2, 7, 5, dtype=torch.float64)
    wanted = [layer(x) for layer in layers]
    fused = Fused(*layers)
    for one, other in zip(fused(x), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    with torch.no_grad():
        layers[1].weight.mul_(2)
    torch.testing.assert_close(fused(x)[1], 2 * wanted[1].detach(), rtol=0, atol=1e-12)


def fuse_all(model: nn.Module) -> None:
    """On a CPU, where ``fuse`` leaves a model as it is, since nothing is gained."""
    fuse(model, "cpu")
    parts = [module for module in model.modules() if isinstance(module, Fusable)]
    assert parts
    assert all(part.fused is None for part in parts)
    for part in parts:
        part.fuse()


def test_layers_with_biases_are_not_joined() -> None:
    with pytest.raises(AssertionError, match="biases"):
        Fused(nn.Linear(2, 2), nn.Linear(2, 2))


@torch.no_grad()
def test_an_arm_keeps_its_weights_names_and_results() -> None:
    model = make_arm().model
    ids, kinds = torch.arange(12).reshape(2, 6), torch.ones(2, 6, dtype=torch.bool)
    wanted, state = model(ids, kinds), {name: value.clone() for name, value in model.state_dict().items()}
    fuse_all(model)
    torch.testing.assert_close(model(ids, kinds), wanted, rtol=0, atol=1e-12)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for name, value in model.state_dict().items():  # another model's weights, in place
        value.copy_(state[name].flip(0))
    fresh = make_arm().model
    fresh.load_state_dict({name: value.flip(0) for name, value in state.items()})
    torch.testing.assert_close(model(ids, kinds), fresh(ids, kinds), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_unets_self_attention_too() -> None:
    ours, _ = unet_pair("sd2-like", torch.float64)
    latents, context, step = normal(1, 4, 8, 8), normal(1, 5, ours.config.cross_attention_dim), torch.tensor([3])
    wanted = ours(latents, step, context)
    fuse_all(ours)
    joined = [module for module in ours.modules() if isinstance(module, Fused)]
    assert len(joined) == len(ours.context_kv(context)), "one a transformer block: its self-attention"
    close(ours(latents, step, context), wanted, torch.float64)
