"""LWM's video procedure against a plain loop without session or cache, and frames replaced together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM
from acdc.engine.models.lwm.published import VideoPolicies
from acdc.engine.models.lwm.video_session import LwmVideo
from acdc.engine.options import Context
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.rng import gumbel
from tests.helpers.small_arm import CONTEXTS, SIZES, STREAM, TIGHT, encode, frame_of, keys, last

CAPTIONS = ["ab", "cdefg"]
WITH_PROMPTS = replace(STREAM, prefix=(29, 30), suffix=(31,), video_prefix=(28, 27, 30))
GREEDY = VideoPolicies(SamplingParams(guidance_scale=5.0, temperature=0), SamplingParams(temperature=0))
SAMPLED = VideoPolicies(SamplingParams(guidance_scale=5.0, top_k=8), SamplingParams(temperature=0.8, top_k=4))
GUIDED = VideoPolicies(SamplingParams(guidance_scale=2.0), SamplingParams(guidance_scale=3.0, top_k=5))
FRAMES = 5
BOUND = 1e-4  # float32 logits of this model move by less with the shapes of a pass


def make_arm(dtype: torch.dtype = torch.float64) -> Arm:
    torch.manual_seed(0)
    model = LWM(SIZES)
    torch.nn.init.normal_(model.vision_head.weight, std=0.8)
    return Arm(model.to(dtype), encode, WITH_PROMPTS)


@pytest.fixture(scope="module")
def arm() -> Arm:
    return make_arm()


def video(arm: Arm, policies: VideoPolicies = SAMPLED, captions: Sequence[str] = CAPTIONS) -> LwmVideo:
    one = LwmVideo(arm, len(captions), FRAMES, policies)
    one.begin(captions)
    return one


def draw(one: LwmVideo, count: int, seeds: tuple[int, ...] = (5, 6)) -> list[Tensor]:
    """The next frames, each keyed by its number."""
    frames = []
    for _ in range(count):
        if one.drawn:
            one.begin(None)
        frames.append(one.generate(keys(one.drawn, seeds)))
    return frames


def given(arm: Arm, frames: Sequence[Tensor], policies: VideoPolicies = SAMPLED) -> LwmVideo:
    """A fresh video on known frames, ready for the next one."""
    one = video(arm, policies)
    for codes in frames:
        one.extend(codes)
        one.begin(None)
    return one


def logits_of(one: LwmVideo) -> Tensor:
    session = one.image or one.video
    assert session is not None
    return last(session)


def by_hand(arm: Arm, prompt: list[int], frames: Sequence[list[int]], begun: list[int]) -> Tensor:
    """Logits after prompt, whole frames and the codes of a begun one: one pass over ids laid out here."""
    ids = [*prompt, *(i for frame in frames for i in [*frame, 10]), *begun]
    kinds = [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    return arm.model.vision_logits(arm.model(torch.tensor([ids]), torch.tensor([kinds]))[0, -1])


def plain_loop(arm: Arm, caption: str, seed: int, policies: VideoPolicies, count: int) -> list[list[int]]:
    """The published procedure, id by id, with everything fed again for each."""
    frames: list[list[int]] = []
    for number in range(count):
        params = policies.first if number == 0 else policies.rest
        opening = [29, 30] if number == 0 else [28, 27, 30]
        prompt, null = [1, *opening, *encode(caption), 31, 2], [1, 2]
        noise = gumbel(keys(number, (seed,)), torch.arange(6), 14)[0]
        codes: list[int] = []
        for slot in range(6):
            logits = by_hand(arm, prompt, frames, codes)
            if params.guidance_scale != 1:
                free = by_hand(arm, null, frames, codes)
                logits = free + params.guidance_scale * (logits - free)
            logits = logits[:10]
            if params.temperature > 0:
                scaled = logits / params.temperature
                worst = scaled.sort().values[-params.top_k] if params.top_k else -torch.inf
                logits = torch.where(scaled >= worst, scaled, -torch.inf) + noise[slot, :10]
            codes.append(int(logits.argmax()))
        frames.append(codes)
    return frames


@pytest.mark.parametrize("policies", [GREEDY, SAMPLED, GUIDED], ids=["greedy", "sampled", "guided"])
def test_the_procedure_is_the_plain_loop(arm: Arm, policies: VideoPolicies) -> None:
    """Also: ragged captions in a batch equal single runs, and positions are each row's own."""
    frames = draw(video(arm, policies), 4)
    for row, (caption, seed) in enumerate(zip(CAPTIONS, (5, 6), strict=True)):
        wanted = plain_loop(arm, caption, seed, policies, 4)
        assert [frame[row].tolist() for frame in frames] == wanted
    assert len({tuple(frame.flatten().tolist()) for frame in frames}) > 1


def test_parallel_decoding_draws_the_same(arm: Arm) -> None:
    wanted, one = draw(video(arm), 3), video(arm)
    for number, codes in enumerate(wanted):
        if number:
            one.begin(None)
        draft = wanted[number - 1] if number else None
        assert torch.equal(one.generate(keys(number), draft, tokens_per_pass=(4, 2)), codes)
        assert 2 <= one.passes <= 5


def test_the_second_prefill_is_one_pass_and_drops_the_null_stream(arm: Arm) -> None:
    one, fed = video(arm), []
    assert one.image is not None
    assert one.image.branches == 2
    one.generate(keys(0))
    assert one.image is None  # its cache serves the next one
    watched = one.video_arm
    prefill = watched.prefill

    def counted(ids: Tensor, is_vision: Tensor, counts: Sequence[int], cache: object) -> Tensor:
        fed.append(list(counts))
        return prefill(ids, is_vision, counts, cache)  # type: ignore[arg-type]

    watched.prefill = counted
    one.begin(None)
    assert fed == [[1 + 3 + 2 + 1 + 1 + 7, 1 + 3 + 5 + 1 + 1 + 7]]
    draw_two = one.generate(keys(1)), one.begin(None), one.generate(keys(2))
    assert draw_two[0].shape == (2, 6)
    assert fed[1:] == [[2, 2]]  # the last code of frame 1, and eof
    one.replace(0, torch.stack([frame_of(seed) for seed in (1, 2, 3)], 1))
    assert fed[2:] == [[21, 21]]


@pytest.mark.long
@pytest.mark.parametrize("policies", [SAMPLED, GUIDED], ids=["one branch", "two"])
@pytest.mark.parametrize("first", [0, 1])
def test_frames_replaced_together_equal_one_by_one_and_a_fresh_video(
    arm: Arm, policies: VideoPolicies, first: int
) -> None:
    together, singly = video(arm, policies), video(arm, policies)
    frames = draw(together, 3)
    draw(singly, 3)
    new = [frame_of(seed) for seed in (11, 12, 13)][: 3 - first]
    together.replace(first, torch.stack(new, 1))
    for number, codes in enumerate(new):
        singly.replace(first + number, codes[:, None])
    fresh = given(arm, [*frames[:first], *new], policies)
    for one in (together, singly):
        assert all(torch.equal(one.codes(first + number), codes) for number, codes in enumerate(new))
        one.begin(None)
        torch.testing.assert_close(logits_of(one), logits_of(fresh), **TIGHT)
    drawn = [torch.stack([one.generate(keys(3)), *draw(one, 1)]) for one in (together, singly, fresh)]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_float32_flips_only_near_ties() -> None:
    """The margin rule: a code may differ only where the best two scores of the recomputed run lie within the bound."""
    arm, flips = make_arm(torch.float32), 0
    for seed in range(12):
        one = video(arm, GREEDY)
        draw(one, 3)
        new = torch.stack([frame_of(100 * seed + number) for number in range(3)], 1)
        one.replace(0, new)
        one.begin(None)
        fresh = given(arm, list(new.unbind(1)), GREEDY)
        ours, wanted = logits_of(one)[:, :10], logits_of(fresh)[:, :10]
        torch.testing.assert_close(ours, wanted, rtol=0, atol=BOUND)
        best = wanted.topk(2).values
        differing = ours.argmax(-1) != wanted.argmax(-1)
        flips += int(differing.sum())
        assert ((best[:, 0] - best[:, 1])[differing] < BOUND).all()
    assert flips <= 1  # none was seen


def test_frame_0_corrected_before_the_second_prefill(arm: Arm) -> None:
    one = video(arm)
    one.generate(keys(0))
    one.replace(0, frame_of(4)[:, None])
    assert torch.equal(one.codes(0), frame_of(4))
    one.begin(None)
    torch.testing.assert_close(logits_of(one), logits_of(given(arm, [frame_of(4)])), **TIGHT)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(("first", "count"), [(0, 3), (1, 2), (0, 2), (2, 1)])
@pytest.mark.parametrize("waiting", [False, True])
def test_a_storys_frames_replaced_together(arm: Arm, context: Context, first: int, count: int, waiting: bool) -> None:
    """In both contexts, also while the next sentence waits for its frame."""

    def shown_before(frames: Sequence[Tensor]) -> ArmSession:
        one = ArmSession(arm, 2, 4, context)
        for codes in frames:
            one.begin(CAPTIONS)
            one.extend(codes)
        return one

    frames = [frame_of(seed) for seed in (1, 2, 3)]
    changed = shown_before(frames)
    if waiting:
        changed.begin(CAPTIONS)
    new = [frame_of(20 + number) for number in range(count)]
    frames[first : first + count] = new
    changed.replace_many(first, torch.stack(new, 1))
    fresh = shown_before(frames)
    fresh.begin(CAPTIONS)
    if not waiting:
        changed.begin(CAPTIONS)
    torch.testing.assert_close(last(changed), last(fresh), **TIGHT)
    assert all(torch.equal(changed.codes(at), fresh.codes(at)) for at in range(3))


def test_drawing_reads_nothing_back_from_the_device() -> None:
    """On the meta device any ``.item()``, ``.tolist()`` or data-dependent shape raises."""
    meta = Arm(LWM(SIZES).to("meta"), encode, WITH_PROMPTS)
    one = LwmVideo(meta, 2, 4, SAMPLED)
    one.begin(CAPTIONS)
    for number in range(3):
        if number:
            one.begin(None)
        one.generate(keys(number).to("meta"))
    one.replace(0, torch.zeros(2, 3, 6, dtype=torch.int64, device="meta"))
    assert one.drawn == 3


def test_bad_requests_are_named_in_one_line(arm: Arm) -> None:
    with pytest.raises(ValueError, match="0 videos of 3 frames; choose at least 1 of each"):
        LwmVideo(arm, 0, 3)
    with pytest.raises(ValueError, match="14 frames need 104 positions, the model has 99; choose at most 13 frames"):
        LwmVideo(arm, 2, 14)
    one = LwmVideo(arm, 2, 1)
    with pytest.raises(ValueError, match="the first frame needs a caption"):
        one.begin(None)
    with pytest.raises(ValueError, match="1 sentences for 2 stories"):
        one.begin(["a"])
    with pytest.raises(ValueError, match=r"'abcdefghi' has 9 tokens; the limit \(max_text_tokens\) is 8"):
        one.begin(["abcdefghi", "a"])
    one.begin(CAPTIONS)
    one.generate(keys(0))
    with pytest.raises(ValueError, match="frame 2 exceeds the 1 frames of this video"):
        one.begin(None)
    with pytest.raises(ValueError, match="13 frames need 104 positions, the model has 99; choose at most 12 frames"):
        LwmVideo(arm, 1, 13).begin(["abcdefg"])
