"""The class for ``map_batches``, called as Ray Data calls it."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from acdc.engine.fleet.ray_data import DrawStories

ROWS = [["A cat sat.", "It ran."], [], ["A dog."], "one text"]


@pytest.fixture(scope="module")
def draw(tiny_path):
    return DrawStories(str(tiny_path), engine={"backend": "eager"}, num_inference_steps=4)


def test_rows_get_pictures_prompts_and_errors(draw, tiny_engine):
    sentences = np.empty(4, dtype=object)
    sentences[:] = [np.array(row, dtype=object) if isinstance(row, list) else row for row in ROWS]
    made = draw({"sentences": sentences, "seed": np.array([3, 0, 5, 0]), "id": np.array(list("abcd"))})
    assert list(made["id"]) == list("abcd")
    assert [len(frames) for frames in made["frames"]] == [2, 0, 1, 0]
    assert made["error"][0] == made["error"][2] == ""
    assert "no sentence" in made["error"][1]
    assert made["error"][3] == "sentences are one text; give a list of texts"
    alone = tiny_engine.generate(ROWS[0], seed=3, num_inference_steps=4)
    assert made["refined_prompts"][0] == alone.refined_prompts
    for file, picture in zip(made["frames"][0], alone.images, strict=True):
        with Image.open(BytesIO(file)) as read:
            assert np.abs(np.asarray(read, dtype=int) - picture).max() <= 1, "up to rounding in a batch"


def test_seeds_may_be_left_out(draw):
    rows = {"sentences": [["A dog."], ["A dog."]]}
    one, other = draw(rows)["frames"]
    assert one == other


def test_a_batch_without_sentences(draw):
    with pytest.raises(ValueError, match="a row has no 'sentences'; its columns are id"):
        draw({"id": [1]})


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="unknown option 'steps'"):
        DrawStories("storyworld", steps=4)
