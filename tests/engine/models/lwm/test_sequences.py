"""Stories that come together and part again draw, in float64, the codes that each draws alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from weakref import ReferenceType, ref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.kv_buffers import SharedPair
from acdc.engine.models.kv_cache import KVCache
from acdc.engine.models.lwm.family import Arm
from tests.helpers.small_arm import CONTEXTS, STREAM, make_arm
from tests.helpers.studies import little_garbage
from tests.helpers.tellers import (
    Teller,
    again,
    alone,
    corrected,
    draw_on,
    fix,
    options_of,
    prefill,
    tell,
    teller,
    with_windows,
)

WINDOWS = [(1,), (3,), (4, 2)]
STORIES = st.lists(
    st.lists(st.text("abcdefghij", min_size=1, max_size=8), min_size=1, max_size=3), min_size=1, max_size=5
)


@pytest.fixture(scope="module")
def arm() -> Arm:
    return make_arm()


@given(
    stories=STORIES,
    context=st.sampled_from(CONTEXTS),
    guided=st.booleans(),
    seed=st.integers(0, 2**60),
    windows=st.sampled_from(WINDOWS),
    passes=st.sampled_from([None, 1, 2, 3]),
    at_once=st.booleans(),
    trouble=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_batch_draws_what_each_draws_alone(arm, stories, context, guided, seed, windows, passes, at_once, trouble):
    """Stories at different frames, begun, regrouped, corrected, failed and resumed in any order and any batches."""
    options, chance = options_of(context, guided), Random(seed)
    tellers = []
    for place, texts in enumerate(stories):
        fixes = [chance.random() < 0.6 for _ in texts]
        sequence = arm.new_sequence(texts)
        tellers.append(Teller(texts, seed + place, fixes, sequence))
    tell(with_windows(arm, windows), tellers, options, chance, passes, at_once, trouble)
    for one in tellers:
        assert one.drawn == alone(arm, one.texts, one.seed, one.fixes, options)


@pytest.mark.long
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("guided", [False, True])
def test_a_draw_is_parted_after_any_pass(arm, context, guided):
    """Four in one draw; after that number of passes two of them go over to a fifth that has just begun."""
    options = options_of(context, guided)
    five = [teller(arm, seed) for seed in range(4)] + [teller(arm, 4, ["hij"])]
    expected = [alone(arm, one.texts, one.seed, one.fixes, options)[:1] for one in five]
    for passes in range(STREAM.codes_per_frame):
        four, fifth = [teller(arm, seed) for seed in range(4)], teller(arm, 4, ["hij"])
        prefill(arm, four, options)
        if passes:
            assert draw_on(arm, four, passes) == (four if passes == 5 else [])
        prefill(arm, [fifth], options)
        drawing = [one for one in four if one.group is not None]
        others, both = drawing[::2], [*drawing[1::2], fifth]
        draw_on(arm, both, None)
        if others:
            draw_on(arm, others, None)
        assert [one.drawn for one in (*four, fifth)] == expected


def test_who_is_left_of_a_group_stays_in_its_buffers(arm):
    options = options_of("full", False)
    three = [teller(arm, seed) for seed in range(3)]
    prefill(arm, three, options)
    assert three[0].group is not None
    group = three[0].group[0]
    assert group.merge(arm, [(group, 2), (group, 0), (group, 1)]) == (group, [2, 0, 1])
    draw_on(arm, three[:1], 2)
    assert three[0].group is not None
    assert three[0].group[0] is not group, "the others stay where they are"
    assert group.num_active == 2
    assert group.merge(arm, [(group, 2), (group, 1)]) == (group, [2, 1])


def test_a_sequence_holds_no_cache_where_the_context_is_a_window(arm):
    one = teller(arm, 0)
    for _ in one.texts:
        prefill(arm, [one], options_of("window", False))
        draw_on(arm, [one], None)
        assert one.sequence.cache is None
        fix(arm, one, options_of("window", False), at_once=True)
        assert one.sequence.cache is None


def test_corrected_codes_leave_the_cache_before_their_frame(arm):
    """bos + 2 letters + vision, then 6 codes of which the last is not fed."""
    one, options = teller(arm, 0), options_of("full", False)
    prefill(arm, [one], options)
    assert one.sequence.cache is None, "the group has it"
    draw_on(arm, [one], None)
    assert one.sequence.cache is not None
    assert one.sequence.cache.owned == one.sequence.cache.lengths.tolist() == [4 + 5]
    one.sequence.replace(torch.zeros(6, dtype=torch.int64))
    assert one.sequence.cache.owned == one.sequence.cache.lengths.tolist() == [4]
    arm.new_batch([one.sequence], options).write_cache()
    assert one.sequence.cache.owned == one.sequence.cache.lengths.tolist() == [4 + 7]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    with little_garbage():
        yield Counted(monkeypatch)


class Counted:
    """Pairs of buffers under way: those that were taken and are neither given back nor forgotten."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[ReferenceType[SharedPair]] = []
        init = SharedPair.__init__

        def watched(shared: SharedPair, *args: Any) -> None:
            init(shared, *args)
            self.made.append(ref(shared))

        monkeypatch.setattr(SharedPair, "__init__", watched)

    @property
    def held(self) -> list[SharedPair]:
        gc.collect()
        return [shared for one in self.made if (shared := one()) is not None and shared.users > 0]


@pytest.mark.parametrize("context", CONTEXTS)
def test_groups_give_their_buffers_back(arm, context, counted):
    """Drawn together, parted and finished: only sequences hold tensors then."""
    options = options_of(context, True)
    four = [teller(arm, seed) for seed in range(4)]
    prefill(arm, four, options)
    draw_on(arm, four, 2)
    draw_on(arm, [four[3], four[1]], 1)
    draw_on(arm, [four[0], four[3]], 1)
    for one in four:
        draw_on(arm, [one], None)
    assert len(counted.made) > 4
    assert set(counted.held) == {one.sequence.cache.shared for one in four if one.sequence.cache is not None}
    for one in four:
        one.sequence.drop_cache()
    assert counted.held == []


@pytest.mark.long
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_stories_that_stay_together_stay_in_their_buffers(arm, guided, at_once, counted):
    """In full context: nothing is allocated and nothing copied from frame to frame; in another order it is."""
    options = options_of("full", guided)
    three = [teller(arm, seed, ["ab", "cd", "ef", "gh"]) for seed in range(3)]

    def a_frame(together: Sequence[Teller]) -> int:
        prefill(arm, together, options)
        assert together[0].group is not None
        place = together[0].group[0].session.cache.keys.data_ptr()
        draw_on(arm, together, None)
        for one in together:
            if one.index < 3:
                fix(arm, one, options, at_once=False)
        if at_once and together[0].index < 3:
            arm.new_batch([one.sequence for one in together], options).write_cache()
        return place

    first, second, third = (a_frame(order) for order in (three, three, three[::-1]))
    assert len(counted.made) == 2
    assert first == second != third
    assert a_frame(three[::-1]) == third
    assert counted.held == [], "the last frame's cache is not read"
    for one in three:
        assert one.drawn == alone(arm, one.texts, one.seed, one.fixes, options)


def test_who_goes_on_while_the_others_are_drawn_takes_a_copy(arm):
    """One of two has its frame; its next one begins while the other writes into the buffers that both look into."""
    options = options_of("full", False)
    one, other = (teller(arm, seed, ["ab", "cd", "ef"]) for seed in range(2))
    prefill(arm, [one, other], options)
    quick, slow = one.group, other.group
    assert quick is not None
    assert slow is not None
    quick[0].session.frame.accepted[0] = STREAM.codes_per_frame  # as if all its guesses had been right
    drawn = quick[0].session.frame.codes[0, : STREAM.codes_per_frame].clone()
    quick[0].session.cache.lengths[0] += STREAM.codes_per_frame - 1
    codes = quick[0].pop(0)
    assert torch.equal(codes, drawn)
    one.sequence.replace(corrected(arm, codes))
    one.group, one.index = None, 1
    prefill(arm, [one], options)
    assert one.group is not None
    assert one.group[0].session.cache.shared is not slow[0].session.cache.shared
    before = one.group[0].session.cache.keys.clone()
    draw_on(arm, [other], None)
    assert torch.equal(one.group[0].session.cache.keys, before)
    assert other.drawn == alone(arm, other.texts, other.seed, other.fixes, options)[:1]


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_failure_in_the_middle_leaves_the_others_where_they_are(arm, context, counted, monkeypatch):
    """Two of four go over to another group, which has no room for the second. They begin again, the others go on."""
    options, copies = options_of(context, False), 0
    four, paste = [teller(arm, seed) for seed in range(4)], KVCache.paste
    prefill(arm, four, options)
    assert four[0].group is not None
    group = four[0].group[0]

    def failing(cache: KVCache, part: KVCache, rows: Sequence[int]) -> None:
        nonlocal copies
        copies += 1
        if copies == 2:
            raise MemoryError("no room")
        paste(cache, part, rows)

    with monkeypatch.context() as patch:
        patch.setattr(KVCache, "paste", failing)
        with pytest.raises(MemoryError):
            draw_on(arm, four[:2], 2)
    assert group.num_active == 4
    for one in four[:2]:
        again(arm, one, "failed")
    assert group.num_active == 2
    assert counted.held == [group.session.cache.shared]
    prefill(arm, four[:2], options)
    for one in four:
        draw_on(arm, [one], None)
        assert one.drawn == alone(arm, one.texts, one.seed, one.fixes, options)[:1]


def test_stories_in_the_middle_of_a_frame_are_not_batched_with_others(arm):
    options = options_of("full", False)
    one, other = teller(arm, 0), teller(arm, 1)
    prefill(arm, [one], options)
    with pytest.raises(AssertionError, match="some are being drawn, others not"):
        arm.new_batch([one.sequence, other.sequence], options)


def test_a_sentence_that_is_too_long_is_refused_before_a_sequence_is_made(arm):
    with pytest.raises(ValueError, match=r"'abcdefghi' has 9 tokens; the limit \(max_text_tokens\) is 8"):
        arm.new_sequence(["ab", "abcdefghi"])
