import pytest

from acdc.bench.storyworld.study.paper import PAPER_LABELS
from acdc.bench.storyworld.world.kinds import ANIMALS, SETTINGS, TIMES
from acdc.engine.examples import EXAMPLES

LENGTHS = {"max": 6, "thumper": 6, "benny": 6, "oliver": 6, "luna": 5, "baxter": 5, "ruby": 5}


def test_seven_stories_of_five_or_six_sentences() -> None:
    assert {name: len(story) for name, story in EXAMPLES.items()} == LENGTHS


@pytest.mark.parametrize("name", EXAMPLES)
def test_sentences_are_whole_and_labels_known(name: str) -> None:
    for sentence in EXAMPLES[name]:
        assert sentence.isascii()
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "  " not in sentence
    label = PAPER_LABELS[name]
    assert label.animal in EXAMPLES[name][0]
    assert label.animal in ANIMALS
    assert set(label.settings) <= set(SETTINGS)
    assert label.time in TIMES
