"""Stories of the tiny bundle with masks and depth maps: what changes, what stays, and what later frames see of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from acdc.engine.constraints import NONE, Constraints
from acdc.engine.engine import Engine
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.request import StoryRequest
from acdc.engine.sdedit.pixels import from_array
from tests.helpers.many_stories import QUICK, SMALL, STORIES, ended, same
from tests.helpers.tiny import tiny_controlnet

SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]
MASK = np.zeros((16, 16), np.uint8)
MASK[4:12, 4:12] = 255
INSIDE = MASK > 0
DEPTH = np.stack([np.arange(0, 256, 16, dtype=np.uint8)[None].repeat(16, 0)] * 3, -1)
WHOLE = {"num_inference_steps": 4}
SEED = 5  # of a story in which the tiny random ARM minds what it sees


@pytest.fixture(scope="module")
def control_path(tmp_path_factory):
    return tiny_controlnet(tmp_path_factory.mktemp("controlnet"))


@pytest.fixture(scope="module")
def steered(tiny_path, control_path):
    """The tiny bundle with a ControlNet, in float64."""
    return Engine.from_pretrained(tiny_path, dtype="float64", controlnet=control_path)


def test_a_mask_on_frame_2_and_what_follows_from_it(tiny_engine):
    plain = tiny_engine.generate(SENTENCES, seed=SEED, **WHOLE)
    masked = tiny_engine.generate(SENTENCES, seed=SEED, constraints=Constraints(masks={2: MASK}), **WHOLE)
    same(masked.frames[:1], plain.frames[:1])
    first, second, third = masked.frames
    assert np.array_equal(second.draft, plain.frames[1].draft)
    changed = np.abs(second.image.astype(int) - second.draft)
    assert changed[~INSIDE].max() == 0
    assert changed[INSIDE].mean() > 5
    assert masked.constraints.keys() == {"2"}
    # The ARM's context holds the constrained frame: its codes are those of what is shown, ...
    tokenizer = tiny_engine.models.tokenizer
    with torch.no_grad():
        assert second.codes == tuple(tokenizer.encode(from_array(second.image[None]))[0].tolist())
    # ... and frame 3 is what it is after a run that stopped there, and another one than without the mask.
    same(list(tiny_engine.stream(SENTENCES, seed=SEED, done=[first, second], **WHOLE)), [third])
    assert third.draft_codes != plain.frames[2].draft_codes


def test_a_canvas_is_corrected_in_place_of_the_draft(tiny_engine):
    canvas = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    found = tiny_engine.generate(
        SENTENCES, seed=SEED, constraints=Constraints(masks={2: MASK}, canvases={2: canvas}), **WHOLE
    ).frames[1]
    assert np.array_equal(found.image[~INSIDE], canvas[~INSIDE])
    assert (found.image != canvas)[INSIDE].any()
    assert not np.array_equal(found.draft, canvas)


def test_the_masks_options(tiny_engine):
    given = Constraints(masks={2: MASK})
    found = {
        name: tiny_engine.generate(SENTENCES[:2], seed=SEED, constraints=given, **WHOLE, **options).frames[1]
        for name, options in {
            "plain": {}, "same": {"mask_strength": 0.5}, "strong": {"mask_strength": 1.0}, "all": {"paste_back": False}
        }.items()
    }  # fmt: skip
    assert np.array_equal(found["plain"].image, found["same"].image)
    assert (found["plain"].image != found["strong"].image)[INSIDE].any()
    assert np.array_equal(found["strong"].image[~INSIDE], found["strong"].draft[~INSIDE])
    assert (found["all"].image != found["all"].draft)[~INSIDE].any()


@pytest.mark.long
def test_a_depth_map_steers_and_propagates(steered):
    plain = steered.generate(SENTENCES, seed=SEED, **WHOLE)
    found = steered.generate(SENTENCES, seed=SEED, constraints=Constraints(depths={2: DEPTH}), **WHOLE)
    same(found.frames[:1], plain.frames[:1])
    assert not np.array_equal(found.frames[1].image, plain.frames[1].image)
    assert found.frames[2].draft_codes != plain.frames[2].draft_codes
    assert {"controlnet_scale", "guess_mode"} <= found.settings.keys()
    assert "mask_strength" not in found.settings


@pytest.mark.long
def test_concurrent_stories_are_the_serial_ones(steered):
    """Masks of some frames of some stories, depth of others, both and neither in one launch."""
    own = [
        Constraints(masks={2: MASK}, depth=DEPTH),
        Constraints(mask=MASK),
        Constraints(depths={1: DEPTH}),
        NONE,
        Constraints(mask=MASK, masks={2: MASK[:8]}),
    ]
    stories = [replace(story, constraints=one) for story, one in zip(STORIES, own, strict=True)]
    options = {"mask_strength": 0.8, "controlnet_end": 0.6}
    frames, failed = ended(steered.generate_many(stories, pipelining=SMALL, **QUICK, **options))
    assert not failed
    for story in stories:
        chosen = {"seed": story.seed, "constraints": story.constraints}
        same(frames[story.id], steered.generate(story.sentences, **chosen, **QUICK, **options).frames)


def test_a_story_that_cannot_be_constrained_fails_alone(tiny_engine):
    stories = [StoryRequest("deep", ("A cat sat.",), 0, constraints=Constraints(depth=DEPTH)), STORIES[1]]
    frames, failed = ended(tiny_engine.generate_many(stories, **QUICK))
    assert str(failed["deep"]) == "a depth map is given, but there is no ControlNet; give --controlnet DIR"
    assert frames.keys() == {STORIES[1].id}


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ({"masks": {4: MASK}}, "mask of frame 4: the story has frames 1 to 3"),
        ({"depth": DEPTH}, "there is no ControlNet; give --controlnet DIR"),
        (
            {"masks": {2: np.eye(16, k=1, dtype=np.uint8) * 255}},
            "mask of frame 2 marks no latent of a frame of 16 x 16",
        ),
    ],
)
def test_impossible_constraints_are_refused_before_anything_is_drawn(tiny_engine, constraints, words):
    with pytest.raises(ValueError, match=words):
        tiny_engine.stream(SENTENCES, constraints=Constraints(**constraints))


def test_videos_and_whole_plans_take_none(tiny_engine, steered, tiny_path, control_path):
    with pytest.raises(ValueError, match="constraints are for the frames of stories"):
        tiny_engine.generate_video("A cat", constraints=Constraints(mask=MASK))
    with pytest.raises(ValueError, match="a ControlNet is for the frames of stories"):
        steered.generate_video("A cat", num_frames=2)
    with pytest.raises(ValueError, match="makes one plan, but there is a ControlNet; choose unet=NAME"):
        Engine.from_pretrained(tiny_path, backend="correction=openvino", controlnet=control_path)
    engine = Engine.from_pretrained(tiny_path, backend="correction=openvino")
    with pytest.raises(ValueError, match="a plan of the whole correction takes no mask or depth map"):
        engine.stream(SENTENCES, constraints=Constraints(mask=MASK))


def test_correctors_that_take_no_controlnet(tmp_path):
    clips = find_bundle("lwm+animatediff", random_weights=True)
    with pytest.raises(ValueError, match="kind animatediff takes none; choose one of kind stable-diffusion"):
        clips.steered(tmp_path, None)
    with pytest.raises(ValueError, match="does not go with random weights"):
        find_bundle("lwm+sd15", random_weights=True).steered(None, tmp_path)


def test_a_mask_as_a_picture_or_a_files_name(tiny_engine, tmp_path):
    Image.fromarray(MASK).save(tmp_path / "m.png")
    found = [
        tiny_engine.generate(SENTENCES[:1], constraints=Constraints(mask=mask), **WHOLE).frames[0].codes
        for mask in (MASK, Image.fromarray(MASK), tmp_path / "m.png")
    ]
    assert found[0] == found[1] == found[2]
