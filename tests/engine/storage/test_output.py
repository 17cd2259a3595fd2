"""A story's folder: atomic files, a record that reads back, the contact sheet, the trace."""

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acdc.engine.outputs import Phase, Span, StoryResult
from acdc.engine.storage import sheet
from acdc.engine.storage.perfetto import TRACK_OF, TRACKS, trace_events
from acdc.engine.storage.story_reader import read_story
from acdc.engine.storage.story_writer import StoryWriter
from acdc.engine.utils import atomic
from tests.helpers.fake_frame import draw

SENTENCES = ("Benny the beagle sat in a garden.", "He jumped.", "Benny slept.")


def make_story(count: int = 3, corrected: bool = True) -> StoryResult:
    story = empty_story(count)
    spans = tuple(Span(phase, 10.0 * n, 5.0) for n, phase in enumerate(Phase))
    sentences = story.sentences
    story.frames += [draw(sentences[i], i, 7, corrected=corrected, spans=spans) for i in range(count)]
    return story


def empty_story(count: int = 3) -> StoryResult:
    sentences = tuple(SENTENCES[i % 3] for i in range(count))
    options = {"bundle": "fake", "strength": 0.5, "num_inference_steps": 50}
    return StoryResult(sentences, 7, options, {"acdc": "0"}, {"timestep": 501})


def write_story(directory: Path, count: int = 3) -> StoryResult:
    story, writer = empty_story(count), StoryWriter(directory)
    for frame in make_story(count).frames:
        writer.add(story, frame)
    writer.finish(story)
    return story


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


class TestFolder:
    def test_files_and_keys_are_the_documented_ones(self, tmp_path):
        write_story(tmp_path)
        frames = [f"frames/frame_0{n}{kind}.png" for n in (1, 2, 3) for kind in ("", "_draft")]
        assert sorted(files(tmp_path)) == sorted([*frames, "sheet.png", "story.json", "trace.json"])
        record = json.loads((tmp_path / "story.json").read_text())
        assert {"sentences", "refined_prompts", "seed", "settings", "versions", "start", "frames"} == set(record)
        for number, frame in enumerate(record["frames"], 1):
            assert frame["index"] == number
            assert {"draft_codes", "codes", "phases_ms", "spans", "corrected", "cut_prompt"} <= set(frame)
            assert list(frame["phases_ms"]) == [phase.value for phase in Phase]

    def test_each_frame_is_listed_before_the_next(self, tmp_path):
        story, writer = empty_story(), StoryWriter(tmp_path)
        for count, frame in enumerate(make_story().frames, 1):
            writer.add(story, frame)
            assert len(json.loads((tmp_path / "story.json").read_text())["frames"]) == count

    def test_reads_back_what_was_written(self, tmp_path):
        story = write_story(tmp_path)
        back = read_story(tmp_path)
        assert back is not None
        assert (back.sentences, back.seed, back.settings) == (story.sentences, story.seed, story.settings)
        for old, new in zip(story.frames, back.frames, strict=True):
            assert np.array_equal(old.image, new.image)
            assert np.array_equal(old.draft, new.draft)
            assert (old.codes, old.draft_codes, old.spans) == (new.codes, new.draft_codes, new.spans)
            assert (old.refined_prompt, old.cut_prompt) == (new.refined_prompt, new.cut_prompt)

    def test_a_shorter_story_leaves_no_frame_of_the_longer(self, tmp_path):
        write_story(tmp_path, 3)
        (tmp_path / "frames" / "notes.txt").write_text("mine")
        write_story(tmp_path, 1)
        names = sorted(p.name for p in (tmp_path / "frames").iterdir())
        assert names == ["frame_01.png", "frame_01_draft.png", "notes.txt"]

    def test_no_story(self, tmp_path):
        assert read_story(tmp_path) is None
        assert read_story(tmp_path / "missing") is None


def drop(name):
    return lambda record: record.pop(name)


def set_frame(name, value):
    return lambda record: record["frames"][1].update({name: value})


@pytest.mark.long
@pytest.mark.parametrize(
    "damage",
    [
        *(drop(name) for name in ("sentences", "refined_prompts", "seed", "settings", "versions", "start", "frames")),
        *(set_frame(name, None) for name in ("index", "corrected", "codes", "draft_codes", "spans")),
        set_frame("codes", [1, "2"]),
        set_frame("codes", [-1]),
        set_frame("spans", [["nap", 0, 1]]),
        lambda record: record["frames"].reverse(),
        lambda record: record["sentences"].pop(),
        lambda record: record["frames"].append(3),
        lambda record: record.update(seed="1"),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path, damage):
    write_story(tmp_path)
    record = json.loads((tmp_path / "story.json").read_text())
    damage(record)
    (tmp_path / "story.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"story\.json.* is damaged .*--overwrite") as caught:
        read_story(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_broken_record_is_one_line(tmp_path, content):
    write_story(tmp_path)
    (tmp_path / "story.json").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_story(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 40, 100])
@pytest.mark.parametrize("name", ["frame_02.png", "frame_02_draft.png"])
def test_a_truncated_picture_is_named(tmp_path, name, keep):
    write_story(tmp_path)
    path = tmp_path / "frames" / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=name):
        read_story(tmp_path)


def test_a_missing_picture_is_named(tmp_path):
    write_story(tmp_path)
    (tmp_path / "frames" / "frame_03.png").unlink()
    with pytest.raises(ValueError, match=r"frame_03\.png is missing"):
        read_story(tmp_path)


class TestAtomic:
    def test_a_crash_before_the_rename_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "story.json"
        atomic.write_json(path, {"old": 1})

        def crash(*_):
            raise OSError("pulled the plug")

        monkeypatch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="plug"):
            atomic.write_json(path, {"new": 2})
        assert json.loads(path.read_text()) == {"old": 1}
        assert [p.name for p in tmp_path.iterdir()] == ["story.json"]

    def test_a_number_that_json_lacks_leaves_the_old_file(self, tmp_path):
        atomic.write_json(tmp_path / "a.json", 1)
        with pytest.raises(ValueError, match="JSON"):
            atomic.write_json(tmp_path / "a.json", float("nan"))
        assert (tmp_path / "a.json").read_text() == "1\n"

    def test_pictures_are_lossless(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 256, (9, 5, 3), dtype=np.uint8)
        atomic.write_png(tmp_path / "a.png", image)
        assert np.array_equal(np.array(Image.open(tmp_path / "a.png")), image)

    def test_an_earlier_story_stays_until_the_first_frame_is_done(self, tmp_path):
        write_story(tmp_path)
        before = files(tmp_path)
        StoryWriter(tmp_path)
        assert files(tmp_path) == before


class TestSheet:
    @pytest.mark.parametrize("count", [1, 2, 6, 7, 13])
    def test_every_picture_has_its_place(self, count):
        picture = sheet.draw_sheet(make_story(count), "Benny")
        columns = max(2, min(count, sheet.COLUMNS))
        assert picture.width == 2 * sheet.MARGIN + columns * sheet.CELL + (columns - 1) * sheet.GAP
        assert picture.height > -(-count // sheet.COLUMNS) * 2 * sheet.CELL

    def test_the_frames_are_on_it(self):
        story = make_story(1)
        story.frames[0].image[:] = (255, 0, 255)
        story.frames[0].draft[:] = (0, 255, 0)
        pixels = np.array(sheet.draw_sheet(story))
        for colour in ((255, 0, 255), (0, 255, 0)):
            rows, columns = np.nonzero((pixels == colour).all(-1))
            assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == sheet.CELL
            assert columns.min() == sheet.MARGIN
        assert pixels[-1, -1].tolist() == list(sheet.PAPER)

    def test_without_correction_each_frame_is_shown_once(self):
        plain, both = make_story(3, corrected=False), make_story(3)
        assert sheet.draw_sheet(both).height - sheet.draw_sheet(plain).height >= sheet.CELL

    @settings(max_examples=30, deadline=None)
    @given(st.text(max_size=120), st.integers(40, 300))
    def test_wrapped_text_fits_and_loses_nothing(self, text, width):
        lines = sheet.wrap(text, sheet.SENTENCE, width)
        assert "".join("".join(lines).split()) == "".join(text.split())
        for line in lines:  # a letter keeps its marks, however wide they are together
            one_letter = all(unicodedata.category(mark)[0] in "MC" for mark in line[1:])
            assert sheet.SENTENCE.width(line) <= width or one_letter


def test_trace_has_a_track_for_every_phase_and_an_event_for_every_span():
    story = make_story()
    trace = json.loads(json.dumps(trace_events(story)))
    names = {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert tuple(names.values()) == TRACKS
    assert set(TRACK_OF) == set(Phase)
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(spans) == sum(len(frame.spans) for frame in story.frames)
    for event in spans:
        assert {"name", "cat", "ts", "dur", "pid", "tid", "args"} <= set(event)
        assert names[event["tid"]] == TRACK_OF[Phase(event["name"])]
        assert event["dur"] == 5000.0
