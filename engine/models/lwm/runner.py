"""What a session needs to know of an autoregressive multimodal model: transformer, text ids, layout of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from ...options import StoryOptions
from ...sampling import SamplingParams
from ...utils.weights import load_into, read_json, skeleton
from ..kv_cache import KVCache
from ..layers.fused import fuse
from .decode import Pass
from .decode_pass import DrawPass
from .model import LWM, LWMConfig
from .stream import StreamConfig

if TYPE_CHECKING:
    from ..interfaces import VideoSession
    from .batch import RunningBatch, SequenceState
    from .session import ArmSession

Prefill = Callable[[Tensor, Tensor, Sequence[int], KVCache], Tensor]


class Arm:
    """A transformer, the function that turns a sentence into text ids, and the layout of the stream."""

    def __init__(self, model: LWM, encode: Callable[[str], list[int]], stream: StreamConfig) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), stream
        self._encode = encode
        self.prefill: Prefill = self._prefill  # a backend may put its own in place
        self.wrap_draw: Callable[[DrawPass], Pass] = _as_it_is
        self.draw_backend = "eager"
        self._passes: dict[tuple[SamplingParams, int], Pass] = {}

    @classmethod
    def from_directory(
        cls,
        directory: Path | str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Arm:
        """Read ``config.json``, ``model.safetensors`` and ``tokenizer.json``; or LWM's files as they were published.

        Raises ``ValueError`` (one line, names the file) for what is missing or does not fit.
        """
        directory = Path(directory)
        if not (directory / "config.json").is_file() or (directory / "params").is_file():
            from ...loading.lwm_directory import is_lwm_directory, load_lwm  # here, because it imports this module

            if is_lwm_directory(directory):
                return load_lwm(directory, device, dtype)
        config = read_json(directory / "config.json")
        stream, sizes = _settings(directory / "config.json", config)
        with skeleton():
            model = LWM(sizes)
        load_into(model, directory / "model.safetensors", dtype)
        fuse(model.to(device, dtype), device)
        return cls(model, _encoder(directory / "tokenizer.json"), stream)

    def _prefill(self, ids: Tensor, is_vision: Tensor, counts: Sequence[int], cache: KVCache) -> Tensor:
        """Feed ids [R, T], of which row r's first ``counts[r]`` are real -> logits [R, V] after the last of them."""
        hidden = self.model(ids, is_vision, cache, counts)
        last = torch.tensor(counts).to(ids.device) - 1
        return self.model.vision_logits(hidden[torch.arange(len(counts), device=ids.device), last])

    def draw_pass(self, params: SamplingParams, window: int) -> Pass:
        """The pass that draws ``window`` codes side by side under ``policy``; made once."""
        if (params, window) not in self._passes:
            run = DrawPass(self.model, params, window, self.stream.codes_per_frame)
            self._passes[params, window] = self.wrap_draw(run)
        return self._passes[params, window]

    @property
    def blocks(self) -> nn.Module:
        """The transformer's layers, without embeddings and heads."""
        return self.model.blocks

    def shallow_copy(self) -> Arm:
        """The same model, whose stages may go to other backends."""
        other = copy(self)
        other.prefill, other._passes = other._prefill, {}
        return other

    def for_video(self) -> Arm:
        """The same model with the prompt of a video around its sentences."""
        other = copy(self)
        other.stream = replace(self.stream, prefix=self.stream.video_prefix)
        return other

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing, code after code, does not have."""
        for name in ("arm_steps", "layout", "carry_over"):
            value = getattr(options, name)
            if value is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")

    def session(self, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None) -> ArmSession:
        """Stories side by side as ``options`` (resolved) say; ``text_tokens`` bounds their sentences."""
        from .session import ArmSession  # here, because it imports this module

        guided = options.arm_guidance_scale not in (None, 1.0)
        return ArmSession(self, stories, frames, options.context, guided, text_tokens)

    def seat(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences among others; ``ValueError`` for one that is too long."""
        from .batch import SequenceState

        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def group(self, seats: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories at whichever frame each stands, side by side."""
        from .batch import RunningBatch

        return RunningBatch(self, seats, options)

    def merge_batches(
        self, members: Sequence[tuple[RunningBatch, int]], options: StoryOptions
    ) -> tuple[RunningBatch, list[int]]:
        """Stories in the middle of their draws, in one group, and their places there."""
        from .batch import merge_batches

        return merge_batches(self, members, options)

    def later_params(self, params: SamplingParams) -> SamplingParams:
        """How a video's frames behind the first are drawn, which is drawn by ``policy``: LWM's by other settings."""
        from .video_session import published_params

        return published_params(params).rest if self.stream.video_prefix else params

    def video_session(self, videos: int, frames: int, params: SamplingParams) -> VideoSession:
        """Videos side by side, as the model was taught them: all frames in one stream (LWM, which draws the later ones
        by its published settings), or the first and the last ones. ``ValueError`` if it was not taught any."""
        from .clip_session import ClipSession  # here, because they import this module
        from .video_session import LwmVideo, published_params

        if self.stream.video_prefix:
            return LwmVideo(self, videos, frames, published_params(params))
        if self.stream.recent_frames is not None:
            return ClipSession(self, videos, frames, self.stream.recent_frames, params)
        raise ValueError("this ARM was not taught videos; choose a bundle that was (storyworld-video, lwm+animatediff)")

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence with its prompt. Raises ``ValueError`` for one of more than ``max_text_tokens``."""
        ids, limit = self._encode(sentence), self.stream.max_text_tokens
        if len(ids) > limit:
            raise ValueError(
                f"sentence {_short(sentence)!r} has {len(ids)} tokens; the limit (max_text_tokens) is {limit}"
            )
        return [*self.stream.prefix, *ids, *self.stream.suffix]


def _as_it_is(run: DrawPass) -> Pass:
    return run


def _settings(path: Path, config: dict[str, Any]) -> tuple[StreamConfig, LWMConfig]:
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


def _encoder(path: Path) -> Callable[[str], list[int]]:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path}: not a tokenizer file ({' '.join(str(error).split())})") from None
    tokenizer.encode_special_tokens = True  # a user's "<vision>" is text, not the marker

    def encode(sentence: str) -> list[int]:
        return list(tokenizer.encode(sentence, add_special_tokens=False).ids)

    return encode


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 40 else sentence[:37] + "..."
