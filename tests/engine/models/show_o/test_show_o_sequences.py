"""Stories in Show-o that come together and part again draw, in float64, the codes that each draws alone."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.options import StoryOptions, make_options
from tests.helpers.small_show_o import small_arm
from tests.helpers.tellers import Teller, alone, corrected, draw_on, fix, prefill, tell, teller

STEPS = 4
LAID_OUT: list[dict[str, Any]] = [
    {"layout": "independent"},
    {"layout": "carry-over", "carry_over": 0.4},
    {"layout": "block-causal", "context": "full"},
    {"layout": "block-causal", "context": "window"},
]
STORIES = st.lists(
    st.lists(st.text("abcdefghij", min_size=1, max_size=8), min_size=1, max_size=3), min_size=1, max_size=5
)


@pytest.fixture(scope="module")
def arm() -> ShowOArm:
    return small_arm()


def options_of(laid_out: dict[str, Any], guided: bool) -> StoryOptions:
    return make_options(
        arm_guidance_scale=2.0 if guided else 1.0, temperature=1.0, top_p=1.0, arm_steps=STEPS, **laid_out
    )


def by_itself(arm: ShowOArm, one: Teller, options: StoryOptions) -> list[tuple[int, ...]]:
    return alone(arm, one.texts, one.seed, one.fixes, options)


@pytest.mark.long
@given(
    stories=STORIES,
    laid_out=st.sampled_from(LAID_OUT),
    guided=st.booleans(),
    seed=st.integers(0, 2**60),
    passes=st.sampled_from([None, 1, 2, 3]),
    at_once=st.booleans(),
    trouble=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_batch_draws_what_each_draws_alone(arm, stories, laid_out, guided, seed, passes, at_once, trouble):
    """Stories at different frames, begun, regrouped, corrected, failed and resumed in any order and any batches."""
    options, chance = options_of(laid_out, guided), Random(seed)
    tellers = [
        Teller(texts, seed + place, [chance.random() < 0.6 for _ in texts], arm.new_sequence(texts))
        for place, texts in enumerate(stories)
    ]
    tell(arm, tellers, options, chance, passes, at_once, trouble)
    for one in tellers:
        assert one.drawn == by_itself(arm, one, options)


@pytest.mark.long
@pytest.mark.parametrize("laid_out", LAID_OUT, ids=str)
def test_who_has_run_fewer_steps_catches_up(arm: ShowOArm, laid_out: dict[str, Any]) -> None:
    """Two of three after two steps, one after none, one after three: together they are at four, the launch having
    one; the others stay where they are."""
    options = options_of(laid_out, guided=True)
    three, fresh, ahead = [teller(arm, seed) for seed in range(3)], teller(arm, 3), teller(arm, 4)
    for together, passes in ((three, 2), ([fresh], 0), ([ahead], 3)):
        prefill(arm, together, options)
        assert not passes or draw_on(arm, together, passes) == []
    together = [ahead, three[2], fresh, three[0]]
    assert draw_on(arm, together, 1) == together
    ((group, place),) = [one.group for one in three if one.group is not None]
    assert (group.frame.step, place, group.num_active) == (2, 1, 1)
    assert draw_on(arm, [three[1]], None) == [three[1]]
    for one in (*three, fresh, ahead):
        assert one.drawn == by_itself(arm, one, options)[:1]


def test_a_cache_is_kept_where_later_frames_see_the_story(arm: ShowOArm) -> None:
    """t2i, end, 2 letters, end; a frame of 9 with its markers, end, 5 letters, end. The last frame is not in it."""
    for laid_out in LAID_OUT:
        one, options = teller(arm, 0), options_of(laid_out, guided=False)
        for owned in (5, 5 + 11 + 7):
            prefill(arm, [one], options)
            assert one.sequence.cache is None, "the group has it"
            draw_on(arm, [one], None)
            if laid_out.get("context") == "full":
                assert one.sequence.cache.owned == one.sequence.cache.lengths.tolist() == [owned]
            else:
                assert one.sequence.cache is None
            fix(arm, one, options, at_once=False)
            assert torch.equal(one.sequence.images[-1], corrected(arm, torch.tensor(one.drawn[-1])))


def test_only_what_the_caches_lack_is_fed(arm: ShowOArm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A story at its third frame and one at its second: a column of frames and one of captions, two passes."""
    options, fed = options_of({"layout": "block-causal", "context": "full"}, guided=False), []
    older, younger = teller(arm, 0), teller(arm, 1)
    for together in ([older], [older, younger]):
        prefill(arm, together, options)
        draw_on(arm, together, None)
        for one in together:
            fix(arm, one, options, at_once=False)
    feed = arm.feed
    monkeypatch.setattr(arm, "feed", lambda ids, *rest, **how: fed.append(list(ids.shape)) or feed(ids, *rest, **how))
    prefill(arm, [older, younger], options)
    assert fed == [[2, 11], [2, 7]]


def test_a_group_has_room_for_the_longest_of_its_stories_and_no_more(arm: ShowOArm) -> None:
    """200 positions: ten frames of short captions fit, and so do two of the longest; ten of the longest do not."""
    many, wordy, both = (
        arm.new_sequence(["a"] * 10),
        arm.new_sequence(["abcdefghi"] * 2),
        arm.new_sequence(["abcdefghi"] * 10),
    )
    options = options_of({"layout": "block-causal", "context": "full"}, guided=True)
    assert (
        arm.new_batch([many, wordy], options).session.cache.capacity
        == arm.new_batch([many], options).session.cache.capacity
    )
    with pytest.raises(ValueError, match="layout 'block-causal' of 10 frames needs 221 positions, the model has 200"):
        arm.new_batch([both], options)


def test_padding_never_lands_on_what_a_row_owns(arm: ShowOArm) -> None:
    """A row that is full to its last slot (1 + 3 captions of 3 + 2 frames of 11 = 32) and a caption of 11."""
    options = options_of({"layout": "block-causal", "context": "full"}, guided=False)
    full, wordy = teller(arm, 0, ["a"] * 3), teller(arm, 1, ["abcdefghi"])
    for _ in range(2):
        prefill(arm, [full], options)
        draw_on(arm, [full], None)
        fix(arm, full, options, at_once=False)
    prefill(arm, [full, wordy], options)
    draw_on(arm, [full, wordy], None)
    assert full.drawn == by_itself(arm, full, options)
    assert wordy.drawn == by_itself(arm, wordy, options)
