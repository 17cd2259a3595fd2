"""Exact parallel decoding: whatever the window, the draft and the policy, the codes are those of one after another."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine.models.causal.decode_pass import DrawPass
from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.decode import fitting, last_ones
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM
from acdc.engine.models.tokens_per_pass import choose_sync_every, choose_tokens_per_pass
from acdc.engine.sampling import SamplingParams, choose
from acdc.engine.utils.rng import gumbel
from tests.helpers.margin import step
from tests.helpers.small_arm import CONTEXTS, SIZES, STREAM, TEXTS, TIGHT, encode, frame_of, keys, make_arm

WINDOWS = st.one_of(
    st.sampled_from([(2,), (3,), (6,), (9,)]), st.lists(st.integers(2, 8), min_size=1, max_size=3).map(tuple)
)
TEXT = st.text("abcdefghij", min_size=1, max_size=8)
POLICIES = st.builds(
    SamplingParams,
    guidance_scale=st.sampled_from([1.0, 3.0]),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 4]),
    top_p=st.sampled_from([1.0, 0.7]),
    allowed=st.sampled_from([None, (2, 9)]),
    forced=st.sampled_from([(), ((0, 3),), ((2, 9), (5, 1))]),
)


def random_arm(seed: int, spread: float) -> Arm:
    """Random in float64; the larger ``spread``, the surer it is of its codes."""
    torch.manual_seed(seed)
    model = LWM(SIZES).double()
    torch.nn.init.normal_(model.vision_head.weight, std=spread)
    return Arm(model, encode, STREAM)


def one_by_one(session: ArmSession, params: SamplingParams, noise_keys: Tensor) -> Tensor:
    """Drawn with the model alone: no window, none of our passes."""
    params = replace(params, allowed=params.allowed or (0, STREAM.codebook_size))
    noise = gumbel(noise_keys, torch.arange(STREAM.codes_per_frame), SIZES.vision_vocab)
    logits, codes, forced = session.last_logits, [], dict(params.forced)
    for slot in range(STREAM.codes_per_frame):
        assert logits is not None
        null = logits[session.stories :] if params.guided else None
        chosen = choose(logits[: session.stories], null, noise[:, slot], params)
        codes.append(torch.full_like(chosen, forced[slot]) if slot in forced else chosen)
        logits = step(session, codes[-1])
    return torch.stack(codes, 1)


@pytest.mark.long
@given(
    seed=st.integers(0, 2**64 - 8),
    spread=st.sampled_from([0.1, 0.8, 3.0]),
    texts=st.lists(TEXT, min_size=1, max_size=5),
    params=POLICIES,
    windows=WINDOWS,
    drafted=st.booleans(),
    context=st.sampled_from(CONTEXTS),
    sync_every=st.sampled_from([1, 1, 2, 5]),
)
@settings(max_examples=60, deadline=None)
def test_any_window_draws_the_codes_of_one_after_another(
    seed, spread, texts, params, windows, drafted, context, sync_every
):
    arm, stories = random_arm(seed % 1000, spread), len(texts)
    noise_keys = keys(1, tuple(range(seed, seed + stories)))
    start = ArmSession(arm, stories, 3, context, params.guided)
    start.begin([text[::-1] for text in texts])
    start.extend(frame_of(seed % 99, stories))
    start.begin(texts)
    alone, sequential, parallel = (start.fork() for _ in range(3))
    wanted = one_by_one(alone, params, noise_keys)
    assert torch.equal(sequential.generate(params, noise_keys), wanted)
    draft = frame_of(seed % 77, stories) if drafted else None
    assert torch.equal(parallel.generate(params, noise_keys, draft, windows, sync_every), wanted)
    assert sequential.passes == STREAM.codes_per_frame - 1
    if stories == 1:
        assert parallel.passes <= sequential.passes
    same_cache(parallel, sequential)
    for session in (parallel, sequential):
        session.begin(["abc"] * stories)
    torch.testing.assert_close(parallel.last_logits, sequential.last_logits, **TIGHT)


def same_cache(one: ArmSession, other: ArmSession) -> None:
    assert one.cache.owned == other.cache.owned
    assert one.cache.lengths.tolist() == other.cache.lengths.tolist() == one.cache.owned
    for row, length in enumerate(one.cache.owned):
        for mine, theirs in ((one.cache.keys, other.cache.keys), (one.cache.values, other.cache.values)):
            torch.testing.assert_close(mine[:, row, :, :length], theirs[:, row, :, :length], **TIGHT)


def test_a_right_draft_is_accepted_in_one_pass_and_a_wrong_code_costs_one_more() -> None:
    arm = make_arm()
    start = ArmSession(arm, 2, 3)
    start.begin(TEXTS[0])
    right = start.fork().generate(SamplingParams(), keys(0))
    for wrong_slot, passes in ((None, 1), (4, 2)):
        draft, drawn = right.clone(), start.fork()
        if wrong_slot is not None:
            draft[:, wrong_slot] = (draft[:, wrong_slot] + 1) % 10
        assert torch.equal(drawn.generate(SamplingParams(), keys(0), draft, (6,)), right)
        assert drawn.passes == passes


def test_passes_after_the_end_change_nothing() -> None:
    """A right draft needs one pass of six codes; the host looks after four, and finds the same frame and cache."""
    arm = make_arm()
    start = ArmSession(arm, 2, 3)
    start.begin(TEXTS[0])
    sequential, hasty = start.fork(), start.fork()
    right = sequential.generate(SamplingParams(), keys(0))
    assert torch.equal(hasty.generate(SamplingParams(), keys(0), right, (6,), sync_every=4), right)
    assert hasty.passes == 4
    same_cache(hasty, sequential)


def test_the_host_looks_less_often_where_a_look_waits_for_the_device() -> None:
    assert choose_sync_every("cpu") == 1
    assert choose_sync_every("cuda") > 1


def test_stories_that_are_finished_leave_the_batch() -> None:
    """Seven of eight drafts are right: the second pass and all after it are of fewer rows."""
    arm, seeds = make_arm(), tuple(range(8))
    start = ArmSession(arm, 8, 3)
    start.begin(["ab"] * 8)
    right = start.fork().generate(SamplingParams(), keys(0, seeds))
    draft = right.clone()
    draft[5, 1:] = (draft[5, 1:] + 3) % 10
    rows: list[int] = []

    def watched(run: DrawPass):
        def call(codes: Tensor, *rest: Tensor):
            rows.append(len(codes))
            return run(codes, *rest)

        return call

    watching = Arm(arm.model, encode, STREAM)
    watching.wrap_draw = watched
    session = start.fork()
    session.arm = watching
    assert torch.equal(session.generate(SamplingParams(), keys(0, seeds), draft, (6,)), right)
    assert rows[0] == 8
    assert rows[1] == 4
    assert rows == sorted(rows, reverse=True)
    assert session.passes == len(rows)
    same = start.fork()
    same.generate(SamplingParams(), keys(0, seeds))
    same_cache(session, same)


def test_a_pass_counts_by_hand() -> None:
    """The worked example of the module: two accepted, the third guess right, the fourth wrong."""
    arm = make_arm()
    session = ArmSession(arm, 1, 3)
    session.begin(["ab"])
    right = session.fork().generate(SamplingParams(temperature=0), keys(0, (5,)))
    codes = torch.nn.functional.pad(right, (0, 4))
    codes[0, 3:] = (codes[0, 3:] + 1) % 10
    step(session, right[:, 0])
    run = DrawPass(arm.model, SamplingParams(temperature=0, allowed=(0, 10)), 4, 6)
    cache = session.cache
    after, accepted, new_keys, _ = run(codes, torch.tensor([2]), cache.lengths, cache.keys, cache.values)
    assert accepted.tolist() == [4]
    assert torch.equal(after[:, :4], right[:, :4])
    assert new_keys.shape == (2, 1, 4, 4, 8)
    finished = run(codes, torch.tensor([6]), cache.lengths, cache.keys, cache.values)
    assert finished[1].tolist() == [6]
    assert torch.equal(finished[0][:, :6], codes[:, :6])


@given(st.lists(st.integers(1, 99), min_size=1, max_size=4), st.integers(1, 200))
def test_the_window_that_fits(windows: Sequence[int], left: int) -> None:
    found = fitting(windows, left)
    assert found in windows
    assert found >= left or found == max(windows)
    assert not any(left <= other < found for other in windows)


def test_those_who_go_on_are_the_unfinished() -> None:
    assert last_ones([6, 2, 6, 3], 2, 6) == [1, 3]
    assert last_ones([6, 2, 6, 6], 2, 6) == [0, 1]
    assert last_ones([5, 2, 6, 3], 2, 6) == []
    assert last_ones([3], 0, 6) == []


TABLE = {"cpu": {"eager": {"1": [16, 4], "8": [1]}, "openvino": {"2": [4]}}}


@pytest.mark.parametrize(
    ("decoding", "where", "stories", "wanted"),
    [
        ("auto", "cpu eager", 1, (16, 4)),
        ("auto", "cpu eager", 7, (16, 4)),
        ("auto", "cpu eager", 8, (1,)),
        ("auto", "cuda eager", 1, (1,)),
        ("sequential", "cpu eager", 1, (1,)),
        ("parallel", "cpu eager", 1, (16, 4)),
        ("parallel", "cpu eager", 8, (16,)),
        ("parallel", "cuda eager", 1, (16,)),
        ("auto", "cpu openvino", 1, (1,)),
        ("auto", "cpu openvino", 4, (4,)),
        ("auto", "cpu inductor", 4, (1,)),
    ],
)
def test_the_table_decides(decoding, where, stories, wanted) -> None:
    assert choose_tokens_per_pass(decoding, TABLE, *where.split(), stories) == wanted


@pytest.mark.parametrize("rows", [{"0": [4]}, {"many": [4]}, {"1": []}, {"1": [0]}])
def test_a_table_that_makes_no_sense_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="windows of 'eager' on 'cpu'"):
        replace(STREAM, windows={"cpu": {"eager": rows}})
