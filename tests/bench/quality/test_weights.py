"""Published files: each format loads strictly, gives the numbers of a plain restatement, and runs nothing."""

from __future__ import annotations

import gzip
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from acdc.bench.quality.network import MissingWeights
from acdc.bench.quality.networks import clip, clip_vocabulary, dino, efficientnet, image_reward
from acdc.bench.quality.networks.amt import AMT
from acdc.bench.quality.networks.clip_scores import load_amt, load_raft
from acdc.bench.quality.networks.inception import Inception2015
from acdc.bench.quality.networks.inception_features import load_inception
from acdc.bench.quality.networks.musiq import MUSIQ
from acdc.bench.quality.networks.musiq_scores import load_musiq
from acdc.bench.quality.networks.raft import RAFT
from acdc.bench.quality.networks.torchscript import is_torchscript, read_torchscript
from acdc.bench.quality.networks.weights_file import fill, read_weights
from tests.helpers.analytic import analytic, picture
from tests.helpers.plain_transformers import PlainCLIP, plain_vit
from tests.helpers.small_blip import SMALL_TEXT, SMALL_VISION, original_parts, vit_shapes

IDS = torch.tensor([[49406, 320, 1125, 539, 320, 2368, 49407] + [0] * 70])
SMALL_VIT = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192,
             "image_size": 32, "patch_size": 16}  # fmt: skip


def filled(module: nn.Module) -> nn.Module:
    module.load_state_dict(analytic(module.state_dict()))
    return module.eval()


@pytest.fixture(scope="module")
def plain() -> PlainCLIP:
    return filled(PlainCLIP())


@pytest.fixture(scope="module")
def archive(plain, tmp_path_factory) -> Path:
    """CLIP as OpenAI publishes it: a TorchScript archive of float16."""
    path = tmp_path_factory.mktemp("clip") / "ViT-B-32.pt"
    half = PlainCLIP()
    half.load_state_dict(plain.state_dict())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, and that TorchScript is on its way out
        torch.jit.trace(half.eval(), (torch.zeros(1, 3, 64, 64), IDS)).half().save(str(path))
    return path


def test_openais_archive_is_read_without_its_code(archive, plain, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("the archive's code was loaded"))
    assert is_torchscript(archive)
    found = read_torchscript(archive)
    assert found.keys() >= plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(found[name], value.half()), name


def test_clip_of_openais_file_gives_the_plain_networks_numbers(archive, plain):
    model = clip.load_clip(archive)
    rounded = PlainCLIP().eval()
    rounded.load_state_dict({name: value.half().float() for name, value in plain.state_dict().items()})
    pixels = torch.cat([picture(64, 64, dx).float() for dx in (0, 5)])
    with torch.inference_mode():
        images, texts = rounded(pixels, IDS)
        assert torch.allclose(clip.embedding(model.get_image_features(pixel_values=pixels)), images, atol=1e-5)
        assert torch.allclose(clip.embedding(model.get_text_features(input_ids=IDS)), texts, atol=1e-5)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_clip_of_a_hubs_directory(archive, tmp_path, file):
    model = clip.load_clip(archive)
    folder = tmp_path / "openai" / "clip-vit-base-patch32"
    folder.mkdir(parents=True)
    state = {**model.state_dict(), "text_model.embeddings.position_ids": torch.arange(77)[None]}
    if file.endswith(".bin"):
        torch.save(state, folder / file)
    else:
        save_file({name: value.contiguous() for name, value in state.items()}, folder / file)
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
    network = clip.CLIPImages(tmp_path)
    assert list(network.files()) == [f"openai/clip-vit-base-patch32/{file}"]
    again = clip.load_clip(*network.files().values())
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_clip_that_is_not_there_is_named_with_its_source(tmp_path):
    with pytest.raises(MissingWeights, match=r"openai/clip-vit-base-patch32/model.safetensors .*ViT-B-32.pt"):
        clip.CLIPImages(tmp_path).files()


def test_openais_merges_give_clips_ids(tmp_path):
    letters = clip_vocabulary.byte_letters()
    assert len(set(letters)) == 256
    merges = [f"{a} {b}" for a in letters for b in letters][: clip_vocabulary.COUNT - 2]
    words = ["#version: 0.2", "c a", "ca t</w>", *(m for m in merges if m != "c a")]
    path = tmp_path / clip_vocabulary.PACKED
    path.write_bytes(gzip.compress("\n".join([*words, "z z</w>", "z y</w>", "z x</w>"]).encode()))
    ids, _ = clip_vocabulary.read_packed(path).encode(["A cat"])
    assert ids[0, :4].tolist() == [49406, letters.index("a") + 256, 513, 49407]
    path.write_bytes(gzip.compress(b"#version\na b\n"))
    with pytest.raises(ValueError, match=r"it has \d+ merges of two pieces, expected 48894"):
        clip_vocabulary.read_packed(path)


def test_dino_gives_a_plain_transformers_numbers(tmp_path):
    weights = analytic(vit_shapes(48, 2, 5, 16, 192))
    torch.save(weights, tmp_path / dino.FILE)
    model = dino.load_dino(tmp_path / dino.FILE, SMALL_VIT)
    pixels = 4 * picture(32, 32).float() - 2
    with torch.inference_mode():
        found = dino.tokens(model, pixels)
    assert torch.allclose(found, plain_vit(weights, pixels, 4, 16), atol=2e-6)


def test_raft_of_its_authors_file(tmp_path):
    """The stem's names, aliases of norms and the prefix of parallel training, back to front."""
    ours = analytic(RAFT().state_dict())
    theirs = {f"module.{original_name(name)}": value for name, value in ours.items()}
    theirs |= {name.replace("downsample.1", "norm3"): v for name, v in theirs.items() if "downsample.1" in name}
    torch.save(theirs, tmp_path / "raft-things.pth")
    torch.save(ours, tmp_path / "raft_large_C_T_V1-22a6c225.pth")
    for path in tmp_path.iterdir():
        loaded = load_raft(path).state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in ours.items())


def original_name(name: str) -> str:
    """A name of torchvision as the authors' file has it."""
    for ours, theirs in (("feature_encoder", "fnet"), ("context_encoder", "cnet")):
        if name.startswith(f"{ours}."):
            rest = name.removeprefix(f"{ours}.")
            rest = rest.replace("convnormrelu.0", "conv1").replace("convnormrelu.1", "norm1")
            for number in "12":
                rest = rest.replace(f"convnormrelu{number}.0", f"conv{number}")
                rest = rest.replace(f"convnormrelu{number}.1", f"norm{number}")
            return f"{theirs}.{'conv2' + rest.removeprefix('conv') if rest.startswith('conv.') else rest}"
    for ours, theirs in (("convcorr", "convc"), ("convflow", "convf")):
        name = name.replace(f"motion_encoder.{ours}1.0", f"encoder.{theirs}1")
        name = name.replace(f"motion_encoder.{ours}2.0", f"encoder.{theirs}2")
    name = name.replace("motion_encoder.conv.0", "encoder.conv")
    for number in "12":
        for gate in "zrq":
            name = name.replace(f"recurrent_block.convgru{number}.conv{gate}", f"gru.conv{gate}{number}")
    name = name.replace("mask_predictor.convrelu.0", "update_block.mask.0")
    return name.replace("mask_predictor.conv", "update_block.mask.2")


LOADERS = {
    "inception": (Inception2015, load_inception),
    "musiq": (MUSIQ, load_musiq),
    "amt": (AMT, load_amt),
    "raft": (RAFT, load_raft),
    "efficientnet": (efficientnet.EfficientNetLite0, efficientnet.load_efficientnet),
}


@pytest.mark.long
@pytest.mark.parametrize("name", LOADERS)
def test_each_network_loads_strictly(name, tmp_path):
    """In the former format of ``torch.save``, wrapped; one key less is one line with file and key."""
    kind, load = LOADERS[name]
    state, path = kind().state_dict(), tmp_path / f"{name}.pth"
    floats = [key for key, value in state.items() if value.is_floating_point()]
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=False)
    loaded = load(path).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in floats)
    some = floats[len(floats) // 2]
    torch.save({key: value for key, value in state.items() if key != some}, path)
    with pytest.raises(ValueError, match=rf"{name}\.pth: the key of '{some}' is missing"):
        load(path)


def test_wrong_keys_are_one_line_with_file_and_key(tmp_path):
    state, path = nn.Linear(2, 3).state_dict(), tmp_path / "linear.pth"
    wrong = {
        "key of 'weight' is missing": {"bias": state["bias"]},
        "key 'extra' is unexpected": {**state, "extra": torch.zeros(1)},
        r"key 'weight' has shape \[2, 3, 5\], expected \[3, 2\]": {**state, "weight": torch.zeros(2, 3, 5)},
        "key 'bias' is damaged": {**state, "bias": torch.full((3,), torch.nan)},
    }
    for message, tensors in wrong.items():
        torch.save(tensors, path)
        with pytest.raises(ValueError, match=rf"linear\.pth: .*{message}") as caught:
            fill(nn.Linear(2, 3), path, read_weights(path))
        assert "\n" not in str(caught.value)


def test_image_reward_loads_strictly(tmp_path):
    parts = {f"{part}.{name}": value for part, one in original_parts().items() for name, value in one.items()}
    path = tmp_path / image_reward.FILE
    torch.save({**parts, "blip.vision_proj.weight": torch.zeros(2, 2)}, path)
    image_reward.load_image_reward(path, SMALL_VISION, SMALL_TEXT)
    del parts["mlp.layers.6.bias"]
    torch.save(parts, path)
    with pytest.raises(ValueError, match=r"ImageReward.pt: the key of 'mlp.6.bias' is missing"):
        image_reward.load_image_reward(path, SMALL_VISION, SMALL_TEXT)


class Harm:
    """Runs a program when it is unpickled."""

    def __reduce__(self):
        return (print, ("a pickle ran",))


def test_no_file_runs_anything(tmp_path, capsys):
    for name, write in (
        ("zip.pth", lambda path: torch.save({"a": Harm()}, path)),
        ("old.pth", lambda path: torch.save({"a": Harm()}, path, _use_new_zipfile_serialization=False)),
        ("bare.pth", lambda path: path.write_bytes(pickle.dumps(Harm(), 2))),
        ("text.pth", lambda path: path.write_text("weights")),
        ("empty.safetensors", lambda path: path.write_bytes(b"")),
    ):
        write(tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name}: not ") as caught:
            read_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert "ran" not in capsys.readouterr().out


def test_an_archive_that_asks_for_more_is_refused(archive, tmp_path, capsys):
    path = tmp_path / "bad.pt"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("bad/constants.pkl", b"")
        made.writestr("bad/data.pkl", pickle.dumps(Harm()))
    with pytest.raises(ValueError, match=r"bad.pt: .*it asks for builtins.print"):
        read_torchscript(path)
    assert "ran" not in capsys.readouterr().out
    cut = tmp_path / "cut.pt"
    cut.write_bytes(archive.read_bytes()[:-1000])
    assert not is_torchscript(cut)
    with pytest.raises(ValueError, match="not a TorchScript archive"):
        read_torchscript(cut)


def test_dropped_weights_of_word_pieces_are_noticed(tmp_path):
    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s"]))
    encoded = image_reward.load_tokenizer(words, 10).encode("A cats " * 40)
    assert len(encoded.ids) == image_reward.LENGTH
    assert encoded.ids[:4] == [2, 5, 6, 7]
    with pytest.raises(ValueError, match=r"vocab.txt: it has 8 pieces, expected 30522"):
        image_reward.load_tokenizer(words)


def test_efficientnet_knows_a_picture(tmp_path):
    """Published weights where the package is installed: pictures that differ by a shift are alike, others are not."""
    pytest.importorskip(efficientnet.PACKAGE, reason="the package of weights, an extra of tests")
    compute = efficientnet.EfficientNetFeatures(None).load(torch.device("cpu"))
    random = np.random.default_rng(0)
    frames = [(picture(96, 96, dx)[0].permute(1, 2, 0) * 255).byte().numpy() for dx in (0, 2)]
    with torch.inference_mode():
        rows = compute([*frames, random.integers(0, 256, (96, 96, 3), np.uint8)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert rows[0] @ rows[1] > 0.8 > 0.5 > rows[0] @ rows[2]
