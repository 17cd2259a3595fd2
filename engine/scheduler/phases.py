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
from .story_state import Work
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
        self.verbs: dict[Phase, Callable[[Sequence[Work]], list[Work]]] = {
            Phase.PREFILL: self.prefill,
            Phase.DRAW: self.draw,
            Phase.DECODE: self.decode,
            Phase.CORRECT: self.correct,
            Phase.ENCODE: self.encode,
            Phase.REPLACE: self.replace,
        }

    @torch.inference_mode()
    def run(self, phase: Phase, works: Sequence[Work]) -> list[Work]:
        """A launch; returns the stories that the phase is not done with (a draw's quantum is over)."""
        record_stream_uses(works)
        with EXPORT_LOCK.launch():
            return self.verbs[phase](works)

    def windows(self, stories: int) -> tuple[int, ...]:
        """How many codes a pass draws side by side."""
        arm = self.models.arm
        return choose_windows(self.options.decoding, arm.stream.windows, self.device.type, arm.draw_backend, stories)

    def prefill(self, works: Sequence[Work]) -> list[Work]:
        """The newest sentences enter, with what was corrected since."""
        group = self.models.arm.new_batch([work.seat for work in works], self.options)
        group.begin([work.request.sentences[work.index] for work in works])
        keys = make_keys(seeds(works), indexes(works), Purpose.TOKEN, self.device)
        group.start(self.params, keys, self.widest)
        for place, work in enumerate(works):
            work.group = group, place
        return []

    def draw(self, works: Sequence[Work]) -> list[Work]:
        """Codes (Eq. 1); stories of several groups come together."""
        members = [work.group for work in works if work.group is not None]
        group, places = self.models.arm.merge_batches(members, self.options)
        for work, place in zip(works, places, strict=True):
            work.group = group, place
        done = group.advance(self.windows(len(works)), self.how.quantum, self.sync_every)
        again = []
        for work, place in zip(works, places, strict=True):
            if done[place]:
                work.draft_codes, work.group = group.pop(place), None
            else:
                again.append(work)
        return again

    def decode(self, works: Sequence[Work]) -> list[Work]:
        """Codes to pixels, the drafts."""
        drafts = self.models.tokenizer.decode(stacked(works, "draft_codes"))
        for work, draft in zip(works, drafts.unbind(0), strict=True):
            work.draft = draft
        return []

    def correct(self, works: Sequence[Work]) -> list[Work]:
        """SDEdit under the rewritten prompts (Eq. 2)."""
        conditioning, cut = self.correction.condition([work.rewrites[work.index].text for work in works])
        asked = stacked(works, "draft"), conditioning, seeds(works), indexes(works)
        if self.models.correction is not None:
            shown, codes = self.models.correction(self.correction, *asked)
        else:
            shown, codes = self.correction.run(*asked), None
        for place, work in enumerate(works):
            work.shown, work.cut_prompt = shown[place], cut[place]
            work.codes = None if codes is None or not self.options.feed_back else codes[place]
        return []

    def encode(self, works: Sequence[Work]) -> list[Work]:
        """The corrected pixels' codes, which take the drafts' places."""
        found = [work.codes for work in works if work.codes is not None]
        codes = (
            torch.stack(found) if len(found) == len(works) else self.models.tokenizer.encode(stacked(works, "shown"))
        )
        for work, own in zip(works, codes.unbind(0), strict=True):
            work.codes = own
            work.seat.replace(own)
        return []

    def replace(self, works: Sequence[Work]) -> list[Work]:
        """The corrected codes enter by themselves, as in the serial loop."""
        self.models.arm.new_batch([work.seat for work in works], self.options).write_cache()
        return []


def seeds(works: Sequence[Work]) -> list[int]:
    """The stories' seeds."""
    return [work.request.seed for work in works]


def indexes(works: Sequence[Work]) -> list[int]:
    """The frames at which the stories stand."""
    return [work.index for work in works]


def stacked(works: Sequence[Work], name: str) -> Tensor:
    """A tensor of each story, one row each."""
    return torch.stack([getattr(work, name) for work in works])
