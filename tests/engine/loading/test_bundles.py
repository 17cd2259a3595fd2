"""Bundles by name: the published systems, where their checkpoints are sought, and the same at small size of noise."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from acdc.engine.engine import Engine
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.loading.bundle_place import EMBEDDED, PUBLISHED, embedded_names, published_names
from acdc.engine.loading.families import KINDS, ComponentSpec, stable_diffusion
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.models.layers.quantized import QuantizedLinear
from acdc.engine.models.lwm.model import LWM
from acdc.engine.models.lwm.published import SIZES
from acdc.engine.models.show_o.model import ShowO, ShowOConfig
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.utils.weights import skeleton
from tests.helpers.small_systems import SMALL, small_systems

SHORT = {"num_inference_steps": 4, "correction_size": 32}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_systems(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", published_names())
def test_every_bundle_names_known_kinds_options_and_repositories(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"bundle '{re.escape(name)}' needs .*/.*--models DIR.*--random-weights"):
        find_bundle(name)
    with pytest.raises(ValueError, match="download it: hf download"):
        find_bundle(name, tmp_path)
    raw = json.loads((PUBLISHED / f"{name}.json").read_text())
    names = [
        said[key] for said in (raw[role] for role in KINDS) for key in said if key not in ("kind", "config", "loras")
    ]
    names += raw["corrector"].get("loras", [])
    for repository in names:
        (tmp_path / repository).mkdir(parents=True, exist_ok=True)
        (tmp_path / repository / "config.json").write_text("{}")
    found = find_bundle(name, tmp_path)
    assert found.name == name
    sought = {folder for part in found.parts.values() for folder in part.folders.values()}
    assert sought | {Path(lora.path) for lora in found.loras} == {tmp_path / repository for repository in names}


def test_the_full_sizes_are_the_published_ones() -> None:
    with skeleton():
        counts = [
            sum(value.numel() for value in model.parameters())
            for model in (ShowO(ShowOConfig()), LWM(SIZES), UNet(UNetConfig(cross_attention_dim=768)))
        ]
    assert counts == [1_448_176_770, 6_807_621_632, 859_520_964]


def test_few_step_bundles_bring_their_steps_and_sizes() -> None:
    """SD-Turbo's and LCM's published counts; options that a user gives replace the bundle's."""
    counts, starts = {}, {}
    for name in ("show-o+sd-turbo", "show-o+lcm", "show-o+sd15-lcm-lora"):
        bundle = find_bundle(name, random_weights=True)
        sizes = {**stable_diffusion.SIZES, **bundle.parts["corrector"].config}
        with skeleton():
            counts[name] = sum(p.numel() for p in UNet(UNetConfig.from_dict(sizes["unet"])).parameters())
        chosen = StoryOptions().resolved(bundle.defaults).correction
        starts[name] = (chosen.steps_and_strength, chosen.guidance_scale, chosen.sampler)
    assert list(counts.values()) == [865_910_724, 859_602_884, 859_520_964]
    assert list(starts.values()) == [((4, 0.5), 1.0, None), ((4, 0.5), 8.5, None), ((4, 0.5), 1.0, "lcm")]
    assert make_options(num_inference_steps=2).resolved(bundle.defaults).correction.steps_and_strength == (2, 0.5)


@pytest.mark.slow
def test_a_frame_of_lwm_of_noise_is_drawn_and_corrected(small: None) -> None:
    engine = Engine.from_pretrained("lwm+sd15", random_weights=True)
    story = engine.generate(["Benny the beagle sat in a garden."], **SHORT, decoding="parallel")
    assert story.frames[0].corrected
    assert len(story.frames[0].codes) == 256
    assert story.settings["weights"] == "random"


@pytest.mark.long
@pytest.mark.parametrize("name", ["show-o+sd15", "show-o-512+sd15"])
def test_a_story_of_noise_is_drawn_and_corrected(small: None, name: str) -> None:
    engine = Engine.from_pretrained(name, random_weights=True, dtype="float64")
    options = {**SHORT, "arm_steps": 3}
    story = engine.generate(["Benny the beagle sat in a garden.", "He ran."], **options)
    assert [frame.corrected for frame in story.frames] == [True, True]
    assert story.settings["weights"] == "random"
    assert (story.settings["layout"], story.settings["context"]) == ("independent", None)
    both = engine.generate_batch([story.sentences, ["The owl sat.", "It flew away."]], seeds=[0, 1], **options)
    assert [frame.codes for frame in both[0].frames] == [frame.codes for frame in story.frames]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lwm+animatediff", "lwm+videocrafter2"])
def test_a_video_of_noise_is_drawn_and_corrected(small: None, name: str) -> None:
    engine = Engine.from_pretrained(name, random_weights=True, dtype="float64")
    lengths = {"num_frames": 3, "chunk_frames": 2, "correction_size": 64}
    video = engine.generate_video("Benny ran.", **lengths, num_inference_steps=4, correct_first=1, decoding="parallel")
    assert [frame.corrected for frame in video.frames] == [True, True, False]


@pytest.mark.parametrize("quantization", ["int8", "fp8"])
def test_show_os_layers_can_be_quantized(small: None, quantization: str) -> None:
    engine = Engine.from_pretrained("show-o+sd15", random_weights=True, quantization=quantization)
    full = Engine.from_pretrained("show-o+sd15", random_weights=True)
    linear = sum(isinstance(layer, nn.Linear) for layer in full.models.arm.blocks.modules())
    layers = [layer for layer in engine.models.arm.blocks.modules() if isinstance(layer, QuantizedLinear)]
    assert len(layers) == linear > 0
    assert all(layer.bias is not None for layer in layers)
    ids = torch.arange(6)[None]
    one, other = (e.models.arm.feed(ids, e.models.arm.model.new_cache(1, 0), True)[1] for e in (engine, full))
    torch.testing.assert_close(one, other, rtol=0, atol=0.2)
    assert not torch.equal(one, other)
    assert len(engine.generate(["Benny sat."], arm_steps=2, correction=False).frames) == 1


@pytest.mark.parametrize("backend", ["openvino", "arm_draw=openvino"])
def test_show_os_draws_are_refused_where_they_cannot_be_translated(small: None, backend: str) -> None:
    with pytest.raises(
        ValueError, match="cannot translate the bit operations of Show-o's draws; choose arm_draw=eager"
    ):
        Engine.from_pretrained("show-o+sd15", random_weights=True, backend=backend)


def test_auto_leaves_show_os_draws_eager(small: None) -> None:
    engine = Engine.from_pretrained("show-o+sd15", random_weights=True, backend="auto")
    assert "arm_draw" not in engine.backend.replace("arm_prefill", "")


@pytest.mark.slow  # half a minute: the whole graph is traced, exported and translated before it is refused
def test_what_openvino_cannot_translate_is_one_line(small: None) -> None:
    engine = Engine.from_pretrained("show-o+sd15", random_weights=True, backend="correction=openvino")
    with pytest.raises(ValueError, match=r"backend 'openvino' cannot translate correction: .*; choose eager for it"):
        engine.generate(["Benny sat."], arm_steps=2, num_inference_steps=2, correction_size=32)


def test_random_weights_are_for_published_bundles() -> None:
    with pytest.raises(ValueError, match="random weights are for published bundles"):
        find_bundle("storyworld", random_weights=True)


def test_an_unknown_bundle_is_refused_with_all_names() -> None:
    with pytest.raises(ValueError, match=r"unknown bundle 'show'; choose storyworld.*, lwm\+animatediff.*show-o\+sd15"):
        find_bundle("show")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"kind": "vqgan"}, "arm is of unknown kind 'vqgan'; choose among lwm, show-o"),
        ({"kind": "lwm", "path": "arm", "text": "x"}, "arm has an unknown key 'text'"),
        ({"kind": "lwm", "path": "nowhere"}, "arm 'nowhere' is not a directory next to it"),
        (7, "arm is of unknown kind 7"),
        ({"kind": ["lwm"]}, r"arm is of unknown kind \['lwm'\]"),
        ({"kind": "lwm", "path": "arm", "config": [1]}, r"arm has the config \[1\], which is not an object"),
        ({"kind": "show-o", "path": "arm", "text": 5}, "arm.text 5 is not a directory next to it"),
        ({"kind": "lwm"}, "arm names either its path or its repository"),
        ({"kind": "lwm", "path": "arm", "repository": "a/b"}, "arm names either its path or its repository"),
        ({"kind": "lwm", "repository": "a/b"}, "arm 'a/b' is not a directory next to it; --models DIR says where"),
    ],
)
def test_a_damaged_bundle_file_is_named(tmp_path: Path, part: object, said: str) -> None:
    raw = {"format": 1, "name": "broken", "arm": part, "tokenizer": "tokenizer", "corrector": "corrector"}
    for name in ("arm", "tokenizer", "corrector"):
        (tmp_path / name).mkdir()
    (tmp_path / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=said):
        find_bundle(tmp_path)


def test_sizes_with_a_checkpoint_are_refused(tiny_path: Path) -> None:
    for kind, config in (("lwm", {}), ("show-o", {"num_vq_tokens": 256}), ("magvit2", {"resolution": 256})):
        said = f"config 'layers' of a part of kind {kind}: its own files tell the sizes"
        with pytest.raises(ValueError, match=said):
            ComponentSpec(kind, {"path": tiny_path / "arm"}, {**config, "layers": 99}).load(
                torch.device("cpu"), torch.float32
            )


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ([1], "which is not an object"),
        ({"feed_back": True}, "feed_back has a default of its own"),
        ({"x": 1}, "unknown default"),
        ({"temperature": "hot"}, r"bundle\.json: defaults: temperature 'hot' has the wrong type; choose a number"),
        ({"temperature": None}, r"bundle\.json: default temperature is None; leave it out"),
        ({"guidance_scale": True}, "guidance_scale True has the wrong type; choose a number"),
        ({"top_k": 1.5}, "top_k 1.5 has the wrong type; choose an integer"),
        ({"context": 3}, "unknown context 3; choose one of window, full"),
        ({"context": "all"}, r"bundle\.json: defaults: unknown context 'all'"),
        ({"top_p": 7}, r"bundle\.json: defaults: top_p 7 is out of range"),
    ],
)
def test_defaults_that_would_do_nothing_are_refused(
    tiny_path: Path, tmp_path: Path, defaults: object, said: str
) -> None:
    shutil.copytree(tiny_path, tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"defaults": defaults}))
    with pytest.raises(ValueError, match=said):
        find_bundle(tmp_path / "bundle")


def test_folders_next_to_a_bundle_come_before_the_models_folder(tmp_path: Path) -> None:
    """Two parts have the same names in both places; a third is in the models folder only."""
    bundle, models = tmp_path / "bundle", tmp_path / "models"
    for place in (bundle / "own" / "arm", bundle / "own" / "text", models / "own" / "arm", models / "own" / "coder"):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
    (bundle / "corrector").mkdir()
    raw: dict[str, object] = {"arm": {"kind": "show-o", "repository": "own/arm", "text": "own/text"}}
    raw |= {"tokenizer": {"kind": "magvit2", "repository": "own/coder"}, "corrector": "corrector"}
    (bundle / "bundle.json").write_text(json.dumps({"format": 1, "name": "own", **raw}))
    found = find_bundle(bundle, models).parts
    assert found["arm"].folders == {"path": bundle / "own" / "arm", "text": bundle / "own" / "text"}
    assert found["tokenizer"].folders == {"path": models / "own" / "coder"}


@pytest.mark.parametrize("name", embedded_names())
def test_a_models_folder_that_no_part_is_sought_in_is_refused(name: str, tmp_path: Path) -> None:
    said = rf"^models folder '.*' would not be used: bundle '{name}' brings all its parts; leave it out$"
    for bundle in (name, EMBEDDED / name):
        with pytest.raises(ValueError, match=said):
            find_bundle(bundle, tmp_path)
    with pytest.raises(ValueError, match=r"would not be used: bundle 'show-o\+sd15' is made of noise; leave it out"):
        find_bundle("show-o+sd15", tmp_path, random_weights=True)


def test_later_frames_of_a_video_are_recorded_as_they_are_drawn(small: None, tiny_engine: Engine) -> None:
    """LWM's by its published settings, whatever the first frame's are; others' as all."""
    options = make_options(top_k=3, arm_guidance_scale=2.0)
    settings = Engine.from_pretrained("lwm+animatediff", random_weights=True).video_settings(options, 4, 2)
    assert (settings["top_k"], settings["arm_guidance_scale"]) == (3, 2.0)
    assert settings["later_frames"] == {"arm_guidance_scale": 1.0, "top_k": 1000}
    plain = tiny_engine.video_settings(options, 4, 2)
    assert plain == {**tiny_engine.settings(options), "num_frames": 4, "chunk_frames": 2}


def test_a_directory_may_be_called_like_a_file(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "a.json")
    assert find_bundle(tmp_path / "a.json").parts["arm"].folders["path"] == tmp_path / "a.json" / "arm"


def test_the_weights_are_those_that_were_loaded(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "bundle")
    found = find_bundle(tmp_path / "bundle")
    before = found.fingerprint()
    (tmp_path / "bundle" / "arm" / "model.safetensors").unlink()
    assert found.fingerprint() == before != find_bundle(tmp_path / "bundle").fingerprint()


def test_a_folder_above_that_is_called_converted_hides_nothing(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "converted" / "bundle")
    assert find_bundle(tmp_path / "converted" / "bundle").fingerprint() == find_bundle(tiny_path).fingerprint()
    note = tmp_path / "converted" / "bundle" / "arm" / ".cache" / "model.metadata"
    note.parent.mkdir()
    note.write_text("downloaded today")
    assert find_bundle(tmp_path / "converted" / "bundle").fingerprint() == find_bundle(tiny_path).fingerprint()


def test_a_part_without_folders_is_made_in_the_dtype_that_is_asked_for() -> None:
    arm = ComponentSpec("show-o", {}, SMALL["show-o"]).load(torch.device("cpu"), torch.bfloat16)
    assert next(arm.model.parameters()).dtype == torch.bfloat16
    tokenizer = ComponentSpec("magvit2", {}, SMALL["magvit2"]).load(torch.device("cpu"), torch.bfloat16)
    assert next(tokenizer.encoder.parameters()).dtype == torch.float32, "codes are signs"
    assert next(tokenizer.decoder.parameters()).dtype == torch.bfloat16


def test_a_conversion_leaves_the_fingerprint_while_its_source_is_there(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "bundle")
    (tmp_path / "bundle" / "arm" / "params").write_bytes(b"published")
    before = find_bundle(tmp_path / "bundle").fingerprint()
    made = tmp_path / "bundle" / "arm" / "converted" / "params-0123"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"the same")
    (made.parent / ".params.lock").write_bytes(b"")
    assert find_bundle(tmp_path / "bundle").fingerprint() == before
    (tmp_path / "bundle" / "arm" / "params").unlink()
    assert find_bundle(tmp_path / "bundle").fingerprint() != before
