"""The life of a frame, in the paper's order (ACDC, arXiv 2410.04721, section 3, Eqs. 1-3 and 6).

This serial loop in plain PyTorch is the reference for everything faster; the concurrent loop next to it
(``scheduler/loop.py``) calls the same phases. Several stories may run side by side; a story's frames do not depend on
its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..memory import Memory
from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Frame, PartialImage, Phase
from ..request import StoryRequest
from .clock import Clock
from .frame_state import build_frame
from .phases import Phases, rewrite
from .story import Story, context_pixels, restore_memory, stored_codes


class SerialPipeline:
    """Stories of equal length, one frame after another, one phase after another."""

    def __init__(
        self,
        models: Models,
        requests: Sequence[StoryRequest],
        options: StoryOptions,
        memory: Memory,
        init_pixels: Tensor | None = None,
        on_partial: Callable[[PartialImage], None] | None = None,
    ) -> None:
        """``options`` are resolved: no field that the bundle decides is None. ``init_pixels`` [3, H, W] in [-1, 1] are
        the first frame's draft in place of the ARM's. ``on_partial`` is called with the pictures of frames on their way
        that the requests want. The requests' finished frames are entered again, not drawn.
        ``ValueError`` for options that cannot be met, and for a sentence that is too long."""
        assert len({(len(one.sentences), len(one.done)) for one in requests}) == 1, "stories are in step"
        self.phases, self.options, self.init_pixels = Phases(models, options), options, init_pixels
        if on_partial is None and (wanted := requests[0].partial_images):
            raise ValueError(f"partial_images {wanted} without on_partial go nowhere; give both")
        if on_partial is not None:
            self.phases.on_partial = lambda _, partial: on_partial(partial)
        self.length, self.num_done = len(requests[0].sentences), len(requests[0].done)
        for one in requests:
            self.phases.check_constraints(one)
            self.phases.check_partial_images(one)
            restore_memory(memory, one.sentences, one.done)
        new = models.arm.new_sequence
        self.stories = [Story(request=one, memory=memory, sequence=new(one.sentences)) for one in requests]

    @torch.inference_mode()
    def frames(self, clock: Clock) -> Iterator[list[Frame]]:
        """Each finished frame, one a story, from the first that is not done yet."""
        try:
            for index in range(self.length):
                if index < self.num_done:
                    self.enter_again()
                else:
                    yield self.generate_frame(clock)
                for story in self.stories:
                    story.next_frame()
        finally:
            for story in self.stories:
                story.begin_again()

    def generate_frame(self, clock: Clock) -> list[Frame]:
        """The paper's algorithm: the next frame of every story."""
        phases, stories, index = self.phases, self.stories, self.stories[0].index
        with clock(index, Phase.MEMORY):  # Eq. 3
            for story in stories:
                story.rewrites[index] = rewrite(story.memory, story.request.sentences, index)
        with clock(index, Phase.PREFILL):
            phases.prefill(phases.batch_of(stories), stories)
        with clock(index, Phase.SAMPLE):  # Eq. 1
            self.draw()
        with clock(index, Phase.VQ_DECODE):
            phases.vq_decode(stories)
        if self.options.corrects(index):
            with clock(index, Phase.SDEDIT):  # Eq. 2
                phases.sdedit(stories)
        if self.options.corrects(index) and self.options.correction.feed_back:
            with clock(index, Phase.VQ_ENCODE):
                phases.vq_encode(stories)
            if index + 1 < self.length:  # the last frame's cache is not read
                with clock(index, Phase.UPDATE_CONTEXT):  # Eq. 6
                    phases.update_context(stories)
        spans = clock.take()
        for story in stories:
            story.spans += spans
        return [build_frame(story) for story in stories]

    def draw(self) -> None:
        """The draft's codes; those of the first frame's picture where one is given."""
        if self.init_pixels is None or self.stories[0].index > 0:
            self.phases.sample(self.stories)
            return
        pixels = self.init_pixels.to(self.phases.device, self.phases.dtype).expand(len(self.stories), -1, -1, -1)
        self.phases.force_codes(self.stories, self.phases.models.tokenizer.encode(pixels))

    def enter_again(self) -> None:
        """Bring the ARM to where it was after a finished frame, by passes of the very same shapes.

        A corrected frame was entered by one parallel pass of its codes; an uncorrected one code by code, so it is
        drawn again. ``ValueError`` if that does not give the stored codes.
        """
        index, phases, stories = self.stories[0].index, self.phases, self.stories
        done = [story.request.done[index] for story in stories]
        stored = stored_codes(done, phases.models.arm.stream).to(phases.device)
        phases.prefill(phases.batch_of(stories), stories)
        if self.options.corrects(index) and self.options.correction.feed_back:
            phases.force_codes(stories, stored)
        else:
            self.draw()
            drawn = [story.draft_codes for story in stories if story.draft_codes is not None]
            if not torch.equal(torch.stack(drawn), stored):
                raise ValueError(
                    f"frame {index + 1} cannot be reproduced with these settings; restart the story with --overwrite"
                )
        for story, frame in zip(stories, done, strict=True):
            story.show(context_pixels(frame, self.options).to(phases.device))
