"""The rows of the quality study: what each one changes, and how its pictures are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ....engine.engine import Engine
from ....engine.memory import load_memory
from ....engine.models.diffusion.schedule import make_schedule
from ....engine.models.diffusion.scheduler_config import SchedulerConfig
from ....engine.options import StoryOptions, make_options
from ....engine.sdedit.correct import text_to_image
from ....engine.sdedit.correction import Correction
from ....engine.sdedit.pixels import from_array, to_uint8
from ....engine.utils.rng import Purpose, make_keys, normal
from ...parts import tokenizer_of
from ..draw.scene import render
from ..world.grammar import StorySample

Pictures = NDArray[np.uint8]  # [S, F, H, W, 3]


@dataclass(frozen=True)
class Drawn:
    """A row's pictures: ``drafts`` as the ARM drew them, ``shown`` after correction; often the same."""

    drafts: Pictures
    shown: Pictures

    def save(self, path: Path) -> None:
        """Write a compressed archive, then rename it into place."""
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, drafts=self.drafts, shown=self.shown)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Drawn:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(archive["drafts"], archive["shown"])


Drawer = Callable[[Engine, Sequence[StorySample], Sequence[int], Mapping[str, Any], int], Drawn]


def draw_stories(
    engine: Engine, stories: Sequence[StorySample], seeds: Sequence[int], options: Mapping[str, Any], batch: int
) -> Drawn:
    """The engine's own stories, ``batch`` side by side."""
    drafts, shown = [], []
    for start in range(0, len(stories), batch):
        part = slice(start, start + batch)
        texts = [story.sentences for story in stories[part]]
        for result in engine.generate_batch(texts, seeds=seeds[part], **options):
            drafts.append(np.stack([frame.draft for frame in result.frames]))
            shown.append(np.stack(result.images))
    return Drawn(np.stack(drafts), np.stack(shown))


@torch.inference_mode()
def draw_diffusion_alone(
    engine: Engine, stories: Sequence[StorySample], seeds: Sequence[int], options: Mapping[str, Any], batch: int
) -> Drawn:
    """The diffusion model without an ARM: every frame from pure noise under its refined prompt, N full steps."""
    resolved = make_options(**{**options, "strength": 1.0}).resolved(engine.defaults)
    correction, memory = Correction(engine.models.corrector, resolved), load_memory(resolved.memory.name)
    corrector, side = engine.models.corrector, tokenizer_of(engine).config.resolution
    shape = (corrector.vae.config.latent_channels, *[side // corrector.vae.downscale] * 2)
    shown: list[Pictures] = []
    for start in range(0, len(stories), batch):
        part, frames = stories[start : start + batch], []
        for index in range(len(part[0].sentences)):
            conditioning, _ = correction.condition([memory.refine(s.sentences[: index + 1]) for s in part])
            own = seeds[start : start + batch]
            noise = normal(make_keys(own, index, Purpose.NOISE, engine.device), shape)
            noise = noise.to(tokenizer_of(engine).codebook.weight.dtype)
            fresh = correction.step_noise(noise.new_empty(len(own), 3, side, side), own, index)
            pixels = text_to_image(corrector.vae, corrector.unet, noise, conditioning, correction.schedule, fresh)
            frames.append(to_uint8(pixels))
        shown.extend(np.stack(frames, axis=1))
    return Drawn(np.stack(shown), np.stack(shown))


def draw_truth(
    engine: Engine, stories: Sequence[StorySample], seeds: Sequence[int], options: Mapping[str, Any], batch: int
) -> Drawn:
    """The world's own renders, and what is left of them after the tokenizer's round trip (as ``drafts``)."""
    size = tokenizer_of(engine).config.resolution
    shown = np.stack([[np.asarray(render(scene, size)) for scene in story.scenes] for story in stories])
    tokenizer = tokenizer_of(engine)
    trips = []
    for story in shown:
        pixels = from_array(story).to(engine.device, tokenizer.codebook.weight.dtype)
        trips.append(to_uint8(tokenizer.decode(tokenizer.encode(pixels))))
    return Drawn(np.stack(trips), shown)


@dataclass(frozen=True)
class Row:
    """One line of the tables: ``options`` differ from the engine's defaults."""

    name: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    draw: Drawer = draw_stories


def matched_strength(config: SchedulerConfig, num_inference_steps: int, reference: StoryOptions) -> float:
    """The strength with which an N-step grid starts nearest to the alpha-bar of the reference, which is resolved."""
    target = make_schedule(
        config, reference.correction.steps_and_strength[0], reference.correction.num_steps_run
    ).start.alpha
    starts = [make_schedule(config, num_inference_steps, run).start.alpha for run in range(1, num_inference_steps + 1)]
    run = 1 + min(range(num_inference_steps), key=lambda i: abs(starts[i] - target))
    return min(1.0, (run + 0.5) / num_inference_steps)  # the half step keeps int(N * t') from rounding down


def make_rows(engine: Engine) -> list[Row]:
    """All rows of the study, in the order of the tables."""
    config = SchedulerConfig.from_dict(engine.models.corrector.scheduler_config)
    reference = StoryOptions().resolved(engine.defaults)
    few = [
        Row(f"steps_{n}", f"ACDC, N = {n} at the same alpha-bar",
            {"num_inference_steps": n, "strength": matched_strength(config, n, reference)})
        for n in (10, 20)
    ]  # fmt: skip
    return [
        Row("truth", "true renders (raw: tokenizer round trip)", draw=draw_truth),
        Row("plain", "plain ARM", {"correction": False}),
        Row("all", "ACDC, all frames (t' = 0.5, N = 50)"),
        Row("first_2", "ACDC, first 2 frames", {"correct_first": 2}),
        Row("first_4", "ACDC, first 4 frames", {"correct_first": 4}),
        Row("no_memory", "ACDC, all frames, no memory", {"memory": "none"}),
        Row("no_feedback", "correction without feeding tokens back", {"feed_back": False}),
        Row("diffusion_alone", "diffusion model alone", {}, draw_diffusion_alone),
        *(Row(f"strength_{t}", f"ACDC, t' = {t}", {"strength": t}) for t in (0.3, 0.4, 0.6)),
        *few,
        Row("full_plain", "plain ARM, full context", {"correction": False, "context": "full"}),
        Row("full_all", "ACDC, full context", {"context": "full"}),
    ]
