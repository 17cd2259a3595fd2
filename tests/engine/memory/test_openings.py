"""Memory by rules over some hundred ordinary openings: what each prompt must say, and what it must not."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.memory.head import HEAD_TOKENS, TOKENS, count_tokens
from acdc.engine.memory.rules import Rules
from tests.helpers.openings import HALVES, Opening, holds, read_openings, report, score, total

OPENINGS = {half: read_openings(half) for half in HALVES}
EVERY = [opening for half in HALVES for opening in OPENINGS[half]]


@pytest.mark.parametrize("half", HALVES)
def test_slots_are_filled_and_nothing_is_invented(half: str) -> None:
    scored = list(score(OPENINGS[half], Rules().refine_story))
    sums = total(scored)
    print(f"{half}: {sums}")
    assert sums.found >= 0.97 * sums.slots, report(scored)
    assert sums.clean >= 0.99 * sums.frames, report(scored)


def test_openings_are_many_of_many_kinds_and_the_halves_share_no_story() -> None:
    assert len(EVERY) >= 200
    assert len({opening.kind for opening in EVERY}) >= 30
    development, heldout = ({opening.story for opening in OPENINGS[half]} for half in HALVES)
    assert not development & heldout
    for opening in EVERY:
        assert len(opening.frames) == len(opening.story) - 1


def test_the_measure_notices_what_is_missing_and_what_is_invented() -> None:
    slots = {"name": ["Bo"], "species": ["bear"], "place": ["under the trees"], "not": ["green bear"]}
    opening = Opening("colour", ("Under the green trees a bear called Bo slept.", "He woke."), (slots,))
    for prompt, missing, invented in [
        ("Bo the bear under the trees. Bo woke.", 0, False),
        ("Bo the green bear. Bo woke.", 1, True),
        ("Bo the brown bear under the trees. Bo woke.", 0, True),
        ("The animal woke.", 3, True),
    ]:
        frame = next(score([opening], lambda story, prompt=prompt: [story[0], prompt]))
        assert (len(frame.wrong), bool(frame.invented)) == (missing, invented), prompt
    assert holds("Bo's ears moved.", "Bo")
    assert not holds("Bowie moved.", "Bo")


@pytest.mark.parametrize("opening", EVERY[::4], ids=lambda opening: opening.story[0][:40])
def test_causal_and_unmoved_by_what_comes_later(opening: Opening) -> None:
    whole = Rules().refine_story([*opening.story, "Then a purple dinosaur called Zed came in the desert."])
    for k in range(1, len(opening.story) + 1):
        assert Rules().refine(opening.story[:k]) == whole[k - 1]


def test_a_repeated_sentence_has_the_same_prompt() -> None:
    for opening in EVERY:
        for k in range(2, len(opening.story) + 1):
            said = opening.story[:k]
            assert Rules().refine([*said, said[-1], said[-1]]) == Rules().refine(said)


def test_prompts_fit_a_clip_text_encoder() -> None:
    for opening in EVERY:
        for sentence, prompt in zip(opening.story, Rules().refine_story(opening.story), strict=True):
            assert prompt.strip()
            assert count_tokens(prompt) <= TOKENS or count_tokens(sentence) > TOKENS - HEAD_TOKENS


NAMES = st.sampled_from(["Bo", "Clementine", "Captain Whiskers", "Sir Hops-a-Lot", "Zoë"])
KINDS = st.sampled_from(["bear", "golden retriever", "aardvark", "lighthouse keeper"])
LOOKS = st.sampled_from(["", "old ", "black and white ", "very small, one-eyed ", "jet-black "])
PLACES = st.sampled_from(  # with the noun that must stay
    [
        ("in a garden", "garden"),
        ("beside a red barn in the meadow", "barn"),
        ("at the edge of a very wide, windy, dusty field of snow", "field"),
        ("on a shelf in a toy shop in Paris", "shop"),
        ("in the ruins of an old castle that snow had covered overnight", "castle"),
    ]
)
TIMES = st.sampled_from(["", " on a stormy winter night", " at dawn in the rain", " during a thunderstorm"])


@given(NAMES, KINDS, LOOKS, PLACES, TIMES, st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_the_hero_stays_in_front_however_long_a_sentence_is(
    name: str, kind: str, look: str, place: tuple[str, str], time: str, length: int
) -> None:
    first = f"{name}, a {look}{kind} wearing a long purple coat, sat {place[0]}{time}."
    later = "He ran" + " and ran" * length + "."
    prompt = Rules().refine([first, later])
    assert prompt.startswith(f"{name} the ")
    start = prompt.index(". ", len(name)) + 1
    assert kind in prompt[:start]
    assert place[1] in prompt[:start]
    assert count_tokens(prompt[:start]) <= HEAD_TOKENS
    assert count_tokens(prompt) <= TOKENS or count_tokens(later) > TOKENS - HEAD_TOKENS


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_any_text_between_ordinary_sentences(texts: list[str], random) -> None:
    story = ["Luna the fox sat in a garden.", *texts, "She slept."]
    prompts = Rules().refine_story(story)
    assert "Luna" in prompts[-1]
    for before, prompt in pairwise(zip(story, prompts, strict=True)):
        assert isinstance(prompt[1], str)
        assert prompt[1] or not before[0]
    random.shuffle(story)
    Rules().refine_story(story)
