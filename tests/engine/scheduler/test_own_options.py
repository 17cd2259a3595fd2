"""Stories of one run with options of their own: each is the story that is drawn alone with them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.options import make_options
from acdc.engine.outputs import Phase
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.batch_keys import batch_keys
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.scheduler.slot_phases import KEPT_OPTIONS, SlotPhases
from tests.helpers.many_stories import QUICK, SMALL, ended, many_of, same

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

SENTENCES = ("A bear slept.", "It woke.")
WIDE = SchedulerConfig(slots=3, stories=9, split_across_slots=False, max_passes_per_launch=5)
OWN = [
    {},
    {"strength": 1.0},
    {"num_inference_steps": 6, "negative_prompt": "fog"},
    {"guidance_scale": 1.0, "sampler": "euler"},
    {"temperature": 0.7, "top_k": 5},
    {"arm_guidance_scale": 2.0, "top_p": 0.9},
    {"context": "full", "correct_every": 2},
    {"correction": False},
    {"feed_back": False},
]


@pytest.fixture(scope="module")
def drawn(exact_engine):
    """Place in ``OWN`` -> the story alone. A function, because hypothesis prints all pictures of a list."""
    return [exact_engine.generate(SENTENCES, seed=4, **{**QUICK, **own}) for own in OWN].__getitem__


@pytest.mark.long
@settings(max_examples=2)
@given(order=st.permutations(range(len(OWN))), config=st.sampled_from([SMALL, WIDE]))
def test_each_story_is_drawn_with_its_own_options(exact_engine, drawn, order, config):
    """Two of some, which may share launches."""
    names = [*((place, "a") for place in order), *((place, "b") for place in order[:3])]
    requests = [StoryRequest(f"{place}-{twin}", SENTENCES, 4, options=OWN[place]) for place, twin in names]
    many = many_of(exact_engine, config, requests)
    results = {result.id: result for result in many}
    for place, twin in names:
        result, alone = results[f"{place}-{twin}"], drawn(place)
        same(result.frames, alone.frames)
        assert (result.settings, result.start) == (alone.settings, alone.start)
    check_launches(many)


def check_launches(many) -> None:
    """Stories share launches only where a phase reads none of the options in which they differ."""
    keys = [batch_keys(make_options(**{**QUICK, **own})) for own in OWN]
    for ran in many.timeline:
        assert len({keys[int(name[0])].get(ran.phase) for name in ran.stories}) == 1


def test_stories_that_start_together_share_launches_of_phases_that_read_equal_options(exact_engine):
    requests = [StoryRequest(f"{place}-a", SENTENCES, 4, options=OWN[place]) for place in (0, 1)]
    many = many_of(exact_engine, WIDE, requests)
    assert len(list(many)) == 2
    sizes = {phase: {len(ran.stories) for ran in many.timeline if ran.phase is phase} for phase in Phase}
    assert 2 in sizes[Phase.SAMPLE]
    assert sizes[Phase.SDEDIT] == {1}


def test_which_options_share_launches():
    plain = batch_keys(make_options())
    for own, differing in [
        ({"strength": 0.4}, {Phase.SDEDIT}),
        ({"negative_prompt": "fog"}, {Phase.SDEDIT}),
        ({"mask_strength": 0.9}, {Phase.SDEDIT}),
        ({"correct_every": 2, "correct_first": 1}, set()),
        ({"correction": False}, set()),
        ({"top_k": 5}, {Phase.PREFILL, Phase.SAMPLE, Phase.UPDATE_CONTEXT}),
        ({"carry_over": 0.2}, {Phase.PREFILL, Phase.SAMPLE, Phase.UPDATE_CONTEXT}),
    ]:
        other = batch_keys(make_options(**own))
        assert {phase for phase in Phase if plain.get(phase) != other.get(phase)} == differing


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"colour": 1}, "unknown option 'colour'; choose among"),
        ({"strength": 2.0}, "strength 2.0 is out of range; choose 0 < strength <= 1"),
        ({"memory": "none"}, r"option 'memory' of a story cannot be its own; give it to generate_many\(\)"),
    ],
)
def test_impossible_options_are_refused_with_the_request(own, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        StoryRequest("a", SENTENCES, options=own)


def test_options_that_the_models_cannot_meet_end_their_story_alone(exact_engine, drawn):
    """Also those that only the merged options show to be impossible."""
    requests = [
        StoryRequest("fine", SENTENCES, 4),
        StoryRequest("layout", SENTENCES, 4, options={"layout": "carry-over"}),
        StoryRequest("few", SENTENCES, 4, options={"strength": 0.1}),
    ]
    frames, failed = ended(many_of(exact_engine, SMALL, requests))
    same(frames["fine"], drawn(0).frames)
    assert "for Show-o" in str(failed["layout"])
    assert "strength 0.1 leaves no step of 4" in str(failed["few"])


def test_tables_are_kept_for_all_stories_that_are_here_and_not_forever(exact_engine):
    options = make_options(**QUICK).resolved(exact_engine.defaults)
    several = [options.replace(guidance_scale=2.0 + number) for number in range(KEPT_OPTIONS + 6)]
    for here, kept in [(1, KEPT_OPTIONS), (KEPT_OPTIONS + 4, KEPT_OPTIONS + 4)]:
        phases = SlotPhases(exact_engine.models, options, SchedulerConfig(stories=here, waiting=0))
        first = [phases.with_options(own) for own in several]
        again = [phases.with_options(own) for own in several[-kept:]]
        assert all(one is other for one, other in zip(again, first[-kept:], strict=True))
        assert phases.with_options(several[-kept - 1]) is not first[-kept - 1]
