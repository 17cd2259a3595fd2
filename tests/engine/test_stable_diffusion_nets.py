"""Our Stable Diffusion networks against the libraries whose weights they load."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from acdc.engine.models.corrector import clip_text, vae
from acdc.engine.models.corrector.clip_text import CLIPText, CLIPTextConfig
from acdc.engine.models.corrector.clip_tokenizer import END, START, CLIPTokenizer
from acdc.engine.models.corrector.stable_diffusion import StableDiffusion
from acdc.engine.models.corrector.unet import UNet, UNetConfig
from acdc.engine.models.corrector.vae import VAE, VAEConfig

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = list(TOLERANCE)

UNETS: dict[str, dict[str, Any]] = {
    "sd1-like": {
        "block_out_channels": [16, 32, 48, 48],
        "norm_num_groups": 8,
        "cross_attention_dim": 24,
        "attention_head_dim": 8,
    },
    "sd2-like": {
        "block_out_channels": [16, 32, 48, 48],
        "norm_num_groups": 8,
        "cross_attention_dim": 20,
        "attention_head_dim": [1, 2, 3, 6],
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "bundle-like": {
        "block_out_channels": [16, 32],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "norm_eps": 1e-6,
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "transformer_layers_per_block": 2,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
    },
    "three levels": {
        "in_channels": 5,
        "out_channels": 3,
        "block_out_channels": [8, 24, 16],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 3,
        "norm_num_groups": 8,
        "cross_attention_dim": 12,
        "attention_head_dim": 4,
    },
}
VAES: dict[str, dict[str, Any]] = {
    "four levels": {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 4, "layers_per_block": 2},
    "no attention": {
        "block_out_channels": [8, 16],
        "norm_num_groups": 4,
        "mid_block_add_attention": False,
        "scaling_factor": 0.5,
    },
    "bare": {
        "block_out_channels": [8, 16, 24],
        "norm_num_groups": 8,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "latent_channels": 3,
    },
}
TEXT = {
    "vocab_size": 600,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
}
for _name, _config in VAES.items():
    _levels = len(_config["block_out_channels"])
    _config |= {
        "down_block_types": ["DownEncoderBlock2D"] * _levels,
        "up_block_types": ["UpDecoderBlock2D"] * _levels,
    }


def randomise(module: nn.Module) -> nn.Module:
    """The same weights each time, and norms that are not the identity, which would hide swapped ones."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim == 1:
                p.copy_(0.1 * noise + (1 if name.endswith("weight") else 0))
            else:
                p.copy_(noise / p[0].numel() ** 0.5)
    return module.eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> None:
    assert ours.dtype == theirs.dtype == dtype
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= TOLERANCE[dtype] * theirs.abs().max().clamp(min=1)


def unet_pair(name: str, dtype: torch.dtype) -> tuple[UNet, nn.Module]:
    theirs = randomise(diffusers.UNet2DConditionModel(**UNETS[name])).to(dtype)
    ours = UNet(UNetConfig.from_dict(theirs.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


# ---------------------------------------------------------------- UNet


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNETS)
@torch.no_grad()
def test_unet_is_the_published_one(name: str, dtype: torch.dtype) -> None:
    ours, theirs = unet_pair(name, dtype)
    c = ours.config
    latents = normal(3, c.in_channels, 16, 24).to(dtype)
    context = normal(3, 5, c.cross_attention_dim, seed=2).to(dtype)
    timesteps = torch.tensor([0, 401, 999])
    close(ours(latents, timesteps, context), theirs(latents, timesteps, context).sample, dtype)


@torch.no_grad()
def test_unet_takes_sizes_that_do_not_halve() -> None:
    ours, theirs = unet_pair("sd1-like", torch.float64)
    latents, context = normal(1, 4, 11, 14), normal(1, 5, 24)
    step = torch.tensor([7])
    close(ours(latents, step, context), theirs(latents, step, context).sample, torch.float64)


@torch.no_grad()
def test_unet_takes_parts_computed_once() -> None:
    ours, _ = unet_pair("bundle-like", torch.float64)
    latents, context, step = normal(2, 4, 8, 8), normal(2, 5, 12), torch.tensor([250])
    whole = ours(latents, step, context)
    kv = ours.context_kv(context)
    assert len(kv) == 2 * (2 + 1 + 4)  # two transformer blocks each: 2 on the way down, 1 in the middle, 4 up
    assert kv[0][0].shape == (2, 2, 5, 8)
    assert torch.equal(ours(latents, ours.time_embedding(step), kv), whole)
    close(ours(latents, step.expand(2), kv), whole, torch.float64)
    with pytest.raises(AssertionError):
        ours(latents, step, [*kv, kv[0]])


@torch.no_grad()
def test_upcast_attention_survives_large_scores() -> None:
    ours, _ = unet_pair("sd2-like", torch.float32)
    attention = ours.mid_block.attentions[0].transformer_blocks[0].attn1.to(torch.bfloat16)
    x = normal(1, 6, 48).to(torch.bfloat16)
    assert attention.upcast
    assert attention(x).dtype == torch.bfloat16
    assert attention(x).isfinite().all()


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_full_size_parameter_counts() -> None:
    with torch.device("meta"):
        unet = UNet(UNetConfig(cross_attention_dim=768))
        sd_vae = VAE(
            VAEConfig.from_dict(
                {
                    "block_out_channels": [128, 256, 512, 512],
                    "down_block_types": ["DownEncoderBlock2D"] * 4,
                    "up_block_types": ["UpDecoderBlock2D"] * 4,
                    "layers_per_block": 2,
                }
            )
        )
        text = CLIPText(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
        sd2 = UNet(UNetConfig(cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True))
    assert parameters(unet) == 859_520_964
    assert parameters(sd2) == 865_910_724
    assert parameters(sd_vae) == 83_653_863
    assert parameters(text) == 123_060_480


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_embed_type", "timestep"),
        ("num_class_embeds", 10),
        ("only_cross_attention", True),
        ("resnet_time_scale_shift", "scale_shift"),
        ("addition_embed_type", "text_time"),
        ("encoder_hid_dim_type", "text_proj"),
        ("transformer_layers_per_block", [1, 2, 10, 1]),
        ("cross_attention_dim", [8, 8, 8, 8]),
        ("mid_block_type", None),
        ("down_block_types", ["AttnDownBlock2D"] * 4),
        ("up_block_types", ["UpBlock2D"] * 3),
        ("attention_head_dim", [1, 2]),
        ("attention_head_dim", 7),
        ("norm_num_groups", 33),
        ("norm_num_groups", None),
        ("layers_per_block", True),
        ("center_input_sample", 0),
        ("_class_name", "UNet3DConditionModel"),
        ("motion_modules", True),
    ],
)
def test_unet_refuses_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key) as error:
        UNetConfig.from_dict({key: value}, "x/unet/config.json")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("x/unet/config.json: ")


# ---------------------------------------------------------------- VAE


def vae_pair(name: str, dtype: torch.dtype) -> tuple[VAE, Any]:
    theirs = randomise(diffusers.AutoencoderKL(**VAES[name])).to(dtype)
    ours = VAE(VAEConfig.from_dict(theirs.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VAES)
@torch.no_grad()
def test_vae_is_the_published_one(name: str, dtype: torch.dtype) -> None:
    ours, theirs = vae_pair(name, dtype)
    pixels = normal(3, 3, 32, 48).clamp(-1, 1).to(dtype)
    mean, logvar = ours.encode(pixels)
    posterior = theirs.encode(pixels).latent_dist
    close(mean, posterior.mode(), dtype)
    close(logvar, posterior.logvar, dtype)
    assert mean.shape[2:] == (32 // ours.downscale, 48 // ours.downscale)
    latents = normal(3, ours.config.latent_channels, 4, 6).to(dtype)
    close(ours.decode(latents), theirs.decode(latents).sample, dtype)
    assert ours.scaling_factor == theirs.config.scaling_factor


def test_vae_reads_the_old_attention_names() -> None:
    new = "decoder.mid_block.attentions.0.to_out.0.bias"
    assert vae.current_key("decoder.mid_block.attentions.0.proj_attn.bias") == new
    assert vae.current_key(new) == new
    assert vae.current_key("encoder.mid_block.attentions.0.key.weight").endswith("attentions.0.to_k.weight")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shift_factor", 0.1),
        ("latents_mean", [0.0]),
        ("down_block_types", ["AttnDownEncoderBlock2D"]),
        ("norm_num_groups", 5),
        ("scaling_factor", "0.18"),
        ("_class_name", "AsymmetricAutoencoderKL"),
    ],
)
def test_vae_refuses_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^VAE config: {key}=.*is not supported"):
        VAEConfig.from_dict({key: value})


# ---------------------------------------------------------------- text encoder


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@torch.no_grad()
def test_text_encoder_is_the_published_one(activation: str, dtype: torch.dtype) -> None:
    config = transformers.CLIPTextConfig(**TEXT, hidden_act=activation)
    theirs = randomise(transformers.CLIPTextModel(config)).to(dtype)
    ours = CLIPText(CLIPTextConfig.from_dict(config.to_diff_dict())).to(dtype).eval()
    ours.load_state_dict(renamed(theirs.state_dict()), strict=True)
    for length in (16, 7):
        ids = torch.randint(0, 600, (3, length), generator=torch.Generator().manual_seed(3))
        close(ours(ids), theirs(ids).last_hidden_state, dtype)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for key, value in state.items() if (name := clip_text.current_key(key)) is not None}


def test_text_encoder_keys_with_and_without_prefix() -> None:
    assert clip_text.current_key("text_model.final_layer_norm.bias") == "final_layer_norm.bias"
    assert clip_text.current_key("final_layer_norm.bias") == "final_layer_norm.bias"
    assert clip_text.current_key("text_model.embeddings.position_ids") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_act", "relu"), ("num_attention_heads", 7), ("model_type", "t5"), ("use_attention_mask", True)],
)
def test_text_encoder_refuses_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^text encoder config: {key}=.*is not supported"):
        CLIPTextConfig.from_dict({key: value})


# ---------------------------------------------------------------- tokenizer

WORDS = ["benny", "beagle", "garden", "the", "sat", "in", "a", "vibrant", "don't", "ü"]


def small_bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All bytes, alone and at the end of a word, and the merges that build a few words."""
    alphabet = sorted(ByteLevel.alphabet())
    pieces = [*alphabet, *(c + "</w>" for c in alphabet)]
    merges: list[tuple[str, str]] = []
    byte_level = ByteLevel(add_prefix_space=False)
    for word in WORDS:
        letters = list(byte_level.pre_tokenize_str(word)[0][0])
        letters[-1] += "</w>"
        left = letters[0]
        for right in letters[1:]:
            if (left, right) not in merges:
                merges.append((left, right))
            left += right
    pieces += dict.fromkeys(a + b for a, b in merges)
    return {piece: i for i, piece in enumerate([*pieces, START, END])}, merges


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path, length: int = 16, pad: str = END) -> None:
    vocab, merges = small_bpe()
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")

    def token(content: str) -> dict[str, Any]:
        flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        return {"__type": "AddedToken", "content": content} | flags

    names = {"bos_token": token(START), "eos_token": token(END), "unk_token": token(END)}
    config = names | {"model_max_length": length, "pad_token": END, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    special = {k: {n: f for n, f in v.items() if n != "__type"} for k, v in names.items()}
    (folder / "special_tokens_map.json").write_text(json.dumps(special | {"pad_token": pad}))


TRICKY = [
    "",
    "   ",
    "Benny the beagle sat in a vibrant garden",
    "DON'T  stop\t\nnow, it's I'll we've you're he'd I'm",
    "12345 6.7% (a+b)=c!!! ... ?! #tag @you",
    "naïve café Ünïcödé e\u0301 İstanbul ß ﬁ Å",
    "犬が庭に座った。 собака 🐶👨‍👩‍👧 \u200b\u00a0x\u3000y",
    "<|startoftext|> inside <|endoftext|> text<|ENDOFTEXT|>",
    "a dog! ! !! hey!",
    "word_with_underscores and-hyphens / slashes\\",
    "the beagle " * 30,
    "\x00\x07control\ufeff",
    "garden" * 40,
]


@pytest.mark.parametrize("pad", [END, "!"])
def test_tokenizer_ids_are_the_published_ones(tmp_path: Path, pad: str) -> None:
    write_tokenizer(tmp_path, pad=pad)
    theirs = transformers.CLIPTokenizer.from_pretrained(str(tmp_path))
    ours = CLIPTokenizer.from_directory(tmp_path)
    assert theirs.pad_token == pad
    for text in TRICKY:
        expected = theirs(text, padding="max_length", truncation=True, max_length=16).input_ids
        assert ours.encode([text])[0].tolist() == [expected], text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=3))
def test_tokenizer_ids_on_any_text(tokenizer_folder: Path, texts: list[str]) -> None:
    texts = [t for t in texts if not any("\ud800" <= c <= "\udfff" for c in t)]
    theirs = load_theirs(tokenizer_folder)
    ids, kept = CLIPTokenizer.from_directory(tokenizer_folder).encode(texts)
    assert ids.shape == (len(texts), 16)
    assert ids.dtype == torch.int64
    for text, row, part in zip(texts, ids.tolist(), kept, strict=True):
        assert row == theirs(text, padding="max_length", truncation=True, max_length=16).input_ids
        assert (part is not None) == (len(theirs(text).input_ids) > 16)
        assert part is None or part in text


_theirs: list[Any] = []


def load_theirs(folder: Path) -> Any:
    if not _theirs:
        _theirs.append(transformers.CLIPTokenizer.from_pretrained(str(folder)))
    return _theirs[0]


def test_tokenizer_cuts_the_end_and_says_so(tokenizer_folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_directory(tokenizer_folder)
    long = "Benny the Beagle " + "sat in a garden " * 10
    ids, kept = tokenizer.encode([long, "Benny sat"])
    assert kept == ["Benny the Beagle sat in a garden sat in a garden sat in a", None]
    assert ids[0, 0] == tokenizer.bos_id
    assert ids[0, -1] == tokenizer.eos_id
    assert ids[1].tolist().count(tokenizer.eos_id) == 13  # end and padding are one token here
    assert torch.equal(tokenizer.encode([kept[0] or ""])[0][0], ids[0])


def test_tokenizer_reads_tokenizer_json_where_it_stands_alone(tokenizer_folder: Path, tmp_path: Path) -> None:
    load_theirs(tokenizer_folder).save_pretrained(str(tmp_path))
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    ids, _ = CLIPTokenizer.from_directory(tmp_path).encode(TRICKY)
    assert torch.equal(ids, CLIPTokenizer.from_directory(tokenizer_folder).encode(TRICKY)[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "model is not CLIP's"),
        ('{"model": {"type": "WordPiece"}}', "model is not CLIP's"),
        ('{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {}}}', "key 'merges'"),
        ('{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {}, "merges": [3]}}', "3 is not a"),
        (None, "no vocab.json"),
    ],
)
def test_tokenizer_refuses_damaged_tokenizer_json(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        CLIPTokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("vocab.json", None, "vocab.json"),
        ("vocab.json", '{"a": 0}', "not in the vocabulary"),
        ("merges.txt", None, "merges.txt"),
        ("merges.txt", "a b c\n", r"merges\.txt: \['a', 'b', 'c'\] is not a merge"),
        ("merges.txt", "qq zz\n", "do not fit"),
        ("tokenizer_config.json", '{"model_max_length": 1e30}', "model_max_length"),
        ("tokenizer_config.json", '{"model_max_length": 2}', "model_max_length"),
        ("special_tokens_map.json", '{"pad_token": 3}', "special token 3"),
        ("special_tokens_map.json", '{"pad_token": "<pad>"}', "pad_token '<pad>' is not in the vocabulary"),
    ],
)
def test_tokenizer_refuses_damage(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        CLIPTokenizer.from_directory(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


# ---------------------------------------------------------------- whole directories


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> tuple[Path, Any]:
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT))
    theirs = diffusers.StableDiffusionPipeline(
        vae=randomise(diffusers.AutoencoderKL(**VAES["four levels"])),
        text_encoder=randomise(text),
        tokenizer=load_theirs(tokenizer_folder),
        unet=randomise(diffusers.UNet2DConditionModel(**UNETS["sd1-like"])),
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    path = tmp_path_factory.mktemp("pipeline")
    theirs.save_pretrained(str(path))
    return path, theirs


@pytest.fixture
def copy(pipeline: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pipeline[0], tmp_path / "sd"))


@torch.no_grad()
def test_directory_written_by_diffusers_loads(pipeline: tuple[Path, Any]) -> None:
    path, theirs = pipeline
    ours = StableDiffusion.from_directory(path)
    states, kept = ours.embed(["Benny the beagle", "the garden"])
    ids = theirs.tokenizer(["Benny the beagle", "the garden"], padding="max_length", return_tensors="pt")
    close(states, theirs.text_encoder(ids.input_ids).last_hidden_state, torch.float32)
    assert kept == [None, None]
    latents, step = normal(2, 4, 8, 8).float(), torch.tensor([321])
    close(ours.unet(latents, step, states), theirs.unet(latents, step, states).sample, torch.float32)
    close(ours.vae.decode(latents), theirs.vae.decode(latents).sample, torch.float32)
    assert ours.scheduler_config["beta_schedule"] == "scaled_linear"
    assert not any(p.requires_grad for p in ours.unet.parameters())


def resave(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = next(folder.glob("*.safetensors"))
    state = change(load_file(path))
    save_file({k: v.contiguous() for k, v in state.items()}, path)


@torch.no_grad()
def test_directory_with_early_names_and_half_precision(pipeline: tuple[Path, Any], copy: Path) -> None:
    old = {new: early for early, new in vae.OLD_ATTENTION.items()}

    def early_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
        for new, early in old.items():
            state = {k.replace(f"attentions.0.{new}.", f"attentions.0.{early}."): v for k, v in state.items()}
        return state

    def early_text(state: dict[str, Tensor]) -> dict[str, Tensor]:
        state = {"text_model." + k.removeprefix("text_model."): v for k, v in state.items()}
        return state | {"text_model.embeddings.position_ids": torch.arange(16)[None]}

    resave(copy / "vae", early_vae)
    resave(copy / "text_encoder", early_text)
    unet = copy / "unet" / "diffusion_pytorch_model.safetensors"
    resave(copy / "unet", lambda state: {k: v.half() for k, v in state.items()})
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    a, b = StableDiffusion.from_directory(pipeline[0]), StableDiffusion.from_directory(copy)
    for x, y in ((a.vae, b.vae), (a.text_encoder, b.text_encoder)):
        assert all(torch.equal(v, y.state_dict()[k]) for k, v in x.state_dict().items())
    assert b.unet.conv_in.weight.dtype == torch.float32
    assert torch.equal(b.unet.conv_in.weight, a.unet.conv_in.weight.half().float())


def test_directory_with_shards(pipeline: tuple[Path, Any], copy: Path) -> None:
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    state, parts = load_file(path), ("a.safetensors", "b.safetensors")
    names = sorted(state)
    where = {name: parts[i % 2] for i, name in enumerate(names)}
    for part in parts:
        save_file({n: state[n] for n in names if where[n] == part}, path.with_name(part))
    path.unlink()
    path.with_name(path.name + ".index.json").write_text(json.dumps({"weight_map": where}))
    loaded = StableDiffusion.from_directory(copy).unet.state_dict()
    assert all(torch.equal(loaded[n], state[n]) for n in names)
    path.with_name("b.safetensors").unlink()
    with pytest.raises(ValueError, match=r"index\.json: its file b\.safetensors is missing"):
        StableDiffusion.from_directory(copy)


def test_directory_loads_in_the_dtype_asked_for(pipeline: tuple[Path, Any]) -> None:
    loaded = StableDiffusion.from_directory(str(pipeline[0]), "cpu", torch.float64)
    parts = (loaded.unet, loaded.vae, loaded.text_encoder)
    assert {p.dtype for m in parts for p in m.parameters()} == {torch.float64}


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_bias(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if k != "conv_out.bias"}


WEIGHTS = "diffusion_pytorch_model.safetensors"
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "index missing": (lambda d: (d / "model_index.json").unlink(), r"model_index\.json: no such file"),
    "index is no JSON": (lambda d: (d / "model_index.json").write_text("{"), r"model_index\.json: not read"),
    "another pipeline": (
        lambda d: edit(d / "model_index.json", _class_name="FluxPipeline"),
        "_class_name='FluxPipeline' is not StableDiffusionPipeline",
    ),
    "component missing": (lambda d: edit(d / "model_index.json", vae=[None, None]), "component 'vae' is miss"),
    "another component": (
        lambda d: edit(d / "model_index.json", unet=["diffusers", "UNet1DModel"]),
        "unet='UNet1DModel' is not UNet2D",
    ),
    "a component too many": (
        lambda d: edit(d / "model_index.json", text_encoder_2=["transformers", "CLIPTextModel"]),
        "component 'text_encoder_2' is not supported",
    ),
    "config missing": (lambda d: (d / "vae" / "config.json").unlink(), r"vae.config\.json: no such file"),
    "config refused": (
        lambda d: edit(d / "unet" / "config.json", class_embed_type="identity"),
        r"unet.config\.json: class_embed_type='identity'",
    ),
    "scheduler missing": (lambda d: shutil.rmtree(d / "scheduler"), r"scheduler_config\.json: no such file"),
    "weights missing": (lambda d: (d / "unet" / WEIGHTS).unlink(), "unet: no weights"),
    "weights truncated": (lambda d: truncate(d / "vae" / WEIGHTS), "safetensors: not a complete"),
    "key missing": (lambda d: resave(d / "unet", drop_bias), "key 'conv_out.bias' is missing"),
    "key unexpected": (
        lambda d: resave(d / "unet", lambda s: s | {"extra.bias": torch.zeros(1)}),
        "key 'extra.bias' is unexpected",
    ),
    "wrong shape": (
        lambda d: resave(d / "unet", lambda s: s | {"conv_out.bias": torch.zeros(9)}),
        r"key 'conv_out.bias' has shape \[9\], expected \[4\]",
    ),
    "parts that do not fit": (
        lambda d: edit(d / "text_encoder" / "config.json", hidden_size=20),
        "cross_attention_dim=24, but the text encoder's hidden_size is 20",
    ),
    "text too long": (
        lambda d: edit(d / "text_encoder" / "config.json", max_position_embeddings=8),
        "max_position_embeddings=8, but the tokenizer writes 16",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_directory_damage_is_one_line(copy: Path, case: str) -> None:
    damage, words = DAMAGE[case]
    damage(copy)
    with pytest.raises(ValueError, match=words) as error:
        StableDiffusion.from_directory(copy)
    assert "\n" not in str(error.value)
    assert str(copy) in str(error.value)


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such directory"):
        StableDiffusion.from_directory(tmp_path / "nothing")


def test_runtime_imports_neither_library() -> None:
    code = (
        "import sys, acdc.engine.models.corrector.stable_diffusion\n"
        "assert not {'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
