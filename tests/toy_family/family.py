"""A family of ARM that is neither LWM nor Show-o: no transformer, no cache, a code depends on the one before.

logits of slot n = (the sentence's letters) + (the code before) + (the last frame's code at n), all learned vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from acdc.engine.models.interfaces import ArmStage, AutoregressiveModel, CompileStage
from acdc.engine.models.running_batch import Member, RunningBatch, SequenceState
from acdc.engine.options import StoryOptions
from acdc.engine.sampling import choose, make_sampling_params
from acdc.engine.utils.rng import gumbel


@dataclass(frozen=True)
class Layout:
    """A frame of codes."""

    codes_per_frame: int
    codebook_size: int


class Vectors(nn.Module):
    """The learned parameters."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.text, self.before, self.last = (
            nn.Embedding(256, codes),
            nn.Embedding(codes, codes),
            nn.Embedding(codes, codes),
        )

    def forward(self, read: Tensor, before: Tensor, last: Tensor) -> Tensor:
        """Logits [B, V] of the next code from ``read`` [B, V], and codes [B], -1 where there are none."""
        parts = ((self.before, before), (self.last, last))
        return read + sum(table(ids.clamp(min=0)) * (ids >= 0)[:, None] for table, ids in parts)


class ToyArm(AutoregressiveModel):
    """The family."""

    def __init__(self, model: Vectors, layout: Layout) -> None:
        self.model, self.stream = model.eval().requires_grad_(False), layout

    @property
    def blocks(self) -> nn.Module:
        return self.model

    def stages(self) -> Mapping[str, ArmStage]:
        return {"arm_draw": ArmStage("tables this small")}

    def with_stages(self, compile_stage: CompileStage, backends: Mapping[str, str]) -> Self:
        other = copy(self)
        other.model, other.draw_backend = compile_stage(self.model, "arm_draw"), backends["arm_draw"]
        return other

    def encode(self, sentence: str) -> list[int]:
        return list(sentence.encode())

    def check(self, options: StoryOptions) -> None:
        if options.sampling.guidance_scale not in (None, 1.0):
            raise ValueError(f"arm_guidance_scale {options.sampling.guidance_scale} is not for the toy; leave it out")

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> ToyBatch:
        return ToyBatch(self, sequences, options)


class ToySession:
    """A frame of every story: ``read`` [B, V], ``codes`` [B, n] of which story b's first ``done[b]`` are drawn."""

    def __init__(self, arm: ToyArm, stories: int) -> None:
        self.arm, self.stories, self.done = arm, stories, [0] * stories
        self.read = self.codes = self.noise = self.last = torch.empty(0)

    def tensors(self) -> Iterator[Tensor]:
        yield from (self.read, self.codes, self.noise, self.last)

    def close(self) -> None:
        """Nothing is kept."""


class ToyBatch(RunningBatch):
    """Code after code."""

    session: ToySession

    def __init__(self, arm: ToyArm, sequences: Sequence[SequenceState], options: StoryOptions) -> None:
        super().__init__(sequences)
        self.options, self.params, self.session = (
            options,
            make_sampling_params(options),
            ToySession(arm, len(sequences)),
        )

    def begin(self, sentences: Sequence[str]) -> None:
        for sequence, sentence in zip(self.sequences, sentences, strict=True):
            sequence.texts.append(sequence.encode(sentence))
        model = self.session.arm.model
        self.session.read = torch.stack([model.text.weight[one.texts[-1]].mean(0) for one in self.sequences])

    def start(self, keys: Tensor) -> None:
        session, layout = self.session, self.session.arm.stream
        nothing = torch.full((layout.codes_per_frame,), -1, device=keys.device)
        session.last = torch.stack([one.images[-1] if one.images else nothing for one in self.sequences])
        session.codes = nothing.repeat(len(self.sequences), 1)
        session.noise = gumbel(keys, torch.arange(layout.codes_per_frame, device=keys.device), layout.codebook_size)

    def advance(self, max_passes: int | None = None) -> list[bool]:
        session, size = self.session, self.session.arm.stream.codes_per_frame
        for _ in range(size if max_passes is None else max_passes):
            for row in (row for row, done in enumerate(session.done) if done < size):
                one, at = slice(row, row + 1), session.done[row]
                before = session.codes[one, at - 1] if at else torch.full_like(session.codes[one, 0], -1)
                logits = session.arm.model(session.read[one], before, session.last[one, at])
                noise = session.noise[one, at] if self.params.noisy else None
                session.codes[row, at] = choose(logits, None, noise, self.params)[0]
                session.done[row] += 1
        return [done == size for done in session.done]

    def drawn(self, place: int) -> Tensor:
        return self.session.codes[place].clone()

    def hand_over(self, place: int, was_drawn: bool) -> None:
        """There is no cache."""

    def write_cache(self) -> None:
        """There is no cache."""

    def merged(self, arm: ToyArm, members: Sequence[Member]) -> tuple[ToyBatch, list[int]]:
        made = ToyBatch(arm, [batch.sequences[place] for batch, place in members], self.options)
        for name in ("read", "codes", "noise", "last"):
            rows = [getattr(batch.session, name)[place] for batch, place in members]
            setattr(made.session, name, torch.stack(rows))
        made.session.done = [batch.session.done[place] for batch, place in members]
        return made, list(range(len(members)))
