"""Show-o's transformer against a plain restatement, its ids, and the published directory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine.models.layers.kernels import enable_triton
from acdc.engine.models.show_o.feed_pass import SegmentCache
from acdc.engine.models.show_o.maskgit_pass import frame_ids
from acdc.engine.models.show_o.model import HalfRotary, ShowO, ShowOConfig
from acdc.engine.models.show_o.text import BLANKS, caption_ids
from acdc.engine.utils.weights import skeleton
from tests.helpers.show_o_plain import logits_of, padded_row, row_mask
from tests.helpers.small_show_o import CONFIG, PLAIN, frame_of, small_arm, small_model

FULL = ShowOConfig()


def specified() -> dict[str, tuple[int, ...]]:
    """Names and shapes as published."""
    d, f, v = 2048, 8192, 58498
    shapes = {
        "showo.model.embed_tokens.weight": (v, d),
        "showo.lm_head.weight": (v, d),
        "showo.lm_head.bias": (v,),
        "showo.model.final_layernorm.weight": (d,),
        "showo.model.final_layernorm.bias": (d,),
    }
    for layer in range(24):
        at = f"showo.model.layers.{layer}"
        weights = {f"self_attn.{part}": (d, d) for part in ("q_proj", "k_proj", "v_proj", "dense")}
        weights |= {"mlp.fc1": (f, d), "mlp.fc2": (d, f), "input_layernorm": (d,)}
        weights |= {"self_attn.q_layernorm": (64,), "self_attn.k_layernorm": (64,)}
        for name, shape in weights.items():
            shapes[f"{at}.{name}.weight"], shapes[f"{at}.{name}.bias"] = shape, shape[:1]
    return shapes


def test_full_size_has_the_published_keys_shapes_and_count() -> None:
    with skeleton():
        model = ShowO(FULL)
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert found == specified()
    assert len(found) == 437
    assert sum(p.numel() for p in model.parameters()) == 1_448_176_770
    assert sum(p.numel() for p in model.showo.model.layers[0].parameters()) == 50_354_432


def test_the_clip_variants_have_four_more_tensors() -> None:
    with skeleton():
        model = ShowO(ShowOConfig(w_clip_vit=True))
    more = {n: tuple(v.shape) for n, v in model.state_dict().items() if n not in specified()}
    assert more == {
        "mm_projector.0.weight": (2048, 1024),
        "mm_projector.0.bias": (2048,),
        "mm_projector.2.weight": (2048, 2048),
        "mm_projector.2.bias": (2048,),
    }


def test_published_ids() -> None:
    assert [FULL.marker(name) for name in ("pad", "soi", "eoi", "t2i")] == [50295, 50296, 50297, 50300]
    assert (FULL.code_offset, FULL.mask, FULL.vocab_size, FULL.text_end) == (50305, 58497, 58498, 50256)
    assert (FULL.rotary_dim, FULL.head_dim, FULL.max_prompt) == (32, 64, 126)
    assert (FULL.block, ShowOConfig(num_vq_tokens=1024).block) == (258, 1026)
    assert len(BLANKS) == 38
    assert BLANKS[0] == " " * 31
    assert BLANKS[-1] == "\t" * 2


def test_captions_are_laid_out_as_published() -> None:
    assert caption_ids([64, 3797], FULL) == [50300, 50256, 64, 3797, 50256]
    assert caption_ids([], FULL) == [50300, 50256, 50256]
    assert caption_ids([50256, 7], FULL) == [50300, 50256, 7, 50256]
    assert caption_ids([5], FULL, first=False) == [50256, 5, 50256]
    longest = caption_ids(list(range(126)), FULL)
    assert len(longest) == 129
    assert caption_ids(list(range(200)), FULL) == longest


def test_a_frame_is_its_codes_between_its_ends() -> None:
    codes = torch.tensor([[0, -1, 8191]])
    assert frame_ids(codes, FULL).tolist() == [[50296, 50305, 58497, 58496, 50297]]


def ours(model: ShowO, prompt: list[int], codes: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden of the caption and of the frame of one row, by cached segments without pads."""
    expected = torch.tensor([caption_ids(prompt, model.config)])
    cache = model.new_cache(1, 16)
    text = SegmentCache(cache.keys[:, :, :, :0], cache.values[:, :, :, :0], cache.lengths, causal=True)
    hidden = model(expected, text)
    cache.put(*text.collected())
    cache.advance([expected.shape[1]])
    frame = SegmentCache(cache.keys, cache.values, cache.lengths, causal=False)
    return hidden, model(frame_ids(codes, model.config), frame)


@given(
    prompt=st.lists(st.integers(0, 28), max_size=14),
    codes=st.lists(st.integers(-1, 11), min_size=9, max_size=9),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=15, deadline=None)
def test_cached_segments_without_pads_equal_the_plain_padded_row(
    prompt: list[int], codes: list[int], dtype: torch.dtype
) -> None:
    """Pads, the whole mask and the full head on one side; two segments, a cache and the head's code rows on the other.
    Long prompts are cut on both."""
    model = MODELS[dtype]
    row = padded_row(prompt, codes, PLAIN)
    wanted = logits_of(model.state_dict(), torch.tensor([row]), row_mask(row, PLAIN)[None], PLAIN)[0]
    text, frame = ours(model, prompt, torch.tensor([codes]))
    bound = dict.fromkeys(("rtol", "atol"), 1e-5 if dtype == torch.float32 else 1e-11)
    offset = PLAIN.code_offset
    torch.testing.assert_close(
        model.code_logits(frame)[0, 1:-1], wanted[PLAIN.field + 1 : -1, offset : offset + 12], **bound
    )
    head = model.get_submodule("showo.lm_head")
    torch.testing.assert_close(head(text)[0], wanted[PLAIN.field - text.shape[1] : PLAIN.field], **bound)


MODELS = {dtype: small_model(dtype) for dtype in (torch.float32, torch.float64)}


def test_parts_are_in_their_places() -> None:
    """Each of these mistakes moves the logits by far more than the bound above."""
    wanted = small_model().code_logits(ours(small_model(), [1, 2], frame_of(0, 1))[1])
    for change in ("norm", "gelu", "bias"):
        model = small_model()
        layer = model.get_submodule("showo.model.layers.0")
        with torch.no_grad():
            if change == "norm":
                layer.self_attn.q_layernorm.weight.mul_(1.01)
            elif change == "gelu":
                layer.mlp.fc2.weight.mul_(1.01)
            else:
                model.get_parameter("showo.lm_head.bias").add_(0.01)
        moved = model.code_logits(ours(model, [1, 2], frame_of(0, 1))[1])
        assert (moved - wanted).abs().max() > 1e-4, change


@pytest.mark.parametrize(("dtype", "kept"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_rotary_tables_survive_a_cast_of_the_model(dtype: torch.dtype, kept: torch.dtype) -> None:
    rope = HalfRotary(8, 300, 10000.0).to(dtype)
    assert rope.cos.dtype == kept
    angle = torch.arange(300, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(4).double() / 4)
    assert torch.equal(rope.cos, torch.cat((angle.cos(), angle.cos()), 1).to(kept))
    assert torch.equal(rope.sin, torch.cat((-angle.sin(), angle.sin()), 1).to(kept))


def test_padding_beyond_the_tables_is_harmless() -> None:
    arm = small_arm(config=ShowOConfig(**{**CONFIG.__dict__, "max_position": 20}))
    ids = torch.tensor([caption_ids([1, 2, 3], CONFIG)])
    keys, values = arm.feed(ids, None, causal=True)
    assert keys.shape == values.shape == (2, 1, 4, 6, 8), "of 32 ids with what pads them"
    wanted = small_arm().feed(ids, None, causal=True)
    assert torch.equal(keys, wanted[0])


def test_kernels_norm_and_rotate_as_plain_pytorch() -> None:
    """Interpreted on a CPU, compiled on a GPU."""
    plain, fused = small_model(torch.float32), small_model(torch.float32)
    enable_triton(fused)
    assert fused.use_triton
    wanted, found = (model.code_logits(ours(model, [3, 1], frame_of(2, 1))[1]) for model in (plain, fused))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
