"""Stories in Show-o: what each layout lets a frame see, replacing and cutting, and the same serial loop around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.models.show_o.feed_pass import SegmentCache
from acdc.engine.models.show_o.maskgit_pass import frame_ids
from acdc.engine.models.show_o.model import ShowOConfig
from acdc.engine.models.show_o.session import ShowOSession
from acdc.engine.sampling import SamplingParams
from tests.helpers.show_o_plain import logits_of, story_mask
from tests.helpers.small_show_o import CONFIG, PLAIN, TEXTS, encode, frame_of, keys, small_arm

TIGHT = {"rtol": 0, "atol": 1e-11}
LARGE = ShowOConfig(1, 4, 4, 1, num_vq_tokens=1024, llm_vocab_size=5, codebook_size=4, text_end=4)
LAID_OUT = [("independent", "full"), ("carry-over", "full"), ("block-causal", "full"), ("block-causal", "window")]


@pytest.fixture(scope="module")
def arm() -> ShowOArm:
    return small_arm()


def made(arm: ShowOArm, layout: str, context: str = "full", guided: bool = True, stories: int = 2) -> ShowOSession:
    how: Any = {"layout": layout, "context": context, "guided": guided}
    return ShowOSession(arm, stories, 3, steps=4, text_tokens=9, **how)


def given(session: ShowOSession, frames: list[Tensor]) -> ShowOSession:
    """The session on a known history, ready for the next frame."""
    for texts, codes in zip(TEXTS, frames, strict=False):
        session.begin(texts[: session.stories])
        session.extend(codes[: session.stories])
    session.begin(TEXTS[len(frames)][: session.stories])
    return session


@torch.no_grad()
def seen(session: ShowOSession) -> Tensor:
    """Code logits [R, 9, 12] of the next frame before its first step: a function of all that it sees."""
    known = session._known(SamplingParams(), keys(session.drawn)[: session.stories])
    cache = SegmentCache(session.cache.keys, session.cache.values, session.cache.lengths, causal=False)
    model = session.arm.model
    return model.code_logits(model(frame_ids(known, CONFIG).repeat(session.branches, 1), cache)[:, 1:-1])


def by_hand(arm: ShowOArm, texts: list[str], frames: list[Tensor], story: int) -> Tensor:
    """The same from a row laid out by hand: [t2i end text end][frame][end text end][frame] ..., no cache, one mask."""
    row = [PLAIN.t2i]
    for text, codes in zip(texts, [*[f[story].tolist() for f in frames], [-1] * 9], strict=True):
        row += [PLAIN.end, *encode(text), PLAIN.end]
        row += [PLAIN.soi, *(PLAIN.masked if code < 0 else code + PLAIN.code_offset for code in codes), PLAIN.eoi]
    whole = logits_of(arm.model.state_dict(), torch.tensor([row]), story_mask(row, PLAIN)[None], PLAIN)
    return whole[0, -10:-1, PLAIN.code_offset : PLAIN.masked]


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(("layout", "first"), [("full", 0), ("window", 1)])
def test_block_causal_sees_the_story_laid_out_by_hand(arm: ShowOArm, layout: str, first: int, guided: bool) -> None:
    """Segments through a cache equal one row without; in the null branch captions are empty and frames stay."""
    frames = [frame_of(1), frame_of(2)]
    found = seen(given(made(arm, "block-causal", layout, guided), frames))
    for story in range(2):
        texts = [line[story] for line in TEXTS][first:]
        torch.testing.assert_close(found[story], by_hand(arm, texts, frames[first:], story), **TIGHT)
        if guided:
            null = by_hand(arm, [""] * len(texts), frames[first:], story)
            torch.testing.assert_close(found[2 + story], null, **TIGHT)


@pytest.mark.parametrize("layout", ["independent", "block-causal"])
def test_the_first_frame_is_an_ordinary_row_in_all_layouts(arm: ShowOArm, layout: str) -> None:
    found = seen(given(made(arm, layout), []))
    torch.testing.assert_close(found[1], by_hand(arm, [TEXTS[0][1]], [], 1), **TIGHT)
    torch.testing.assert_close(found[3], by_hand(arm, [""], [], 1), **TIGHT)


def test_an_independent_frame_sees_its_sentence_only(arm: ShowOArm) -> None:
    one, other = (seen(given(made(arm, "independent"), [frame_of(seed)])) for seed in (1, 2))
    assert torch.equal(one, other)
    torch.testing.assert_close(one[0], by_hand(arm, [TEXTS[1][0]], [], 0), **TIGHT)


def test_carry_over_begins_with_a_share_of_the_last_frame(arm: ShowOArm) -> None:
    session = given(made(arm, "carry-over"), [])
    assert (session._known(SamplingParams(), keys(0)) < 0).all(), "nothing is carried to the first frame"
    session.generate(SamplingParams(guidance_scale=2.0), keys(0))
    session.replace(0, frame_of(4))
    session.begin(TEXTS[1])
    known = session._known(SamplingParams(), keys(1))
    assert (known >= 0).sum(1).tolist() == [4, 4], "half of nine"
    assert ((known == frame_of(4)) | (known < 0)).all()
    drawn = session.generate(SamplingParams(guidance_scale=2.0), keys(1))
    assert torch.equal(drawn[known >= 0], known[known >= 0])
    assert not torch.equal(drawn, frame_of(4))


def test_carrying_nothing_over_is_independent(arm: ShowOArm) -> None:
    carried = ShowOSession(arm, 2, 3, steps=4, layout="carry-over", carry_over=0.0)
    alone = ShowOSession(arm, 2, 3, steps=4)
    drawn = []
    for session in (carried, alone):
        given(session, [frame_of(1)])
        drawn.append(session.generate(SamplingParams(), keys(1)))
    assert torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(("layout", "context"), LAID_OUT)
@pytest.mark.parametrize("frame", [0, 1])
def test_replacing_equals_a_fresh_run(arm: ShowOArm, layout: str, context: str, frame: int) -> None:
    """Before the next sentence, and while it waits; also of a frame before the last."""
    frames = [frame_of(1), frame_of(2)]
    fixed = [frame_of(9) if index == frame else codes for index, codes in enumerate(frames)]
    wanted = seen(given(made(arm, layout, context), fixed))
    early = made(arm, layout, context)
    for texts, codes in zip(TEXTS, frames, strict=False):
        early.begin(texts)
        early.extend(codes)
    early.replace(frame, frame_of(9))
    early.begin(TEXTS[2])
    late = given(made(arm, layout, context), frames)
    late.replace(frame, frame_of(9))
    for session in (early, late):
        torch.testing.assert_close(seen(session), wanted, **TIGHT)
        assert torch.equal(session.codes(frame), frame_of(9))


@pytest.mark.parametrize(("layout", "context"), LAID_OUT)
def test_truncate_then_another_ending(arm: ShowOArm, layout: str, context: str) -> None:
    cut = given(made(arm, layout, context), [frame_of(1), frame_of(2)])
    cut.truncate(1)
    assert cut.drawn == 1
    cut.begin(TEXTS[1])
    torch.testing.assert_close(seen(cut), seen(given(made(arm, layout, context), [frame_of(1)])), **TIGHT)


@pytest.mark.long
@pytest.mark.parametrize(("layout", "context"), LAID_OUT)
@pytest.mark.parametrize("guidance_scale", [1.0, 2.75])
def test_a_ragged_batch_equals_single_runs(arm: ShowOArm, layout: str, context: str, guidance_scale: float) -> None:
    def run(stories: list[int]) -> Tensor:
        session, out = made(arm, layout, context, guidance_scale != 1, len(stories)), []
        for number, texts in enumerate(TEXTS):
            session.begin([texts[story] for story in stories])
            mine = keys(number, tuple(5 + story for story in stories))
            codes = session.generate(SamplingParams(guidance_scale=guidance_scale), mine)
            out.append((codes + 1) % 12)  # the corrector's part
            session.replace(number, out[-1])
        return torch.stack(out, 1)

    assert torch.equal(run([0, 1]), torch.cat((run([0]), run([1]))))


def test_a_finished_frame_is_fed_once_when_the_next_one_is_to_see_it(arm: ShowOArm) -> None:
    session = given(made(arm, "block-causal"), [])
    assert session.cache.owned == [5, 8, 3, 3]
    session.generate(SamplingParams(guidance_scale=2.0), keys(0))
    session.replace(0, frame_of(1))
    assert session.cache.owned == [5, 8, 3, 3], "replacing what was not fed costs nothing"
    session.begin(TEXTS[1])
    assert session.cache.owned == [5 + 11 + 3, 8 + 11 + 4, 3 + 11 + 2, 3 + 11 + 2]


def test_buffers_serve_the_next_story(arm: ShowOArm) -> None:
    first = made(arm, "independent")
    where = first.cache.keys.data_ptr()
    first.close()
    assert made(arm, "independent").cache.keys.data_ptr() == where


def test_default_steps_are_the_published_examples() -> None:
    """18 steps for 16x16 codes, 50 for 32x32."""
    for codes, steps in ((9, 18), (256, 18), (1024, 50)):
        arm = small_arm(config=replace(LARGE, num_vq_tokens=codes))
        assert arm.default_steps == ShowOSession(arm, 1, 1).steps == steps


def test_bad_requests_are_named_in_one_line(arm: ShowOArm) -> None:
    session = made(arm, "independent", guided=False)
    with pytest.raises(ValueError, match="1 sentences for 2 stories"):
        session.begin(["a"])
    with pytest.raises(ValueError, match="Show-o draws every frame from a sentence"):
        session.begin(None)
    session.begin(TEXTS[0])
    with pytest.raises(ValueError, match=r"guidance_scale 2.0 needs a guided session"):
        session.generate(SamplingParams(guidance_scale=2.0), keys(0))
    with pytest.raises(ValueError, match=r"top_k 3, top_p 1.0: Show-o draws from all codes"):
        session.generate(SamplingParams(top_k=3), keys(0))
    for message, how in (
        ("unknown layout 'grid'; choose from independent, block-causal, carry-over", {"layout": "grid"}),
        ("unknown context 'near'; choose from window, full", {"context": "near"}),
        ("arm_steps 0 is too small", {"steps": 0}),
        (r"carry_over 1.0 is out of range; choose 0 <= carry_over < 1", {"carry_over": 1.0}),
    ):
        with pytest.raises(ValueError, match=message):
            ShowOSession(arm, 1, 1, **how)
    with pytest.raises(ValueError, match="0 stories of 3 frames"):
        ShowOSession(arm, 0, 3)
    for _ in range(2):
        session.extend(frame_of(1))
        session.begin(TEXTS[1])
    session.extend(frame_of(1))
    with pytest.raises(ValueError, match="frame 4 exceeds the 3 frames of this session"):
        session.begin(TEXTS[1])


def test_more_positions_than_the_model_has_are_refused() -> None:
    """200 positions of the small model: a caption of 11, a frame of 11. In the published sizes one frame of 512 px fits
    a row, two do not."""
    arm = small_arm()
    ShowOSession(arm, 1, 9, layout="block-causal", text_tokens=9)
    said = "221 positions, the model has 200; choose fewer frames or context window or layout independent"
    with pytest.raises(ValueError, match=said):
        ShowOSession(arm, 1, 10, layout="block-causal", text_tokens=9)
    ShowOSession(arm, 1, 1000, layout="block-causal", context="window", text_tokens=9)
    ShowOSession(arm, 1, 1000, layout="carry-over", text_tokens=9)
    large = small_arm(config=LARGE)
    ShowOSession(large, 1, 1, layout="block-causal", text_tokens=20)
    with pytest.raises(ValueError, match="of 2 frames needs 2097 positions, the model has 2048"):
        ShowOSession(large, 1, 2, layout="block-causal", text_tokens=20)
