"""DeepFloyd IF as it is published: loaded to the exact tensors, and one line for what is damaged."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acdc.engine.loading.corrector import find_corrector
from acdc.engine.models.diffusion.deepfloyd.model import from_directories
from tests.helpers.small_if import PROMPTS, their_text, their_unet, write_stage

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("published")
    write_stage(root / "IF-II", "stage II")
    write_stage(root / "IF-I", "stage I")
    return root


@pytest.fixture
def copy(published, tmp_path) -> Path:
    return shutil.copytree(published, tmp_path / "copy")


def same_weights(network, theirs, dtype=torch.float32) -> None:
    state = network.state_dict()
    for name, value in theirs.state_dict().items():
        if name != "encoder.embed_tokens.weight":
            own = name.replace("encoder.final_layer_norm", "final_layer_norm")
            assert torch.equal(state.pop(own), value.to(dtype)), name
    assert not state


def test_both_stages_have_the_exact_tensors(published):
    loaded = from_directories(published / "IF-II", published / "IF-I")
    same_weights(loaded.unet, their_unet("stage II"))
    same_weights(loaded.stage_one.unet, their_unet("stage I"))
    same_weights(loaded.text_encoder, their_text())
    assert loaded.stage_one.text_encoder is loaded.text_encoder
    assert loaded.unet.noise_level == 250
    assert not any(value.requires_grad for network in loaded.denoisers for value in network.parameters())


@pytest.mark.parametrize("variant", ["fp16", None])
def test_shards_and_half_precision_as_they_are_published(copy, variant):
    """T5 in shards with an index, in both variants' names; float16 never holds T5, whose activations overflow it."""
    for part, network, size in (("unet", their_unet("stage II"), "100KB"), ("text_encoder", their_text(), "60KB")):
        shutil.rmtree(copy / "IF-II" / part)
        halves = type(network).from_config(network.config) if part == "unet" else type(network)(network.config)
        halves.load_state_dict(network.state_dict())
        halves.half().save_pretrained(copy / "IF-II" / part, variant=variant, max_shard_size=size)
        assert len(list((copy / "IF-II" / part).glob("*-of-*.safetensors"))) > 1
    for dtype, text in ((torch.float32, torch.float32), (torch.float16, torch.bfloat16)):
        loaded = from_directories(copy / "IF-II", dtype=dtype)
        same_weights(loaded.unet, their_unet("stage II").half().float(), dtype)
        assert {value.dtype for value in loaded.text_encoder.parameters()} == {text}
        states, _ = loaded.embed(PROMPTS)
        assert loaded.unet.context_kv(states)[1][0].dtype == dtype


def test_the_tied_embedding_may_have_either_name(copy):
    file = copy / "IF-II" / "text_encoder" / "model.safetensors"
    state = load_file(file)
    (name,) = {"shared.weight", "encoder.embed_tokens.weight"} & state.keys()
    (other,) = {"shared.weight", "encoder.embed_tokens.weight"} - {name}
    state[other] = state.pop(name)
    save_file(state, file)
    same_weights(from_directories(copy / "IF-II").text_encoder, their_text())


def test_the_text_side_may_lie_with_either_stage(copy):
    """Half of a download: diffusers' own examples leave stage II's text encoder out."""
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(copy / "IF-II" / part)
    same_weights(from_directories(copy / "IF-II", copy / "IF-I").text_encoder, their_text())
    with pytest.raises(ValueError, match=r"IF-II: no text_encoder and tokenizer; one of IF's two directories must"):
        from_directories(copy / "IF-II")


def test_a_directory_is_known_by_its_pipeline(published, tmp_path):
    part = find_corrector(published / "IF-II").parts["corrector"]
    assert (part.kind, set(part.folders)) == ("deepfloyd-if", {"path"})
    both = shutil.copytree(published / "IF-II", tmp_path / "both")
    shutil.copytree(published / "IF-I", both / "stage_one")
    loaded = find_corrector(both).parts["corrector"].load(torch.device("cpu"), torch.float32)
    same_weights(loaded.stage_one.unet, their_unet("stage I"))


def lacking(state):
    del state["mid_block.attentions.0.add_k_proj.bias"]


def misshapen(state):
    state["conv_in.weight"] = state["conv_in.weight"][:, :3].contiguous()


def unexpected(state):
    state["conv_in.scale"] = torch.ones(1)


def damaged(state):
    state["conv_out.bias"][0] = float("nan")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacking, "key 'mid_block.attentions.0.add_k_proj.bias' is missing"),
        (misshapen, r"key 'conv_in.weight' has shape \[16, 3, 3, 3\], expected \[16, 6, 3, 3\]"),
        (unexpected, "key 'conv_in.scale' is unexpected"),
        (damaged, "key 'conv_out.bias' is damaged"),
    ],
)
def test_wrong_weights_are_one_line_with_file_and_key(copy, change, said):
    file = copy / "IF-II" / "unet" / WEIGHTS
    state = load_file(file)
    change(state)
    save_file(state, file)
    with pytest.raises(ValueError, match=rf"^{file}: {said}[^\n]*$"):
        from_directories(copy / "IF-II")


def test_a_pickle_is_never_opened(copy):
    folder = copy / "IF-II" / "unet"
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"^[^\n]*diffusion_pytorch_model.bin cannot be read: save them as"):
        from_directories(copy / "IF-II")


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "is not IFPipeline or IFImg2ImgPipeline"),
        ("model_index.json", {"unet": [None, None]}, "component 'unet' is missing"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, "component 'vae' is not supported"),
        ("unet/config.json", {"encoder_hid_dim": 128}, "encoder_hid_dim=128, but the text encoder's d_model is 64"),
        ("unet/config.json", {"act_fn": "silu"}, "act_fn='silu' is not supported"),
        ("text_encoder/config.json", {"vocab_size": 8}, "vocab_size=8, but the tokenizer has"),
        ("text_encoder/config.json", {"model_type": "mt5"}, "model_type='mt5' is not supported"),
        ("scheduler/scheduler_config.json", {"variance_type": "learned"}, "variance_type='learned' is not supported"),
        ("image_noising_scheduler/scheduler_config.json", {"beta_schedule": "x"}, "beta_schedule='x' is not supported"),
    ],
)
def test_what_does_not_fit_is_named(copy, file, changes, said):
    edit(copy / "IF-II" / file, **changes)
    with pytest.raises(ValueError, match=rf"^{copy / 'IF-II' / file}: [^\n]*{said}[^\n]*$"):
        from_directories(copy / "IF-II")


def test_a_missing_noising_schedule_is_named(copy):
    shutil.rmtree(copy / "IF-II" / "image_noising_scheduler")
    with pytest.raises(ValueError, match=r"image_noising_scheduler/scheduler_config.json: no such file$"):
        from_directories(copy / "IF-II")


@pytest.mark.parametrize("level", [-1, 1000])
def test_a_noise_level_is_one_of_the_schedules(published, level):
    with pytest.raises(ValueError, match=rf"noise_level {level} is out of range; choose 0 to 999"):
        from_directories(published / "IF-II", noise_level=level)
