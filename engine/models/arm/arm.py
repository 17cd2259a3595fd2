"""What a session needs to know of an autoregressive multimodal model: transformer, text ids, layout of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ...kv_cache import KVCache
from ...story import CONTEXTS, Context
from ...weights import load_into, read_json, skeleton
from .lwm import LWM, LWMConfig

Decode = Callable[[Tensor, KVCache], Tensor]


@dataclass(frozen=True)
class StreamConfig:
    """The layout of the token stream: bos, then per frame a sentence, ``vision``, the codes, ``eof``.

    ``bos`` and ``vision`` are text ids (several where a marker is spelled in several pieces, as in LWM), ``eof`` is
    a vision id. ``context`` is the default context of a session, ``max_text_tokens`` the limit of one sentence.
    """

    codes_per_frame: int
    codebook_size: int
    eof: int
    bos: tuple[int, ...]
    vision: tuple[int, ...]
    max_text_tokens: int
    context: Context = "window"

    def __post_init__(self) -> None:
        check_context(self.context)
        # JSON knows lists only.
        object.__setattr__(self, "bos", tuple(self.bos))
        object.__setattr__(self, "vision", tuple(self.vision))

    @property
    def frame_tokens(self) -> int:
        """Codes of a frame and its end-of-frame id."""
        return self.codes_per_frame + 1

    def capacity(self, frames: int, context: Context) -> int:
        """The longest stream that a session of ``frames`` frames may hold at a time."""
        held = frames if context == "full" else min(frames, 2)
        return len(self.bos) + held * (self.max_text_tokens + len(self.vision) + self.frame_tokens)


class Arm:
    """A transformer, the function that turns a sentence into text ids, and the layout of the stream."""

    def __init__(self, model: LWM, encode: Callable[[str], list[int]], stream: StreamConfig) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), stream
        self._encode = encode
        self.decode: Decode = self._decode  # a backend may put its own in place

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
        return cls(model.to(device, dtype), _encoder(directory / "tokenizer.json"), stream)

    def _decode(self, codes: Tensor, cache: KVCache) -> Tensor:
        """One code a row [R] -> hidden [R, D] after it; the cache grows by one slot a row."""
        ids = codes[:, None]
        hidden: Tensor = self.model(ids, torch.ones_like(ids, dtype=torch.bool), cache)
        return hidden[:, -1]

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
