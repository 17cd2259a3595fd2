"""Stories by the diffusion model alone: every frame from pure noise under its rewritten prompt, all steps."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import torch

from ...engine.engine import Engine
from ...engine.memory import Memory
from ...engine.options import StoryOptions
from ...engine.outputs import Frame, Phase, Span
from ...engine.request import StoryRequest
from ...engine.sdedit.correct import text_to_image
from ...engine.sdedit.correction import Correction
from ...engine.sdedit.pixels import to_uint8
from ...engine.sdedit.resize import working_size
from ...engine.utils.rng import Purpose, make_keys, normal


def correction_of(engine: Engine, options: StoryOptions) -> Correction:
    """The whole schedule of the engine's diffusion model. ``ValueError`` for a model that does not paint from noise in
    one go."""
    corrector = engine.models.corrector
    if corrector.stage_one is not None or corrector.upscaling is not None or corrector.inpaints:
        reason = "its diffusion model cannot draw a frame from noise alone"
        raise ValueError(f"bundle {engine.name!r}: {reason}; choose table2, or another --bundle")
    return Correction(corrector, options.replace(strength=1.0).resolved(engine.defaults))


@torch.inference_mode()
def frames_alone(engine: Engine, correction: Correction, story: StoryRequest, memory: Memory) -> Iterator[Frame]:
    """Frames after those that the request brings along. They have no codes: no ARM draws and none reads them."""
    corrector = correction.corrector
    side = engine.models.tokenizer.config.resolution
    height, width = working_size(side, side, correction.options.size)
    shape = (corrector.vae.config.latent_channels, height // corrector.vae.downscale, width // corrector.vae.downscale)
    for index in range(len(story.done), len(story.sentences)):
        began = perf_counter()
        prompt = memory.refine(story.sentences[: index + 1])
        conditioning, kept = correction.condition([prompt])
        noise = normal(make_keys([story.seed], index, Purpose.NOISE, engine.device), shape)
        noise = noise.to(corrector.text_encoder.final_layer_norm.weight.dtype)
        fresh = correction.step_noise(noise.new_empty(1, 3, height, width), [story.seed], index)
        pixels = text_to_image(corrector.vae, corrector.unet, noise, conditioning, correction.schedule, fresh)
        shown = to_uint8(pixels)[0]
        span = Span(Phase.SDEDIT, 0.0, 1e3 * (perf_counter() - began))
        yield Frame(index, story.sentences[index], prompt, kept[0], True, shown, shown, (), (), (span,))
