"""The library's front door: loading, options, refusals."""

import json
import shutil

import numpy as np
import pytest

from acdc.engine.engine import Engine
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.options import MAX_WORDS, StoryOptions, make_options


@pytest.fixture
def broken(tiny_path, tmp_path):
    """A copy of the tiny bundle that a test may damage."""
    return shutil.copytree(tiny_path, tmp_path / "bundle")


def test_settings_are_complete_and_ready_for_json(tiny_engine):
    settings = tiny_engine.settings(StoryOptions())
    assert json.loads(json.dumps(settings)) == settings
    assert settings["guidance_scale"] == 3.0
    open_ones = {"correct_first", "correction_size"}  # all frames, the frame's own size
    open_ones |= {"timestep_spacing", "gamma", "correction_fps"}  # the scheduler's and the UNet's own
    assert settings["sampler"] == "ddim", "which the scheduler's class names"
    of_show_o = {"arm_steps", "layout", "carry_over"}
    assert {name for name, value in settings.items() if value is None} == open_ones | of_show_o


def test_a_seed_may_be_any_integer(tiny_engine):
    recorded = {"num_inference_steps": 4}
    plain = tiny_engine.generate(["A fox ran."], seed=3, **recorded).frames[0]
    assert tiny_engine.generate(["A fox ran."], seed=np.int64(3), **recorded).frames[0].codes == plain.codes
    with pytest.raises(ValueError, match="seed -1 is out of range"):
        tiny_engine.generate(["A fox ran."], seed=-1)
    with pytest.raises(TypeError, match="integer"):
        tiny_engine.generate(["A fox ran."], seed=0.5)


def test_start_on_the_noise_schedule_is_recorded(tiny_engine):
    result = tiny_engine.generate(["Benny the beagle sat in a garden."], num_inference_steps=50)
    assert result.start["timestep"] == 481
    assert 0 < result.start["alpha_bar"] < 1
    assert result.start["steps_run"] == 25
    assert tiny_engine.start(make_options(correction=False)) == {}


def test_a_strength_that_runs_no_step_is_refused_before_anything_is_drawn(tiny_engine):
    for options in ({"strength": 0.01}, {"num_inference_steps": 4, "strength": 0.2, "sampler": "lcm"}):
        with pytest.raises(ValueError, match=r"leaves no step of .* choose strength"):
            tiny_engine.stream(["A fox ran."], **options)


def test_fingerprint_follows_the_weights(tiny_path, broken):
    assert find_bundle(tiny_path).fingerprint() == find_bundle(broken).fingerprint()
    config = broken / "arm" / "config.json"
    config.write_text(config.read_text() + " ")
    assert find_bundle(tiny_path).fingerprint() != find_bundle(broken).fingerprint()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"strength": 0.0}, "strength 0.0"), ({"strength": 1.1}, "1.1"), ({"strength": float("nan")}, "nan"),
        ({"sampler": "heun"}, "ddim, ddpm, euler"), ({"num_inference_steps": 0}, "num_inference_steps 0"),
        ({"temperature": -1.0}, "-1.0"), ({"top_k": -2}, "-2"), ({"top_p": 0.0}, "0.0"),
        ({"guidance_scale": -1.0}, "guidance_scale"), ({"guidance_scale": float("nan")}, "nan"),
        ({"correct_every": 0}, "correct_every 0"), ({"correct_first": -1}, "correct_first"),
        ({"context": "sliding"}, "window, full"), ({"colour": 1}, "unknown option 'colour'"),
    ],
)  # fmt: skip
def test_impossible_options_are_named(options, named):
    with pytest.raises(ValueError, match=named) as error:
        make_options(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("sentences", "named"),
    [([], "no sentence"), (["one", " "], "sentence 2"), (["word " * 10_000], f"{MAX_WORDS}"), ("text", "list")],
)
def test_unfit_sentences_are_refused(tiny_engine, sentences, named):
    with pytest.raises(ValueError, match=named):
        tiny_engine.generate(sentences)


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [({"device": "tpu"}, "cpu"), ({"device": "cuda:99"}, "cuda:99"), ({"dtype": "int8"}, "float32, bfloat16")],
)
def test_unknown_device_and_dtype_name_the_choices(tiny_path, kwargs, named):
    with pytest.raises(ValueError, match=named):
        Engine.from_pretrained(tiny_path, **kwargs)


def test_unknown_bundle_and_memory(tiny_engine):
    with pytest.raises(ValueError, match="storyworld"):
        Engine.from_pretrained("no-such-bundle")
    with pytest.raises(ValueError, match="none, rules"):
        tiny_engine.generate(["A cat sat."], memory="elephant")


@pytest.mark.parametrize("part", ["arm/model.safetensors", "corrector/unet/diffusion_pytorch_model.safetensors"])
def test_truncated_weights_name_the_file(broken, part):
    file = broken / part
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"safetensors") as error:
        Engine.from_pretrained(broken)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"format": 9}, "format 9"), ({"arm": "nowhere"}, "arm 'nowhere'"), ({"defaults": {"colour": 1}}, "colour")],
)
def test_a_bundle_that_contradicts_itself(broken, change, named):
    file = broken / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=named):
        find_bundle(broken)


def test_unequal_lengths_and_missing_seeds(tiny_engine):
    with pytest.raises(ValueError, match="1, 2"):
        tiny_engine.generate_batch([["A cat sat."], ["A cat sat.", "It ran."]], seeds=[0, 1])
    with pytest.raises(ValueError, match="1 seeds for 2"):
        tiny_engine.generate_batch([["A cat sat."], ["A cat ran."]], seeds=[0])
