"""Clips by the ARM, through the engine's session of videos, which feeds the rows that `video_rows` trains for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from acdc.bench.storyworld.train.video_rows import RECENT
from acdc.engine.models.lwm.clip_session import ClipSession
from acdc.engine.models.lwm.family import Arm
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.rng import Purpose, make_keys


@torch.inference_mode()
def draw_clips(
    arm: Arm,
    sentences: Sequence[str],
    seeds: Sequence[int],
    frames: int,
    params: SamplingParams,
    given: Tensor | None = None,
    tokens_per_pass: Sequence[int] = (16,),
) -> Tensor:
    """Codes int64 [B, frames, n] of one clip a sentence; ``given`` [B, k <= frames, n] are its first frames.

    A frame's random numbers depend on its clip's seed and its number, not on what was given or on the batch.
    """
    device = arm.model.vision_head.weight.device
    session = ClipSession(arm, len(sentences), frames, RECENT, params)
    try:
        for codes in () if given is None else given.to(device).unbind(1):
            session.extend(codes)
        for frame in range(session.drawn, frames):
            session.begin(None if session.captions else sentences)
            draft = session.codes(frame - 1) if frame else None  # clips change little: good first guesses
            session.generate(make_keys(seeds, frame, Purpose.TOKEN, device), draft, tokens_per_pass)
    finally:
        session.close()
    return torch.stack(session.shown, 1)
