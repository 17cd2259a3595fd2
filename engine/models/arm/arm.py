"""What a session needs to know of an autoregressive multimodal model: transformer, text ids, layout of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ...kv_cache import KVCache
from ...sampling import Policy
from ...stages.draw import DrawPass
from ...story import CONTEXTS, Context
from ...weights import load_into, read_json, skeleton
from ..fused import fuse
from .drawing import Pass
from .lwm import LWM, LWMConfig
from .windows import Table, check_windows

Prefill = Callable[[Tensor, Tensor, Sequence[int], KVCache], Tensor]


@dataclass(frozen=True)
class StreamConfig:
    """The layout of the token stream: bos, then per frame a sentence, ``vision``, the codes, ``eof``.

    ``bos`` and ``vision`` are text ids (several where a marker is spelled in several pieces, as in LWM), ``eof`` is
    a vision id. ``context`` is the default context of a session, ``max_text_tokens`` the limit of one sentence.
    ``windows`` says how many codes a pass draws where that was measured to be fastest (``windows.py``).
    """

    codes_per_frame: int
    codebook_size: int
    eof: int
    bos: tuple[int, ...]
    vision: tuple[int, ...]
    max_text_tokens: int
    context: Context = "window"
    windows: Table = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_context(self.context)
        check_windows(self.windows)
        # JSON knows lists only.
        object.__setattr__(self, "bos", tuple(self.bos))
        object.__setattr__(self, "vision", tuple(self.vision))

    @property
    def frame_tokens(self) -> int:
        """Codes of a frame and its end-of-frame id."""
        return self.codes_per_frame + 1

    def capacity(self, frames: int, context: Context, text_tokens: int) -> int:
        """The longest stream that a session of ``frames`` frames and sentences of that many ids may hold at a time."""
        held = frames if context == "full" else min(frames, 2)
        return len(self.bos) + held * (text_tokens + len(self.vision) + self.frame_tokens)


class Arm:
    """A transformer, the function that turns a sentence into text ids, and the layout of the stream."""

    def __init__(self, model: LWM, encode: Callable[[str], list[int]], stream: StreamConfig) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), stream
        self._encode = encode
        self.prefill: Prefill = self._prefill  # a backend may put its own in place
        self.wrap_draw: Callable[[DrawPass], Pass] = _as_it_is
        self.draw_backend = "eager"
        self._passes: dict[tuple[Policy, int], Pass] = {}

    @classmethod
    def from_directory(
        cls,
        directory: Path | str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Arm:
        """Read ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

        Raises ``ValueError`` (one line, names the file) for what is missing or does not fit.
        """
        directory = Path(directory)
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

    def draw_pass(self, policy: Policy, window: int) -> Pass:
        """The pass that draws ``window`` codes side by side under ``policy``; made once."""
        if (policy, window) not in self._passes:
            run = DrawPass(self.model, policy, window, self.stream.codes_per_frame)
            self._passes[policy, window] = self.wrap_draw(run)
        return self._passes[policy, window]

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence. Raises ``ValueError`` if there are more than ``max_text_tokens``."""
        ids, limit = self._encode(sentence), self.stream.max_text_tokens
        if len(ids) > limit:
            raise ValueError(
                f"sentence {_short(sentence)!r} has {len(ids)} tokens; the limit (max_text_tokens) is {limit}"
            )
        return ids


def check_context(context: str) -> None:
    """``ValueError`` unless ``context`` is one of ``CONTEXTS``."""
    if context not in CONTEXTS:
        raise ValueError(f"unknown context {context!r}; choose from {', '.join(CONTEXTS)}")


def _as_it_is(run: DrawPass) -> Pass:
    return run


def _settings(path: Path, config: dict[str, Any]) -> tuple[StreamConfig, LWMConfig]:
    if config.get("family") != "lwm":
        raise ValueError(f"{path}: unknown ARM family {config.get('family')!r}; choose from lwm")
    try:
        return StreamConfig(**config["stream"]), LWMConfig.from_dict(config["transformer"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


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
