"""The session's contract in float64, in both contexts: what is incremental equals what is done afresh."""

import pytest
import torch
from torch import Tensor

from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM
from acdc.engine.options import Context
from acdc.engine.sampling import SamplingParams
from tests.helpers.small_arm import (
    CONTEXTS,
    SIZES,
    STREAM,
    TEXTS,
    TIGHT,
    encode,
    frame_of,
    from_scratch,
    given,
    keys,
    last,
    make_arm,
    session,
)


@pytest.fixture(scope="module")
def arm() -> Arm:
    return make_arm()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("guided", [False, True])
def test_logits_are_those_of_the_stream_laid_out_by_hand(arm: Arm, context: Context, guided: bool) -> None:
    frames = [frame_of(1), frame_of(2)]
    got = last(given(arm, frames, context, guided))
    start = 1 if context == "window" else 0
    for story in range(2):
        texts = [line[story] for line in TEXTS][start:]
        torch.testing.assert_close(got[story], from_scratch(arm, texts, frames[start:], story), **TIGHT)
        if guided:
            null = from_scratch(arm, [""] * len(texts), frames[start:], story)
            torch.testing.assert_close(got[2 + story], null, **TIGHT)


@pytest.mark.parametrize("context", CONTEXTS)
def test_drawing_step_by_step_equals_one_parallel_pass(arm: Arm, context: Context) -> None:
    drawn, frames = session(arm, context), []
    for number, texts in enumerate(TEXTS):
        drawn.begin(texts)
        if number == 2:
            break
        frames.append(drawn.generate(SamplingParams(), keys(number)))
    torch.testing.assert_close(last(drawn), last(given(arm, frames, context)), **TIGHT)


@pytest.mark.parametrize("context", CONTEXTS)
def test_replacing_with_the_same_ids_changes_nothing(arm: Arm, context: Context) -> None:
    kept, replaced = session(arm, context), session(arm, context)
    for one in (kept, replaced):
        one.begin(TEXTS[0])
        codes = one.generate(SamplingParams(), keys(0))
        if one is replaced:
            one.replace(0, codes)
        one.begin(TEXTS[1])
    torch.testing.assert_close(last(replaced), last(kept), **TIGHT)
    assert torch.equal(replaced.generate(SamplingParams(), keys(1)), kept.generate(SamplingParams(), keys(1)))


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("frame", [0, 1])
def test_replacing_with_new_ids_equals_a_fresh_run(arm: Arm, context: Context, frame: int) -> None:
    """Also for a frame before the last, whose later chunks stay."""
    frames = [frame_of(1), frame_of(2)]
    changed = session(arm, context)
    for texts, codes in zip(TEXTS, frames, strict=False):
        changed.begin(texts)
        changed.extend(codes)
    frames[frame] = frame_of(9)
    changed.replace(frame, frames[frame])
    changed.begin(TEXTS[2])
    torch.testing.assert_close(last(changed), last(given(arm, frames, context)), **TIGHT)
    assert [chunk.provenance for chunk in changed.chunks][1::2] == ["external", "external"]
    assert torch.equal(changed.codes(frame), frames[frame])


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("frame", [0, 1])
def test_replacing_while_a_sentence_waits_refreshes_its_logits(arm: Arm, context: Context, frame: int) -> None:
    frames = [frame_of(1), frame_of(2)]
    late = given(arm, frames, context)
    frames[frame] = frame_of(8)
    late.replace(frame, frames[frame])
    torch.testing.assert_close(last(late), last(given(arm, frames, context)), **TIGHT)


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_null_branch_changes_nothing_at_guidance_one(arm: Arm, context: Context) -> None:
    kept = session(arm, context, guided=True)
    kept.begin(TEXTS[0])
    first = kept.generate(SamplingParams(guidance_scale=5.0), keys(0))
    never = session(arm, context)
    never.begin(TEXTS[0])
    never.extend(first)
    drawn = []
    for one in (kept, never):
        one.begin(TEXTS[1])
        drawn.append(one.generate(SamplingParams(), keys(1)))
    torch.testing.assert_close(last_two_rows(kept), last_two_rows(never), **TIGHT)
    assert torch.equal(*drawn)


def last_two_rows(of: ArmSession) -> Tensor:
    of.begin(TEXTS[2])
    return last(of)[:2]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_ragged_batch_equals_single_runs(arm: Arm, context: Context, guidance_scale: float) -> None:
    params, guided = SamplingParams(guidance_scale=guidance_scale, top_k=7), guidance_scale != 1

    def run(stories: list[int]) -> Tensor:
        one, out = session(arm, context, guided, len(stories)), []
        for number, texts in enumerate(TEXTS):
            one.begin([texts[story] for story in stories])
            codes = one.generate(params, keys(number, tuple(5 + story for story in stories)))
            out.append((codes + 1) % 10)  # the corrector's part
            one.replace(number, out[-1])
        return torch.stack(out, 1)

    assert torch.equal(run([0, 1]), torch.cat((run([0]), run([1]))))


@pytest.mark.parametrize("context", CONTEXTS)
def test_forks_are_independent(arm: Arm, context: Context) -> None:
    trunk = given(arm, [frame_of(1)], context, guided=True)
    before, branch = last(trunk).clone(), trunk.fork()
    branch.generate(SamplingParams(), keys(7))
    branch.replace(0, frame_of(4))
    assert torch.equal(last(trunk), before)
    assert torch.equal(trunk.codes(0), frame_of(1))
    assert trunk.drawn == 1
    assert branch.drawn == 2
    fresh = given(arm, [frame_of(1)], context, guided=True)
    assert torch.equal(trunk.generate(SamplingParams(), keys(1)), fresh.generate(SamplingParams(), keys(1)))


@pytest.mark.parametrize("context", CONTEXTS)
def test_truncate_then_another_ending(arm: Arm, context: Context) -> None:
    cut = given(arm, [frame_of(1), frame_of(2)], context)
    cut.truncate(1)
    cut.begin(TEXTS[1])
    torch.testing.assert_close(last(cut), last(given(arm, [frame_of(1)], context)), **TIGHT)


def test_the_window_forgets_all_but_the_previous_frame(arm: Arm) -> None:
    one, other = (given(arm, [frame_of(seed), frame_of(2)], "window") for seed in (1, 3))
    assert torch.equal(last(one), last(other))
    assert 1 + 2 * (8 + 1 + 7) <= one.cache.capacity == ArmSession(arm, 2, 3, "window").cache.capacity


def test_cache_length_is_the_number_of_ids_fed(arm: Arm) -> None:
    """C3's off-by-one rule: the last code and eof are fed with the next sentence only."""
    one = session(arm)
    one.begin(TEXTS[0])
    assert one.cache.owned == [1 + 2 + 1, 1 + 5 + 1]
    one.generate(SamplingParams(), keys(0))
    assert one.cache.owned == [4 + 5, 7 + 5]
    one.replace(0, frame_of(1))
    assert one.cache.owned == one.first_slots(2) == [4 + 7, 7 + 7]


@pytest.mark.parametrize(
    "params", [SamplingParams(temperature=0), SamplingParams(temperature=9.0), SamplingParams(top_p=0.3, top_k=4)]
)
def test_codes_stay_in_the_codebook_and_eof_ends_a_frame(arm: Arm, params: SamplingParams) -> None:
    one = session(arm)
    one.begin(TEXTS[0])
    codes = one.generate(params, keys(0))
    assert codes.min() >= 0
    assert codes.max() < 10
    assert one.chunks[1].ids[:, -1].tolist() == [10, 10]


def test_forced_codes_are_written_and_conditioned_on(arm: Arm) -> None:
    free, forced = session(arm), session(arm)
    for one in (free, forced):
        one.begin(TEXTS[0])
    codes = free.generate(SamplingParams(), keys(0))
    params = SamplingParams(forced=((2, 9),))
    got = forced.generate(params, keys(0))
    assert torch.equal(got[:, :2], codes[:, :2])
    assert got[:, 2].tolist() == [9, 9]


def test_drawing_reads_nothing_back_from_the_device(arm: Arm) -> None:
    """On the meta device any ``.item()``, ``.tolist()`` or data-dependent shape raises."""
    meta = Arm(LWM(SIZES).to("meta"), encode, STREAM)
    one = ArmSession(meta, 2, frames=3, guided=True)
    for texts in TEXTS:
        one.begin(texts)
        one.generate(SamplingParams(guidance_scale=2.0, top_k=3, top_p=0.9), keys(0).to("meta"))
        one.replace(one.drawn - 1, frame_of(1).to("meta"))
    assert one.drawn == 3


def test_bad_requests_are_named_in_one_line(arm: Arm) -> None:
    one = session(arm)
    with pytest.raises(ValueError, match="1 sentences for 2 stories"):
        one.begin(["a"])
    with pytest.raises(ValueError, match=r"'abcdefghi' has 9 tokens; the limit \(max_text_tokens\) is 8"):
        one.begin(["abcdefghi", "a"])
    with pytest.raises(ValueError, match="the first frame needs a sentence"):
        one.begin(None)
    one.begin(TEXTS[0])
    with pytest.raises(ValueError, match=r"guidance_scale 2.0 needs a guided session"):
        one.generate(SamplingParams(guidance_scale=2.0), keys(0))
    with pytest.raises(ValueError, match="unknown context 'sliding'; choose from window, full"):
        session(arm, "sliding")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="113 positions are needed, the model has 99"):
        ArmSession(arm, 1, frames=7)
    short = ArmSession(arm, 2, frames=1)
    short.begin(TEXTS[0])
    short.extend(frame_of(1))
    with pytest.raises(ValueError, match="frame 2 exceeds the 1 frames of this session"):
        short.begin(TEXTS[1])
