"""The packaged judge: right on true renders, blind to colour, and plain about bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acdc.bench.storyworld.__main__ import COMMANDS, main
from acdc.bench.storyworld.draw.scene import render
from acdc.bench.storyworld.judge.input import grayscale
from acdc.bench.storyworld.judge.judge import WEIGHTS, Judge, load, save
from acdc.bench.storyworld.judge.text import text_features
from acdc.bench.storyworld.world.grammar import StorySample, sample_story

pytestmark = pytest.mark.measuring

STORIES = 7  # of 6 frames: 42 pictures


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load()


@pytest.fixture(scope="module")
def stories() -> list[StorySample]:
    return [sample_story(70_000 + i, "heldout") for i in range(STORIES)]


@pytest.fixture(scope="module")
def renders(stories: list[StorySample]) -> list[Image.Image]:
    return [render(scene) for story in stories for scene in story.scenes]


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(main, ["judge", *map(str, words)])


def test_true_renders_are_recognised_from_the_command_line(
    run: Callable[..., Result], stories: list[StorySample], renders: list[Image.Image], tmp_path: Path
):
    for i, image in enumerate(renders):
        image.save(tmp_path / f"{i:03}.png")
    assert run(tmp_path, "--json", tmp_path / "out.json").exit_code == 0
    frames = json.loads((tmp_path / "out.json").read_text())["frames"]
    scenes = [scene for story in stories for scene in story.scenes]
    assert [Path(row["file"]).name for row in frames] == [f"{i:03}.png" for i in range(len(scenes))]
    truth = {
        "animal": [scene.who.animal for scene in scenes],
        "setting": [scene.setting for scene in scenes],
        "action": [scene.action for scene in scenes],
    }
    for label, names in truth.items():
        right = np.mean([row[label] == name for row, name in zip(frames, names, strict=True)])
        assert right >= 0.95, label
        assert all(0 <= row[f"{label}_p"] <= 1 for row in frames)
    assert set(frames[0]) == {"file", *truth, *(f"{label}_p" for label in truth)}


def test_colour_is_not_seen(judge: Judge, renders: list[Image.Image]):
    gray = [image.convert("L").convert("RGB") for image in renders[:8]]
    for label, chances in judge.predict(renders[:8]).items():
        assert torch.equal(chances, judge.predict(gray)[label]), label
    assert torch.equal(judge.embed(renders[:8]), judge.embed(gray))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_luma_is_that_of_pil(seed: int):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    ours = grayscale(torch.from_numpy(pixels)[None])[0, 0].numpy()
    assert np.array_equal(ours, np.array(Image.fromarray(pixels).convert("L")))


def test_brightness_contrast_and_size_hardly_matter(judge: Judge, renders: list[Image.Image]):
    faint = [image.point([40 + v // 2 for v in range(256)] * 3) for image in renders]
    large = [image.resize((200, 200)) for image in renders]
    base = judge.predict(renders)["animal"].argmax(-1)
    for other in (faint, large):
        assert (judge.predict(other)["animal"].argmax(-1) == base).float().mean() >= 0.95


def test_arrays_pictures_and_batches_agree(judge: Judge, renders: list[Image.Image]):
    array = np.stack([np.array(image) for image in renders[:5]])
    whole = judge.embed(array)
    assert torch.allclose(whole, judge.embed(renders[:5]), atol=1e-5)
    mixed = [renders[0], renders[1].resize((96, 64)), renders[2]]  # sizes may differ within a list
    assert torch.allclose(judge.embed(mixed)[[0, 2]], whole[[0, 2]], atol=1e-5)
    assert whole.shape == judge.features(array).shape == (5, 64)
    assert torch.allclose(whole.norm(dim=-1), torch.ones(5), atol=1e-5)
    for label, chances in judge.predict(array).items():
        assert chances.shape == (5, len(judge.labels[label]))
        assert torch.allclose(chances.sum(-1), torch.ones(5), atol=1e-5)


def test_sentences_find_their_picture(judge: Judge, stories: list[StorySample], renders: list[Image.Image]):
    expected = [
        f"{story.name} the {scene.who.animal}, in a {scene.setting}: they {scene.action}."
        for story in stories
        for scene in story.scenes
    ]
    cosine = judge.embed_text(expected) @ judge.embed(renders).T
    assert cosine.diagonal().mean() > cosine.mean() + 0.2


@pytest.mark.parametrize("sentence", ["", "...", "ÅÆØ 12 \n", "zyx " * 500])
def test_any_sentence_has_a_unit_embedding(judge: Judge, sentence: str):
    assert all(0 <= number < 2048 for number in text_features(sentence, 2048))
    assert judge.embed_text([sentence, "a fox"]).norm(dim=-1).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("images", [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), []])
def test_unfit_images_are_refused(judge: Judge, images: object):
    with pytest.raises(ValueError, match="images"):
        judge.predict(images)


def test_flat_pictures_give_finite_numbers(judge: Judge):
    flat = np.zeros((1, 16, 16, 3), np.uint8)
    assert all(bool(chances.isfinite().all()) for chances in judge.predict(flat).values())


def test_saved_and_loaded_judges_agree(judge: Judge, renders: list[Image.Image], tmp_path: Path):
    save(judge, tmp_path)
    assert torch.equal(load(tmp_path).embed(renders[:3]), judge.embed(renders[:3]))
    (tmp_path / "config.json").write_text('{"format": 9}')
    with pytest.raises(ValueError, match="format 9"):
        load(tmp_path)


def test_weights_are_small():
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 2 * 2**20


def test_output_directory_shows_frames_and_drafts_on_request(run: Callable[..., Result], tmp_path: Path):
    (tmp_path / "frames").mkdir()
    for name in ("frame_01.png", "frame_01_draft.png", "frame_02.png", "strip.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / "frames" / name)
    Image.new("RGB", (32, 32)).save(tmp_path / "sheet.png")

    def judged(*words: object) -> list[str]:
        assert run(*words, "--json", tmp_path / "o.json").exit_code == 0
        return [Path(row["file"]).name for row in json.loads((tmp_path / "o.json").read_text())["frames"]]

    assert judged(tmp_path) == ["frame_01.png", "frame_02.png"]
    assert judged(tmp_path, "--drafts") == ["frame_01.png", "frame_01_draft.png", "frame_02.png"]
    assert judged(tmp_path / "sheet.png", tmp_path) == ["sheet.png", "frame_01.png", "frame_02.png"]


@pytest.mark.parametrize("case", ["missing", "text", "cut", "empty", "nothing", "no-weights"])
def test_mistakes_are_one_line_and_exit_status_two(run: Callable[..., Result], tmp_path: Path, case: str):
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    words = {
        "missing": [tmp_path / "missing.png"],
        "text": [tmp_path / "text.png"],
        "cut": [tmp_path / "cut.png"],
        "empty": [tmp_path / "empty"],
        "nothing": [],
        "no-weights": [tmp_path / "whole.png", "--weights", tmp_path],
    }[case]
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("Error: ")


def test_every_command_can_be_listed_and_shown():
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0
    assert all(name in listed.stdout for name in COMMANDS)
    assert CliRunner().invoke(main, ["judge", "--help"]).exit_code == 0
