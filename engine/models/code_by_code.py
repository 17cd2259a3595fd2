"""Families that draw code after code: their passes, options and batches, whatever the network is.

A family says how a pass is made and what its sessions keep; the loop over passes is ``decode.py``'s.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..options import Decoding, StoryOptions
from ..sampling import SamplingParams, make_sampling_params
from . import running_batch
from .decode import Pass, advance
from .decode_pass import DecodePass
from .interfaces import ArmStage, AutoregressiveModel, CompileStage
from .tokens_per_pass import SEQUENTIAL, Table, choose_sync_every, choose_tokens_per_pass, most_tokens_per_pass

SHOWN = 40  # characters of a sentence in an error message
SLOTS = 64


class CodeByCodeModel(AutoregressiveModel):
    """The network, the encoder of its text, the layout of a frame, and the passes that sessions run."""

    def __init__(self, model: nn.Module, encode: Callable[[str], list[int]], stream: Any) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), stream
        self._encode = encode
        self.wrap_draw: Callable[[DecodePass], Pass] = _as_it_is
        self._passes: dict[tuple[SamplingParams, int], Pass] = {}

    @abstractmethod
    def make_pass(self, params: SamplingParams, window: int) -> DecodePass:
        """The pass that draws ``window`` codes of each story, in plain PyTorch."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Positions of a frame that are drawn."""

    @property
    @abstractmethod
    def max_text_tokens(self) -> int:
        """The most text ids of a sentence."""

    @property
    def windows(self) -> Table:
        """Numbers of codes a pass that were measured to be fastest (``tokens_per_pass.py``); none here."""
        return {}

    def draw_pass(self, params: SamplingParams, window: int) -> Pass:
        """The pass that draws ``window`` codes of each story, on its backend; made once."""
        if (params, window) not in self._passes:
            made = self.make_pass(params, window)
            found = self.wrap_draw(made)
            runs_as_it_is = found is made and self.device.type == "cpu"
            self._passes[params, window] = FilledSlots(made) if runs_as_it_is else found
        return self._passes[params, window]

    def tokens_per_pass(self, decoding: Decoding, stories: int) -> tuple[int, ...]:
        """Numbers of codes that a pass may draw of each of that many stories (``tokens_per_pass.py``)."""
        return choose_tokens_per_pass(decoding, self.windows, self.device.type, self.draw_backend, stories)

    def widest(self, decoding: Decoding) -> int:
        """The widest of :meth:`tokens_per_pass` for any number of stories."""
        return most_tokens_per_pass(decoding, self.windows, self.device.type, self.draw_backend)

    def computes_in_vain(self, options: StoryOptions, stories: int) -> bool:
        """True where a pass draws several codes: those after a wrong guess are thrown away."""
        return self.tokens_per_pass(options.sampling.decoding, stories) != SEQUENTIAL

    @property
    def sync_every(self) -> int:
        """Number of passes that are launched before the accepted counts are read back."""
        return choose_sync_every(self.device.type)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.model.parameters()).device

    @property
    def blocks(self) -> nn.Module:
        """The network's layers, without embeddings, heads and what reads pictures."""
        found: nn.Module = self.model.blocks
        return found

    def stages(self) -> Mapping[str, ArmStage]:
        """The pass that reads, and the one that draws."""
        return {"arm_prefill": ArmStage(), "arm_draw": ArmStage()}

    def with_stages(self, compile_stage: CompileStage, backends: Mapping[str, str]) -> Self:
        """The same model, whose stages run as ``compile_stage`` puts them."""
        other = copy(self)
        other.wrap_draw, other._passes = partial(compile_stage, stage="arm_draw"), {}
        other.draw_backend = backends["arm_draw"]
        other.put_prefill(compile_stage, backends["arm_prefill"])
        return other

    @abstractmethod
    def put_prefill(self, compile_stage: CompileStage, backend: str) -> None:
        """The pass that reads runs on ``backend``, as ``compile_stage`` puts it."""

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence. Raises ``ValueError`` for more than ``max_text_tokens``."""
        ids, limit = self._encode(sentence), self.max_text_tokens
        if len(ids) > limit:
            shown = sentence if len(sentence) <= SHOWN else sentence[: SHOWN - 3] + "..."
            raise ValueError(f"sentence {shown!r} has {len(ids)} tokens; the limit (max_text_tokens) is {limit}")
        return ids

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing, code after code, does not have."""
        flat = options.flat()
        for name in ("arm_steps", "layout", "carry_over"):
            if (value := flat[name]) is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")


class CodeByCodeBatch(running_batch.RunningBatch):
    """Stories side by side whose session has ``arm``, ``frame`` (a :class:`DecodeState` while one is drawn) and
    ``start``."""

    def __init__(self, sequences: Sequence[running_batch.SequenceState], options: StoryOptions) -> None:
        """``options`` are resolved."""
        super().__init__(sequences)
        self.options, self.params = options, make_sampling_params(options)

    def start(self, keys: Tensor) -> None:
        """First codes and noise; guesses are each story's last frame, else what the first code's logits say."""
        guesses = None
        if all(sequence.images for sequence in self.sequences):  # scenes change little: good first guesses
            guesses = torch.stack([sequence.images[-1] for sequence in self.sequences])
        self.session.start(self.params, keys, guesses, self.session.arm.widest(self.options.sampling.decoding))

    def advance(self, max_passes: int | None = None) -> list[bool]:
        """Run up to ``max_passes`` passes (None: as many as it takes) -> by place, whether all codes are final."""
        arm, state = self.session.arm, self.session.frame
        assert state is not None, "start() comes before advance()"
        tokens_per_pass = arm.tokens_per_pass(self.options.sampling.decoding, self.num_active)
        find = partial(arm.draw_pass, state.params)
        return advance(state, find, arm.slots, tokens_per_pass, arm.sync_every, max_passes)

    def drawn_slots(self, place: int) -> Tensor:
        """The slots [n] of a story whose draw is over."""
        assert self.session.frame is not None, "start() comes before pop()"
        slots: Tensor = self.session.frame.codes[place, : self.session.arm.slots]
        return slots


class FilledSlots:
    """An eager pass over the slots of keys and values that are filled, not over all that the story will fill: attention
    takes a quarter of a pass of four stories. A compiled pass has one shape for all."""

    def __init__(self, run: DecodePass) -> None:
        self.run, self.window = run, run.window

    def __call__(
        self, codes: Tensor, accepted: Tensor, lengths: Tensor, keys: Tensor, values: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        filled = int(lengths.max()) + self.window
        slots = -(-filled // SLOTS) * SLOTS  # few sizes, so that products are chosen once for many passes
        found: tuple[Tensor, Tensor, Tensor, Tensor] = self.run(
            codes, accepted, lengths, keys[:, :, :, :slots], values[:, :, :, :slots], *rest
        )
        return found


def _as_it_is(run: DecodePass) -> Any:
    return run
