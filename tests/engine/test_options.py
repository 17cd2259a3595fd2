"""Options: each group refuses impossible values in one line; flat names, paths and groups say the same."""

import re
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.memory import MemorySettings
from acdc.engine.options import (
    FLAT_NAMES,
    ConstraintOptions,
    CorrectionOptions,
    EngineOptions,
    SamplingOptions,
    ShowOOptions,
    StoryOptions,
    make_options,
)
from acdc.engine.options.paths import default_of, parse_assignments, parse_value, paths_of, with_values
from acdc.engine.utils.field_types import FieldType

GROUPS: dict[str, type] = {
    "sampling": SamplingOptions,
    "correction": CorrectionOptions,
    "constraint": ConstraintOptions,
    "memory": MemorySettings,
    "show_o": ShowOOptions,
}
WRONG = [
    (SamplingOptions, {"temperature": -1.0}, "temperature -1.0 is out of range"),
    (SamplingOptions, {"temperature": "hot"}, "temperature 'hot' has the wrong type; choose a number or None"),
    (SamplingOptions, {"top_k": 1.5}, "top_k 1.5 has the wrong type; choose an integer or None"),
    (SamplingOptions, {"top_p": 0.0}, "top_p 0.0 is out of range; choose 0 < top_p <= 1"),
    (SamplingOptions, {"guidance_scale": float("nan")}, "arm_guidance_scale nan is out of range"),
    (SamplingOptions, {"context": "all"}, "unknown context 'all'; choose one of window, full"),
    (SamplingOptions, {"decoding": None}, "unknown decoding None; choose one of auto, sequential, parallel"),
    (CorrectionOptions, {"strength": True}, "strength True has the wrong type; choose a number"),
    (
        CorrectionOptions,
        {"sampler": "heun"},
        "unknown sampler 'heun'; choose one of ddim, ddpm, euler, euler-ancestral, lcm",
    ),
    (CorrectionOptions, {"gamma": 1.5}, "gamma 1.5 is out of range; choose 0"),
    (CorrectionOptions, {"every": 0}, "correct_every 0 is too small; choose 1 or more"),
    (CorrectionOptions, {"enabled": 1}, "enabled 1 has the wrong type; choose true or false"),
    (CorrectionOptions, {"negative_prompt": None}, "negative_prompt None has the wrong type; choose a string"),
    (ConstraintOptions, {"mask_strength": 0.0}, "mask_strength 0.0 is out of range; choose 0 < mask_strength <= 1"),
    (ConstraintOptions, {"controlnet_scale": -1.0}, "controlnet_scale -1.0 is out of range; choose 0 or more"),
    (
        ConstraintOptions,
        {"controlnet_start": 0.5, "controlnet_end": 0.5},
        "controlnet_start 0.5 and controlnet_end 0.5",
    ),
    (MemorySettings, {"name": "chat", "model": 3}, "memory_model 3 has the wrong type; choose a string or None"),
    (ShowOOptions, {"layout": "grid"}, "unknown layout 'grid'; choose one of independent, block-causal, carry-over"),
    (ShowOOptions, {"carry_over": 1.0}, "carry_over 1.0 is out of range"),
    (EngineOptions, {"dtype": "int4"}, "unknown dtype 'int4'; choose one of float32, bfloat16, float16, float64"),
    (EngineOptions, {"threads": 0}, "threads 0 is too small; choose 1 or more"),
    (StoryOptions, {"correction": False}, "correction False has the wrong type; choose CorrectionOptions"),
]


def one_line(start: str) -> str:
    """A pattern of one line that begins with that text."""
    return rf"^{re.escape(start)}[^\n]*\Z"


@pytest.mark.parametrize(("group", "values", "message"), WRONG)
def test_a_group_refuses_impossible_values_in_one_line(group, values, message):
    with pytest.raises(ValueError, match=one_line(message)):
        group(**values)


def test_flat_names_reach_every_field_of_every_group_once():
    assert sorted(FLAT_NAMES.values()) == sorted(paths_of(GROUPS))
    assert list(StoryOptions().flat()) == list(FLAT_NAMES)


@given(strength=st.floats(0.1, 1.0), top_k=st.none() | st.integers(0, 9), corrected=st.booleans())
def test_flat_keywords_and_groups_make_the_same_options(strength, top_k, corrected):
    flat = {"strength": strength, "top_k": top_k, "correction": corrected}
    options = make_options(**flat)
    assert options == StoryOptions(
        sampling=SamplingOptions(top_k=top_k), correction=CorrectionOptions(strength=strength, enabled=corrected)
    )
    assert {name: options.flat()[name] for name in flat} == flat
    assert make_options(**options.flat()) == options


def test_open_fields_take_the_bundles_values_and_given_ones_stay():
    defaults = {"temperature": 0.7, "guidance_scale": 4.0}
    options = make_options(temperature=0.0).resolved(defaults)
    assert (options.sampling.temperature, options.correction.guidance_scale) == (0.0, 4.0)


def test_values_of_a_group_are_checked_together():
    """One by one, the steps would leave no step of the strength that was there before."""
    values = {"correction.num_inference_steps": 1, "correction.strength": 1.0}
    assert with_values(StoryOptions(), values).correction.num_steps_run == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("correction.strength=0.4", 0.4),
        ("correction.size=none", None),
        ("correction.feed_back=false", False),
        ("correction.negative_prompt=a=b", "a=b"),
        ("memory.name=none", "none"),
        ("sampling.top_k=5", 5),
    ],
)
def test_assignments_are_read_in_the_type_of_their_field(text, value):
    path = text.partition("=")[0]
    values = parse_assignments([text], GROUPS)
    assert values == {path: value}
    assert attrgetter(path)(with_values(StoryOptions(), values)) == value


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["correction.strenght=1"], "unknown option 'correction.strenght'; did you mean correction.strength"),
        (["strength=1"], "unknown option 'strength'; did you mean correction.strength? choose among sampling.temp"),
        (["correction=1"], "unknown option 'correction'; "),
        (["xyzzy=1"], "unknown option 'xyzzy'; choose among sampling.temperature, "),
        (["correction.strength"], "'correction.strength' is not an assignment; give PATH=VALUE"),
        (["correction.size=1.5"], "correction.size '1.5' has the wrong type; choose an integer, or none"),
        (["correction.feed_back=yes"], "correction.feed_back 'yes' has the wrong type; choose true or false"),
        (["correction.every=none"], "correction.every 'none' has the wrong type; choose an integer"),
        (["sampling.context=all"], "unknown sampling.context 'all'; choose one of window, full"),
        (["correction.every=1", "correction.every=2"], "correction.every is given twice"),
    ],
)
def test_assignments_that_cannot_be_read(texts, message):
    with pytest.raises(ValueError, match=one_line(message)):
        parse_assignments(texts, GROUPS)


@given(st.sampled_from([int, float, str, bool]), st.text())
def test_any_text_is_read_or_refused(kind, text):
    with suppress(ValueError):
        value = parse_value("a.b", text, FieldType(kind, optional=True))
        assert value is None or isinstance(value, kind)


def test_names_of_kernels_and_formats_are_those_that_the_engine_serves():
    from acdc.engine.loading.bundle import DTYPES as SERVED
    from acdc.engine.models.layers.quantized import QUANTIZATIONS as STORED
    from acdc.engine.options import ATTENTIONS, DTYPES, QUANTIZATIONS
    from acdc.kernels.attention import ATTENTIONS as COMPUTED

    assert (tuple(SERVED), tuple(STORED), tuple(COMPUTED)) == (DTYPES, QUANTIZATIONS, ATTENTIONS)


def test_the_engines_arguments_have_the_defaults_of_its_options():
    from inspect import signature

    from acdc.engine.engine import Engine

    arguments = signature(Engine.from_pretrained).parameters
    names = {field.name for field in fields(EngineOptions)} - {"threads"}
    assert set(arguments) == names | {"cache", "num_frames"}
    assert {name: arguments[name].default for name in names} == {
        name: default_of(EngineOptions, name) for name in names
    }
