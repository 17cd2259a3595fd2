"""An autoregressive multimodal model as sessions use it: transformer, text ids, layout of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from ...options import Decoding
from ...sampling import SamplingParams
from ...utils.weights import load_into, read_json, skeleton
from ..decode import Pass
from ..interfaces import ArmStage, CompileStage
from ..kv_cache import KVCache
from ..layers.fused import fuse
from ..tokens_per_pass import choose_sync_every, choose_tokens_per_pass, most_tokens_per_pass
from .decode_pass import DrawPass
from .model import LWM, LWMConfig
from .prefill_pass import PaddedPrefill, Prefill
from .stream import StreamConfig

PrefillCall = Callable[[Tensor, Tensor, Sequence[int], KVCache], Tensor]


class LwmRunner:
    """The transformer, the encoder of its text, the layout of its stream, and the passes that sessions run."""

    def __init__(self, model: LWM, encode: Callable[[str], list[int]], stream: StreamConfig) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), stream
        self._encode = encode
        self.prefill: PrefillCall = self._prefill  # a backend may put its own in place
        self.wrap_draw: Callable[[DrawPass], Pass] = _as_it_is
        self.draw_backend = "eager"
        self._passes: dict[tuple[SamplingParams, int], Pass] = {}

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

    def tokens_per_pass(self, decoding: Decoding, stories: int) -> tuple[int, ...]:
        """Numbers of codes that a pass may draw of each of that many stories (``tokens_per_pass.py``)."""
        return choose_tokens_per_pass(decoding, self.stream.windows, self._device.type, self.draw_backend, stories)

    def widest(self, decoding: Decoding) -> int:
        """The widest of :meth:`tokens_per_pass` for any number of stories."""
        return most_tokens_per_pass(decoding, self.stream.windows, self._device.type, self.draw_backend)

    @property
    def sync_every(self) -> int:
        """Number of passes that are launched before the accepted counts are read back."""
        return choose_sync_every(self._device.type)

    @property
    def _device(self) -> torch.device:
        return self.model.vision_head.weight.device

    @property
    def blocks(self) -> nn.Module:
        """The transformer's layers, without embeddings and heads."""
        return self.model.blocks

    def stages(self) -> Mapping[str, ArmStage]:
        """The pass over known ids and the one that draws."""
        return {"arm_prefill": ArmStage(), "arm_draw": ArmStage()}

    def with_stages(self, compile_stage: CompileStage, backends: Mapping[str, str]) -> Self:
        """The same model, whose stages run as ``compile_stage`` puts them. Eagerly, known ids are written in place."""
        other = copy(self)
        other.wrap_draw, other._passes = partial(compile_stage, stage="arm_draw"), {}
        other.draw_backend, other.prefill = backends["arm_draw"], other._prefill
        if backends["arm_prefill"] != "eager":
            run = compile_stage(Prefill(self.model), "arm_prefill")
            other.prefill = PaddedPrefill(run, self.model.config.max_position)
        return other

    def for_video(self) -> Self:
        """The same model with the prompt of a video around its sentences."""
        other = copy(self)
        other.stream = replace(self.stream, prefix=self.stream.video_prefix)
        return other

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
