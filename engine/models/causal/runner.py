"""A model with a causal stream as sessions use it: transformer, text ids, layout of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...sampling import SamplingParams
from ..code_by_code import CodeByCodeModel
from ..interfaces import CompileStage
from ..kv_cache import KVCache
from ..tokens_per_pass import Table
from .decode_pass import DrawPass
from .decoder import Decoder
from .prefill_pass import PaddedPrefill, Prefill
from .stream import StreamConfig

PrefillCall = Callable[[Tensor, Tensor, Sequence[int], KVCache], Tensor]


class CausalRunner(CodeByCodeModel):
    """The passes over a stream of text and vision ids, and the ids of a sentence with its prompt."""

    model: Decoder
    stream: StreamConfig

    def __init__(self, model: Decoder, encode: Callable[[str], list[int]], stream: StreamConfig) -> None:
        super().__init__(model, encode, stream)
        self.prefill: PrefillCall = self._prefill  # a backend may put its own in place

    def _prefill(self, ids: Tensor, is_vision: Tensor, counts: Sequence[int], cache: KVCache) -> Tensor:
        """Feed ids [R, T], of which row r's first ``counts[r]`` are real -> logits [R, V] after the last of them."""
        hidden = self.model(ids, is_vision, cache, counts)
        last = torch.tensor(counts).to(ids.device) - 1
        return self.model.vision_logits(hidden[torch.arange(len(counts), device=ids.device), last])

    def put_prefill(self, compile_stage: CompileStage, backend: str) -> None:
        """Eagerly, known ids are written in place; a backend's pass hands keys and values back."""
        self.prefill = self._prefill
        if backend != "eager":
            self.prefill = PaddedPrefill(
                compile_stage(Prefill(self.model), "arm_prefill"), self.model.config.max_position
            )

    def make_pass(self, params: SamplingParams, window: int) -> DrawPass:
        """The pass that draws ``window`` slots of each story."""
        return DrawPass(self.model, params, window, self.stream.slots)

    @property
    def slots(self) -> int:
        """Positions of a frame without its end."""
        return self.stream.slots

    @property
    def max_text_tokens(self) -> int:
        """The most text ids of a sentence, without its prompt."""
        return self.stream.max_text_tokens

    @property
    def windows(self) -> Table:
        """Numbers of codes a pass, as the bundle has them."""
        return self.stream.windows

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence with its prompt. Raises ``ValueError`` for one of more than ``max_text_tokens``."""
        return [*self.stream.prefix, *super().encode(sentence), *self.stream.suffix]

    def null_text(self, ids: Sequence[int]) -> list[int]:
        """Text ids of the null branch next to a sentence of those ``ids``: an empty one."""
        return []
