"""DeepFloyd IF at small sizes: diffusers' networks with random weights, and directories as they are published."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import sentencepiece
import torch
import transformers
from torch import Tensor, nn

from acdc.engine.models.diffusion.deepfloyd.config import IFUNetConfig
from acdc.engine.models.diffusion.deepfloyd.unet import IFUNet
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig, alphas_cumprod
from tests.helpers.published import randomise

STATES = 64  # width of the text encoder
COMMON = {
    "act_fn": "gelu",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "attention_head_dim": 16,
    "cross_attention_norm": "group_norm",
    "encoder_hid_dim": STATES,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "norm_num_groups": 8,
    "out_channels": 6,
    "resnet_time_scale_shift": "scale_shift",
}
UNETS: dict[str, dict[str, Any]] = {
    "stage I": {
        **COMMON,
        "in_channels": 3,
        "sample_size": 8,
        "block_out_channels": (16, 32, 48),
        "down_block_types": ("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * 2,
        "up_block_types": ("SimpleCrossAttnUpBlock2D",) * 2 + ("ResnetUpsampleBlock2D",),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
    },
    "stage II": {
        **COMMON,
        "in_channels": 6,
        "sample_size": 32,
        "block_out_channels": (16, 16, 32),
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2 + ("SimpleCrossAttnDownBlock2D",),
        "up_block_types": ("SimpleCrossAttnUpBlock2D",) + ("ResnetUpsampleBlock2D",) * 2,
        "layers_per_block": (1, 2, 1),
        "cross_attention_dim": 64,
        "class_embed_type": "timestep",
        "time_embedding_dim": 48,
        "time_embedding_act_fn": "gelu",
        "resnet_skip_time_act": True,
        "resnet_out_scale_factor": 1.4142271248762552,
        "mid_block_scale_factor": 1.4142271248762552,
    },
}
MOST = {"stage I": 1.5, "stage II": 1.0}
TEXT = {"vocab_size": 320, "d_model": STATES, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
T5 = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0}
PROMPTS = ["Benny the beagle in a vibrant garden.", "Benny sat."]


@cache
def their_unet(stage: str) -> Any:
    """diffusers' network of that stage. Its answers are small: guidance multiplies by what those to two prompts differ,
    which of random networks is as much as they are."""
    network = randomise(diffusers.UNet2DConditionModel(**UNETS[stage]))
    with torch.no_grad():
        network.conv_out.weight.mul_(0.25)
    return network


def our_unet(stage: str, dtype: torch.dtype = torch.float32) -> IFUNet:
    """Ours, with the weights of diffusers'."""
    theirs = their_unet(stage)
    ours = IFUNet(IFUNetConfig.from_dict(theirs.config))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours.to(dtype).eval()


def scheduler(stage: str, **changes: Any) -> Any:
    """diffusers' DDPM with the fields of the published config.

    Its alpha-bars are float64: in float32, 1 - alpha-bar is wrong by 0.15 % at timestep 0, and the noise of the step to
    it by half of that.
    """
    made = diffusers.DDPMScheduler(
        **{"beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range", "thresholding": True}
        | {"dynamic_thresholding_ratio": 0.95, "sample_max_value": MOST[stage]}
        | changes
    )
    exact = alphas_cumprod(SchedulerConfig(beta_schedule="squaredcos_cap_v2"))
    torch.testing.assert_close(made.alphas_cumprod, exact.float(), rtol=1e-4, atol=1e-6)
    made.alphas_cumprod = exact
    return made


@cache
def their_text() -> Any:
    """transformers' T5 encoder."""
    return randomise(transformers.T5EncoderModel(transformers.T5Config(**TEXT, **T5)))


@cache
def pieces() -> bytes:
    """A SentencePiece model with T5's special ids, trained on a few words."""
    made = io.BytesIO()
    words = "benny the beagle sat in a vibrant garden he jumped up luna fox owl snowy field ran looked"
    text = [f"{one} {other}" for one in words.split() for other in words.split()]
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(text), model_writer=made, vocab_size=100, hard_vocab_limit=False, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, minloglevel=2, num_threads=1,
    )  # fmt: skip
    return made.getvalue()


def write_stage(folder: Path, stage: str, text: bool = True) -> Path:
    """The directory of one stage as diffusers publishes it; without its ``text`` side where that is left out."""
    their_unet(stage).save_pretrained(folder / "unet")
    scheduler(stage).save_pretrained(folder / "scheduler")
    upscales = stage == "stage II"
    index: dict[str, Any] = {
        "_class_name": "IFSuperResolutionPipeline" if upscales else "IFPipeline",
        "_diffusers_version": "0.17.0.dev0",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"] if text else [None, None],
        "tokenizer": ["transformers", "T5Tokenizer"] if text else [None, None],
        "safety_checker": ["deepfloyd_if", "IFSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "watermarker": ["deepfloyd_if", "IFWatermarker"],
        "requires_safety_checker": True,
    }
    if upscales:
        index["image_noising_scheduler"] = ["diffusers", "DDPMScheduler"]
        scheduler(stage).save_pretrained(folder / "image_noising_scheduler")
    if text:
        their_text().save_pretrained(folder / "text_encoder")
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer" / "spiece.model").write_bytes(pieces())
        settings = {"tokenizer_class": "T5Tokenizer", "model_max_length": 77, "extra_ids": 100}
        (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def states(rows: int, seed: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Text states [rows, 77, STATES]."""
    return torch.randn((rows, 77, STATES), generator=torch.Generator().manual_seed(seed)).to(dtype)


def largest(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    assert one.shape == other.shape
    return float((one - other).abs().max())


def count(module: nn.Module) -> int:
    """Number of weights."""
    return sum(value.numel() for value in module.parameters())
