"""Stable Diffusion XL at toy sizes: the three levels of the published UNet, with transformers of other depths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import transformers

from tests.helpers.published import END, TEXT, VAES, load_theirs, randomise, write_tokenizer

SECOND = {**TEXT, "hidden_size": 40, "intermediate_size": 48, "projection_dim": 20, "hidden_act": "gelu"}
UNET: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 20 + 6 * 8,
    "attention_head_dim": [2, 4, 8],
    "block_out_channels": [16, 32, 48],
    "cross_attention_dim": 24 + 40,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "sample_size": 8,
    "transformer_layers_per_block": [1, 2, 3],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "upcast_attention": None,
    "use_linear_projection": True,
}
SIZES: dict[str, Any] = {
    "unet": UNET,
    "vae": {**VAES["four levels"], "scaling_factor": 0.13025},
    "text_encoder": TEXT,
    "text_encoder_2": SECOND,
    "scheduler": {
        "_class_name": "EulerDiscreteScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
}


def write_sdxl(folder: Path) -> diffusers.StableDiffusionXLPipeline:
    """diffusers' pipeline of random weights, and its directory ``folder``/sdxl as SDXL's base is published."""
    tokenizers = []
    for name, pad in (("tokenizer", END), ("tokenizer_2", "!")):
        (folder / name).mkdir()
        write_tokenizer(folder / name, pad=pad)
        tokenizers.append(load_theirs(folder / name))
    # The id of the end that old configs hold: the encoder then pools at the largest id, as published ones do.
    texts = [transformers.CLIPTextConfig(**config, eos_token_id=2) for config in (TEXT, SECOND)]
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=randomise(diffusers.AutoencoderKL(**SIZES["vae"])),
        text_encoder=randomise(transformers.CLIPTextModel(texts[0])),
        text_encoder_2=randomise(transformers.CLIPTextModelWithProjection(texts[1])),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=randomise(diffusers.UNet2DConditionModel(**UNET)),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="trailing",
        ),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder / "sdxl")
    return pipeline
