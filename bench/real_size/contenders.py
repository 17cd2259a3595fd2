"""Contenders that are timed: each makes of a Stable Diffusion directory one UNet pass and one whole correction.

Inputs are the same for all: latents, timestep and text states of fixed seeds; a prompt and a picture. The pass has
both branches of guidance. A correction encodes prompt and picture, runs the second half of ``steps`` and decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...compile.cache import PlanCache
from ...engine.engine import Engine
from ...engine.options import make_options
from ...engine.sdedit.correction import Correction
from .weights import CORRECTOR

PROMPT = "Benny the beagle sat in a vibrant garden."
GUIDANCE, TIMESTEP, SEED = 7.5, 321, 0
STRENGTH = 0.5
PER_LATENT = 8  # pixels


class Contender(Protocol):
    """Work of a worker."""

    def unet_pass(self) -> Tensor:
        """Predictions of both branches, unconditional first, float [2, 4, h, w]."""
        ...

    def correct(self) -> Tensor:
        """The corrected picture in [0, 1], [3, H, W]."""
        ...


class Inputs:
    """The same numbers for every contender."""

    def __init__(self, size: int, context_dim: int, text_tokens: int = 77, device: str = "cpu") -> None:
        generator = torch.Generator().manual_seed(SEED)
        side = size // PER_LATENT
        self.size = size
        self.latents = torch.randn(1, 4, side, side, generator=generator, device="cpu").to(device)
        self.context = torch.randn(2, text_tokens, context_dim, generator=generator, device="cpu").to(device)
        self.picture = torch.rand(1, 3, size, size, generator=generator, device="cpu").to(device)


class Diffusers:
    """diffusers' image-to-image pipeline, channels-last."""

    def __init__(self, folder: Path, size: int, steps: int, dtype: str) -> None:
        from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline

        kind = getattr(torch, dtype)
        pipeline: Any = StableDiffusionImg2ImgPipeline.from_pretrained(folder / CORRECTOR, torch_dtype=kind)
        pipeline.set_progress_bar_config(disable=True)
        assert isinstance(pipeline.scheduler, DDIMScheduler)
        for network in (pipeline.unet, pipeline.vae):
            network.to(memory_format=torch.channels_last)
        self.pipeline, self.steps, self.kind = pipeline, steps, kind
        self.inputs = Inputs(size, pipeline.unet.config.cross_attention_dim)
        self.latents = self.inputs.latents.to(kind).repeat(2, 1, 1, 1)
        self.context = self.inputs.context.to(kind)

    @torch.inference_mode()
    def unet_pass(self) -> Tensor:
        found: Tensor = self.pipeline.unet(self.latents, torch.tensor(TIMESTEP), self.context, return_dict=False)[0]
        return found.float()

    @torch.inference_mode()
    def correct(self) -> Tensor:
        found: Tensor = self.pipeline(
            prompt=PROMPT,
            image=self.inputs.picture,
            strength=STRENGTH,
            num_inference_steps=self.steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
            output_type="pt",
        ).images[0]
        return found.float()


class Ours:
    """The engine's corrector, its stages on ``backend``."""

    def __init__(self, folder: Path, size: int, steps: int, backend: str, dtype: str, unet: str | None = None) -> None:
        """``unet`` is the UNet's backend where it has one of its own."""
        cache = PlanCache(folder / "plans", limit=64 << 30)
        stages = ("unet", "vae_encoder", "vae_decoder", "text_encoder")
        chosen = ",".join(f"{stage}={unet if unet and stage == 'unet' else backend}" for stage in stages)
        self.engine = Engine.from_pretrained(folder, backend=chosen, dtype=dtype, cache=cache)
        corrector = self.engine.models.corrector
        options = make_options(
            guidance_scale=GUIDANCE, strength=STRENGTH, num_inference_steps=steps, correction_size=size
        )
        self.correction = Correction(corrector, options.resolved(self.engine.defaults))
        self.unet, self.inputs = corrector.unet, Inputs(size, corrector.unet.config.cross_attention_dim)
        kind = corrector.text_encoder.final_layer_norm.weight.dtype
        self.latents, self.pixels = self.inputs.latents.to(kind), (self.inputs.picture * 2 - 1).to(kind)
        with torch.inference_mode():
            self.kv = self.unet.context_kv(self.inputs.context.to(kind))
            self.shifts = self.unet.time_shifts(torch.tensor([TIMESTEP]))

    @torch.inference_mode()
    def unet_pass(self) -> Tensor:
        return self.unet(self.latents, self.shifts, self.kv).float()

    @torch.inference_mode()
    def correct(self) -> Tensor:
        conditioning, _ = self.correction.condition([PROMPT])
        return (self.correction.run(self.pixels, conditioning, [SEED], 0)[0].float() + 1) / 2


class GenAI:
    """OpenVINO GenAI's image-to-image pipeline, reshaped to its one shape, which is its fastest form."""

    def __init__(self, folder: Path, size: int, steps: int, precision: str) -> None:
        """``precision`` is OpenVINO's name of the number type that it computes in: f32 or bf16."""
        import openvino
        import openvino_genai

        from .genai_export import export

        self.inputs, self.steps = Inputs(size, 768), steps
        self.ir = export(folder)
        self.options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self.core, self.library = openvino.Core(), openvino_genai
        self.request: Any = None
        self.pipeline: Any = None

    def unet_pass(self) -> Tensor:
        """By the pipeline's own UNet file, compiled as the pipeline compiles it."""
        from openvino import PartialShape
        from openvino import Tensor as Shared

        if self.request is None:
            model = self.core.read_model(self.ir / "unet" / "openvino_model.xml")
            latents = self.inputs.latents.repeat(2, 1, 1, 1)
            shapes = {"sample": latents.shape, "timestep": (1,), "encoder_hidden_states": self.inputs.context.shape}
            model.reshape({name: PartialShape(list(shape)) for name, shape in shapes.items()})
            self.request = self.core.compile_model(model, "CPU", self.options).create_infer_request()
            self.request.set_tensor("sample", Shared(latents.numpy().copy()))
            self.request.set_tensor("timestep", Shared(np.array([TIMESTEP], np.int64)))
            self.request.set_tensor("encoder_hidden_states", Shared(self.inputs.context.numpy().copy()))
        self.request.infer()
        return torch.from_numpy(self.request.get_output_tensor().data.copy())

    def correct(self) -> Tensor:
        from openvino import Tensor as Shared

        size = self.inputs.size
        if self.pipeline is None:
            self.pipeline = self.library.Image2ImagePipeline(self.ir)
            self.pipeline.reshape(1, size, size, GUIDANCE)
            self.pipeline.compile("CPU", **self.options)
        picture = (self.inputs.picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8)[None].numpy().copy()
        found = self.pipeline.generate(
            PROMPT,
            Shared(picture),
            strength=STRENGTH,
            num_inference_steps=self.steps,
            guidance_scale=GUIDANCE,
            rng_seed=SEED,
        )
        return torch.from_numpy(found.data[0].copy()).permute(2, 0, 1).float() / 255


CONTENDERS: Mapping[str, Callable[[Path, int, int], Contender]] = {
    "diffusers-bf16": lambda folder, size, steps: Diffusers(folder, size, steps, "bfloat16"),
    "eager-bf16": lambda folder, size, steps: Ours(folder, size, steps, "eager", "bfloat16"),
    "openvino-bf16": lambda folder, size, steps: Ours(folder, size, steps, "openvino-bf16", "float32"),
    "openvino-int8": lambda folder, size, steps: Ours(folder, size, steps, "openvino-bf16", "float32", "openvino-int8"),
    "genai-bf16": lambda folder, size, steps: GenAI(folder, size, steps, "bf16"),
    "diffusers-float32": lambda folder, size, steps: Diffusers(folder, size, steps, "float32"),
    "eager-float32": lambda folder, size, steps: Ours(folder, size, steps, "eager", "float32"),
    "openvino": lambda folder, size, steps: Ours(folder, size, steps, "openvino", "float32"),
    "genai-float32": lambda folder, size, steps: GenAI(folder, size, steps, "f32"),
}
