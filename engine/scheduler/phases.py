"""The phases of a chunk for stories at different frames: what a launch of the pipelined loop does.

The algorithm stands in ``pipeline.py``; here are its lines, each for itself, for one slot with its own plans. What a
phase finds out is written to the stories only when all of it is there, so a launch that fails can be begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..models.lwm.windows import choose_sync_every, choose_windows
from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Phase
from ..pipeline.serial import make_sampling_params
from ..runtime.export_lock import EXPORT_LOCK
from ..sdedit.correction import Correction
from ..utils.rng import Purpose, make_keys
from .policy import SchedulerConfig
from .story_state import StoryState
from .stream_safety import record_stream_uses


class Phases:
    """A slot's models, and what they do to stories."""

    def __init__(self, models: Models, options: StoryOptions, how: SchedulerConfig) -> None:
        """``options`` are resolved. ``ValueError`` if they cannot be met."""
        models.arm.check(options)
        self.models, self.options, self.how = models, options, how
        self.params = make_sampling_params(options)
        self.correction = Correction(models.corrector, options)
        self.device = next(models.tokenizer.parameters()).device
        self.sync_every = choose_sync_every(self.device.type)
        self.widest = max(width for count in range(1, how.draw_batch + 1) for width in self.windows(count))
        self.verbs: dict[Phase, Callable[[Sequence[StoryState]], list[StoryState]]] = {
            Phase.PREFILL: self.prefill,
            Phase.DRAW: self.draw,
            Phase.DECODE: self.decode,
            Phase.CORRECT: self.correct,
            Phase.ENCODE: self.encode,
            Phase.REPLACE: self.replace,
        }

    @torch.inference_mode()
    def run(self, phase: Phase, states: Sequence[StoryState]) -> list[StoryState]:
        """A launch; returns the stories that the phase is not done with (a draw's quantum is over)."""
        record_stream_uses(states)
        with EXPORT_LOCK.launch():
            return self.verbs[phase](states)

    def windows(self, stories: int) -> tuple[int, ...]:
        """How many codes a pass draws side by side."""
        arm = self.models.arm
        return choose_windows(self.options.decoding, arm.stream.windows, self.device.type, arm.draw_backend, stories)

    def prefill(self, states: Sequence[StoryState]) -> list[StoryState]:
        """The newest sentences enter, with what was corrected since."""
        batch = self.models.arm.new_batch([state.sequence for state in states], self.options)
        batch.begin([state.request.sentences[state.index] for state in states])
        keys = make_keys(seeds(states), indexes(states), Purpose.TOKEN, self.device)
        batch.start(self.params, keys, self.widest)
        for place, state in enumerate(states):
            state.batch = batch, place
        return []

    def draw(self, states: Sequence[StoryState]) -> list[StoryState]:
        """Codes (Eq. 1); stories of several groups come together."""
        members = [state.batch for state in states if state.batch is not None]
        batch, places = self.models.arm.merge_batches(members, self.options)
        for state, place in zip(states, places, strict=True):
            state.batch = batch, place
        done = batch.advance(self.windows(len(states)), self.how.quantum, self.sync_every)
        again = []
        for state, place in zip(states, places, strict=True):
            if done[place]:
                state.draft_codes, state.batch = batch.pop(place), None
            else:
                again.append(state)
        return again

    def decode(self, states: Sequence[StoryState]) -> list[StoryState]:
        """Codes to pixels, the drafts."""
        drafts = self.models.tokenizer.decode(stacked(states, "draft_codes"))
        for state, draft in zip(states, drafts.unbind(0), strict=True):
            state.draft = draft
        return []

    def correct(self, states: Sequence[StoryState]) -> list[StoryState]:
        """SDEdit under the rewritten prompts (Eq. 2)."""
        conditioning, cut = self.correction.condition([state.rewrites[state.index].text for state in states])
        asked = stacked(states, "draft"), conditioning, seeds(states), indexes(states)
        if self.models.correction is not None:
            shown, codes = self.models.correction(self.correction, *asked)
        else:
            shown, codes = self.correction.run(*asked), None
        for place, state in enumerate(states):
            state.shown, state.cut_prompt = shown[place], cut[place]
            state.codes = None if codes is None or not self.options.feed_back else codes[place]
        return []

    def encode(self, states: Sequence[StoryState]) -> list[StoryState]:
        """The corrected pixels' codes, which take the drafts' places."""
        found = [state.codes for state in states if state.codes is not None]
        codes = (
            torch.stack(found) if len(found) == len(states) else self.models.tokenizer.encode(stacked(states, "shown"))
        )
        for state, own in zip(states, codes.unbind(0), strict=True):
            state.codes = own
            state.sequence.replace(own)
        return []

    def replace(self, states: Sequence[StoryState]) -> list[StoryState]:
        """The corrected codes enter by themselves, as in the serial loop."""
        self.models.arm.new_batch([state.sequence for state in states], self.options).write_cache()
        return []


def seeds(states: Sequence[StoryState]) -> list[int]:
    """The stories' seeds."""
    return [state.request.seed for state in states]


def indexes(states: Sequence[StoryState]) -> list[int]:
    """The frames at which the stories stand."""
    return [state.index for state in states]


def stacked(states: Sequence[StoryState], name: str) -> Tensor:
    """A tensor of each story, one row each."""
    return torch.stack([getattr(state, name) for state in states])
