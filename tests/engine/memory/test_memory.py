import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.storyworld.study.paper import PAPER_LABELS
from acdc.engine.examples import EXAMPLES
from acdc.engine.memory import MEMORIES, load_memory
from acdc.engine.memory.english import adjectives, kinds, looks, nouns, places
from acdc.engine.memory.english.words import split_words
from acdc.engine.memory.rules import Rules

WORDS = "The the a A fox , Luna named called in of at lake snow He It his its 's sat jumped the, edge was who"
SENTENCES = st.one_of(
    st.text(max_size=60),
    st.sampled_from([sentence for story in EXAMPLES.values() for sentence in story]),
    st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join),
)
SETTING_WORDS = {
    "max": "park", "thumper": "meadow", "benny": "garden", "oliver": "meadow", "luna": "forest", "baxter": "meadow",
    "ruby": "meadow",
}  # fmt: skip


def first_words(text: str, count: int = 16) -> str:
    return " ".join(text.lower().split()[:count])


@pytest.mark.parametrize("story", EXAMPLES)
def test_every_prompt_of_the_paper_begins_with_species_and_setting(story: str) -> None:
    for k in range(len(EXAMPLES[story])):
        refined = Rules().refine(EXAMPLES[story][: k + 1])
        assert PAPER_LABELS[story].animal in first_words(refined)
        assert SETTING_WORDS[story] in first_words(refined)
        if k and story not in {"thumper", "ruby"}:
            assert refined.startswith(f"{story.capitalize()} the {PAPER_LABELS[story].animal} ")


def test_table_7_corgi_is_named_in_every_sentence_and_the_first_is_kept() -> None:
    refined = Rules().refine_story(EXAMPLES["max"])
    assert refined[0] == EXAMPLES["max"][0]
    assert refined[3] == "Max the corgi in a sunny park. Max jumped up, trying to catch the butterfly in mid-air."
    for before, after in zip(EXAMPLES["max"][1:], refined[1:], strict=True):
        assert after.startswith("Max the corgi")
        assert after.endswith(before.split(" ", 2)[2])  # the action is not rewritten


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (["A cat sat in a yard.", "Tom, the cat, ran.", "His ears moved."], "Tom the cat in a yard. Tom's ears moved."),
        (["Rex the wolf sat in snow.", "He ran to the beach.", "He slept."], "Rex the wolf on the beach. Rex slept."),
        (["Rex the wolf sat in a den.", "With a hop, she ran."], "Rex the wolf in a den. With a hop, Rex ran."),
        (["A girl named Ada was in a library.", "The girl read."], "Ada the girl in a library. Ada read."),
        (["Zara the zorse sat in a barn.", "The zorse slept."], "Zara the zorse in a barn. Zara slept."),
        (["Luna was a white fox in a dark forest.", "She slept."], "Luna the white fox in a dark forest. Luna slept."),
        (["A fox by the name of Ivy slept by a pond.", "She woke."], "Ivy the fox by a pond. Ivy woke."),
        (["Max ran home.", "The corgi barked."], "Max the corgi. Max barked."),
        (["Bo the cat sat in a park.", "He gazed at the lake."], "Bo the cat in a park. Bo gazed at the lake."),
        (["Bo the cat sat in a wood under the stars.", "It was cold."], "Bo the cat in a wood at night. It was cold."),
        (["Bo the cat sat in a park.", "It's raining."], "Bo the cat in a park in the rain. It's raining."),
        (["Bo the cat sat in a park.", "It's on its back."], "Bo the cat in a park. Bo's on its back."),
        (["The dog was called Max.", "He ran."], "Max the dog. Max ran."),
        (["A zorse was named Zed.", "He ran."], "Zed the zorse. Zed ran."),
        (["There lay a thing that they named Rex.", "He ran."], "Rex. Rex ran."),
        (["In Paris, the cat sat in a park.", "She ran."], "The cat in a park. The cat ran."),
        (["By and by, Susie, the owl, flew.", "She sat."], "Susie the owl. Susie sat."),
        (["Molly the owl sat in a meadow.", "She saw the field."], "Molly the owl in a meadow. Molly saw the field."),
        (["Under the green trees a bear called Bo slept.", "He woke."], "Bo the bear under the green trees. Bo woke."),
        (["Beside a red barn in the meadow a cat named Tia sat.", "She ran."],
         "Tia the cat beside a red barn in the meadow. Tia ran."),
        (["Kit, a fox, crossed a broad plain that snow had covered overnight.", "She sat."],
         "Kit the fox on a broad plain that snow had covered. Kit sat."),
        (["Luna the fox stood in a field of snow.", "She ran."], "Luna the fox in a field of snow. Luna ran."),
        (["Mo the rabbit sat by the lake.", "He ran along the shore."],
         "Mo the rabbit by the lake. Mo ran along the shore."),
        (["Pip the owl lived in the forest.", "It was hungry."], "Pip the owl in the forest. Pip was hungry."),
        (["Pip the owl lived in the forest.", "It flew over the path to the village."],
         "Pip the owl in the forest. Pip flew over the path to the village."),
        (["Rex, a beagle, was at the beach with his friend Anna.", "She threw a ball."],
         "Rex the beagle at the beach. Anna threw a ball."),
        (["Two foxes, Ada and Ben, sat in the snow.", "They ran."],
         "Ada and Ben, the foxes, in the snow. Ada and Ben ran."),
        (["Paws, the cat, wasn't in the garden but on the beach.", "She slept."],
         "Paws the cat on the beach. Paws slept."),
    ],
)  # fmt: skip
def test_referents(story: list[str], expected: str) -> None:
    assert Rules().refine(story) == expected


@pytest.mark.parametrize(
    "text", ["", "   ", "Ein Hund lief.", "一只兔子坐在花园里。", "A boat sailing on a stormy ocean.", "🦊🦊"]
)
def test_text_without_a_protagonist_is_kept(text: str) -> None:
    assert Rules().refine([text]) == text
    assert Rules().refine([text, text]) == text


def test_first_sentence_gets_a_head_only_if_its_subject_comes_late() -> None:
    assert Rules().refine(["A rabbit was in a quiet meadow."]) == "A rabbit was in a quiet meadow."
    late = "Far away from the noise of the town, in a quiet meadow, a rabbit sat."
    assert Rules().refine([late]).startswith("The rabbit in a quiet meadow.")


@pytest.mark.long
@given(st.lists(SENTENCES, min_size=1, max_size=6), st.lists(SENTENCES, max_size=2))
@settings(max_examples=300, deadline=None)
def test_causal_deterministic_and_never_raises(story: list[str], later: list[str]) -> None:
    whole = Rules().refine_story(story + later)
    for k in range(len(story)):
        refined = Rules().refine(story[: k + 1])
        assert isinstance(refined, str)
        assert refined == whole[k]


@given(st.text(alphabet=st.characters(), max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_unicode(text: str) -> None:
    Rules().refine(["Luna the fox sat in a garden.", text])
    Rules().refine([text, "He ran.", text])
    assert load_memory("none").refine([text]) == text


@pytest.mark.parametrize("name", MEMORIES)
def test_loading_and_empty_story(name: str) -> None:
    memory = load_memory(name)
    assert memory.name == name
    with pytest.raises(ValueError, match="at least one sentence"):
        memory.refine([])


def test_unknown_memory_names_the_choices() -> None:
    with pytest.raises(ValueError, match="unknown memory 'magic'; choose one of: none, rules"):
        load_memory("magic")


def test_every_word_of_the_lists_can_be_met() -> None:
    assert not places.ON_PLACES & places.BY_PLACES, "the second is looked at first"
    lists = (
        places.NIGHT,
        places.DAY,
        places.PLACE_FAMILIES,
        kinds.KINDS,
        looks.VISIBLE,
        adjectives.PLAIN,
        nouns.NATURE,
    )
    for word in frozenset().union(*lists):
        assert [found.low for found in split_words(word)] == [word]


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; from acdc.engine.memory import load_memory; from acdc.engine.examples import EXAMPLES;"
        "load_memory('rules').refine(EXAMPLES['max']); load_memory('none'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
