"""An autoregressive multimodal model as sessions use it: transformer, text ids, layout of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from ...options import Decoding
from ...sampling import SamplingParams
from ..decode import Pass
from ..interfaces import ArmStage, CompileStage
from ..kv_cache import KVCache
from ..tokens_per_pass import choose_sync_every, choose_tokens_per_pass, most_tokens_per_pass
from .decode_pass import DrawPass
from .decoder import Decoder
from .prefill_pass import PaddedPrefill, Prefill
from .stream import StreamConfig

PrefillCall = Callable[[Tensor, Tensor, Sequence[int], KVCache], Tensor]


class CausalRunner:
    """The transformer, the encoder of its text, the layout of its stream, and the passes that sessions run."""

    def __init__(self, model: Decoder, encode: Callable[[str], list[int]], stream: StreamConfig) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), stream
        self._encode = encode
        self.prefill: PrefillCall = self._prefill  # a backend may put its own in place
        self.wrap_draw: Callable[[DrawPass], Pass] = _as_it_is
        self.draw_backend = "eager"
        self._passes: dict[tuple[SamplingParams, int], Pass] = {}

    def _prefill(self, ids: Tensor, is_vision: Tensor, counts: Sequence[int], cache: KVCache) -> Tensor:
        """Feed ids [R, T], of which row r's first ``counts[r]`` are real -> logits [R, V] after the last of them."""
        hidden = self.model(ids, is_vision, cache, counts)
        last = torch.tensor(counts).to(ids.device) - 1
        return self.model.vision_logits(hidden[torch.arange(len(counts), device=ids.device), last])

    def draw_pass(self, params: SamplingParams, window: int) -> Pass:
        """The pass that draws ``window`` codes side by side under ``policy``; made once."""
        if (params, window) not in self._passes:
            run = DrawPass(self.model, params, window, self.stream.slots)
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

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence with its prompt. Raises ``ValueError`` for one of more than ``max_text_tokens``."""
        ids, limit = self._encode(sentence), self.stream.max_text_tokens
        if len(ids) > limit:
            raise ValueError(
                f"sentence {_short(sentence)!r} has {len(ids)} tokens; the limit (max_text_tokens) is {limit}"
            )
        return [*self.stream.prefix, *ids, *self.stream.suffix]

    def null_text(self, ids: Sequence[int]) -> list[int]:
        """Text ids of the null branch next to a sentence of those ``ids``: an empty one."""
        return []


def _as_it_is(run: DrawPass) -> Pass:
    return run


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 40 else sentence[:37] + "..."
