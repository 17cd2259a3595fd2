"""Bodies by the names of OpenAI's client: what they come to, and which field of a bad one is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from acdc.engine.options import make_options
from acdc.engine.server.openai.chat_fields import ChatFields
from acdc.engine.server.openai.fields import OwnFields
from acdc.engine.server.openai.picture_fields import EditFields, GenerationFields, check_size
from acdc.engine.server.openai.refusal import Refusal, refusal_of
from acdc.engine.server.openai.video_fields import VideoFields

MODELS = (GenerationFields, EditFields, ChatFields, VideoFields)
CAT = {"prompt": "A cat sat."}


def read(model: type[OwnFields], body: object, strict: bool | None = None) -> OwnFields:
    """The checked fields; ``Refusal`` as a route raises it."""
    try:
        fields = model.model_validate(body, strict=strict)
    except ValidationError as error:
        raise refusal_of(error) from None
    if isinstance(fields, VideoFields):
        fields.check(draws_clips=True)
    else:
        fields.check()
    fields.options()
    return fields


def refusal(model: type[OwnFields], body: object, strict: bool | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(model, body, strict)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_plain_request_leaves_everything_to_the_bundle():
    fields = read(GenerationFields, CAT)
    assert (fields.story(), fields.options(), fields.n, fields.output_format) == (("A cat sat.",), {}, 1, "png")


def test_lines_are_a_story_and_sentences_replace_them():
    assert read(GenerationFields, {"prompt": " One.\n\n Two. \n"}).story() == ("One.", "Two.")
    assert read(GenerationFields, {**CAT, "sentences": ["One.", "Two."]}).story() == ("One.", "Two.")


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({"quality": "low"}, {"num_inference_steps": 10}),
        ({"quality": "medium"}, {"num_inference_steps": 20}),
        ({"quality": "hd"}, {"num_inference_steps": 50}),
        ({"quality": "standard"}, {}),
        ({"quality": "low", "num_inference_steps": 4}, {"num_inference_steps": 4}),
        ({"strength": 1, "negative_prompt": "blur"}, {"strength": 1.0, "negative_prompt": "blur"}),
        ({"acdc": {"strength": 0.4, "sampler": "ddpm"}}, {"strength": 0.4, "sampler": "ddpm"}),
        ({"strength": 0.4, "acdc": {"strength": 0.4}}, {"strength": 0.4}),
        ({"correction": False, "guidance_scale": None}, {"correction": False}),
    ],
)
def test_fields_become_options_of_the_story(body, options):
    assert read(GenerationFields, {**CAT, **body}).options() == options
    make_options(**options)


def test_fidelity_is_strength_unless_that_is_given():
    assert read(EditFields, {**CAT, "input_fidelity": "high"}).options() == {"strength": 0.4}
    assert read(EditFields, {**CAT, "input_fidelity": "low", "strength": 0.2}).options() == {"strength": 0.2}


@pytest.mark.parametrize(
    ("model", "body", "param", "code"),
    [
        (GenerationFields, {}, "prompt", "missing_required_parameter"),
        (GenerationFields, {**CAT, "n": 0}, "n", "invalid_value"),
        (GenerationFields, {**CAT, "n": 11}, "n", "invalid_value"),
        (GenerationFields, {**CAT, "n": True}, "n", "invalid_value"),
        (GenerationFields, {**CAT, "n": "2"}, "n", "invalid_value"),
        (GenerationFields, {**CAT, "colour": "red"}, "colour", "unknown_parameter"),
        (GenerationFields, {**CAT, "quality": "ultra"}, "quality", "invalid_value"),
        (GenerationFields, {**CAT, "output_format": "svg"}, "output_format", "unsupported_parameter"),
        (GenerationFields, {**CAT, "response_format": "url"}, "response_format", "unsupported_parameter"),
        (GenerationFields, {**CAT, "background": "transparent"}, "background", "unsupported_parameter"),
        (GenerationFields, {**CAT, "output_compression": 50}, "output_compression", "unsupported_parameter"),
        (GenerationFields, {**CAT, "svg": {"model": "x"}}, "svg", "unsupported_parameter"),
        (GenerationFields, {**CAT, "complexity": "low"}, "complexity", "unsupported_parameter"),
        (GenerationFields, {**CAT, "partial_images": 1}, "partial_images", "invalid_value"),
        (GenerationFields, {**CAT, "stream": True, "partial_images": 4}, "partial_images", "invalid_value"),
        (GenerationFields, {"prompt": "One.\nTwo.", "n": 2}, "n", "invalid_value"),
        (GenerationFields, {**CAT, "frame_count": 2}, "frame_count", "unsupported_parameter"),
        (GenerationFields, {**CAT, "output_format": "gif", "frame_count": 2}, "frame_count", "invalid_value"),
        (GenerationFields, {**CAT, "output_format": "gif", "stream": True}, "stream", "unsupported_parameter"),
        (GenerationFields, {**CAT, "strength": 1.5}, "strength", "invalid_value"),
        (GenerationFields, {**CAT, "guidance_scale": float("nan")}, "guidance_scale", "invalid_value"),
        (GenerationFields, {**CAT, "acdc": {"sampler": "x"}}, "acdc.sampler", "invalid_value"),
        (GenerationFields, {**CAT, "acdc": {"memory": "rules"}}, "acdc.memory", "unknown_parameter"),
        (GenerationFields, {**CAT, "seed": 1, "acdc": {"seed": 2}}, "acdc.seed", "invalid_value"),
        (GenerationFields, {**CAT, "seed": -1}, "seed", "invalid_value"),
        (GenerationFields, {**CAT, "seed": 2**64}, "seed", "invalid_value"),
        (GenerationFields, [], None, "invalid_value"),
        (EditFields, {**CAT, "output_format": "gif"}, "output_format", "unsupported_parameter"),
        (EditFields, {**CAT, "correction": False}, "correction", "unsupported_parameter"),
        (EditFields, {**CAT, "temperature": 0.5}, "temperature", "unsupported_parameter"),
        (EditFields, {**CAT, "acdc": {"top_p": 0.5}}, "acdc.top_p", "unsupported_parameter"),
        (EditFields, {**CAT, "include_drafts": True}, "include_drafts", "unsupported_parameter"),
        (GenerationFields, {**CAT, "n": 2, "stream": True}, "n", "unsupported_parameter"),
        (EditFields, {**CAT, "sentences": ["One."]}, "sentences", "unknown_parameter"),
        (VideoFields, {**CAT, "seconds": "four"}, "seconds", "invalid_value"),
        (VideoFields, {**CAT, "seconds": "600", "fps": 60}, "seconds", "invalid_value"),
        (VideoFields, {**CAT, "seconds": 4, "fps": 8, "num_frames": 30}, "num_frames", "invalid_value"),
        (VideoFields, {"prompt": "One.\nTwo.", "num_frames": 2}, "num_frames", "unsupported_parameter"),
        (VideoFields, {**CAT, "input_reference": "x"}, "input_reference", "unsupported_parameter"),
    ],
)
def test_a_refusal_names_the_field(model, body, param, code):
    found = refusal(model, body)
    assert (found.param, found.code) == (param, code)


def test_forms_carry_numbers_as_texts():
    fields = read(EditFields, {**CAT, "n": "2", "stream": "false", "seed": "7", "strength": "0.3"}, strict=False)
    assert (fields.n, fields.stream, fields.seed, fields.strength) == (2, False, 7, 0.3)
    assert refusal(EditFields, {**CAT, "n": "many"}, strict=False).param == "n"


def test_sizes_are_the_bundles_own():
    for size in (None, "auto", "64x64"):
        check_size(size, ["64x64"])
    with pytest.raises(Refusal, match="choose auto or 64x64") as caught:
        check_size("1024x1024", ["64x64"])
    assert (caught.value.param, caught.value.code) == ("size", "invalid_size")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(data=st.data(), model=st.sampled_from(MODELS))
def test_any_json_is_read_or_refused_in_one_line(data, model):
    names = st.sampled_from([*model.model_fields, "else"])
    body = data.draw(st.dictionaries(names, JSON, max_size=5) | JSON)
    refused: Refusal | None = None
    try:
        read(model, body)
    except Refusal as error:
        refused = error
    assert "\n" not in str(refused)
    json.dumps([str(refused), getattr(refused, "param", None), getattr(refused, "code", None)])


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_becomes_of_it(model):
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.json_schema_extra["status"] in ("honoured", "refused", "ignored"), name
