"""The published systems at toy sizes: the same kinds, repositories and defaults."""

import json
from pathlib import Path
from typing import Any

import pytest

from acdc.engine.loading import bundle_place
from acdc.engine.loading.families import KINDS
from tests.helpers.small_if import TEXT
from tests.helpers.small_if import UNETS as DEEPFLOYD

CORRECTOR = {
    "unet": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
    },
    "vae": {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
    },
    "text_encoder": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 100,
    },
    "motion_adapter": {
        "block_out_channels": (8, 16),
        "motion_layers_per_block": 1,
        "motion_num_attention_heads": 2,
        "motion_norm_num_groups": 4,
        "motion_max_seq_length": 4,
    },
}
TOKENS = 16  # that a text encoder of VideoCrafter2's kind reads
VIDEOCRAFTER2: dict[str, dict[str, Any]] = {
    "unet": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": 16,
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
        "max_frames": 4,
        "sample_size": 8,
    },
    "vae": CORRECTOR["vae"],
    "text_encoder": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 600,
        "max_position_embeddings": TOKENS,
        "hidden_act": "gelu",
    },
}
SMALL = {
    "show-o": {"layers": 2, "hidden": 32, "ffn": 64, "heads": 2, "num_vq_tokens": 16},
    "lwm": {"layers": 2, "hidden": 32, "ffn": 64, "heads": 2, "max_position": 4096},
    "janus": {
        "layers": 2,
        "hidden": 32,
        "ffn": 64,
        "heads": 2,
        "text_vocab": 200,
        "vision_vocab": 64,
        "projection": 32,
        "codes_per_frame": 16,
    },
    "emu3": {
        "layers": 2,
        "hidden": 32,
        "ffn": 64,
        "heads": 4,
        "kv_heads": 2,
        "text_vocab": 300,
        "vision_vocab": 64,
        "first_code": 200,
        "eol": 190,
        "side": 4,
    },
    "emu3-vq": {
        "codebook_size": 64,
        "resolution": 16,
        "base_channels": 8,
        "channel_multipliers": (1, 1, 2),
        "num_res_blocks": 1,
        "attention_levels": (2,),
        "num_groups": 4,
    },
    "llamagen": {
        "codebook_size": 64,
        "resolution": 16,
        "base_channels": 8,
        "channel_multipliers": (1, 1, 2),
        "num_res_blocks": 1,
        "z_channels": 8,
        "num_groups": 4,
    },
    "unified-io-2": {
        "width": 32,
        "heads": 2,
        "head_dim": 16,
        "mlp": 48,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "image_vocab": 66,
        "codebook_size": 64,
        "grid": 4,
        "image_patches": 3,
        "history_patches": 2,
        "vit": {"width": 16, "heads": 2, "layers": 2, "mlp": 24, "patch": 4, "positions": 2},
        "resampler": {"width": 16, "heads": 2, "head_dim": 8, "mlp": 24, "latents": 2},
    },
    "unified-io-2-vqgan": {
        "resolution": 16,
        "base_channels": 8,
        "channel_multipliers": (1, 1, 2),
        "num_res_blocks": 1,
        "codebook_size": 64,
        "num_groups": 4,
    },
    "magvit2": {
        "resolution": 16,
        "base_channels": 8,
        "channel_multipliers": [1, 1, 2],
        "encoder_blocks": [1, 1, 1],
        "decoder_blocks": [1, 1, 1],
        "num_groups": 4,
    },
    "vqgan": {
        "resolution": 64,
        "base_channels": 8,
        "channel_multipliers": (1, 1, 2),
        "num_res_blocks": 1,
        "z_channels": 4,
        "num_groups": 4,
    },
    "stable-diffusion": {name: CORRECTOR[name] for name in ("unet", "vae", "text_encoder")},
    "animatediff": CORRECTOR,
    "videocrafter2": VIDEOCRAFTER2,
    "deepfloyd-if": {"unet": DEEPFLOYD["stage II"], "text_encoder": TEXT},
}

OF_THE_TASK = ("in_channels", "time_cond_proj_dim")  # fields of a UNet that its input decides


def own_parts(published: dict[str, Any]) -> dict[str, Any]:
    """Toy sizes of a UNet for inpainting or LCM, of a ControlNet, and of a cascade's first stage, where the published
    system has one; and its scheduler."""
    unet, found = CORRECTOR["unet"], {name: value for name, value in published.items() if name == "scheduler"}
    own = {name: value for name, value in published.get("unet", {}).items() if name in OF_THE_TASK}
    if own:
        found["unet"] = {**unet, **own}
    if "controlnet" in published:
        own = {name: value for name, value in unet.items() if name != "up_block_types"}
        found["controlnet"] = {**own, "conditioning_embedding_out_channels": (4, 8)}
    if "stage_one" in published:
        found["stage_one"] = DEEPFLOYD["stage I"]
    return found


def small_systems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put them, as files in ``folder``, in the place of the full-size ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in bundle_place.PUBLISHED.glob("*.json"):
        raw = json.loads(path.read_text())
        for role in KINDS:
            raw[role]["config"] = {**SMALL[raw[role]["kind"]], **own_parts(raw[role].get("config", {}))}
        (folder / path.name).write_text(json.dumps(raw))
    monkeypatch.setattr(bundle_place, "PUBLISHED", folder)
