"""Unified-IO 2 as sessions use it: transformer, text ids, vectors of frames, and the passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...options import Decoding
from ...sampling import SamplingParams
from ..decode import Pass
from ..interfaces import ArmStage, CompileStage
from ..tokens_per_pass import choose_sync_every, choose_tokens_per_pass, most_tokens_per_pass
from .model import UnifiedIO2
from .passes import DrawPass, Prefill
from .text import NULL_PROMPT

WIDTH = 32  # inputs are padded to a multiple, so that one compiled shape serves many
MAX_SENTENCE = 256  # text ids, of the 512 that a frame's prompt may have
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


class UnifiedIO2Runner:
    """The transformer, the encoder of its text, and the passes that sessions run; ``stream`` is the frame's layout."""

    def __init__(self, model: UnifiedIO2, encode: Callable[[str], list[int]]) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), model.config
        if model.code_head is None:
            model.tie_code_head()
        self._encode = encode
        self.prefill_pass: PrefillCall = Prefill(model)  # a backend may put its own in place of each
        self.wrap_draw: Callable[[DrawPass], Pass] = _as_it_is
        self.draw_backend = "eager"
        self._passes: dict[tuple[SamplingParams, int], Pass] = {}
        self._null: Begun | None = None

    @property
    def blocks(self) -> nn.Module:
        """The layers of encoder and decoder, without embeddings, heads and what reads pictures."""
        return self.model.blocks

    def stages(self) -> Mapping[str, ArmStage]:
        """The encoder's pass, and the one that draws."""
        return {"arm_prefill": ArmStage(), "arm_draw": ArmStage()}

    def with_stages(self, compile_stage: CompileStage, backends: Mapping[str, str]) -> Self:
        """The same model, whose stages run as ``compile_stage`` puts them."""
        other = copy(self)
        other.wrap_draw, other._passes, other._null = partial(compile_stage, stage="arm_draw"), {}, None
        other.prefill_pass = compile_stage(Prefill(self.model), "arm_prefill")
        other.draw_backend = backends["arm_draw"]
        return other

    def draw_pass(self, params: SamplingParams, window: int) -> Pass:
        """The pass that draws ``window`` codes of each story; made once."""
        if (params, window) not in self._passes:
            self._passes[params, window] = self.wrap_draw(DrawPass(self.model, params, window))
        return self._passes[params, window]

    def tokens_per_pass(self, decoding: Decoding, stories: int) -> tuple[int, ...]:
        """Numbers of codes that a pass may draw of each of that many stories (``models/tokens_per_pass.py``)."""
        return choose_tokens_per_pass(decoding, {}, self.model.device.type, self.draw_backend, stories)

    def widest(self, decoding: Decoding) -> int:
        """The widest of :meth:`tokens_per_pass` for any number of stories."""
        return most_tokens_per_pass(decoding, {}, self.model.device.type, self.draw_backend)

    @property
    def sync_every(self) -> int:
        """Number of passes that are launched before the accepted counts are read back."""
        return choose_sync_every(self.model.device.type)

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence. Raises ``ValueError`` for more than :data:`MAX_SENTENCE`."""
        ids = self._encode(sentence)
        if len(ids) > MAX_SENTENCE:
            shown = sentence if len(sentence) <= 40 else sentence[:37] + "..."
            raise ValueError(f"sentence {shown!r} has {len(ids)} tokens; the limit is {MAX_SENTENCE}")
        return ids

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


def _as_it_is(run: DrawPass) -> Any:
    return run
