"""LoRA files of every style of names, merged into a corrector: the very weights, and one line for what is wrong."""

import json
import math
from copy import deepcopy

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils.state_dict_utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from safetensors.torch import load_file, save_file

from acdc.engine.loading.lora import corrector_layers, merge_loras, read_loras
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.options import EngineOptions, Lora, as_loras
from tests.helpers.lora import STYLES, factors, merged, tensors, write

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
UNET = (
    f"{BLOCK}.attn1.to_q",
    f"{BLOCK}.attn2.to_k",
    f"{BLOCK}.attn2.to_out.0",
    f"{BLOCK}.ff.net.0.proj",
    "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.0.downsamplers.0.conv",
    "mid_block.resnets.1.time_emb_proj",
    "time_embedding.linear_1",
    "conv_in",
)
TEXT = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj", "encoder.layers.2.mlp.fc1")


@pytest.fixture(scope="module")
def loaded(base):
    return StableDiffusion.from_directory(base[0])


@pytest.fixture
def ours(loaded):
    return deepcopy(loaded)


@pytest.fixture
def pairs(ours):
    """A change of each sort of layer; ranks and alphas differ, some files say no alpha."""
    layers = corrector_layers(ours)
    places = [*(("unet", name) for name in UNET), *(("text_encoder", name) for name in TEXT)]
    return {
        (network, name): factors(layers[network][name], 1 + seed % 3, (None, 2.0, 0.5)[seed % 3], seed)
        for seed, (network, name) in enumerate(places)
    }


def weights(corrector):
    return {
        (network, name): layer.weight.clone()
        for network, layers in corrector_layers(corrector).items()
        for name, layer in layers.items()
    }


def merge(corrector, *loras):
    files = read_loras(corrector, as_loras(loras))
    merge_loras(corrector, files)
    return files


def refused(corrector, path):
    with pytest.raises(ValueError, match=r"safetensors|directory|pickle") as caught:
        read_loras(corrector, [Lora(str(path))])
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("style", STYLES)
def test_every_style_changes_its_layers_by_the_formula_and_no_other(tmp_path, ours, pairs, style):
    before = weights(ours)
    path = write(tmp_path / "style.safetensors", pairs, style)
    merge(ours, Lora(str(path), 0.7))
    for place, weight in weights(ours).items():
        wanted = merged(before[place], pairs[place], 0.7) if place in pairs else before[place].double()
        assert torch.allclose(weight.double(), wanted, rtol=0, atol=1e-6 if place in pairs else 0), place


def test_all_styles_say_the_same(tmp_path, base, ours, pairs):
    found = []
    for number, style in enumerate(STYLES):
        (file,) = read_loras(ours, [Lora(str(write(tmp_path / f"{number}.safetensors", pairs, style)))])
        found.append(file.changes)
    for changes in found:
        assert changes.keys() == pairs.keys()
        for place, change in changes.items():
            down, up, alpha = pairs[place]
            assert torch.equal(change.down, down)
            assert torch.equal(change.up, up)
            assert change.alpha == (len(down) if alpha is None else alpha)


def test_several_loras_add_up_and_are_cast_once(tmp_path, base, pairs):
    half = StableDiffusion.from_directory(base[0], dtype=torch.bfloat16)
    before = weights(half)
    first = write(tmp_path / "a=1.safetensors", pairs, "kohya")
    second = write(tmp_path / "b.safetensors", {("unet", UNET[0]): pairs["unet", UNET[0]]}, "peft")
    files = merge(half, f"{first}=0.5", f"{second}=-2", str(first))
    assert [file.lora.weight for file in files] == [0.5, -2.0, 1.0]
    for place, weight in weights(half).items():
        times = 0.0 if place not in pairs else -0.5 if place == ("unet", UNET[0]) else 1.5
        wanted = merged(before[place], pairs[place], times).bfloat16() if times else before[place]
        assert weight.dtype == torch.bfloat16
        assert torch.allclose(weight.double(), wanted.double(), rtol=2**-8, atol=1e-6)  # a tie may round otherwise


def test_the_file_of_the_base_stays_as_it_was(tmp_path, base, ours, pairs):
    file = next((base[0] / "unet").glob("*.safetensors"))
    before = load_file(file)
    merge(ours, str(write(tmp_path / "l.safetensors", pairs, "peft")))
    assert all(torch.equal(value, before[name]) for name, value in load_file(file).items())


def test_names_are_those_of_diffusers(tmp_path, ours, pairs):
    """diffusers converts kohya's names without peft: its names, in PEFT's form, are those that we write and read."""
    path = write(tmp_path / "kohya.safetensors", pairs, "kohya")
    state, _ = StableDiffusionPipeline.lora_state_dict(str(path))
    unet = convert_unet_state_dict_to_peft({n: v for n, v in state.items() if n.startswith("unet.")})
    text = {n: v for n, v in state.items() if n.startswith("text_encoder.")}
    text = convert_state_dict_to_peft(convert_state_dict_to_diffusers(text))
    final = {".processor": "", ".lora.down.": ".lora_A.", ".lora.up.": ".lora_B."}
    theirs = {}
    for name, value in (unet | text).items():
        for old, new in final.items():
            name = name.replace(old, new)
        theirs[name] = value
    wanted = tensors(_with_alpha(pairs, None), "peft")
    assert theirs.keys() == wanted.keys()
    assert all(torch.equal(theirs[name], wanted[name]) for name in wanted)


def _with_alpha(pairs, alpha):
    return {place: pair._replace(alpha=alpha) for place, pair in pairs.items()}


@pytest.mark.parametrize("rslora", [False, True])
def test_peft_and_diffusers_metadata_give_the_alpha(tmp_path, ours, pairs, rslora):
    plain = _with_alpha(pairs, None)
    said = {"lora_alpha": 6, "use_rslora": rslora, "alpha_pattern": {f"^{UNET[1]}": 12}}
    folder = tmp_path / "adapter"
    folder.mkdir()
    write(folder / "adapter_model.safetensors", plain, "peft with an adapter's name")
    (folder / "adapter_config.json").write_text(json.dumps(said))
    text = {f"{network}.{key}": value for network in ("unet", "text_encoder") for key, value in said.items()}
    own = write(tmp_path / "own.safetensors", plain, "peft", {"lora_adapter_metadata": json.dumps(text)})
    for path in (folder, own):
        (file,) = read_loras(ours, [Lora(str(path))])
        for place, change in file.changes.items():
            rank, alpha = len(plain[place].down), 12 if place == ("unet", UNET[1]) else 6
            assert change.scale == pytest.approx(alpha / (math.sqrt(rank) if rslora else rank))
    (before,) = read_loras(ours, [Lora(str(folder))])
    (folder / "adapter_config.json").write_text(json.dumps({**said, "lora_alpha": 7}))
    (after,) = read_loras(ours, [Lora(str(folder))])
    assert before.digest != after.digest


DOWN, UP, ALPHA = (f"lora_unet_conv_in.{part}" for part in ("lora_down.weight", "lora_up.weight", "alpha"))
ONE = torch.ones(())


@pytest.mark.long
@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"lora_unet_conv_in.dora_scale": ONE}, "'lora_unet_conv_in.dora_scale' is not of a LoRA"),
        ({"lora_unet_no_where.alpha": ONE}, "'lora_unet_no_where.alpha' is of a layer that the UNet lacks"),
        ({"lora_te2_text_model_x.alpha": ONE}, "second text encoder"),
        ({"unet.conv_in.lora_A.weight": torch.ones(2, 4, 3, 3)}, "are of the same layer"),
        ({UP: torch.ones(7, 1, 1, 1)}, "has shape [7, 1, 1, 1], expected [16, rank]"),
        ({DOWN: torch.ones(1, 4)}, "has shape [1, 4], expected [rank, 4, 3, 3]"),
        ({DOWN: torch.ones(9, 4, 3, 3)}, "has rank 1, its partner"),
        ({ALPHA: torch.ones(2)}, "expected one number"),
        ({UP: torch.full((16, 1, 1, 1), math.nan)}, "is damaged"),
        ({UP: None}, "the up (B) factor of conv_in is missing"),
        ({DOWN: None}, "the down (A) factor of conv_in is missing"),
        ({DOWN: None, UP: None}, "key 'lora_unet_conv_in.alpha' has no partner"),
        ({DOWN: None, UP: None, ALPHA: None}, "holds no tensors"),
    ],
)
def test_misfits_are_refused_in_one_line(tmp_path, ours, extra, text):
    layer = corrector_layers(ours)["unet"]["conv_in"]
    state = tensors({("unet", "conv_in"): factors(layer, 1, 1.0, 0)}, "kohya") | extra
    path = tmp_path / "l.safetensors"
    save_file({name: value for name, value in state.items() if value is not None}, str(path))
    assert text in refused(ours, path)


def test_a_lora_of_another_width_is_refused_and_nothing_changes(tmp_path, ours, pairs):
    before = weights(ours)
    good = write(tmp_path / "good.safetensors", pairs, "kohya")
    name = f"{BLOCK}.attn2.to_k"  # reads the text: 768 wide in SD 1.5, 1024 in SD 2.x
    wide = {("unet", name): factors(torch.nn.Linear(32, 16), 2, None, 0)}
    bad = write(tmp_path / "sd2.safetensors", wide, "kohya")
    with pytest.raises(ValueError, match=r"sd2.safetensors: key 'lora_unet_down.+is it for another model"):
        merge(ours, str(good), str(bad))
    assert all(torch.equal(value, before[place]) for place, value in weights(ours).items())


def test_pickles_and_damaged_files_are_not_read(tmp_path, ours, pairs):
    pickled = tmp_path / "lora.bin"
    torch.save(tensors(pairs, "peft"), pickled)
    assert "pickle" in refused(ours, pickled)
    short = tmp_path / "short.safetensors"
    short.write_bytes(write(tmp_path / "l.safetensors", pairs, "peft").read_bytes()[:-9])
    assert "not a complete safetensors file" in refused(ours, short)
    assert "does not exist" in refused(ours, tmp_path / "none.safetensors")
    (tmp_path / "empty").mkdir()
    assert "neither pytorch_lora_weights.safetensors nor" in refused(ours, tmp_path / "empty")


@pytest.mark.long
@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not a JSON object"),
        ('{"unet.use_dora": true}', "DoRA"),
        ('{"unet.lora_alpha": "x"}', "not a number"),
        ('{"unet.alpha_pattern": {"q": 1}}', "not the name of a layer"),
        ('{"unet.init_lora_weights": "pissa_niter_4"}', "init_lora_weights='pissa_niter_4' changes the model's own"),
        ('{"text_encoder.init_lora_weights": "olora"}', "init_lora_weights='olora' changes the model's own weights"),
        ('{"unet.alora_invocation_tokens": [3]}', "alora_invocation_tokens=[3] cannot be merged"),
        ('{"unet.kasa_config": {}, "unet.layer_replication": [[0, 1]]}', "layer_replication=[[0, 1]] cannot be merged"),
    ],
)
def test_metadata_that_cannot_be_merged(tmp_path, ours, pairs, said, text):
    path = write(tmp_path / "l.safetensors", pairs, "peft", {"lora_adapter_metadata": said})
    assert text in refused(ours, path)


@pytest.mark.parametrize("said", [True, False, None, "gaussian", "eva", "orthogonal"])
def test_beginnings_that_leave_the_base_are_merged(tmp_path, ours, pairs, said):
    folder = tmp_path / "adapter"
    folder.mkdir()
    write(folder / "adapter_model.safetensors", _with_alpha(pairs, None), "peft")
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 6, "init_lora_weights": said}))
    assert read_loras(ours, [Lora(str(folder))])[0].changes.keys() == pairs.keys()


def test_an_overflow_names_the_layer(tmp_path, base, pairs):
    half = StableDiffusion.from_directory(base[0], dtype=torch.float16)
    path = write(tmp_path / "l.safetensors", {("unet", UNET[0]): pairs["unet", UNET[0]]}, "peft")
    with pytest.raises(ValueError, match=r"to_q of the UNet overflows float16"):
        merge(half, Lora(str(path), 1e6))


def test_options():
    assert Lora.parse("a=b.safetensors") == Lora("a=b.safetensors")
    assert Lora.parse("dir=1/file=-0.5") == Lora("dir=1/file", -0.5)
    assert Lora.parse("dir=1/file") == Lora("dir=1/file")
    assert EngineOptions(loras=(Lora("a"),)).loras == (Lora("a"),)
    for wrong in ("a=high", "a=nan", "=1", " "):
        with pytest.raises(ValueError, match="LoRA"):
            Lora.parse(wrong)
    with pytest.raises(ValueError, match="tuple of Lora"):
        EngineOptions(loras=["a"])
    with pytest.raises(ValueError, match="give a list of files"):
        as_loras("a.safetensors")
