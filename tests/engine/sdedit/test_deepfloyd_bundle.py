"""A bundle whose corrector is DeepFloyd IF: stories, many at once, resumed; pictures; plans of its networks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine import Corrector
from acdc.engine.cli.info import collect
from acdc.engine.cli.main import main
from acdc.engine.constraints import Constraints
from acdc.engine.engine import Engine
from acdc.engine.loading.bundle_place import published_names
from acdc.engine.pipeline.phases import Phases
from acdc.engine.runtime.backends import STAGES, WHOLE
from acdc.engine.runtime.compiled import UNetPass, check_whole, compile_models
from tests.helpers.cli_runs import files
from tests.helpers.many_stories import SMALL, STORIES, many_of, same
from tests.helpers.small_if import PROMPTS, write_stage
from tests.helpers.small_systems import small_systems
from tests.helpers.tiny import tiny_bundle

STORY = ["Benny the beagle sat in a garden.", "He ran.", "He slept."]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """The tiny bundle, 16 px frames, with a cascade of two stages."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("if") / "bundle")
    write_stage(bundle / "IF-II", "stage II")
    write_stage(bundle / "IF-I", "stage I", text=False)
    raw = json.loads((bundle / "bundle.json").read_text())
    raw["corrector"] = {"kind": "deepfloyd-if", "path": "IF-II", "stage_one": "IF-I"}
    (bundle / "bundle.json").write_text(json.dumps(raw))
    shutil.rmtree(bundle / "corrector")
    return bundle


@pytest.fixture(scope="module")
def engine(path):
    return Engine.from_pretrained(path, dtype="float64", backend="eager")


@pytest.mark.long
def test_a_story_is_corrected_by_steps_that_draw(engine):
    drawn = engine.generate(STORY, seed=3, num_inference_steps=4)
    assert drawn.settings["sampler"] == "ddpm"
    assert (drawn.start["timestep"], drawn.start["steps_run"]) == (250, 2)
    assert all(frame.corrected for frame in drawn.frames)
    again, other, deterministic = (
        engine.generate(STORY, num_inference_steps=4, **how)
        for how in ({"seed": 3}, {"seed": 4}, {"seed": 3, "sampler": "ddim"})
    )
    same(again.frames, drawn.frames)
    assert not np.array_equal(other.frames[0].image, drawn.frames[0].image)
    assert not np.array_equal(deterministic.frames[0].image, drawn.frames[0].image)


@pytest.mark.long
def test_many_stories_equal_each_alone(engine):
    results = {result.seed: result for result in many_of(engine, SMALL)}
    for request in STORIES:
        alone = engine.generate(request.sentences, seed=request.seed, num_inference_steps=4)
        same(results[request.seed].frames, alone.frames)


def interrupted_at(number):
    """A correction that a user interrupts in frame ``number``."""
    whole, calls = Phases.sdedit, []

    def sdedit(*given, **how):
        calls.append(given)
        if len(calls) == number:
            raise KeyboardInterrupt
        whole(*given, **how)

    return sdedit


@pytest.mark.long
def test_a_resumed_story_is_the_whole_one(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    how = ["--bundle", str(path), "--steps", "4", "--backend", "eager"]
    assert main(["story", *STORY, "--out", "whole", *how]) == 0
    assert "runs 2 of 4 steps of ddpm, from timestep 250" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(Phases, "sdedit", interrupted_at(2))
        assert main(["story", *STORY, "--out", "parts", *how]) == 130
    assert main(["story", *STORY, "--out", "parts", *how, "--resume"]) == 0
    whole, parts = files("whole"), files("parts")
    pictures = [name for name in whole if name.startswith("frames/")]
    assert len(pictures) == 6
    assert all(whole[name] == parts[name] for name in pictures)


def test_a_mask_keeps_what_is_outside_of_it(engine):
    """Both stages keep it, each at its own size."""
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    how = {"seed": 3, "num_inference_steps": 4}
    masked = engine.generate(STORY[:1], constraints=Constraints(masks={1: mask}), **how).frames[0]
    kept, changed = np.abs(masked.image.astype(int) - masked.draft)[:, :8], (masked.image != masked.draft)[:, 8:]
    assert kept.max() == 0
    assert changed.any()


@pytest.mark.parametrize("size", [(8, 8), (17, 20), (9, 32)])
def test_pictures_of_any_size_are_corrected(path, size):
    corrector = Corrector.from_pretrained(path, dtype="float64", backend="eager")
    corrector.native = None
    given = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    at_once = corrector(given, PROMPTS, batch=2, num_inference_steps=4)
    assert at_once.shape == given.shape
    assert (at_once != given).any()
    alone = corrector(given[1], PROMPTS[1], index=1, num_inference_steps=4)
    assert np.abs(alone.astype(int) - at_once[1]).max() <= 1


def test_correct_takes_the_directory_of_stage_two(path, tmp_path, monkeypatch):
    """Without a stage I next to it, the picture's own small version is what stage II draws large."""
    monkeypatch.chdir(tmp_path)
    given = np.random.default_rng(0).integers(0, 256, (20, 17, 3), np.uint8)
    Image.fromarray(given).save("a.png")
    argv = ["correct", "a.png", "--prompt", PROMPTS[0], "--steps", "4", "--bundle"]
    assert main([*argv, str(path / "IF-II"), "--out", "alone"]) == 0
    assert main([*argv, str(path), "--out", "cascade"]) == 0
    alone, cascade = (np.asarray(Image.open(f"{name}/a.png")) for name in ("alone", "cascade"))
    assert alone.shape == cascade.shape == given.shape
    assert (alone != given).any()
    assert (alone != cascade).any()
    found = json.loads(Path("alone/correct.json").read_text())
    assert found["settings"]["sampler"] == "ddpm"
    assert found["settings"]["guidance_scale"] == 7.5


@torch.no_grad()
def passes(engine):
    """The UNet's pass of each stage, of two frames with two branches, and the text encoder, with their inputs."""
    corrector, generator = engine.models.corrector, torch.Generator().manual_seed(0)
    text = torch.randn((4, 77, 64), generator=generator)
    for name, network, channels in (("II", corrector.unet, 6), ("I", corrector.stage_one.unet, 3)):
        kv = [value.contiguous() for pair in network.context_kv(text) for value in pair]
        latents = torch.randn((2, channels, 8, 8), generator=generator)
        yield name, UNetPass(network), [latents, network.time_shifts(torch.tensor([321])), *kv]
    mask = torch.arange(77)[None] < torch.tensor([[5], [77], [9], [1]])
    yield "text", corrector.text_encoder.encoder, [text, mask]


@pytest.fixture(scope="module")
def stages(path):
    return {name: (run, inputs) for name, run, inputs in passes(Engine.from_pretrained(path, backend="eager"))}


@pytest.mark.parametrize("name", ["I", "II", "text"])
@pytest.mark.toolchain
def test_a_cuda_graph_could_hold_each_network(stages, name):
    run, inputs = stages[name]
    assert capture_hazards(run, StageSpec.of(name, inputs)) == []


@pytest.mark.parametrize("name", ["I", "II", "text"])
@torch.no_grad()
@pytest.mark.toolchain
def test_as_a_plan_each_equals_eager(stages, name, tmp_path):
    run, inputs = stages[name]
    found = compile_stage(run, StageSpec.of(name, inputs), "openvino", PlanCache(tmp_path))(*inputs)
    torch.testing.assert_close(found, run(*inputs), rtol=0, atol=2e-5)


@torch.no_grad()
@pytest.mark.toolchain
def test_a_planned_cascade_draws_what_the_eager_one_does(path, tmp_path):
    backend = "unet=openvino,text_encoder=openvino,vae_encoder=openvino"
    planned, eager = (
        Engine.from_pretrained(path, backend=how, cache=PlanCache(tmp_path)).generate(STORY[:1], num_inference_steps=4)
        for how in (backend, "eager")
    )
    assert np.abs(planned.frames[0].image.astype(int) - eager.frames[0].image).max() <= 1


def test_one_plan_of_all_and_int8_are_refused(engine):
    eager = dict.fromkeys((*STAGES, WHOLE), "eager")
    for change, said in (
        ({WHOLE: "openvino"}, "makes one plan, but the corrector's UNet enlarges a small picture; choose unet=NAME"),
        ({"unet": "openvino-int8"}, "unet=openvino-int8 is not fitted where the corrector's UNet enlarges"),
    ):
        with pytest.raises(ValueError, match=said):
            check_whole(engine.models.corrector, eager | change)
    own = compile_models(engine.models, eager, PlanCache()).corrector
    assert own.stage_one.unet is engine.models.corrector.stage_one.unet


@pytest.mark.parametrize("name", [name for name in published_names() if "+if" in name])
def test_the_published_systems_are_made_of_noise(name, tmp_path, monkeypatch):
    small_systems(tmp_path, monkeypatch)
    engine = Engine.from_pretrained(name, random_weights=True, backend="eager")
    assert (engine.models.corrector.stage_one is None) == name.endswith("if-ii")
    few = {"arm_steps": 2} if name.startswith("show-o") else {}
    story = engine.generate(STORY[:1], num_inference_steps=4, **few)
    assert story.frames[0].corrected
    assert story.settings["guidance_scale"] == 7.0


def test_info_lists_the_bundles_and_the_sampler():
    found = collect()
    assert {"show-o+if", "show-o+if-ii"} <= set(found["published"])
    assert "ddpm" in found["samplers"]


def test_a_schedule_that_asks_for_a_variance_needs_a_network_that_has_one(tiny_path):
    corrector = Corrector.from_pretrained(tiny_path, backend="eager")
    raw = corrector.corrector.scheduler_config
    raw |= {"_class_name": "DDPMScheduler", "variance_type": "learned_range"}
    picture = torch.zeros(3, 16, 16)
    with pytest.raises(ValueError, match="needs a variance, but the UNet's out_channels=4 hold none; choose another"):
        corrector(picture, PROMPTS[0])
    assert corrector(picture, PROMPTS[0], sampler="ddim", num_inference_steps=4).shape == picture.shape
