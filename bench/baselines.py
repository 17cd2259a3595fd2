"""ACDC as one would write it today from two libraries: transformers' LLaMA and its cache, diffusers' Img2Img pipeline.

The same weights and the same work per frame as the engine's, at these libraries' best settings on a CPU: inference
mode, channels-last convolutions, all threads, no progress bar. The visual tokenizer, which neither library has, is
the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..engine.engine import Engine
from ..engine.memory import load_memory
from ..engine.models.lwm.model import LWM
from .parts import arm_of, tokenizer_of


def llama_of(model: LWM) -> Any:
    """A transformers ``LlamaModel`` with the weights of ``model``; vision id i is its id ``text_vocab`` + i.

    transformers rotates the halves of a head against each other, LWM neighbouring pairs: the rows of q and k are
    put in that order, which leaves every product q k as it was.
    """
    from transformers import LlamaConfig, LlamaModel

    config = model.config
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=config.text_vocab + config.vision_vocab,
            hidden_size=config.hidden,
            intermediate_size=config.ffn,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.max_position,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            attn_implementation="sdpa",
        )
    )
    state = {"embed_tokens.weight": torch.cat((model.wte.weight, model.vte.weight)), "norm.weight": model.ln_f.weight}
    for index, block in enumerate(model.blocks):
        source: dict[str, Tensor] = dict(block.state_dict())
        prefix = f"layers.{index}."
        for ours, theirs in NAMES.items():
            state[f"{prefix}{theirs}.weight"] = source[f"{ours}.weight"]
        for name in ("q_proj", "k_proj"):
            key = f"{prefix}self_attn.{name}.weight"
            state[key] = _halves(state[key], config.heads)
    llama.load_state_dict(state)
    return llama.eval().requires_grad_(False)


NAMES = {  # of a block
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Rows 0 1 2 3 of each head -> 0 2 1 3: pairs (2i, 2i + 1) become (i, i + half)."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


class Baseline:
    """``generate(sentences, seed)`` -> corrected pictures [F, 3, H, W] in [0, 1]; window context, as the bundle's."""

    def __init__(self, engine: Engine) -> None:
        from diffusers import StableDiffusionImg2ImgPipeline

        self.arm, self.tokenizer, self.defaults = arm_of(engine), tokenizer_of(engine), engine.defaults
        self.llama = llama_of(self.arm.model)
        folder: Path = engine.bundle.parts["corrector"].folders["path"]
        pipeline: Any = StableDiffusionImg2ImgPipeline.from_pretrained(folder, torch_dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        for module in (pipeline.unet, pipeline.vae, self.tokenizer):
            assert isinstance(module, nn.Module)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pipeline = pipeline

    @torch.inference_mode()
    def generate(self, sentences: Sequence[str], seed: int = 0) -> Tensor:
        """Draw, correct and enter again, frame by frame, with the engine's defaults (t' = 0.5, N = 50)."""
        memory, generator = load_memory("rules"), torch.Generator().manual_seed(seed)
        pictures: list[Tensor] = []
        previous: list[int] = []
        for index, sentence in enumerate(sentences):
            prompt = self.arm.encode(sentence) + list(self.arm.stream.vision)
            codes = self.draw([*self.arm.stream.bos, *previous, *prompt], generator)
            draft = (self.tokenizer.decode(codes) + 1) / 2
            shown = self.pipeline(
                prompt=memory.refine(tuple(sentences[: index + 1])),
                image=draft,
                strength=0.5,
                num_inference_steps=50,
                guidance_scale=self.defaults["guidance_scale"],
                generator=generator,
                output_type="pt",
            ).images
            entered = self.tokenizer.encode(shown * 2 - 1)[0].tolist()
            offset = self.arm.model.config.text_vocab
            previous = [*prompt, *(offset + code for code in (*entered, self.arm.stream.eof))]
            pictures.append(shown[0])
        return torch.stack(pictures)

    def draw(self, prompt: Sequence[int], generator: torch.Generator) -> Tensor:
        """Codes [1, n] after the ids ``prompt``, drawn one by one from transformers' key-value cache."""
        from transformers import DynamicCache

        cache, offset = DynamicCache(config=self.llama.config), self.arm.model.config.text_vocab
        ids, codes = torch.tensor([prompt]), []
        for _ in range(self.arm.stream.codes_per_frame):
            hidden = self.llama(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
            logits = self.arm.model.vision_head(hidden[:, -1])[:, : self.arm.stream.codebook_size]
            codes.append(torch.multinomial(logits.softmax(-1), 1, generator=generator))
            ids = codes[-1] + offset
        return torch.cat(codes, 1)
