"""Pictures of frames on their way: the draft and estimates x0, which change no draw and come once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.constraints import Constraints
from acdc.engine.options import make_options
from acdc.engine.options.partial_images import estimated_steps
from acdc.engine.outputs import Frame, PartialImage, Phase
from acdc.engine.pipeline.phases import Phases
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import FrameDone, PartialReady
from acdc.engine.scheduler.policy import SERIAL
from acdc.engine.sdedit import correct
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.observer import Observer
from acdc.kernels.cfg_ddim import cfg_ddim_reference
from tests.helpers.many_stories import SMALL, same, spoil

SENTENCES = ("Lu the cat sat in a garden.", "She hid.")
SIX = {"num_inference_steps": 12}  # of which 6 run
WANTED = {"none": 0, "draft": 1, "three": 3, "indexes": (0, 4)}


@given(st.integers(0, 9), st.integers(1, 60))
def test_estimates_are_evenly_spaced_and_come_before_the_last_step(wanted, steps_run):
    steps = estimated_steps(wanted, steps_run)
    assert list(steps) == sorted(set(steps))
    assert all(0 <= step < steps_run - 1 for step in steps)
    assert len(steps) <= max(0, wanted - 1)
    if steps_run >= 2 * wanted > 2:
        assert len(steps) == wanted - 1
        gaps = np.diff([-1, *steps, steps_run - 1])
        assert gaps.max() - gaps.min() <= 1
    assert estimated_steps(3, 10) == (3, 6)


@pytest.fixture(scope="module")
def streamed(exact_engine):
    """By what is wanted: partial images and frames of the serial loop."""
    found: dict[str, tuple[list[PartialImage], list[Frame]]] = {}
    for name, wanted in WANTED.items():
        partials: list[PartialImage] = []
        story = exact_engine.stream(SENTENCES, seed=5, partial_images=wanted, on_partial=partials.append, **SIX)
        found[name] = partials, list(story)
    return found


def test_partial_images_change_no_frame(streamed):
    steps = {"none": [], "draft": [None], "three": [None, 1, 3], "indexes": [None, 0, 4]}
    for name, (partials, frames) in streamed.items():
        same(frames, streamed["none"][1])
        expected = [(index, number, step) for index in range(2) for number, step in enumerate(steps[name])]
        assert [(one.index, one.number, one.step) for one in partials] == expected
        for one in partials:
            assert one.image.shape == frames[0].image.shape
            assert np.array_equal(one.image, frames[one.index].draft) == (one.step is None)


@pytest.mark.long
@pytest.mark.parametrize("config", [SMALL, SERIAL], ids=["slots", "inline"])
def test_many_stories_hand_out_what_the_serial_loop_does(exact_engine, streamed, config):
    """Stories that want other pictures, or none, in the same launches."""
    requests = [StoryRequest(name, SENTENCES, 5, partial_images=wanted) for name, wanted in WANTED.items()]
    partials: dict[str, list[PartialImage]] = {name: [] for name in WANTED}
    frames: dict[str, list[Frame]] = {name: [] for name in WANTED}
    for event in exact_engine.generate_many(requests, pipelining=config, **SIX).events():
        if isinstance(event, PartialReady):
            assert event.partial.index == len(frames[event.request.id]), "before its frame"
            partials[event.request.id].append(event.partial)
        else:
            assert isinstance(event, FrameDone)
            frames[event.request.id].append(event.frame)
    for name in WANTED:
        same(frames[name], streamed["none"][1])
        check_equal(partials[name], streamed[name][0])


def check_equal(mine: list[PartialImage], theirs: list[PartialImage]) -> None:
    assert [(one.index, one.number, one.step) for one in mine] == [(one.index, one.number, one.step) for one in theirs]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(mine, theirs, strict=True))


def test_a_frame_that_is_begun_again_shows_nothing_twice(exact_engine, streamed):
    many = exact_engine.generate_many([StoryRequest("a", SENTENCES, 5, partial_images=3)], pipelining=SMALL, **SIX)
    fails = iter([True, False, True])
    spoil(many, Phase.SDEDIT, lambda works: next(fails, False), after=True)
    check_equal([one.partial for one in many.events() if isinstance(one, PartialReady)], streamed["three"][0])


def test_results_of_whole_stories_are_without_them(exact_engine, streamed):
    (result,) = exact_engine.generate_many([StoryRequest("a", SENTENCES, 5, partial_images=3)], **SIX)
    same(result.frames, streamed["none"][1])


def test_a_frame_that_is_not_corrected_has_none(exact_engine):
    partials: list[PartialImage] = []
    options = {**SIX, "correct_first": 1}
    list(exact_engine.stream(SENTENCES, seed=5, partial_images=2, on_partial=partials.append, **options))
    assert [(one.index, one.step) for one in partials] == [(0, None), (0, 2)]


def test_an_estimate_outside_of_a_mask_is_the_draft(exact_engine):
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    partials: list[PartialImage] = []
    wanted = {"partial_images": 2, "on_partial": partials.append, "constraints": Constraints(masks={1: mask})}
    list(exact_engine.stream(SENTENCES[:1], seed=5, **wanted, **SIX))
    draft, estimate = (one.image for one in partials)
    assert np.array_equal(draft[mask == 0], estimate[mask == 0])
    assert not np.array_equal(draft, estimate)


@torch.inference_mode()
def test_an_estimate_is_what_a_schedule_that_ends_there_gives(exact_engine, monkeypatch):
    """DDIM's last step, to alpha-bar 1, returns x0; also where a kernel takes the steps, which shows none."""
    corrector = exact_engine.models.corrector
    correction = Correction(corrector, make_options(**SIX).resolved(exact_engine.defaults))
    pixels = torch.rand(2, 3, 16, 16, dtype=torch.float64) * 2 - 1
    conditioning, _ = correction.condition(["a cat", "a dog"])
    seen: dict[int, torch.Tensor] = {}
    observer = Observer([0, (2,)], lambda row, number, step, shown: seen.update({row: shown}))
    correction.run(pixels, conditioning, [1, 2], 0, observer=observer)
    assert list(seen) == [1]
    *before, last = correction.schedule.steps[:3]
    shorter = Correction(corrector, make_options(**SIX).resolved(exact_engine.defaults))
    shorter.schedule = replace(correction.schedule, steps=(*before, last._replace(alpha_next=1.0)))
    expected = shorter.run(pixels, conditioning, [1, 2], 0)[1]
    assert torch.allclose(seen[1], expected, rtol=0, atol=1e-9)

    monkeypatch.setattr(correct, "cfg_ddim", cfg_ddim_reference)  # at once, not by way of torch.library

    class ByKernel:
        config, use_triton, time_shifts = corrector.unet.config, True, corrector.unet.time_shifts
        __call__ = staticmethod(corrector.unet.__call__)

    latents, found = torch.randn(2, *correction.latent_shape(pixels), dtype=torch.float64), []
    for unet in (corrector.unet, ByKernel()):
        correct.denoise(unet, latents, conditioning, correction.schedule, looks={2: found.append})
    assert torch.allclose(*found, rtol=0, atol=1e-9)


@pytest.mark.parametrize("wanted", [-1, 1.5, (0, -1), True, "3"])
def test_what_is_neither_a_number_nor_indexes_is_refused(wanted):
    with pytest.raises(ValueError, match=r"^partial_images .* is invalid; choose a number from 0, or a tuple of steps"):
        StoryRequest("a", SENTENCES, partial_images=wanted)


def test_a_step_without_an_estimate_is_refused_before_anything_is_drawn(exact_engine):
    message = "step 5 of partial_images has no estimate: the correction runs 6 steps, .*; choose from 0 to 4"
    with pytest.raises(ValueError, match=message):
        exact_engine.stream(SENTENCES, partial_images=(0, 5), on_partial=print, **SIX)
    request = StoryRequest("a", SENTENCES, partial_images=(5,))
    (failed,) = exact_engine.generate_many([request], **SIX)
    assert "step 5 of partial_images" in str(failed.error)


def test_a_plan_of_the_whole_correction_gives_drafts_alone(exact_engine):
    models = exact_engine.models._replace(correction=lambda *_: pytest.fail("nothing runs"))
    phases = Phases(models, make_options(**SIX).resolved(exact_engine.defaults))
    phases.check_partial_images(StoryRequest("a", SENTENCES, partial_images=1))
    with pytest.raises(
        ValueError, match=r"^a plan of the whole correction gives no estimates .*; choose --backend unet"
    ):
        phases.check_partial_images(StoryRequest("a", SENTENCES, partial_images=2))


def test_who_asks_for_them_says_where_they_go(exact_engine):
    with pytest.raises(ValueError, match=r"^partial_images 3 without on_partial go nowhere; give both$"):
        exact_engine.stream(SENTENCES, partial_images=3)
