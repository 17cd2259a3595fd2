"""The life of a chunk, in the paper's order (ACDC, arXiv 2410.04721, section 3, Eqs. 1-3).

This serial loop in plain PyTorch is the reference for everything faster. Several stories may run side by side;
a story's frames do not depend on its neighbours.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..memory import Memory, Rewrite
from ..models.interfaces import FrameLayout, Session
from ..models.lwm.windows import choose_sync_every, choose_windows
from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Frame, Phase
from ..sampling import SamplingParams
from ..sdedit.correct import Conditioning
from ..sdedit.correction import Correction
from ..sdedit.pixels import check_finite, to_uint8
from ..utils.rng import Purpose, make_keys
from .clock import Clock


class Story(NamedTuple):
    """One story to draw: its sentences, its seed, and what exists already.

    ``init_pixels`` [3, H, W] in [-1, 1] stand in for the ARM's first draft; ``done`` are the frames of an earlier,
    interrupted run, which are entered again instead of drawn.
    """

    sentences: tuple[str, ...]
    seed: int
    init_pixels: Tensor | None = None
    done: Sequence[Frame] = ()


class Chunk(NamedTuple):
    """What one pass through the loop made, for all stories: pixels [B, 3, H, W] in [-1, 1] and codes [B, N]."""

    rewrites: list[Rewrite]
    cut_prompts: list[str | None]
    draft: Tensor
    draft_codes: Tensor
    shown: Tensor
    codes: Tensor


class SerialPipeline:
    """Stories of equal length, one chunk after another, one phase after another."""

    def __init__(self, models: Models, stories: Sequence[Story], options: StoryOptions, memory: Memory) -> None:
        """``options`` are resolved: no field that the bundle decides is None. ``ValueError`` if they cannot be met."""
        assert len({(len(story.sentences), len(story.done)) for story in stories}) == 1, "stories are in step"
        self.models, self.stories, self.options, self.memory = models, stories, options, memory
        self.length, self.num_done = len(stories[0].sentences), len(stories[0].done)
        for story in stories:
            restore_memory(memory, story.sentences, story.done)
        self.params = make_sampling_params(options)
        models.arm.check(options)
        table, device, backend = models.arm.stream.windows, self._device.type, models.arm.draw_backend
        self.windows = choose_windows(options.decoding, table, device, backend, len(stories))
        self.sync_every = choose_sync_every(device)
        self.correction = Correction(models.corrector, options)
        # A sentence that is too long is refused before anything is drawn.
        sentences = [sentence for story in stories for sentence in story.sentences]
        self.text_tokens = max(len(models.arm.encode(sentence)) for sentence in sentences)

    @torch.inference_mode()
    def frames(self, clock: Clock) -> Iterator[list[Frame]]:
        """Each finished chunk as one :class:`Frame` a story, from the first that is not done yet."""
        session = self.models.arm.session(len(self.stories), self.length, self.options, self.text_tokens)
        try:
            for index in range(self.length):
                if index < self.num_done:
                    self._enter_again(session, index)
                else:
                    yield self._finish(index, self._draw(session, index, clock), clock)
        finally:
            session.close()

    def _draw(self, session: Session, index: int, clock: Clock) -> Chunk:
        """The algorithm: memory, prefill, draw, decode, correct, encode, replace."""
        tokenizer = self.models.tokenizer

        with clock(index, Phase.MEMORY):  # Eq. 3: a prompt that stands alone
            told = [(story.sentences[: index + 1], story.sentences[index + 1 :]) for story in self.stories]
            rewrites = [self.memory.rewrite(sentences, later) for sentences, later in told]
            prompts = [rewrite.text for rewrite in rewrites]
        with clock(index, Phase.PREFILL):
            session.begin([story.sentences[index] for story in self.stories])
        with clock(index, Phase.DRAW):  # Eq. 1
            draft_codes = self._draw_codes(session, index)
        with clock(index, Phase.DECODE):
            draft = tokenizer.decode(draft_codes)
        if not self.options.corrects(index):
            return Chunk(rewrites, [None] * len(prompts), draft, draft_codes, draft, draft_codes)

        with clock(index, Phase.CORRECT):  # Eq. 2
            conditioning, cut_prompts = self.correction.condition(prompts)
            shown, codes = self._correct(draft, conditioning, index)
        if not self.options.feed_back:
            return Chunk(rewrites, cut_prompts, draft, draft_codes, shown, draft_codes)

        with clock(index, Phase.ENCODE):
            codes = tokenizer.encode(shown) if codes is None else codes
        if index + 1 < self.length:  # nobody reads the last frame's cache
            with clock(index, Phase.REPLACE):
                session.replace(index, codes)
        return Chunk(rewrites, cut_prompts, draft, draft_codes, shown, codes)

    def _correct(self, draft: Tensor, conditioning: Conditioning, index: int) -> tuple[Tensor, Tensor | None]:
        """The corrected pixels, and their codes where a backend's plan of the whole correction makes them too."""
        if self.models.correction is not None:
            return self.models.correction(self.correction, draft, conditioning, self._seeds, index)
        return self.correction.run(draft, conditioning, self._seeds, index), None

    def _draw_codes(self, session: Session, index: int) -> Tensor:
        given = [story.init_pixels for story in self.stories if story.init_pixels is not None]
        if index == 0 and given:
            codes = self.models.tokenizer.encode(torch.stack(given).to(self._device, self._dtype))
            session.extend(codes)
            return codes
        keys = make_keys(self._seeds, index, Purpose.TOKEN, self._device)
        draft = session.codes(index - 1) if index else None  # scenes change little: good first guesses
        return session.generate(self.params, keys, draft, self.windows, self.sync_every)

    def _enter_again(self, session: Session, index: int) -> None:
        """Bring the session to where it stood after frame ``index`` by passes of the very same shapes.

        A corrected frame was entered by one parallel pass of its codes; an uncorrected one code by code, so it is
        drawn again. ``ValueError`` if that does not give the stored codes.
        """
        stored = stored_codes([story.done[index] for story in self.stories], self.models.arm.stream).to(self._device)
        session.begin([story.sentences[index] for story in self.stories])
        if self.options.corrects(index) and self.options.feed_back:
            session.extend(stored)
        elif not torch.equal(self._draw_codes(session, index), stored):
            raise ValueError(f"frame {index + 1} is not what this computation draws; start the story anew")

    def _finish(self, index: int, chunk: Chunk, clock: Clock) -> list[Frame]:
        check_finite(index, chunk.draft, chunk.shown)
        drafts, images = to_uint8(torch.stack((chunk.draft, chunk.shown)))
        draft_codes, codes, spans = chunk.draft_codes.tolist(), chunk.codes.tolist(), clock.take()
        return [
            Frame(
                index=index,
                sentence=story.sentences[index],
                refined_prompt=chunk.rewrites[row].text,
                cut_prompt=chunk.cut_prompts[row],
                corrected=self.options.corrects(index),
                draft=drafts[row],
                image=images[row],
                draft_codes=tuple(draft_codes[row]),
                codes=tuple(codes[row]),
                spans=spans,
                memory_note=chunk.rewrites[row].note,
                later_prompts=chunk.rewrites[row].later,
            )
            for row, story in enumerate(self.stories)
        ]

    @property
    def _seeds(self) -> list[int]:
        return [story.seed for story in self.stories]

    @property
    def _device(self) -> torch.device:
        return next(self.models.tokenizer.parameters()).device

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.models.tokenizer.parameters()).dtype


def restore_memory(memory: Memory, sentences: Sequence[str], done: Sequence[Frame]) -> None:
    """Give ``memory`` what an earlier run has rewritten of the story, if that is all of it."""
    if done:
        memory.restore(sentences, [*(frame.refined_prompt for frame in done), *done[-1].later_prompts])


def stored_codes(frames: Sequence[Frame], stream: FrameLayout) -> Tensor:
    """Codes int64 [B, N] of finished frames; ``ValueError`` if they cannot be codes of this tokenizer."""
    for frame in frames:
        codes = frame.codes
        if len(codes) != stream.codes_per_frame or not all(0 <= code < stream.codebook_size for code in codes):
            wanted = f"{stream.codes_per_frame} codes from 0 to {stream.codebook_size - 1}"
            raise ValueError(f"frame {frame.index + 1}: {len(codes)} stored codes do not fit; expected {wanted}")
    return torch.tensor([frame.codes for frame in frames])


def make_sampling_params(options: StoryOptions) -> SamplingParams:
    assert options.temperature is not None
    assert options.top_p is not None
    assert options.arm_guidance_scale is not None
    return SamplingParams(
        guidance_scale=options.arm_guidance_scale,
        temperature=options.temperature,
        top_k=options.top_k or None,
        top_p=options.top_p,
    )
