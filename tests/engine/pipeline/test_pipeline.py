"""Invariants of the whole loop, on a tiny random bundle; float64 where they are algorithmic."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acdc.engine.models.diffusion.schedule import Schedule
from acdc.engine.options import StoryOptions
from acdc.engine.outputs import Phase
from acdc.engine.sdedit.correction import Correction
from tests.helpers.margin import check_same_story

SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log.", "He woke."]
OTHERS = ["Lu, a very small cat, lived in a forest far away.", "She hid.", "Lu ran to the lake at night.", "She sang."]
QUICK = {"num_inference_steps": 6}
VARIANTS = [
    {},
    {"context": "full"},
    {"correction": False, "context": "full"},
    {"correct_first": 2, "context": "full"},
    {"correct_every": 2},
    {"feed_back": False, "context": "full"},
    {"arm_guidance_scale": 2.0, "context": "full"},
    {"top_k": 5, "temperature": 0.7, "sample_posterior": True},
]
IDS = [" ".join(f"{k}={v}" for k, v in variant.items()) or "defaults" for variant in VARIANTS]


def same(one, other):
    """Equal to the last bit, times aside."""
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        for name in ("index", "refined_prompt", "cut_prompt", "corrected", "draft_codes", "codes"):
            assert getattr(mine, name) == getattr(theirs, name), name
        assert np.array_equal(mine.draft, theirs.draft)
        assert np.array_equal(mine.image, theirs.image)


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_streaming_equals_batch_and_resume_equals_an_undisturbed_run(tiny_engine, variant):
    whole = tiny_engine.generate(SENTENCES, seed=3, **QUICK, **variant).frames
    same(list(tiny_engine.stream(SENTENCES, seed=3, **QUICK, **variant)), whole)
    for done in range(len(SENTENCES) + 1):
        rest = list(tiny_engine.stream(SENTENCES, seed=3, done=whole[:done], **QUICK, **variant))
        same(rest, whole[done:])


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_a_story_does_not_depend_on_its_neighbours(exact_engine, variant):
    """Batched equals single in float64 with zero flips, although the texts are ragged."""
    together = exact_engine.generate_batch([SENTENCES, OTHERS], seeds=[3, 4], **QUICK, **variant)
    for result, sentences, seed in zip(together, (SENTENCES, OTHERS), (3, 4), strict=True):
        alone = exact_engine.generate(sentences, seed=seed, **QUICK, **variant)
        assert [f.codes for f in result.frames] == [f.codes for f in alone.frames]
        assert [f.draft_codes for f in result.frames] == [f.draft_codes for f in alone.frames]


@pytest.mark.long
def test_batches_and_threads_in_float32_agree_by_the_margin_rule(tiny_engine):
    before = torch.get_num_threads()
    flips = 0
    try:
        for seed in range(3):
            torch.set_num_threads(1)
            alone = tiny_engine.generate(SENTENCES, seed=seed, **QUICK)
            together = tiny_engine.generate_batch([SENTENCES, OTHERS], seeds=[seed, 4], **QUICK)[0]
            torch.set_num_threads(2)
            threaded = tiny_engine.generate(SENTENCES, seed=seed, **QUICK)
            flips += check_same_story(tiny_engine, alone, together) + check_same_story(tiny_engine, alone, threaded)
    finally:
        torch.set_num_threads(before)
    assert flips <= 1, f"{flips} near ties in 6 comparisons is more than rounding explains"


@given(seed=st.integers(0, 2**64 - 1), first=st.integers(0, 4), every=st.integers(1, 4))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_the_chosen_frames_are_corrected(tiny_engine, seed, first, every):
    result = tiny_engine.generate(SENTENCES, seed=seed, correct_first=first, correct_every=every, **QUICK)
    for frame in result.frames:
        assert frame.corrected == (frame.index < first and frame.index % every == 0)
        ran = {phase for phase, ms in frame.phases_ms.items() if ms > 0}
        always = {Phase.MEMORY, Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE}
        extra = {Phase.SDEDIT, Phase.VQ_ENCODE} if frame.corrected else set()
        extra |= {Phase.UPDATE_CONTEXT} if frame.corrected and frame.index + 1 < len(SENTENCES) else set()
        assert ran == always | extra
        assert frame.corrected or np.array_equal(frame.draft, frame.image)
        assert frame.corrected or frame.draft_codes == frame.codes


def test_corrected_tokens_reach_the_next_frame(exact_engine):
    """The first frame is drawn alike with and without correction; the second sees other tokens."""
    plain, corrected, shown_only = (
        exact_engine.generate(SENTENCES, seed=1, **QUICK, **options)
        for options in ({"correction": False}, {}, {"feed_back": False})
    )
    assert plain.frames[0].draft_codes == corrected.frames[0].draft_codes == shown_only.frames[0].draft_codes
    assert corrected.frames[0].codes != corrected.frames[0].draft_codes
    assert [f.draft_codes for f in plain.frames] == [f.draft_codes for f in shown_only.frames]
    assert plain.frames[1].draft_codes != corrected.frames[1].draft_codes


def test_no_executed_step_is_the_autoencoders_round_trip(exact_engine):
    models = exact_engine.models
    correction = Correction(models.corrector, StoryOptions().resolved(exact_engine.defaults))
    correction.schedule = Schedule(correction.schedule.config, ())
    pixels = torch.rand(2, 3, 16, 16, dtype=torch.float64) * 2 - 1
    conditioning, _ = correction.condition(["a cat", "a bear"])
    expected = models.corrector.vae.decode(models.corrector.vae.encode(pixels)[0]).clamp(-1, 1)
    torch.testing.assert_close(correction.run(pixels, conditioning, [0, 1], 0), expected, rtol=0, atol=1e-12)


def test_an_initial_picture_is_the_first_draft(tiny_engine):
    from PIL import Image

    picture = Image.new("RGB", (40, 30), (200, 80, 20))
    frames = list(tiny_engine.stream(SENTENCES, seed=1, init_image=picture, correction=False))
    drawn = tiny_engine.generate(SENTENCES, seed=1, correction=False).frames
    assert frames[0].draft_codes != drawn[0].draft_codes
    assert len(set(frames[0].draft_codes)) < len(set(drawn[0].draft_codes)), "one colour needs few codes"


def test_a_refined_prompt_that_is_too_long_loses_its_end(tiny_engine):
    long = ["Benny the beagle sat in a garden.", "He thought about " + "very " * 40 + "old bones."]
    frames = tiny_engine.generate(long, **QUICK).frames
    assert frames[1].cut_prompt is not None
    assert frames[1].refined_prompt.lower().startswith(frames[1].cut_prompt.lower()[:20])
    assert len(frames[1].cut_prompt) < len(frames[1].refined_prompt)


def test_resuming_from_frames_of_another_seed_is_refused(tiny_engine):
    foreign = tiny_engine.generate(SENTENCES, seed=9, correction=False).frames
    with pytest.raises(ValueError, match="frame 1"):
        list(tiny_engine.stream(SENTENCES, seed=8, correction=False, done=foreign[:1]))


@pytest.mark.parametrize("codes", [(0,) * 15, (0,) * 15 + (32,), (0,) * 15 + (-1,)])
def test_stored_codes_that_do_not_fit_are_refused(tiny_engine, codes):
    frame = replace(tiny_engine.generate(SENTENCES[:1], seed=8, **QUICK).frames[0], codes=codes)
    with pytest.raises(ValueError, match="16 codes from 0 to 31"):
        list(tiny_engine.stream(SENTENCES, seed=8, done=[frame], **QUICK))
