"""An engine as the settings describe it, and what the API wants to know of it."""

from __future__ import annotations

import os
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...outputs import Frame
from ...scheduler.policy import SchedulerConfig, for_device
from ..settings import Settings
from ..store.records import Job
from .clip_work import draws_clips
from .given import given_frames

if TYPE_CHECKING:
    from ...engine import Engine


def load_engine(settings: Settings) -> Engine:
    """The bundle on its device. torch is imported here and not before, so that the process beats meanwhile."""
    import torch

    from ...engine import Engine

    options = settings.engine_options
    if options.threads is not None:
        torch.set_num_threads(min(options.threads, 4 * (os.cpu_count() or 1)))
    arguments = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "threads"}
    return Engine.from_pretrained(**arguments)


def carried_frames(engine: Engine, stories: Path, job: Job) -> list[Frame]:
    """Frames of a story that a client carried here; ``ValueError`` where the model cannot go on with codes alone."""
    if "given" in job.body:
        return given_frames(engine, job, stories / job.id)
    from ...pipeline.carried import carried_frames as made

    return made(engine.models, job.sentences, job.body["carried"]["frames"])


def count_tokens(engine: Engine, sentence: str) -> int:
    """Number of a sentence's tokens for the autoregressive model."""
    return len(engine.models.arm.encode(sentence))


def scheduler_config(settings: Settings, engine: Engine) -> SchedulerConfig:
    """The device's defaults, with what the settings give."""
    return replace(for_device(None, engine.device), **settings.scheduler)


def describe(settings: Settings, engine: Engine) -> dict[str, Any]:
    """The model, for ``/v1/models`` and for the checks of requests."""
    side = engine.models.tokenizer.config.resolution
    return {
        "bundle": engine.name,
        "size": f"{side}x{side}",
        "codes_per_frame": engine.models.arm.stream.codes_per_frame,
        "settings": engine.settings(settings.story_options),
        "defaults": dict(engine.defaults),
        "clips": draws_clips(engine),
        "loaded_at": int(time.time()),
    }
