"""Teaching the ARM moving clips: rows are what a session feeds, the last frame is whole, a short run trains."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from acdc.bench.storyworld.__main__ import main as storyworld
from acdc.bench.storyworld.train.arm_data import CODE_LOSS, Layout, Row, collate, read_stories
from acdc.bench.storyworld.train.arm_text import BOS, VISION
from acdc.bench.storyworld.train.video import clip_losses, held_back, load, own_logits
from acdc.bench.storyworld.train.video_rows import (
    RECENT,
    ROW_FRAMES,
    ClipBatch,
    batches,
    clip_row,
    disturbed,
    frame_row,
    sample_clips,
)
from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.lwm.clip_session import ClipSession, seen
from acdc.engine.models.lwm.family import Arm
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.rng import Purpose, make_keys
from tests.helpers.clip_draws import draw_clips

pytestmark = pytest.mark.training

SENTENCE = "Benny the beagle ran."


def tiny_arm(path: Path) -> tuple[Arm, Layout, Tokenizer]:
    arm = Arm.from_directory(path / "arm", dtype=torch.float64)
    layout = Layout(arm.stream.codes_per_frame, arm.stream.codebook_size)
    return arm, layout, Tokenizer.from_file(str(path / "arm" / "tokenizer.json"))


def random_codes(layout: Layout, *shape: int) -> np.ndarray:
    codes = np.random.default_rng(0).integers(0, layout.codebook_size, (*shape, layout.codes_per_frame))
    return codes.astype(np.int16)


def write(folder: Path, layout: Layout, clips: int, frames: int, sentences: int = 1) -> Path:
    """A data directory of clips, or of stories (one sentence a frame)."""
    folder.mkdir(parents=True)
    np.save(folder / "codes.npy", random_codes(layout, clips, frames))
    (folder / "texts.json").write_text(json.dumps({"sentences": [[SENTENCE] * sentences] * clips}))
    return folder


def as_rows(layout: Layout, rows: list[Row]) -> ClipBatch:
    (batch,) = batches(rows, 1 << 20, ROW_FRAMES, layout.codes_per_frame)
    return batch


@pytest.mark.parametrize("frame", [0, 1, 2, 3, 5])
def test_rows_are_what_a_session_feeds(tiny_path: Path, frame: int) -> None:
    """A row's logits for its last frame's first code are those of a session that was brought to that frame."""
    arm, layout, tokenizer = tiny_arm(tiny_path)
    clip = random_codes(layout, 6)
    row = frame_row(tokenizer.encode(SENTENCE).ids, clip, layout, frame)
    assert row.ids[row.loss == CODE_LOSS].tolist() == clip[frame].tolist()
    batch = collate([row])
    first = int(np.flatnonzero(row.loss == CODE_LOSS)[0])
    wanted = arm.model.vision_logits(arm.model(batch.ids, batch.is_vision)[:, first - 1])

    session = ArmSession(arm, 1, ROW_FRAMES, "full")
    session.begin([SENTENCE])
    for index in seen(frame, RECENT):
        session.extend(torch.from_numpy(clip[index : index + 1].astype(np.int64)))
        session.begin(None)
    torch.testing.assert_close(session.last_logits, wanted, rtol=0, atol=1e-11)
    session.close()


def test_drawing_on_goes_back_to_the_same_place(tiny_path: Path) -> None:
    """Sessions that were cut back and fed again draw what fresh sessions for each frame draw."""
    arm, layout, _ = tiny_arm(tiny_path)
    sentences, seeds, policy = [SENTENCE, "A cat slept by the old log."], [3, 4], SamplingParams()
    codes = draw_clips(arm, sentences, seeds, 6, policy)
    assert codes.shape == (2, 6, layout.codes_per_frame)
    for start in (0, 1, 2, 4):
        again = draw_clips(arm, sentences, seeds, 6, policy, given=codes[:, :start] if start else None)
        assert torch.equal(again, codes)
    alone = draw_clips(arm, sentences[1:], seeds[1:], 6, policy, tokens_per_pass=(1,))
    assert torch.equal(alone, codes[1:])


def test_corrected_frames_are_seen_by_all_later_ones(tiny_path: Path) -> None:
    """Replaced and gone on with is the same as given from the start, whichever frames were replaced."""
    arm, layout, _ = tiny_arm(tiny_path)
    policy, other = SamplingParams(), torch.from_numpy(random_codes(layout, 1, 4).astype(np.int64))
    for first, count in ((0, 1), (0, 4), (2, 2), (3, 1)):
        session = ClipSession(arm, 1, 6, RECENT, SamplingParams())
        for frame in range(4):
            session.begin([SENTENCE] if frame == 0 else None)
            session.generate(make_keys([7], frame, Purpose.TOKEN))
        session.replace(first, other[:, first : first + count])
        given_ = torch.stack(session.shown, 1)
        for frame in range(4, 6):
            session.begin(None)
            session.generate(make_keys([7], frame, Purpose.TOKEN), session.codes(frame - 1))
        assert torch.equal(torch.stack(session.shown, 1), draw_clips(arm, [SENTENCE], [7], 6, policy, given_))
        session.close()


def test_a_session_names_what_is_wrong(tiny_path: Path) -> None:
    arm, layout, _ = tiny_arm(tiny_path)
    with pytest.raises(ValueError, match="0 videos of 3 frames"):
        ClipSession(arm, 0, 3, RECENT, SamplingParams())
    session = ClipSession(arm, 1, 1, RECENT, SamplingParams())
    with pytest.raises(ValueError, match="needs a caption"):
        session.begin(None)
    with pytest.raises(ValueError, match="2 sentences for 1"):
        ClipSession(arm, 1, 1, RECENT, SamplingParams()).begin([SENTENCE] * 2)
    session.extend(torch.zeros(1, layout.codes_per_frame, dtype=torch.int64))
    with pytest.raises(ValueError, match="exceeds the 1 frames"):
        session.begin([SENTENCE])


def test_a_row_has_one_sentence_and_no_marker_between_frames() -> None:
    layout = Layout(4, 10)
    row = clip_row([7, 8], np.arange(8).reshape(2, 4), layout, [False, True])
    assert row.ids.tolist() == [BOS, 7, 8, VISION, 0, 1, 2, 3, 10, 4, 5, 6, 7, 10]
    assert row.is_vision.tolist() == [False] * 4 + [True] * 10
    assert np.flatnonzero(row.loss == CODE_LOSS).tolist() == [9, 10, 11, 12]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), frames=st.integers(4, 9))
def test_rows_in_training_are_moments_of_one_clip(seed: int, frames: int) -> None:
    layout = Layout(4, 1000)
    codes = np.arange(3 * frames * 4, dtype=np.int16).reshape(3, frames, 4)  # a code tells its clip and frame
    clips = read_like(codes)
    for row in sample_clips(clips, layout, np.random.default_rng(seed), 6):
        shown = row.ids[row.is_vision].reshape(ROW_FRAMES, 5)[:, :4] // 4
        clip, number = shown[:, 0] // frames, shown[:, 0] % frames
        assert len(set(clip.tolist())) == 1
        assert number[0] == 0
        assert np.diff(number[1:]).tolist() == [1, 1]
        learned = (row.loss[row.is_vision].reshape(ROW_FRAMES, 5)[:, :4] == CODE_LOSS).all(axis=1).tolist()
        assert learned in ([False, False, True, True], [True, True, True, True])
        assert not learned[0] or number.tolist() == [0, 1, 2, 3]


def read_like(codes: np.ndarray):
    from acdc.bench.storyworld.train.arm_data import Stories

    return Stories([codes], [[[[5, 6]]] * len(codes)], 0, len(codes))


def test_places_are_those_of_the_codes() -> None:
    layout = Layout(4, 10)
    rows = [clip_row([7] * n, random_codes(layout, ROW_FRAMES), layout, [True] * ROW_FRAMES) for n in (5, 1, 3)]
    clips = as_rows(layout, rows)
    found = clips.batch.ids.gather(1, clips.codes.flatten(1)).view(clips.codes.shape)
    assert torch.equal(found, torch.from_numpy(random_codes(layout, ROW_FRAMES)).long().expand(3, -1, -1))
    assert torch.equal(clips.codes[:, 0, 0], (clips.batch.loss == CODE_LOSS).int().argmax(1))


def test_what_is_seen_is_disturbed_and_the_last_frame_is_not() -> None:
    layout = Layout(16, 50)
    rows = [clip_row([7, 8], random_codes(layout, ROW_FRAMES), layout, [False, False, True, True])] * 60
    clips = as_rows(layout, rows)
    logits = torch.full((60, ROW_FRAMES, 16, 50), -1e9)
    logits[..., 33] = 0.0  # what the model would draw
    shown = disturbed(clips, logits, torch.Generator().manual_seed(0))
    again = disturbed(clips, logits, torch.Generator().manual_seed(0))
    assert torch.equal(shown.ids, again.ids)
    changed = shown.ids != clips.batch.ids
    assert (shown.ids[changed] == 33).all()
    share = changed.gather(1, clips.codes.flatten(1)).view(clips.codes.shape).float().mean(-1)  # [R, F]
    assert (share[:, -1] == 0).all()
    assert not changed[:, : int(clips.codes.min())].any()
    mean = share.mean(0)
    assert 0.1 < mean[1] < 0.24
    assert 0.1 < mean[2] < 0.24
    assert 0.02 < mean[0] < 0.09
    assert (share[:, 1] == 0).float().mean() > 0.2


def test_the_loss_asks_for_the_true_code_after_disturbed_ones(tiny_path: Path) -> None:
    model, layout, tokenizer = load(tiny_path / "arm")
    row = frame_row(tokenizer.encode(SENTENCE).ids, random_codes(layout, 6), layout, 5)
    clips = as_rows(layout, [row])
    honest = clip_losses(model, clips, clips.batch, "cpu")
    logits = own_logits(model, clips, layout, "cpu")[0, -1]
    true = torch.from_numpy(random_codes(layout, 6)[5]).long()
    spare = model.config.vision_vocab - layout.codebook_size
    assert spare > 0
    expected = torch.nn.functional.cross_entropy(logits, true, reduction="none")
    assert (honest >= expected - 1e-4).all(), "the spare ids take a little of the probability"
    other = replace(clips.batch, ids=clips.batch.ids.clone())
    place = int(clips.codes[0, 2, 0])
    other.ids[0, place] = (other.ids[0, place] + 1) % layout.codebook_size
    assert not torch.equal(clip_losses(model, clips, other, "cpu"), honest)
    last = replace(clips.batch, ids=clips.batch.ids.clone())
    last.ids[0, int(clips.codes[0, -1, -1])] = (
        0  # nothing is predicted after the last code, and it is not a target here
    )
    torch.testing.assert_close(clip_losses(model, clips, last, "cpu"), honest, rtol=0, atol=0)


def test_a_short_run_trains_resumes_and_exports(tiny_path: Path, tmp_path: Path) -> None:
    _, layout, _ = tiny_arm(tiny_path)
    stories = write(tmp_path / "stories", layout, 20, 3, 3)
    clips, heldout = write(tmp_path / "clips", layout, 6, 6), write(tmp_path / "heldout", layout, 2, 6)
    paths = {"init": tiny_path / "arm", "stories": stories, "clips": clips, "heldout": heldout}
    numbers = {"decay": 2, "frames": 8, "every": 2, "lr": 1e-2, "muon-lr": 1e-2}

    def run(out: Path, steps: int) -> list[dict]:
        options = {**paths, **numbers, "out": out, "steps": steps}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        result = CliRunner().invoke(storyworld, ["train_video", *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in (out / "evaluation.jsonl").read_text().splitlines()]

    found = run(tmp_path / "run", 4)
    assert [entry["step"] for entry in found] == [0, 2, 4]
    assert set(found[0]["clip"]) == {"0", "1", "2", "4"}
    assert found[-1]["clip"] != found[0]["clip"]
    assert run(tmp_path / "run", 4) == found, "finished: nothing more to do"
    arm = Arm.from_directory(tmp_path / "run" / "arm")
    assert arm.stream == Arm.from_directory(tiny_path / "arm").stream
    assert (tmp_path / "run" / "arm" / "config.json").read_bytes() == (tiny_path / "arm" / "config.json").read_bytes()


def test_clips_too_short_are_named(tiny_path: Path, tmp_path: Path) -> None:
    _, layout, _ = tiny_arm(tiny_path)
    short = write(tmp_path / "clips", layout, 3, 3)
    stories = write(tmp_path / "stories", layout, 20, 3, 3)
    arguments = {"init": tiny_path / "arm", "stories": stories, "clips": short, "heldout": short, "out": tmp_path / "o"}
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    with pytest.raises(ValueError, match="clips of 3 frames") as error:
        CliRunner().invoke(storyworld, ["train_video", *words], catch_exceptions=False)
    assert "\n" not in str(error.value)


def test_too_few_stories_to_measure_are_named(tiny_path: Path, tmp_path: Path) -> None:
    _, layout, tokenizer = tiny_arm(tiny_path)
    few = read_stories(write(tmp_path / "few", layout, 9, 3, 3), tokenizer)
    with pytest.raises(ValueError, match=r"few: 9 stories; training takes 10 or more") as error:
        held_back(tmp_path / "few", few)
    assert "\n" not in str(error.value)
