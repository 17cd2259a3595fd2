"""Videos: chunks of frames that are corrected together and entered again, against the same done by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from acdc.compile.cache import PlanCache
from acdc.engine.engine import Engine
from acdc.engine.models.lwm.clip_session import ClipSession, seen
from acdc.engine.models.lwm.video_session import LwmVideo
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.outputs import Frame, Phase
from acdc.engine.runtime.compiled import PlannedCorrection
from acdc.engine.sampling import make_sampling_params
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.pixels import to_uint8
from acdc.engine.utils.rng import Purpose, make_keys
from tests.helpers.published import randomise

CAPTION = "Benny the beagle ran."
LENGTHS = {"num_frames": 7, "chunk_frames": 3}
SHORT = {"num_inference_steps": 4, "correct_first": 1}


def codes(frames: list[Frame]) -> list[tuple[int, ...]]:
    return [frame.codes for frame in frames]


def drawn_by_hand(engine: Engine, given: list[tuple[int, ...]], frame: int) -> Tensor:
    """Frame ``frame`` after its view of ``given`` frames, in a pass of its own without a cache's history."""
    params = make_sampling_params(StoryOptions().resolved(engine.defaults))
    session = ClipSession(engine.models.arm, 1, frame + 1, 2, params)
    for one in given[:frame]:
        session.extend(torch.tensor([one]))
    session.begin([CAPTION])
    return session.generate(make_keys([0], frame, Purpose.TOKEN))


def test_a_frame_sees_the_first_and_the_last_ones() -> None:
    assert [seen(frame, 2) for frame in range(6)] == [(), (0,), (0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 4)]
    assert seen(9, 1) == (0, 8)


def test_frames_come_in_order_and_the_first_chunk_alone_is_corrected(exact_engine) -> None:
    video = exact_engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    assert [frame.index for frame in video.frames] == list(range(7))
    assert [frame.corrected for frame in video.frames] == [True] * 3 + [False] * 4
    for frame in video.frames:
        assert (frame.draft != frame.image).any() == frame.corrected
        assert {Phase.PREFILL, Phase.SAMPLE} <= {span.phase for span in frame.spans}
    together = [frame.index for frame in video.frames if Phase.SDEDIT in {span.phase for span in frame.spans}]
    assert together == [2], "its chunk's last frame"
    assert video.settings["chunk_frames"] == 3
    assert len(video.sentences) == 7


def test_later_frames_are_drawn_after_the_corrected_codes(exact_engine) -> None:
    video = exact_engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    given = codes(video.frames)
    assert given[:3] != [frame.draft_codes for frame in video.frames[:3]]
    for frame in range(3, 7):
        assert tuple(drawn_by_hand(exact_engine, given, frame)[0].tolist()) == given[frame]
    drafts = [frame.draft_codes for frame in video.frames]
    for frame in range(3):
        assert tuple(drawn_by_hand(exact_engine, drafts, frame)[0].tolist()) == drafts[frame]


def test_a_chunk_is_corrected_as_its_frames_are_with_one_noise(exact_engine) -> None:
    video = exact_engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    models = exact_engine.models
    correction = Correction(models.corrector, make_options(**SHORT).resolved(exact_engine.defaults))
    for frame in video.frames[:3]:
        conditioning, _ = correction.condition([frame.refined_prompt])
        draft = models.tokenizer.decode(torch.tensor([frame.draft_codes]))
        with torch.no_grad():
            shown = correction.run(draft, conditioning, [0], 0)
            found = models.tokenizer.encode(shown)
        assert np.abs(to_uint8(shown)[0].astype(int) - frame.image).max() <= 1
        assert tuple(found[0].tolist()) == frame.codes


def test_without_feeding_back_the_drafts_stay_in_the_context(exact_engine) -> None:
    video = exact_engine.generate_video(CAPTION, **LENGTHS, **SHORT, feed_back=False)
    plain = exact_engine.generate_video(CAPTION, **LENGTHS, correction=False)
    assert codes(video.frames) == [frame.draft_codes for frame in video.frames] == codes(plain.frames)
    assert (video.frames[0].image != plain.frames[0].image).any()


@pytest.mark.long
@pytest.mark.parametrize("done", [3, 6])
@pytest.mark.parametrize("correct_first", [0, 1, None])
def test_what_was_interrupted_goes_on_as_if_it_were_not(exact_engine, done: int, correct_first: int | None) -> None:
    options = {"num_inference_steps": 4, "correct_first": correct_first}
    whole = exact_engine.generate_video(CAPTION, **LENGTHS, **options)
    rest = exact_engine.stream_video(CAPTION, **LENGTHS, **options, done=whole.frames[:done])
    found = [frame for chunk in rest for frame in chunk]
    assert [frame.index for frame in found] == list(range(done, 7))
    for one, other in zip(found, whole.frames[done:], strict=True):
        assert one.codes == other.codes
        assert (one.image == other.image).all()


def test_frames_of_another_run_are_noticed(exact_engine) -> None:
    other = exact_engine.generate_video(CAPTION, seed=1, **LENGTHS, correction=False)
    rest = exact_engine.stream_video(CAPTION, **LENGTHS, correction=False, done=other.frames[:3])
    with pytest.raises(ValueError, match="frame 1 cannot be reproduced with these settings"):
        next(rest)


@pytest.fixture(scope="module")
def clips(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The tiny bundle with a motion adapter on its corrector."""
    path = tmp_path_factory.mktemp("clips") / "bundle"
    shutil.copytree(tiny_path, path)
    sizes = {"block_out_channels": [8, 16], "motion_layers_per_block": 1, "motion_num_attention_heads": 2}
    sizes |= {"motion_norm_num_groups": 4, "motion_max_seq_length": 4}
    randomise(diffusers.MotionAdapter(**sizes)).save_pretrained(path / "corrector" / "motion_adapter")
    raw = json.loads((path / "bundle.json").read_text())
    raw["corrector"] = {"kind": "animatediff", "path": "corrector"}
    (path / "bundle.json").write_text(json.dumps(raw))
    return Engine.from_pretrained(path, dtype="float64")


def test_a_model_of_clips_corrects_the_frames_of_a_chunk_together(clips: Engine, exact_engine) -> None:
    video = clips.generate_video(CAPTION, **LENGTHS, **SHORT)
    alone = exact_engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    assert video.frames[0].draft_codes == alone.frames[0].draft_codes
    assert (video.frames[0].image != alone.frames[0].image).any()
    draft = torch.stack([clips.models.tokenizer.decode(torch.tensor([f.draft_codes]))[0] for f in video.frames[:3]])
    correction = Correction(clips.models.corrector, make_options(**SHORT).resolved(clips.defaults))
    conditioning, _ = correction.condition([video.frames[0].refined_prompt])
    with torch.no_grad():
        shown = correction.run(draft[None], conditioning, [0], 0)[0]
    assert np.abs(to_uint8(shown).astype(int) - np.stack(video.images[:3])).max() <= 1


@pytest.mark.long
@pytest.mark.parametrize("together", [True, False])
def test_a_plan_of_the_whole_correction_gives_the_same_video(
    clips: Engine, tiny_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """By a stand-in for a plan that runs the module as it is: what is proved is the way to it and back."""
    engine = clips if together else Engine.from_pretrained(tiny_path, dtype="float64")
    wanted = engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    planned = PlannedCorrection(engine.models.corrector, engine.models.tokenizer, "eager", PlanCache())
    monkeypatch.setattr(engine, "models", engine.models._replace(correction=planned))
    found = engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    assert len(planned.wholes) == 1, "the plan was used"
    assert codes(found.frames) == codes(wanted.frames)
    assert all((one == other).all() for one, other in zip(found.images, wanted.images, strict=True))


def test_a_chunk_longer_than_the_motion_modules_know_is_refused(clips: Engine) -> None:
    with pytest.raises(ValueError, match="chunk_frames 5 is more than the motion modules know; choose at most 4"):
        clips.generate_video(CAPTION, num_frames=5, chunk_frames=5)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (1, "1 finished frames are not whole chunks of 3"),
        (5, "5 finished"),
        (8, "8 finished frames are not whole chunks"),
    ],
)
def test_finished_frames_are_whole_chunks(exact_engine, done: int, said: str) -> None:
    whole = exact_engine.generate_video(CAPTION, **LENGTHS, correction=False)
    with pytest.raises(ValueError, match=said):
        exact_engine.stream_video(CAPTION, **LENGTHS, done=[*whole.frames, whole.frames[0]][:done])


@pytest.mark.parametrize("wrong", [(1, 2, 3), (99999,) * 16])
def test_damaged_codes_are_named(exact_engine, wrong: tuple[int, ...]) -> None:
    whole = exact_engine.generate_video(CAPTION, **LENGTHS, correction=False)
    done = [replace(frame, codes=wrong) if frame.index == 1 else frame for frame in whole.frames[:3]]
    with pytest.raises(ValueError, match=f"frame 2: {len(wrong)} stored codes do not fit"):
        next(exact_engine.stream_video(CAPTION, **LENGTHS, done=done))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"num_frames": 0}, "num_frames 0 is too small"),
        ({"chunk_frames": 0}, "chunk_frames 0 is too small"),
        ({"strength": 2.0}, "strength 2.0 is out of range"),
        ({"top_m": 1}, "unknown option 'top_m'"),
        ({"memory": "chat", "memory_model": "m", "memory_url": "http://127.0.0.1:9/v1"}, "choose rules or none"),
    ],
)
def test_mistakes_are_said_before_anything_is_drawn(tiny_engine, wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny_engine.generate_video(CAPTION, **wrong)


def test_an_arm_that_was_not_taught_videos_says_so(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "bundle")
    path = tmp_path / "bundle" / "arm" / "config.json"
    config = json.loads(path.read_text())
    del config["stream"]["recent_frames"]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="this ARM was not taught videos"):
        Engine.from_pretrained(tmp_path / "bundle").generate_video(CAPTION)


def test_an_lwm_stream_draws_its_videos_by_the_published_procedure(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "bundle")
    path = tmp_path / "bundle" / "arm" / "config.json"
    config = json.loads(path.read_text())
    config["stream"] |= {"video_prefix": [5, 6], "prefix": [5, 7], "suffix": [8]}
    path.write_text(json.dumps(config))
    engine = Engine.from_pretrained(tmp_path / "bundle", dtype="float64")
    arm = engine.models.arm
    session = arm.video_session(1, 7, make_options(arm_guidance_scale=2.0).resolved(engine.defaults))
    assert isinstance(session, LwmVideo)
    video = engine.generate_video(CAPTION, **LENGTHS, **SHORT, arm_guidance_scale=2.0)
    session.begin([CAPTION])
    assert tuple(session.generate(make_keys([0], 0, Purpose.TOKEN))[0].tolist()) == video.frames[0].draft_codes
    rest = engine.stream_video(CAPTION, **LENGTHS, **SHORT, arm_guidance_scale=2.0, done=video.frames[:3])
    assert [frame.codes for chunk in rest for frame in chunk] == codes(video.frames[3:])
