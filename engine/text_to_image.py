"""Pictures from noise with SDXL or SDXL-Lightning: the reference that the paper measures FID against.

    painter = TextToImage.from_pretrained("path/to/sdxl", unet="sdxl_lightning_4step_unet.safetensors")
    picture = painter("a beagle in a garden", seed=7)

Few-step models are distilled with their guidance, so every step is one pass and no negative prompt is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from .loading.bundle import parse_device, parse_dtype
from .loading.fingerprint import NOISE
from .loading.lora import LoraFile, merge_layers, network_layers, read_lora
from .loading.stable_diffusion_xl import make_sdxl, sdxl_fingerprint
from .models.diffusion.schedule import Schedule, make_schedule
from .models.diffusion.scheduler_config import SchedulerConfig
from .models.diffusion.sdxl.lightning import check_distilled, choose_steps, distilled_steps, predicts_x0
from .models.diffusion.sdxl.model import SDXL
from .options import EngineOptions, Lora, as_loras
from .options.checks import check_text
from .sdedit.correct import Conditioning, decode_latents, denoise
from .sdedit.pixels import to_uint8
from .utils.rng import Purpose, make_keys, normal

NATIVE_SIZE = 1024  # of SDXL, where its config does not say
LARGEST = 4096


class TextToImage:
    """One diffusion model and one schedule. ``cut_prompt`` is, for the last picture, the part of its prompt that the
    text encoders saw (None: all)."""

    def __init__(
        self, model: SDXL, schedule: Schedule, weights: str = NOISE, loras: Sequence[LoraFile] = (),
        distilled: int | None = None,
    ) -> None:  # fmt: skip
        """Use :meth:`from_pretrained`; ``distilled`` is the number of steps in the files' names."""
        self.model, self.schedule, self.weights, self.loras = model, schedule, weights, tuple(loras)
        self.distilled = distilled
        self.cut_prompt: str | None = None

    @classmethod
    def from_pretrained(
        cls,
        place: str | Path | None = None,
        *,
        unet: str | Path | None = None,
        loras: Iterable[str | Path | Lora] = (),
        steps: int | None = None,
        random_weights: bool = False,
        device: str = EngineOptions.device,
        dtype: str = EngineOptions.dtype,
    ) -> TextToImage:
        """Load a diffusers directory of SDXL; ``unet`` is a file of weights in the place of its UNet's.

        ``steps`` are those of Euler's sampler on trailing timesteps; None takes the number in the name of
        SDXL-Lightning's ``unet`` or LoRA. ``random_weights`` makes networks of the published sizes without any file.
        Raises ``ValueError`` (one line) that names what is unknown, or the file and the key that is wrong.
        """
        where, kind = parse_device(device), parse_dtype(dtype)
        given, file = as_loras(loras), None if unet is None else Path(unet)
        names = [Path(lora.path).name for lora in given] + ([] if file is None else [file.name])
        if random_weights:
            for name, value in (("a directory", place), ("unet", unet), ("LoRAs", given or None)):
                if value is not None:
                    raise ValueError(f"{name} and random weights are given together; choose one of them")
            names = ["sdxl_lightning_4step_unet.safetensors"]
        elif place is None:
            raise ValueError("no model given; give a directory of SDXL as diffusers writes it")
        num_steps, sample = choose_steps(names, steps), any(predicts_x0(name) for name in names)
        weights = NOISE
        if place is None:
            model = make_sdxl(where, kind)
        else:
            model = SDXL.from_directory(place, where, kind, file)
            if not names:
                check_distilled(str(place), model.scheduler_config)
            weights = sdxl_fingerprint(Path(place), file, kind)
        layers = network_layers({"unet": model.unet, "text_encoder": model.text_encoder})
        merged = [read_lora(lora, layers) for lora in given]
        merge_layers(layers, merged)
        schedule = few_steps(model, num_steps, "sample" if sample else None)
        return cls(model, schedule, weights, merged, distilled_steps(names))

    @property
    def native_size(self) -> int:
        """Pixels of a side that the UNet was trained at."""
        return NATIVE_SIZE if self.model.sample_size is None else self.model.sample_size * self.model.vae.downscale

    @torch.inference_mode()
    def __call__(self, prompt: str, *, seed: int = 0, index: int = 0, size: int | None = None) -> Image.Image:
        """The square picture of ``prompt``, ``size`` pixels a side (None: :attr:`native_size`).

        Its noise depends on ``seed`` and on the picture's number ``index`` alone. Raises ``ValueError`` for an
        impossible size, and where the model's numbers are not finite.
        """
        check_text("prompt", prompt)
        size = self.check_size(size)
        if index < 0:
            raise ValueError(f"index {index} is negative; choose 0 or more")
        prompts, side = self.model.embed([prompt]), size // self.model.vae.downscale
        self.cut_prompt = prompts.kept[0]
        keys = make_keys([seed], index, Purpose.REFERENCE, self.model.device)
        noise = normal(keys, (self.model.vae.config.latent_channels, side, side)).to(prompts.states.dtype)
        return Image.fromarray(to_uint8(self.paint(noise, prompts.states, prompts.pooled))[0])

    def paint(self, noise: torch.Tensor, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """``noise`` [1, C, h, w], ``states`` [1, S, D] and ``pooled`` [1, P] of one prompt -> pixels [1, 3, H, W] in
        [-1, 1]."""
        unet, vae, schedule = self.model.unet, self.model.vae, self.schedule
        height, width = (side * vae.downscale for side in noise.shape[-2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]], device=noise.device)
        times = torch.tensor([step.timestep for step in schedule.steps], device=noise.device)
        conditioning = Conditioning(unet.context_kv(states), guidance_scale=1.0)
        # The first timestep's alpha-bar is not 0: Euler starts at sigma times the noise, without a picture's share.
        latents = (1 - schedule.start.alpha) ** 0.5 * noise
        latents = denoise(unet, latents, conditioning, schedule, unet.prompt_shifts(times, pooled, sizes))
        pixels = decode_latents(vae, latents.to(vae.decoder.conv_in.weight.dtype))
        if not bool(torch.isfinite(latents).all() and torch.isfinite(pixels).all()):
            kind = str(noise.dtype).removeprefix("torch.")
            raise ValueError(f"the diffusion model made numbers that are not finite in {kind}; choose --dtype float32")
        return pixels

    def check_size(self, size: int | None) -> int:
        """The pixels of a side, the model's own where ``size`` is None; ``ValueError`` for an impossible one."""
        step = self.model.vae.downscale
        found = self.native_size if size is None else size
        if found % step or not step <= found <= LARGEST:
            raise ValueError(f"size {found} is impossible; choose a multiple of {step} up to {LARGEST}")
        return found

    def settings(self, size: int | None = None) -> dict[str, Any]:
        """Everything that decides a picture besides prompt, seed and number, ready for JSON."""
        weight = self.model.text_encoder.final_layer_norm.weight
        return {
            "weights": self.weights,
            "loras": [file.record() for file in self.loras],
            "dtype": str(weight.dtype).removeprefix("torch."),
            "device": str(weight.device),
            "threads": torch.get_num_threads(),
            "size": self.check_size(size),
            "steps": len(self.schedule.steps),
            "prediction_type": self.schedule.config.prediction_type,
        }


def few_steps(model: SDXL, steps: int, prediction_type: str | None = None) -> Schedule:
    """Euler's steps on trailing timesteps, whatever the directory's scheduler is; its noise levels stay, and its
    ``prediction_type`` where none is given."""
    changes = {"timestep_spacing": "trailing", "prediction_type": prediction_type}
    config = SchedulerConfig.from_dict(model.scheduler_config, "euler", **changes)
    return make_schedule(config, steps)
