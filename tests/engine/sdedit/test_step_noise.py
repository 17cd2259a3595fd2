"""Noise of a sampler's steps depends on seed, frame and step alone: batches, clips and resumes change nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from acdc.engine.cli.main import main
from acdc.engine.options import make_options
from acdc.engine.sdedit.correction import Correction
from acdc.engine.utils.rng import Purpose
from tests.helpers.cli_runs import STORY, files, refuse
from tests.helpers.many_stories import same

SEEDS = [3, 4, 5]
SENTENCES = ["Benny the beagle sat in a garden.", "He ran."]
DRAWING = ["lcm", "tcd", "euler-ancestral"]


def correction_of(engine, **options):
    return Correction(engine.models.corrector, make_options(num_inference_steps=8, **options).resolved(engine.defaults))


def test_draws_of_a_batch_are_those_of_each_story(tiny_engine):
    correction, pixels = correction_of(tiny_engine, sampler="lcm"), torch.zeros(3, 3, 16, 16)
    together = correction.step_noise(pixels, SEEDS, [0, 7, 2])
    assert together.shape == (3, 3, 4, 4, 4), "4 steps, of which the last draws nothing"
    for row, (seed, index) in enumerate(zip(SEEDS, [0, 7, 2], strict=True)):
        alone = correction.step_noise(pixels[:1], [seed], index)
        assert torch.equal(together[:, row], alone[:, 0])


def test_no_two_draws_are_alike(tiny_engine):
    correction, pixels = correction_of(tiny_engine, sampler="lcm"), torch.zeros(2, 3, 16, 16)
    found = [*correction.step_noise(pixels, [3, 4], 0).flatten(0, 1), *correction.step_noise(pixels, [3, 4], 1)[:, 0]]
    found += [correction.noise(pixels[:1], [3], 0, purpose)[0] for purpose in (Purpose.NOISE, Purpose.POSTERIOR)]
    assert len({value.flatten()[0].item() for value in found}) == len(found)


def test_a_clip_draws_for_each_of_its_frames(tiny_engine):
    correction = correction_of(tiny_engine, sampler="euler-ancestral")
    clip = correction.step_noise(torch.zeros(2, 5, 3, 16, 16), [3, 4], 1)
    assert clip.shape == (3, 2, 5, 4, 4, 4)
    assert torch.equal(clip[:, :, 0], correction.step_noise(torch.zeros(2, 3, 16, 16), [3, 4], 1))
    assert torch.equal(clip[:, :, :2], correction.step_noise(torch.zeros(2, 2, 3, 16, 16), [3, 4], 1))
    assert len(set(clip[..., 0, 0, 0].flatten().tolist())) == 30


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpm-solver++"])
def test_a_sampler_without_noise_draws_none(tiny_engine, sampler):
    assert correction_of(tiny_engine, sampler=sampler).step_noise(torch.zeros(1, 3, 16, 16), [3], 0) is None


@pytest.mark.long
@pytest.mark.parametrize("sampler", DRAWING)
def test_batched_equals_alone_and_resumed_equals_undisturbed(exact_engine, sampler):
    options = {"sampler": sampler, "num_inference_steps": 4, "strength": 0.75}
    batch = exact_engine.generate_batch([SENTENCES] * 2, seeds=[3, 4], **options)
    for result, seed in zip(batch, [3, 4], strict=True):
        whole = exact_engine.generate(SENTENCES, seed=seed, **options)
        same(result.frames, whole.frames)
    resumed = list(exact_engine.stream(SENTENCES, seed=4, done=whole.frames[:1], **options))
    same(resumed, whole.frames[1:])
    assert whole.settings["sampler"] == sampler
    assert whole.start["steps_run"] == 3


@pytest.mark.parametrize("sampler", DRAWING)
def test_what_a_video_was_interrupted_in_goes_on(exact_engine, sampler):
    options = {"sampler": sampler, "num_inference_steps": 2, "strength": 1.0, "num_frames": 4, "chunk_frames": 2}
    whole = exact_engine.generate_video("A cat ran.", seed=2, **options)
    resumed = exact_engine.stream_video("A cat ran.", seed=2, done=whole.frames[:2], **options)
    same([frame for chunk in resumed for frame in chunk], whole.frames[2:])


def test_the_command_says_what_runs_and_records_it(capsys, own_folder, tiny):
    argv = ["story", *STORY[:1], "--bundle", tiny, "--out", "o", "--sampler", "euler", "--steps", "4"]
    argv += ["--set", "correction.timestep_spacing=trailing"]
    assert main(argv) == 0
    assert capsys.readouterr().err.startswith("acdc: the correction runs 2 of 4 steps of euler, from timestep 499\n")
    record = json.loads(Path("o/story.json").read_text())
    assert record["settings"]["sampler"] == "euler"
    assert record["start"]["timestep"] == 499
    assert record["start"]["steps_run"] == 2
    assert "sampler was 'euler', now 'ddim'" in refuse(capsys, *argv[:6], "--steps", "4", "--resume")


def test_a_strength_without_a_step_is_one_line_with_the_choices(capsys, own_folder, tiny):
    line = refuse(capsys, "story", *STORY, "--bundle", tiny, "--steps", "4", "--strength", "0.2")
    assert "strength 0.2 leaves no step of 4; choose strength 0.25, 0.5, 0.75 or 1, or 5 steps or more" in line
    assert files(".") == {}


def test_samplers_differ(tiny_engine):
    """None of them is another one by mistake."""
    options = {"num_inference_steps": 4, "seed": 3}
    shown = [tiny_engine.generate(SENTENCES[:1], sampler=name, **options).images[0] for name in [None, *DRAWING]]
    assert all(not np.array_equal(a, b) for i, a in enumerate(shown) for b in shown[:i])
