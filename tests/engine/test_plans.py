"""Which backend runs which stage."""

import pytest

from acdc.compile import openvino
from acdc.compile.backends import BACKENDS
from acdc.engine.engine import Engine
from acdc.engine.plans import STAGES, PlannedModule, PlannedUNet, availability, parse_backends
from acdc.engine.story import StoryOptions


def test_one_name_is_for_all_stages():
    assert parse_backends("openvino") == dict.fromkeys(STAGES, "openvino")


def test_named_stages_leave_the_others_eager():
    chosen = parse_backends("unet=openvino,vae_decoder=eager")
    assert chosen == {**dict.fromkeys(STAGES, "eager"), "unet": "openvino"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "unknown backend 'fast'; choose among eager, openvino"),
        ("", "unknown backend ''; choose among"),
        ("unet=fast", "unknown backend 'fast'"),
        ("unet=", "unknown backend ''"),
        ("vae=eager", "unknown stage 'vae' in backend 'vae=eager'; choose among arm_decode"),
        ("unet=eager,", "unknown stage ''"),
    ],
)
def test_mistakes_name_the_value_and_the_choices(text, message):
    with pytest.raises(ValueError, match=message):
        parse_backends(text)


def test_eager_stages_are_left_alone(tiny_path):
    models = Engine.from_pretrained(tiny_path).models
    assert not any(isinstance(module, PlannedModule | PlannedUNet) for module in models.tokenizer.modules())
    assert not isinstance(models.corrector.unet, PlannedUNet)


def test_the_backend_is_part_of_what_decides_a_story(tiny_path):
    engine = Engine.from_pretrained(tiny_path, backend="unet=openvino")
    assert engine.settings(StoryOptions())["backend"] == "unet=openvino"
    assert isinstance(engine.models.corrector.unet, PlannedUNet)


def test_what_is_missing_is_said_with_what_to_do(monkeypatch):
    found = availability()
    assert list(found) == list(BACKENDS)
    assert {name: found[name] for name in ("eager", "openvino")} == {
        "eager": "plain PyTorch, the reference",
        "openvino": BACKENDS["openvino"][1],
    }
    monkeypatch.setattr(openvino, "installed_version", lambda: None)
    assert availability()["openvino"] == "not available: openvino is not installed: pip install openvino"
