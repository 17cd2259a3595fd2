"""Unified-IO 2 as sessions use it: transformer, text ids, vectors of frames, and the passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...sampling import SamplingParams
from ..code_by_code import CodeByCodeModel
from ..interfaces import CompileStage
from .model import UnifiedIO2
from .passes import DrawPass, Prefill
from .text import NULL_PROMPT

WIDTH = 32  # inputs are padded to a multiple, so that one compiled shape serves many
MAX_TEXT_TOKENS = 256  # text ids, of the 512 that a frame's prompt may have
PrefillCall = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]


class Read(NamedTuple):
    """An input of the encoder: ``vectors`` [T, D], and their rows int64 [T] in the table of places."""

    vectors: Tensor
    places: Tensor


class Begun(NamedTuple):
    """Frames before their first code: its logits [R, codes], keys and values of the decoder's beginning
    [layers, R, H, 1, head_dim] and of the encoder's states [layers, R, H, T, head_dim], of which row r's first
    ``counts[r]`` are real."""

    logits: Tensor
    begun: tuple[Tensor, Tensor]
    read: tuple[Tensor, Tensor]
    counts: list[int]


class UnifiedIO2Runner(CodeByCodeModel):
    """The encoder's and the decoder's passes, and the vectors of what they read."""

    model: UnifiedIO2

    def __init__(self, model: UnifiedIO2, encode: Callable[[str], list[int]]) -> None:
        super().__init__(model, encode, model.config)
        if model.code_head is None:
            model.tie_code_head()
        self.prefill_pass: PrefillCall = Prefill(model)  # a backend may put its own in place
        self._null: Begun | None = None

    def put_prefill(self, compile_stage: CompileStage, backend: str) -> None:
        """The encoder's pass, and with it what was computed of the null prompt."""
        self.prefill_pass, self._null = compile_stage(Prefill(self.model), "arm_prefill"), None

    def make_pass(self, params: SamplingParams, window: int) -> DrawPass:
        """The pass that draws ``window`` codes of each story."""
        return DrawPass(self.model, params, window)

    @property
    def slots(self) -> int:
        """Codes of a frame."""
        return self.model.config.codes_per_frame

    @property
    def max_text_tokens(self) -> int:
        """The most text ids of a sentence."""
        return MAX_TEXT_TOKENS

    def read(self, ids: Sequence[int], earlier: Sequence[Tensor] = (), last: Tensor | None = None) -> Read:
        """The input of a frame: text, vectors [latents, D] of ``earlier`` frames, oldest first, and of the ``last`` one
        [image_tokens, D]."""
        config, device = self.model.config, self.model.device
        vectors = [self.model.text_vectors(torch.tensor(list(ids), device=device)), *earlier]
        history = config.max_text + config.image_tokens
        places = [*range(len(ids)), *range(history, history + len(earlier) * config.resampler.latents)]
        if last is not None:
            vectors.append(last)
            places += range(config.max_text, history)
        return Read(torch.cat(vectors), torch.tensor(places, device=device))

    def prefill(self, inputs: Sequence[Read | None]) -> Begun:
        """The encoder's pass over one input a row; None is the null prompt without frames, computed once a model."""
        given = [one for one in inputs if one is not None]
        if len(given) == len(inputs):
            return self._run(given)
        if self._null is None:
            null = self._run([self.read(NULL_PROMPT)])
            self._null = Begun(null.logits.clone(), _cloned(null.begun), _cloned(null.read), null.counts)
        if not given:
            return _rows([self._null], [0] * len(inputs))
        places = iter(range(len(given)))
        return _rows([self._run(given), self._null], [len(given) if one is None else next(places) for one in inputs])

    def _run(self, inputs: Sequence[Read]) -> Begun:
        counts = [len(one.places) for one in inputs]
        width, longest = -(-max(counts) // WIDTH) * WIDTH, max(counts)
        x = torch.stack([F.pad(one.vectors, (0, 0, 0, width - len(one.places))) for one in inputs])
        places = torch.stack([F.pad(one.places, (0, width - len(one.places))) for one in inputs])
        logits, *found = self.prefill_pass(x, places, torch.tensor(counts, device=x.device))
        keys, values, read_keys, read_values = found
        return Begun(logits, (keys, values), (read_keys[:, :, :, :longest], read_values[:, :, :, :longest]), counts)


def _rows(parts: Sequence[Begun], order: Sequence[int]) -> Begun:
    """The rows of all ``parts`` one after another, taken in that order."""
    chosen = torch.tensor(order, device=parts[0].logits.device)
    longest = max(part.read[0].shape[3] for part in parts)

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        padded = [F.pad(one, (0, 0, 0, longest - one.shape[3])) if one.shape[3] > 1 else one for one in tensors]
        return torch.cat(padded, 1).index_select(1, chosen)

    begun = joined([part.begun[0] for part in parts]), joined([part.begun[1] for part in parts])
    read = joined([part.read[0] for part in parts]), joined([part.read[1] for part in parts])
    counts = [count for part in parts for count in part.counts]
    logits = torch.cat([part.logits for part in parts]).index_select(0, chosen)
    return Begun(logits, begun, read, [counts[row] for row in order])


def _cloned(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0].clone(), pair[1].clone()
