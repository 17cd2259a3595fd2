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


@pytest.mark.long
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


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_seeds_that_a_table_lacks_are_zero(draw, missing):
    """Columns of integers with nulls are floats."""
    one, other, seeded = draw({"sentences": [["A dog."]] * 3, "seed": [missing, 0.0, 7.0]})["frames"]
    assert one == other != seeded


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"sentences": None}, "no sentence given"),
        ({"sentences": ["A dog.", None]}, "sentence None is not text"),
        ({"sentences": 3}, "'int' object is not iterable"),
        ({"seed": 7.5}, "seed 7.5 is not an integer"),
        ({"seed": float("inf")}, "cannot convert float infinity"),
        ({"seed": "first"}, "invalid literal for int"),
        ({"seed": [1]}, "int() argument must be"),
        ({"seed": -1}, "seed -1 is out of range"),
    ],
)
def test_a_row_never_ends_the_batch(draw, row, said):
    rows = [{"sentences": ["A dog."], "seed": 3, **row}, {"sentences": ["A cat."], "seed": 3}]
    made = draw({name: [one[name] for one in rows] for name in ("sentences", "seed")})
    assert [len(frames) for frames in made["frames"]] == [0, 1]
    assert said in made["error"][0]
    assert made["error"][1] == ""


def test_a_batch_without_sentences(draw):
    with pytest.raises(ValueError, match="a row has no 'sentences'; its columns are id"):
        draw({"id": [1]})


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="unknown option 'steps'"):
        DrawStories("storyworld", steps=4)
