"""Scores of frames, of frames with their texts, and of clips: means over stories, what is left out, and the control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acdc.bench.quality.extractor import Extractor
from acdc.bench.quality.metric import Context
from acdc.bench.quality.metrics.scores import ClipScores, ClipSim, FrameScores, PairScores
from acdc.bench.quality.network import Compute, Network
from acdc.bench.quality.progress import Silent
from acdc.bench.quality.row_cache import RowCache
from acdc.bench.quality.sets.listing import list_stories
from acdc.bench.quality.sets.story_set import StorySet
from acdc.bench.quality.sets.survey import survey
from tests.helpers.quality_folders import noise, pictures, story

COLOURS = {"red": (200, 0, 0), "green": (0, 100, 0), "blue": (0, 0, 50)}


class Formula(Network):
    """A function of each input."""

    preprocessing, batch = "none", 4

    def __init__(self, weights: Path, name: str, row: Callable[[Any], Sequence[float]]) -> None:
        super().__init__(weights)
        self.name, self.row = name, row

    def files(self) -> Mapping[str, Path]:
        return {"weights.bin": self.models}

    def load(self, device: torch.device) -> Compute:
        return lambda inputs: np.array([self.row(one) for one in inputs], np.float32)


def make_story(folder: Path, *colours: str, texts: Sequence[str] | None = None) -> None:
    """Frames of one colour each, whose texts are the names of the colours."""
    story(folder, [np.full((8, 8, 3), COLOURS[colour], np.uint8) for colour in colours], texts or colours)


def stories_in(folder: Path) -> StorySet:
    with RowCache() as cache:
        return survey("set", list_stories(folder), cache)


@pytest.fixture
def context():
    with RowCache() as cache:
        yield Context(Extractor(cache, torch.device("cpu"), Silent()))


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def similarity(weights) -> ClipSim:
    frames = Formula(weights, "frames", lambda frame: frame.mean((0, 1)))
    return ClipSim("sim", "", frames, Formula(weights, "texts", lambda text: COLOURS[text.split()[-1]]))


def test_frames_are_compared_with_their_own_texts(tmp_path, context, similarity):
    make_story(tmp_path / "set" / "a", "red", "green", "blue")
    make_story(tmp_path / "set" / "b", "red", texts=["green"])
    figure = similarity.measure(stories_in(tmp_path / "set"), context)
    assert figure.by_story == pytest.approx({"a": 100, "b": 0})
    assert figure.value == pytest.approx(50), "over stories, however many frames they have"
    assert (figure.stories, figure.frames) == (2, 4)
    assert figure.by_frame == pytest.approx([50, 100, 100])


@pytest.mark.parametrize("lengths", [(1, 3), (3, 1), (2, 2), (1, 2, 3)])
def test_the_control_compares_no_frame_with_a_text_of_its_own_story(tmp_path, context, similarity, lengths):
    """Each story has one colour: any text of its own would score 100."""
    for number, (colour, length) in enumerate(zip(COLOURS, lengths, strict=False)):
        make_story(tmp_path / "set" / f"s{number}", *[colour] * length)
    figure = similarity.measure(stories_in(tmp_path / "set"), context)
    assert figure.value == pytest.approx(100)
    assert figure.controls == {"shuffled": pytest.approx(0)}


def test_one_story_has_no_control_and_none_with_texts_no_figure(tmp_path, context, similarity):
    make_story(tmp_path / "set" / "a", "red", "green")
    pictures(tmp_path / "set" / "untitled", noise(0, 2))
    found = stories_in(tmp_path / "set")
    figure = similarity.measure(found, context)
    assert (figure.stories, figure.controls, figure.low) == (1, {"shuffled": None}, None)
    assert figure.remarks == ("1 stories have no text for each frame",)
    untitled = StorySet("set", tuple(one for one in found.stories if not one.sentences))
    assert similarity.measure(untitled, context).remarks == ("no story has a text for each frame; give prompts.txt",)


def test_refined_prompts_are_taken_where_they_are_asked_for(tmp_path, context, weights):
    make_story(tmp_path / "set" / "a", "red")
    pairs = PairScores("reward", "", Formula(weights, "pairs", lambda pair: [pair[0].max() + len(pair[1])]))
    found = stories_in(tmp_path / "set")
    assert pairs.measure(found, context).value == 200 + len("red")
    assert pairs.measure(found, Context(context.extractor, text="refined")).value == 200 + len("Refined red")


def test_a_score_of_frames_is_their_mean_over_its_scale(tmp_path, context, weights):
    make_story(tmp_path / "set" / "a", "red", "green")
    make_story(tmp_path / "set" / "b", "blue")
    largest = Formula(weights, "largest", lambda frame: [frame.max(), 7])
    figure = FrameScores("score", "", largest, scale=100).measure(stories_in(tmp_path / "set"), context)
    assert figure.by_story == pytest.approx({"a": 1.5, "b": 0.5})
    assert (figure.value, figure.frames) == (pytest.approx(1.0), 3)


def test_clips_have_three_frames_of_one_size_and_small_ones_are_named(tmp_path, context, weights):
    pictures(tmp_path / "set" / "small", noise(0, 3))
    pictures(tmp_path / "set" / "large", noise(1, 4, 128, 130))
    pictures(tmp_path / "set" / "short", noise(2, 2))
    pictures(tmp_path / "set" / "mixed", [*noise(3, 2), *noise(3, 2, 10, 10)])
    lengths = Formula(weights, "lengths", lambda clip: [clip.length, 2 * clip.length])
    metric = ClipScores("clips", "", lengths, columns=("doubled",), notice="terms")
    figure = metric.measure(stories_in(tmp_path / "set"), context)
    assert figure.by_story == {"large": 4, "small": 3}
    assert (figure.value, figure.frames, figure.details) == (3.5, 7, {"doubled": [8, 6]})
    assert figure.remarks == (
        "2 stories have less than three frames of one size", "1 clips are enlarged to 128 pixels a side", "terms",
    )  # fmt: skip
    short = StorySet("set", tuple(one for one in stories_in(tmp_path / "set").stories if one.name == "short"))
    assert metric.measure(short, context).value is None
