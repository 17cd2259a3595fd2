"""LWM's vision models as published (``LargeWorldModel/LWM-Chat-{32K,128K,1M}-Jax``): sizes, layout, settings.

The repositories hold no config; the numbers are those of its code and of its generation scripts.

    image   <s>You are a helpful assistant. USER: Generate an image of {sentence} ASSISTANT:<vision> f0 eof
    video   <s>You are a helpful assistant. USER: Generate a video of {sentence} ASSISTANT:<vision> f0 eof f1 eof ...
    null    <s><vision> f0 eof ...

A story is one stream of image prompts with their frames, which is ours; LWM was published with one prompt a stream.
``rope_theta`` is the scripts' for all three; that the 32K and 128K weights want it too is likely, not certain.
"""

from __future__ import annotations

from typing import NamedTuple

from ...sampling import SamplingParams
from ..causal.stream import StreamConfig
from .model import LWMConfig

SIZES = LWMConfig(
    layers=32, hidden=4096, ffn=11008, heads=32, text_vocab=32000, vision_vocab=8448, norm_eps=1e-6, rope_theta=5e7,
    max_position=32768,
)  # fmt: skip
EOF = 8192  # after each frame; in training 8193 followed the last one, which the scripts never draw
PROMPT = (887, 526, 263, 8444, 20255, 29889, 3148, 1001, 29901)  # "You are a helpful assistant. USER:"
STREAM = StreamConfig(
    codes_per_frame=256,
    codebook_size=8192,
    eof=EOF,
    bos=(1,),
    vision=(529, 4924, 29958),  # "<vision>", three ordinary pieces
    max_text_tokens=105,  # the scripts cut prompts to 128 ids from the left, bos first; here a longer one is refused
    context="full",
    prefix=(*PROMPT, 3251, 403, 385, 1967, 310),  # "Generate an image of"
    suffix=(319, 1799, 9047, 13566, 29901),  # "ASSISTANT:"
    video_prefix=(*PROMPT, 3251, 403, 263, 4863, 310),  # "Generate a video of"
)


class VideoPolicies(NamedTuple):
    """Sampling parameters of a video's first frame, and of the others."""

    first: SamplingParams
    rest: SamplingParams

    def of(self, frame: int) -> SamplingParams:
        return self.first if frame == 0 else self.rest


# top_k counts allowed ids: all 8,192 codes in the first frame (of 8,448 ids in the scripts).
IMAGE_POLICY = SamplingParams(guidance_scale=5.0, temperature=1.0, top_k=8192)
VIDEO_POLICIES = VideoPolicies(IMAGE_POLICY, SamplingParams(guidance_scale=1.0, temperature=1.0, top_k=1000))
