"""ACDiT as a library call: blocks of many requests are those of each alone, and go on where they ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acdc.engine import ACDiTPipeline, ClassRequest
from acdc.engine.acdit.phases import BlockPhases
from acdc.engine.acdit.request import BlockDone, RequestFailed
from acdc.engine.models.acdit.config import ACDiTConfig
from acdc.engine.models.acdit.layout import to_latents
from acdc.engine.models.layers.packed import pack
from acdc.engine.outputs import Phase
from tests.helpers.bfloat16 import needs_units
from tests.helpers.small_acdit import CLIP, KINDS, PICTURE, small_acdit, small_vae

STEPS = 2


def pipeline(config: ACDiTConfig, dtype: torch.dtype = torch.float32) -> ACDiTPipeline:
    return ACDiTPipeline(small_acdit(config, dtype), small_vae(dtype))


def latents(blocks: list[BlockDone]) -> torch.Tensor:
    return torch.stack([block.latents for block in blocks])


def by_request(events: Any) -> dict[str, list[BlockDone]]:
    found: dict[str, list[BlockDone]] = {}
    for event in events:
        assert isinstance(event, BlockDone), event
        found.setdefault(event.request.id, []).append(event)
    return found


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_blocks_of_one_request(config: ACDiTConfig) -> None:
    own = pipeline(config)
    blocks = list(own.stream(ClassRequest(1, 7), steps=STEPS))
    assert [block.index for block in blocks] == list(range(config.num_blocks))
    assert [block.last for block in blocks] == [False] * (config.num_blocks - 1) + [True]
    frames = [len(block.frames) for block in blocks]
    assert frames == ([2, 2, 2] if config.is_clip else [0, 0, 0, 1])
    shows = {Phase.VQ_DECODE} if config.is_clip else set()
    assert set(blocks[0].seconds) == {Phase.SAMPLE} | shows
    assert set(blocks[1].seconds) == {Phase.PREFILL, Phase.SAMPLE} | shows
    whole = to_latents(config, latents(blocks)[None])[0]
    with torch.inference_mode():
        pixels = own.vae.decode(whole / own.vae.scaling_factor).clamp(-1, 1)
    shown = np.stack([frame for block in blocks for frame in block.frames])
    assert shown.shape == (config.num_frames, 16, 16, 3)
    assert np.abs(shown - (127.5 * (pixels.permute(0, 2, 3, 1).numpy() + 1))).max() < 0.51
    pictures = own(1, seed=7, steps=STEPS)
    assert np.array_equal(np.stack([np.asarray(picture) for picture in pictures]), shown)
    assert not np.array_equal(np.asarray(own(1, seed=8, steps=STEPS)[0]), shown[0])
    assert not np.array_equal(np.asarray(own(2, seed=7, steps=STEPS)[0]), shown[0])


@pytest.mark.parametrize(("config", "concurrency"), [(PICTURE, 4), (CLIP, 2)], ids=["picture", "clip"])
def test_many_requests_are_each_alone(config: ACDiTConfig, concurrency: int) -> None:
    """In float64; at 4 they come in step, at 2 the third joins another that has come further."""
    own = pipeline(config, torch.float64)
    asked = [ClassRequest(0, 5, "a"), ClassRequest(2, 5, "b"), ClassRequest(2, 9, "c")]
    begun = next(own.stream(asked[1], steps=STEPS)).latents
    asked[1] = ClassRequest(2, 5, "b", [begun])
    found = by_request(own.generate_many(iter(asked), steps=STEPS, concurrency=concurrency))
    for request in asked:
        alone = list(own.stream(request, steps=STEPS))
        assert [block.index for block in found[request.id]] == [block.index for block in alone]
        torch.testing.assert_close(latents(found[request.id]), latents(alone), rtol=1e-10, atol=1e-10)
        for one, other in zip(found[request.id], alone, strict=True):
            assert all(np.array_equal(*pair) for pair in zip(one.frames, other.frames, strict=True))


def test_launches_hold_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[Phase, list[int]] = {}
    real = BlockPhases.run

    def noted(self: BlockPhases, phase: Phase, requests: Any) -> None:
        sizes.setdefault(phase, []).append(len(requests))
        real(self, phase, requests)

    monkeypatch.setattr(BlockPhases, "run", noted)
    asked = [ClassRequest(label, 0, str(label)) for label in range(4)]
    by_request(pipeline(PICTURE).generate_many(asked, steps=1))
    assert sizes == {Phase.SAMPLE: [4] * 4, Phase.PREFILL: [4] * 3, Phase.VQ_DECODE: [4]}


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_a_request_goes_on_where_it_ended_bit_for_bit(config: ACDiTConfig) -> None:
    own = pipeline(config)
    whole = list(own.stream(ClassRequest(1, 7), steps=STEPS))
    for count in range(1, config.num_blocks + 1):
        done = [block.latents for block in whole[:count]]
        rest = list(own.stream(ClassRequest(1, 7, done=done), steps=STEPS))
        many = by_request(own.generate_many([ClassRequest(1, 7, "a", done)], steps=STEPS)).get("a", [])
        assert [block.index for block in rest] == list(range(count, config.num_blocks))
        for again in (rest, many):
            for one, other in zip(again, whole[count:], strict=True):
                assert torch.equal(one.latents, other.latents)
                assert all(np.array_equal(*pair) for pair in zip(one.frames, other.frames, strict=True))


def test_a_request_that_fails_ends_alone_and_a_launch_that_fails_is_done_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own, real = pipeline(PICTURE), BlockPhases.run

    def failing(self: BlockPhases, phase: Phase, requests: Any) -> None:
        real(self, phase, requests)
        if phase is Phase.SAMPLE and any(one.request.id == "b" and one.index == 1 for one in requests):
            raise ValueError("made up")

    monkeypatch.setattr(BlockPhases, "run", failing)
    asked = [ClassRequest(0, 1, "a"), ClassRequest(1, 1, "b"), ClassRequest(9, 1, "c"), ClassRequest(2, 1, "d")]
    events = list(own.generate_many(asked, steps=1))
    monkeypatch.setattr(BlockPhases, "run", real)
    failed = {event.request.id: str(event.error) for event in events if isinstance(event, RequestFailed)}
    assert failed == {"b": "made up", "c": "class 9 is out of range; choose 0 to 4"}
    found = by_request(event for event in events if isinstance(event, BlockDone))
    assert {name: len(blocks) for name, blocks in found.items()} == {"a": 4, "b": 1, "d": 4}
    for request in (asked[0], asked[3]):
        alone = latents(list(own.stream(request, steps=1)))
        torch.testing.assert_close(latents(found[request.id]), alone, rtol=1e-4, atol=1e-3)
    assert "draw of 2 requests failed together and is done again: made up" in caplog.text


def test_guidance_is_the_papers_unless_given() -> None:
    assert [pipeline(config).settings()["guidance_scale"] for config in (PICTURE, CLIP)] == [1.5, 2.5]
    own = pipeline(PICTURE)
    off, low = (latents(list(own.stream(ClassRequest(1), steps=1, guidance_scale=w))) for w in (1.0, 0.0))
    assert torch.equal(off, low), "no guidance at scales up to 1"
    assert not torch.equal(off, latents(list(own.stream(ClassRequest(1), steps=1))))
    for scale in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=r"guidance_scale .* is out of range; choose 0 or more"):
            own(1, guidance_scale=scale)


@needs_units
def test_packed_weights_in_bfloat16_are_the_plain_ones() -> None:
    """Bit for bit, two side by side."""
    own, packed = pipeline(PICTURE, torch.bfloat16), pipeline(PICTURE, torch.bfloat16)
    pack(packed.model, packed.vae.decoder)
    asked = [ClassRequest(label, 3, str(label)) for label in range(2)]
    one, other = (by_request(some.generate_many(asked, steps=1)) for some in (own, packed))
    for name, blocks in one.items():
        assert latents(blocks).dtype == torch.float32
        assert torch.equal(latents(blocks), latents(other[name]))


def test_pictures_that_are_not_finite_are_refused() -> None:
    own = pipeline(PICTURE)
    own.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="autoencoder made numbers that are not finite in float32"):
        own(1, steps=1)
