"""LWM as the loops see it: its own directories, and the sessions that serve videos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch

from ...options import StoryOptions
from ...sampling import make_sampling_params
from ...utils.weights import load_into, read_json, skeleton
from ..causal.family import CausalArm
from ..causal.stream import StreamConfig
from ..interfaces import VideoSession
from ..layers.fused import fuse
from ..tokenizer_file import plain_encoder, read_tokenizer
from .clip_session import ClipSession
from .model import LWM, LWMConfig
from .video_session import LwmVideo, published_params


class Arm(CausalArm):
    """An autoregressive model of the LWM family."""

    model: LWM

    @classmethod
    def from_directory(
        cls,
        directory: Path | str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Read ``config.json``, ``model.safetensors`` and ``tokenizer.json``, the project's own format.

        Raises ``ValueError`` (one line, names the file) for what is missing or does not fit.
        """
        directory = Path(directory)
        config = read_json(directory / "config.json")
        stream, sizes = _settings(directory / "config.json", config)
        with skeleton():
            model = LWM(sizes)
        load_into(model, directory / "model.safetensors", dtype)
        fuse(model.to(device, dtype), device)
        return cls(model, plain_encoder(read_tokenizer(directory / "tokenizer.json")), stream)

    @property
    def draws_videos(self) -> bool:
        """Was the model taught videos?"""
        return bool(self.stream.video_prefix) or self.stream.recent_frames is not None

    def video_session(self, videos: int, frames: int, options: StoryOptions) -> VideoSession:
        """Videos side by side, as the model was taught them: all frames in one stream (LWM, which draws the later ones
        by its published settings), or the first and the last ones. ``ValueError`` if it was not taught any."""
        params = make_sampling_params(options)
        if self.stream.video_prefix:
            return LwmVideo(self, videos, frames, published_params(params), options.sampling.decoding)
        if self.stream.recent_frames is not None:
            return ClipSession(self, videos, frames, self.stream.recent_frames, params, options.sampling.decoding)
        raise ValueError("this ARM was not taught videos; choose storyworld-video or lwm+{animatediff,videocrafter2}")

    def video_settings(self, options: StoryOptions) -> Mapping[str, Any]:
        """``later_frames``, where frames after the first are drawn by other settings (LWM's published ones)."""
        first = make_sampling_params(options)
        later = published_params(first).rest if self.stream.video_prefix else first
        if later == first:
            return {}
        return {"later_frames": {"arm_guidance_scale": later.guidance_scale, "top_k": later.top_k or 0}}


FORMAT = 1


def _settings(path: Path, config: dict[str, Any]) -> tuple[StreamConfig, LWMConfig]:
    if config.get("format") != FORMAT:
        raise ValueError(f"{path}: format {config.get('format')!r} is unknown; this version reads {FORMAT}")
    if config.get("family") != "lwm":
        raise ValueError(f"{path}: unknown ARM family {config.get('family')!r}; choose from lwm")
    try:
        stream, sizes = StreamConfig(**config["stream"]), LWMConfig.from_dict(config["transformer"])
        stream.check_fit(sizes)
    except KeyError as error:
        raise ValueError(f"{path}: key {error} is missing") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return stream, sizes
