"""The embedded few-step bundle: its LoRA is of the shipped UNet, and it draws as every bundle does."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from acdc.engine.cli.main import main
from acdc.engine.engine import Engine
from acdc.engine.loading.bundle_place import EMBEDDED
from acdc.engine.options import StoryOptions
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.sdedit.correction import Correction
from tests.helpers.many_stories import same

NAME, LORA = "storyworld-lcm", "lcm_lora.safetensors"
SENTENCES = ("Benny the beagle sat in a garden.", "He ran.")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.from_pretrained(NAME, dtype="float64")


def test_the_lora_is_of_the_shipped_unet() -> None:
    """Weights of another training have the same shapes: a LoRA of these would be merged into them, and draw badly."""
    unet = EMBEDDED / "storyworld" / "corrector" / "unet" / "diffusion_pytorch_model.safetensors"
    with safe_open(str(EMBEDDED / NAME / LORA), "pt") as file:
        said = file.metadata()["base_sha256"]
    assert said == hashlib.sha256(unet.read_bytes()).hexdigest(), "distil the shipped corrector again (docs/correct.md)"


def test_four_unguided_steps_run_from_half_the_noise(engine: Engine) -> None:
    correction = Correction(engine.models.corrector, StoryOptions().resolved(engine.defaults))
    assert [step.timestep for step in correction.schedule.steps] == [499, 379, 259, 139]
    assert not correction.condition(["A fox sat."])[0].guided
    assert [file.lora.path for file in engine.loras] == [str(EMBEDDED / NAME / LORA)]


def test_a_correction_depends_on_seed_and_frame_alone(engine: Engine) -> None:
    correction = Correction(engine.models.corrector, StoryOptions().resolved(engine.defaults))
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    prompts = ["A fox sat.", "An owl flew."]
    with torch.inference_mode():
        together = correction.run(pixels, correction.condition(prompts)[0], [3, 4], [0, 1])
        alone = correction.run(pixels[1:2], correction.condition(prompts[1:2])[0], [4], 1)
        elsewhere = correction.run(pixels[1:2], correction.condition(prompts[1:2])[0], [4], 2)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-8, atol=1e-8)
    assert not torch.allclose(alone, elsewhere, atol=1e-2)


@pytest.mark.long
def test_pipelined_equals_serial(engine: Engine) -> None:
    stories = [StoryRequest("a", SENTENCES, 3), StoryRequest("b", SENTENCES[:1], 4)]
    config = SchedulerConfig(slots=2, stories=2, waiting=1, draw_batch=2, correct_batch=2)
    many = {result.id: result for result in engine.generate_many(stories, pipelining=config)}
    for story in stories:
        same(many[story.id].frames, engine.generate(story.sentences, seed=story.seed).frames)


@pytest.mark.long
def test_the_command_draws_and_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "o"
    argv = ["story", SENTENCES[0], "--bundle", NAME, "--out", str(out)]
    assert main(argv) == 0
    assert "the correction runs 4 of 8 steps of lcm, from timestep 499" in capsys.readouterr().err
    record = json.loads((out / "story.json").read_text())
    assert [lora["file"] for lora in record["settings"]["loras"]] == [LORA]
    before = {path: path.read_bytes() for path in (out / "frames").iterdir()}
    assert main([*argv, "--resume"]) == 0
    assert {path: path.read_bytes() for path in (out / "frames").iterdir()} == before != {}
