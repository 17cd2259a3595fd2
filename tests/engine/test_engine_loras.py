"""LoRAs in a whole run: in the settings, in the keys of plans, in what ``--resume`` compares, in bundles."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from acdc.compile.key import plan_key
from acdc.compile.spec import StageSpec
from acdc.engine.cli.main import main
from acdc.engine.engine import Engine
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.loading.lora import corrector_layers
from acdc.engine.options import StoryOptions
from acdc.engine.runtime.compiled import UNetPass
from tests.helpers.cli_runs import STORY, refuse
from tests.helpers.lora import factors, write

STORY_ARGUMENTS = ["story", *STORY[:2], "--steps", "2", "--backend", "eager", "--out"]


@pytest.fixture(scope="module")
def lora(tiny_engine, tmp_path_factory):
    """A LoRA of the tiny bundle's corrector, in kohya's names."""
    layers = corrector_layers(tiny_engine.models.corrector)
    changed = {
        (network, name): factors(layer, 2, 1.0, seed)
        for network, known in layers.items()
        for seed, (name, layer) in enumerate(known.items())
    }
    return write(tmp_path_factory.mktemp("lora") / "style.safetensors", changed, "kohya")


@pytest.fixture
def bundle(tiny_path, tmp_path):
    """A copy of the tiny bundle whose file may be changed."""
    return shutil.copytree(tiny_path, tmp_path / "bundle")


def loras_in(bundle, loras):
    said = json.loads((bundle / "bundle.json").read_text())
    said["corrector"] = {"kind": "stable-diffusion", "path": "corrector", "loras": loras}
    (bundle / "bundle.json").write_text(json.dumps(said))


def step_key(engine):
    unet = engine.models.corrector.unet
    kv = [value for pair in unet.context_kv(torch.zeros(1, 8, unet.config.cross_attention_dim)) for value in pair]
    inputs = (torch.zeros(1, 4, 4, 4), unet.time_shifts(torch.tensor([1])), *kv)
    return plan_key(UNetPass(unet), StageSpec.of("unet", inputs), "openvino", "1")


def test_a_lora_changes_pictures_settings_and_keys_of_plans(tiny_path, tiny_engine, lora):
    engines = [Engine.from_pretrained(tiny_path, loras=[f"{lora}={weight}"]) for weight in (1, 0.5)]
    assert len({step_key(engine) for engine in (tiny_engine, *engines)}) == 3
    stories = [engine.generate(STORY[:1], seed=1, num_inference_steps=2) for engine in (tiny_engine, *engines)]
    assert len({story.images[0].tobytes() for story in stories}) == 3
    assert "loras" not in stories[0].settings  # as in the files of earlier versions
    digest = stories[1].settings["loras"][0]["sha256"]
    assert [story.settings["loras"] for story in stories[1:]] == [
        [{"file": "style.safetensors", "sha256": digest, "weight": weight}] for weight in (1.0, 0.5)
    ]


def test_merged_before_half_precision_is_packed_or_widened(tiny_path, lora):
    """The same as a corrector whose files hold the merged weights, in bfloat16."""
    engines = [Engine.from_pretrained(tiny_path, dtype="bfloat16", loras=loras) for loras in ((), [lora])]
    first, second = (engine.generate(STORY[:1], seed=1, num_inference_steps=2).images[0] for engine in engines)
    assert (first != second).any()


@pytest.mark.long
def test_resume_with_another_lora_is_refused(own_folder, capsys, tiny, lora):
    used = ["--bundle", tiny, "--lora", f"{lora}=0.5"]
    assert main([*STORY_ARGUMENTS, "out", *used]) == 0
    assert json.loads(Path("out/story.json").read_text())["settings"]["loras"][0]["weight"] == 0.5
    assert main([*STORY_ARGUMENTS, "out", *used, "--resume"]) == 0
    capsys.readouterr()
    for others in (["--lora", str(lora)], [], [*used[2:], "--lora", str(lora)]):
        line = refuse(capsys, *STORY_ARGUMENTS, "out", "--bundle", tiny, *others, "--resume")
        assert "cannot resume: loras was" in line


def test_a_bundle_brings_its_own(bundle, lora, tiny_path, monkeypatch, tmp_path):
    shutil.copy(lora, bundle / "own.safetensors")
    loras_in(bundle, ["own.safetensors=0.5"])
    own, given = Engine.from_pretrained(bundle), Engine.from_pretrained(tiny_path, loras=[f"{lora}=0.5"])
    assert step_key(own) == step_key(given)
    (record,) = own.settings(StoryOptions())["loras"]
    assert (record["file"], record["weight"]) == ("own.safetensors", 0.5)
    shutil.copytree(bundle / "corrector", tmp_path / "models" / "made" / "style")
    (tmp_path / "models" / "made" / "style" / "pytorch_lora_weights.safetensors").write_bytes(lora.read_bytes())
    loras_in(bundle, ["made/style"])
    found = find_bundle(bundle, tmp_path / "models")
    assert [one.path for one in found.loras] == [str(tmp_path / "models" / "made" / "style")]
    for wrong, text in (
        ("own", "not a list"),
        (["own=x"], "not a number"),
        (["nowhere"], "not a directory next to it"),
    ):
        loras_in(bundle, wrong)
        with pytest.raises(ValueError, match=text):
            find_bundle(bundle)


def test_info_names_the_bundles_loras(capsys, monkeypatch):
    from acdc.engine.loading import bundle as bundles

    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loras"] == bundles.loras_by_bundle()
