"""Systems without checkpoints: values of the right kind, the same each time, and stand-ins for tokenizers."""

import pytest
import torch
from torch import nn

from acdc.engine.loading.random_weights import HashedTokenizer, fill, hashed_encoder
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.utils.weights import skeleton

SIZES = {"block_out_channels": (32, 64), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}


def unet() -> UNet:
    with skeleton():
        return UNet(UNetConfig(**SIZES, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_has_a_finite_value_and_activations_keep_their_size(dtype: torch.dtype) -> None:
    model = fill(unet(), "cpu", dtype)
    assert all(value.isfinite().all() and value.dtype == dtype for value in model.state_dict().values())
    assert not any(value.requires_grad for value in model.parameters())
    latents, context = torch.randn(1, 4, 8, 8).to(dtype), torch.randn(1, 5, 16).to(dtype)
    predicted = model(latents, torch.tensor([3]), context).float()
    assert predicted.isfinite().all()
    assert 0.05 < predicted.std() < 20


def test_the_same_device_gives_the_same_values() -> None:
    one, other = (fill(unet(), "cpu", torch.float32).state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_norms_are_neutral_and_biases_zero() -> None:
    with skeleton():
        model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GroupNorm(2, 8))
    state = fill(model, "cpu", torch.float32).state_dict()
    for name, value in state.items():
        if name != "0.weight":
            assert (value == float(name.endswith("weight"))).all(), name


def test_text_becomes_ids_in_range_by_its_own_words() -> None:
    encode = hashed_encoder(100, reserved=10)
    ids = encode("Benny the beagle sat down.")
    assert len(ids) == 8, "Benn y the beag le sat down ."
    assert all(10 <= token < 100 for token in ids)
    assert encode("benny") == ids[:2]
    assert encode("") == []


def test_prompts_have_their_frame_and_length() -> None:
    tokenizer = HashedTokenizer(1000, 8)
    ids, kept = tokenizer.encode(["a cat", "one two three four five six seven eight"])
    assert ids.shape == (2, 8)
    assert kept == [None, None]
    assert (ids[:, 0] == tokenizer.bos_id).all()
    assert ids[0, 3:].eq(tokenizer.eos_id).all()
    assert ids[1, -1] == tokenizer.eos_id
    assert ids.max() < tokenizer.vocab_size
