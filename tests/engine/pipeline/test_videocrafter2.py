"""VideoCrafter2 in the loops: videos, stories one after another and concurrent, what was interrupted, any clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acdc.engine import Corrector
from acdc.engine.cli import video as video_command
from acdc.engine.cli.main import main
from acdc.engine.engine import Engine
from acdc.engine.loading.families import videocrafter2 as family
from acdc.engine.options import make_options
from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.pixels import to_uint8
from tests.helpers.cli_runs import files, without_times
from tests.helpers.many_stories import SMALL, STORIES, Alone, many_of, same
from tests.helpers.videocrafter2 import SMALL_SIZES, clip_bundle, write_model

CAPTION = "Benny the beagle ran."
LENGTHS = {"num_frames": 5, "chunk_frames": 3}
SHORT = {"num_inference_steps": 4, "correct_first": 1}


@pytest.fixture(scope="module")
def path(tiniest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_bundle(tiniest_path, tmp_path_factory.mktemp("clips") / "bundle")


@pytest.fixture(scope="module")
def engine(path: Path) -> Engine:
    return Engine.from_pretrained(path, dtype="float64")


def test_the_frames_of_a_chunk_are_corrected_together(engine: Engine) -> None:
    video = engine.generate_video(CAPTION, **LENGTHS, **SHORT)
    assert [frame.corrected for frame in video.frames] == [True] * 3 + [False] * 2
    assert [frame.index for frame in video.frames if Phase.SDEDIT in {span.phase for span in frame.spans}] == [2]
    assert video.settings["guidance_scale"] == 12, "the kind's own, which the bundle leaves open"
    drafts = [engine.models.tokenizer.decode(torch.tensor([frame.draft_codes]))[0] for frame in video.frames[:3]]
    correction = Correction(engine.models.corrector, make_options(**SHORT).resolved(engine.defaults))
    conditioning, _ = correction.condition([CAPTION])
    with torch.no_grad():
        shown = correction.run(torch.stack(drafts)[None], conditioning, [0], 0)[0]
    assert np.abs(to_uint8(shown).astype(int) - np.stack(video.images[:3])).max() <= 1


def test_the_frame_rate_is_an_input(engine: Engine, exact_engine: Engine) -> None:
    plain, same_rate, other = (
        engine.generate_video(CAPTION, num_frames=2, chunk_frames=2, **SHORT, **rate).images
        for rate in ({}, {"correction_fps": 16}, {"correction_fps": 30})
    )
    assert np.array_equal(plain, same_rate)
    assert not np.array_equal(plain, other)
    with pytest.raises(ValueError, match="correction_fps 30 would do nothing: the diffusion model reads no frame rate"):
        exact_engine.generate([CAPTION], correction_fps=30)
    with pytest.raises(ValueError, match="correction_fps 0 is too small"):
        make_options(correction_fps=0)


def test_a_chunk_longer_than_its_training_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="chunk_frames 5 is more than the motion modules know; choose at most 4"):
        engine.generate_video(CAPTION, num_frames=5, chunk_frames=5)


@pytest.mark.long
@pytest.mark.parametrize("config", [SMALL, SchedulerConfig(slots=3, stories=5)])
def test_concurrent_stories_are_those_of_the_serial_loop(engine: Engine, config: SchedulerConfig) -> None:
    """Frames of stories are clips of one frame."""
    alone = Alone(engine)
    results = {result.seed: result for result in many_of(engine, config)}
    for request in STORIES:
        same(results[request.seed].frames, alone(request))


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.long
def test_a_killed_video_goes_on(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["video", "--prompt", CAPTION, "--bundle", str(path), "--frames", "4", "--chunk-frames", "2"]
    command += ["--steps", "4", "--correct-first", "2", "--dtype", "float64", "--out"]
    assert main([*command, "whole"]) == 0
    add, left = video_command.StoryWriter.add, [3]

    def kill(self, story, frame) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        add(self, story, frame)

    with monkeypatch.context() as patch:
        patch.setattr(video_command.StoryWriter, "add", kill)
        with pytest.raises(Killed):
            main([*command, "parts"])
    assert main([*command, "parts", "--resume"]) == 0
    whole, parts = files("whole"), files("parts")
    assert all(whole[name] == parts[name] for name in whole if name.startswith("frames/"))
    assert without_times("whole") == without_times("parts")


@pytest.mark.long
def test_a_folder_with_the_published_file_corrects_clips(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the library and by the command, at the size of training; a bundle's corrector is the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(family, "SIZES", SMALL_SIZES)
    write_model(tmp_path / "VideoCrafter2")
    corrector = Corrector.from_pretrained(tmp_path / "VideoCrafter2", backend="eager")
    assert corrector.clip_frames == 4
    assert corrector.native == 16
    frames = list(np.random.default_rng(0).integers(0, 256, (4, 8, 12, 3), np.uint8))
    shown = corrector.clip(frames, CAPTION, num_inference_steps=4)
    assert [one.shape for one in shown] == [(8, 12, 3)] * 4
    of_bundle = Corrector.from_pretrained(path, backend="eager").clip(frames, CAPTION, num_inference_steps=4)
    assert np.array_equal(shown, of_bundle)
    alone = corrector.clip(frames[:1], CAPTION, num_inference_steps=4)
    assert not np.array_equal(alone[0], shown[0])
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save("clip.png", save_all=True, append_images=rest, duration=100)
    command = ["correct", "clip.png", "--prompt", CAPTION, "--bundle", "VideoCrafter2", "--steps", "4"]
    assert main([*command, "--chunk-frames", "4", "--out", "out", "--backend", "eager"]) == 0
    record = json.loads(Path("out/correct.json").read_text())
    assert record["settings"]["guidance_scale"] == 12
    found = [np.asarray(Image.open(one)) for one in sorted(Path("out/clip_frames").glob("*.png"))]
    assert np.array_equal(found, shown)
