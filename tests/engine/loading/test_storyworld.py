"""The shipped bundle: small, complete, and faithful to the text, by a judge that had no part in making it."""

import numpy as np
import pytest
import torch

from acdc.bench.storyworld.judge.judge import load as load_judge
from acdc.bench.storyworld.study.evaluate import verdicts
from acdc.bench.storyworld.study.paper import PAPER_LABELS
from acdc.bench.storyworld.world.kinds import ANIMALS, SETTINGS
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from acdc.engine.loading.bundle import find_bundle
from tests.helpers.margin import check_same_story


@pytest.fixture(scope="module")
def engine():
    return Engine.from_pretrained("storyworld")


def test_it_is_small_and_holds_no_pickle():
    files = [path for path in find_bundle("storyworld").path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 30 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt", ".md"}


def test_every_example_fits_the_limits(engine):
    for sentences in EXAMPLES.values():
        for sentence in sentences:
            assert len(engine.models.arm.encode(sentence)) <= engine.models.arm.stream.max_text_tokens


@pytest.mark.slow  # half a minute
def test_threads_give_the_same_story_by_the_margin_rule(engine):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = engine.generate(EXAMPLES["benny"][:2], seed=0, num_inference_steps=10)
        torch.set_num_threads(2)
        two = engine.generate(EXAMPLES["benny"][:2], seed=0, num_inference_steps=10)
    finally:
        torch.set_num_threads(before)
    assert check_same_story(engine, one, two) <= 1


@pytest.mark.slow
def test_the_papers_stories_show_the_right_animal_in_the_right_place(engine):
    judge, right, frames = load_judge(), 0, 0
    for name, sentences in EXAMPLES.items():
        found = verdicts(judge, np.stack(engine.generate(sentences, seed=0).images)[None])
        label = PAPER_LABELS[name]
        animal = found["animal"][0] == ANIMALS.index(label.animal)
        setting = np.isin(found["setting"][0], [SETTINGS.index(s) for s in label.settings])
        right, frames = right + int((animal & setting).sum()), frames + len(sentences)
    assert right / frames >= 0.9
