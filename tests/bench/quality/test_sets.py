"""Folders of every kind become stories, or one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.bench.quality.row_cache import RowCache
from acdc.bench.quality.sets.frame_reader import FrameReader
from acdc.bench.quality.sets.listing import list_stories
from acdc.bench.quality.sets.story_set import StorySet
from acdc.bench.quality.sets.survey import survey
from acdc.engine.storage.manifest import Failed, Finished
from acdc.engine.storage.reference_run import ReferencePicture, ReferenceRun
from acdc.engine.storage.video_io import write_gif, write_mp4
from tests.helpers.quality_folders import noise, pictures, story


def read(folder: Path, **how: bool) -> StorySet:
    with RowCache() as cache:
        return survey(folder.name, list_stories(folder, **how), cache)


def frames_of(found: StorySet) -> list[list[np.ndarray]]:
    reader = FrameReader()
    return [[reader(picture) for picture in one.pictures] for one in found.stories]


def test_a_story_of_this_project_has_frames_drafts_and_both_texts(tmp_path):
    frames = noise(0, 3)
    folder = story(tmp_path / "luna", frames)
    found, drafts = read(folder), read(folder, drafts=True)
    (one,) = found.stories
    assert (one.name, one.source, one.fps) == ("luna", "frames", None)
    assert one.texts("sentence") == ("Sentence 0.", "Sentence 1.", "Sentence 2.")
    assert one.texts("refined")[2] == "Refined Sentence 2."
    assert np.array_equal(frames_of(found)[0], frames)
    assert all(frame.flags.writeable for frame in frames_of(found)[0])
    assert np.max(frames_of(drafts)) == 0


def test_a_run_of_many_stories_names_those_that_are_not_whole(tmp_path):
    for name in ("a", "b", "open"):
        story(tmp_path / name, noise(1, 2))
    (tmp_path / "b" / "frames" / "frame_02.png").unlink()
    entries = [Finished("a", 0, 2, 1.0, "x"), Finished("b", 1, 2, 1.0, "x"), Failed("c", "out of memory")]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(one.record()) + "\n" for one in entries))
    found = read(tmp_path)
    assert [one.name for one in found.stories] == ["a"]
    assert [line.removeprefix(str(tmp_path)) for line in found.failures] == [
        "/b/frames/frame_02.png: no such file",
        "/c: out of memory",
        "/open: the story is not finished",
    ]


def test_a_story_that_is_not_finished_is_a_line(tmp_path):
    story(tmp_path, noise(1, 2), ["One.", "Two.", "Three."])
    assert read(tmp_path).failures == (f"{tmp_path}: the story is not finished (2 of 3 frames)",)
    (tmp_path / "story.json").write_text("{")
    assert "not readable" in read(tmp_path).failures[0]


def test_reference_pictures_are_single_ones_with_their_sentences(tmp_path):
    pictures(tmp_path, noise(2, 2), "picture_{:05d}.png")
    listed = [ReferencePicture(f"Text {n}.", f"picture_{n:05d}.png", finished=n < 3) for n in (1, 2, 3)]
    ReferenceRun({}, {}, listed).save(tmp_path)
    found = read(tmp_path)
    assert [(len(one.pictures), one.sentences) for one in found.stories] == [(1, ("Text 1.",)), (1, ("Text 2.",))]
    assert found.failures == (f"{tmp_path}: 1 pictures of reference.json are not finished",)


def test_pictures_in_one_folder_are_a_story_in_the_order_of_their_numbers(tmp_path):
    frames = noise(3, 11)
    pictures(tmp_path, frames)
    (tmp_path / "prompts.txt").write_text("".join(f"Text {n}.\n" for n in range(11)))
    (tmp_path / "notes.md").write_text("not a picture")
    found = read(tmp_path)
    assert np.array_equal(frames_of(found)[0], frames)
    assert found.stories[0].sentences[10] == "Text 10."
    assert [one.sentences for one in read(tmp_path, single=True).stories[:2]] == [("Text 0.",), ("Text 1.",)]


def test_folders_within_are_stories_of_any_sizes_and_kinds(tmp_path):
    pictures(tmp_path / "one", noise(4, 1, 1, 1))
    pictures(tmp_path / "odd", noise(5, 2, 33, 17), "f{}.jpg")
    Image.fromarray(noise(6)[0]).convert("P").save(tmp_path / "odd" / "f3.webp")
    pictures(tmp_path / "grey", noise(7, 2))
    Image.fromarray(noise(8)[0][..., 0]).save(tmp_path / "grey" / "frame_3.png")
    (tmp_path / "nothing").mkdir()
    found = read(tmp_path)
    assert {one.name: len(one.pictures) for one in found.stories} == {"grey": 3, "odd": 3, "one": 1}
    assert found.failures == (f"{tmp_path / 'nothing'}: no pictures there",)
    assert all(frame.ndim == 3 and frame.dtype == np.uint8 for frames in frames_of(found) for frame in frames)


def test_clips_know_their_rate_and_are_read_frame_by_frame(tmp_path):
    pytest.importorskip("av", reason="MP4 is an extra")
    frames = [np.full((64, 48, 3), 20 * n, np.uint8) for n in range(6)]
    write_gif(tmp_path / "b.gif", frames, 8)
    write_mp4(tmp_path / "a.mp4", frames, 24)
    (tmp_path / "prompts.txt").write_text("A clip.\nAnother.\n")
    found = read(tmp_path)
    assert [(one.name, one.source, len(one.pictures)) for one in found.stories] == [
        ("a.mp4", "movie", 6), ("b.gif", "animation", 6),
    ]  # fmt: skip
    assert [one.fps for one in found.stories] == pytest.approx([24, 8])
    assert found.stories[1].sentences == ("Another.",) * 6
    for one in frames_of(found):
        assert [abs(int(frame.mean()) - 20 * n) <= 2 for n, frame in enumerate(one)] == [True] * 6
    assert [one.name for one in read(tmp_path / "a.mp4").stories] == ["a.mp4"]


def test_a_clip_is_decoded_once_where_it_is_read_in_order(tmp_path, monkeypatch):
    from acdc.bench.quality.sets import frame_reader

    write_gif(tmp_path / "a.gif", noise(9, 8), 8)
    clip, opened = read(tmp_path).stories[0].pictures, []
    monkeypatch.setattr(frame_reader, "find_picture", lambda name: opened.append(name) or find(name))
    from acdc.engine.storage.picture_files import find_picture as find

    reader = FrameReader()
    forward = [reader(picture) for picture in clip]
    assert len(opened) == 1
    assert np.array_equal(reader(clip[2]), forward[2])
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("name", "data"), [("b.png", b"not a picture"), ("b.jpg", b""), ("b.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40)]
)
def test_an_unreadable_file_leaves_its_story_out_and_no_other(tmp_path, name, data):
    pictures(tmp_path / "good", noise(1, 2))
    pictures(tmp_path / "bad", noise(2, 2))
    (tmp_path / "bad" / name).write_bytes(data)
    found = read(tmp_path)
    assert [one.name for one in found.stories] == ["good"]
    (line,) = found.failures
    assert line.startswith("bad: picture ")
    assert name in line
    assert "\n" not in line


def test_a_picture_that_ends_early_is_noticed_before_any_network_runs(tmp_path):
    pictures(tmp_path / "a", noise(1, 2, 64, 64))
    whole = (tmp_path / "a" / "frame_2.png").read_bytes()
    (tmp_path / "a" / "frame_2.png").write_bytes(whole[: len(whole) // 2])
    assert read(tmp_path).stories == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: None, "holds no pictures"),
        (lambda at: (at / "x").mkdir() or (at / "x.txt").write_text("x"), None),
        (lambda at: pictures(at, noise(0, 2)) and (at / "a.gif").write_bytes(b""), "holds pictures and clips"),
        (lambda at: pictures(at, noise(0, 2)) and (at / "prompts.txt").write_text("One.\n"), "1 lines for 2 pictures"),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(tmp_path, make, message):
    make(tmp_path)
    if message is None:
        assert read(tmp_path).failures == (f"{tmp_path / 'x'}: no pictures there",)
        return
    with pytest.raises(ValueError, match=message):
        list_stories(tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist; give a folder"):
        list_stories(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match="is a file; give a folder"):
        list_stories(tmp_path / "a.txt")
