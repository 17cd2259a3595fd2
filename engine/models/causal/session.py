"""Stories side by side in one autoregressive model: draw a frame, replace it, go on.

All stories are at the same frame; their texts differ in length. Rows of the cache are (branch, story): first the
conditional branch of every story, then, with guidance, the null branch, whose sentences are empty. The list of chunks
is the truth and the cache a function of it:

    chunks   text 0, image 0, text 1, image 1, ...        each for all rows, ragged texts padded on the right
    stream   bos + the chunks that the context shows      "full": all; "window": the previous frame and this one
    cache    a prefix of the stream: row r has been fed its first ``cache.owned[r]`` ids

Whatever of the stream is missing is fed in one parallel pass. So the last code of a frame and its end-of-frame id,
which no draw needs, ride with the next sentence; and replacing a frame is: cut the cache there, feed the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Literal

import torch
from torch import Tensor

from ...options import Context
from ...sampling import SamplingParams
from ..checks import check_codes, check_context, check_guided, check_kept, check_texts, places
from ..decode import DecodeState, begun, draw
from ..decode_pass import first_guesses
from ..kv_cache import KVCache, bucket, gather
from ..story_session import StorySession
from ..tokens_per_pass import SEQUENTIAL
from .decode_pass import pass_noise
from .runner import CausalRunner
from .stream_segment import StreamSegment, missing


class ArmSession(StorySession):
    """B stories in lockstep. Life of a frame: ``begin(texts)``, ``generate(...)``, then ``replace(...)`` or not."""

    def __init__(
        self,
        arm: CausalRunner,
        stories: int,
        frames: int,
        context: Context | None = None,
        guided: bool = False,
        text_tokens: int | None = None,
        sentences: int | None = None,
        parts: Sequence[KVCache | None] = (),
    ) -> None:
        """``frames`` bounds the story's length, ``text_tokens`` that of its sentences with their prompts (the stream's
        limit where None), ``sentences`` their number (one a frame where None); ``guided`` keeps the null branch for
        guidance_scale != 1. ``parts`` are caches of the stories' own rows, as :func:`gather` takes them.

        Raises ``ValueError`` for an unknown context and for more positions than the model has.
        """
        super().__init__(stories, frames, guided)
        self.arm, self.context = arm, context or arm.stream.context
        check_context(self.context)
        self.keeps = self.context == "full" and not arm.stream.independent  # what was fed is shown to later frames
        self.chunks: list[StreamSegment] = []
        self.origin = 0  # the first chunk that the context shows
        self.text_tokens = arm.stream.prompt_tokens if text_tokens is None else text_tokens
        capacity = arm.stream.capacity(frames, self.context, self.text_tokens, sentences)
        size, make = bucket(capacity, arm.model.config.max_position), partial(arm.model.new_cache, self.rows)
        self.cache = gather(parts, size, make) if parts else make(size)
        self.last_logits: Tensor | None = None  # [R, vision_vocab] for the next slot
        self.frame: DecodeState | None = None  # while one is being drawn

    @property
    def drawn(self) -> int:
        """Number of frames that have their codes."""
        return len(self.chunks) // 2

    @property
    def waiting(self) -> bool:
        """Has the last sentence no frame yet?"""
        return len(self.chunks) % 2 == 1

    def codes(self, frame: int) -> Tensor:
        """Current codes of a frame: int64 [B, codes_per_frame]."""
        return self.chunks[2 * frame + 1].ids[: self.stories, : self.arm.stream.codes_per_frame]

    @torch.no_grad()
    def begin(self, texts: Sequence[str] | None) -> None:
        """Append one sentence per story and feed what is pending, up to the logits of the frame's first code.

        ``None`` lets the frame follow the last one directly, as the frames of an LWM video do. Raises ``ValueError``
        for a wrong number of sentences, one that is too long, or more frames than the session was made for.
        """
        self.check_begin()
        chunk = self._text(texts)
        if not self.keeps:
            self.origin = max(0, len(self.chunks) - (0 if self.arm.stream.independent else 2))
            self.cache.reset()
        self.chunks.append(chunk)
        self.catch_up()

    @torch.no_grad()
    def generate(
        self,
        params: SamplingParams,
        keys: Tensor,
        guesses: Tensor | None = None,
        tokens_per_pass: Sequence[int] = SEQUENTIAL,
        sync_every: int = 1,
    ) -> Tensor:
        """Draw the frame of the last sentence: int64 [B, codes_per_frame].

        ``keys`` [B, 4] from ``rng.make_keys``, on the model's device. ``tokens_per_pass`` are the numbers of codes that
        a pass may compute side by side; more than one changes no code, and reads the accepted counts back after each
        ``sync_every`` of passes. ``guesses`` [B, codes_per_frame] are first guesses for them (where None, what the
        first code's logits say of all). ``passes`` counts what was launched. Raises ``ValueError`` for guidance without
        a null branch.
        """
        self.start(params, keys, guesses, max(tokens_per_pass))
        assert self.frame is not None
        find, num_slots = partial(self.arm.draw_pass, self.frame.params), self.arm.stream.slots
        self.passes = draw(self.frame, find, num_slots, tokens_per_pass, sync_every)
        return self.finish()

    @torch.no_grad()
    def start(self, params: SamplingParams, keys: Tensor, guesses: Tensor | None, window: int) -> None:
        """The part of :meth:`generate` before its first pass, for up to ``window`` tokens in a pass."""
        assert self.waiting, "begin() comes before a draw"
        assert self.last_logits is not None, "begin() leaves the first code's logits"
        check_guided(params, self.branches)
        stream = self.arm.stream
        forced = (*((stream.slot(code), value) for code, value in params.forced), *stream.forced)
        params = replace(params, allowed=params.allowed or (0, stream.codebook_size), forced=forced)
        self.frame = self.drawing(params, keys, None if guesses is None else stream.to_slots(guesses), window)

    def finish(self) -> Tensor:
        """The frame that was started, all of whose codes are final: int64 [B, codes_per_frame]."""
        assert self.frame is not None, "no frame was started"
        stream = self.arm.stream
        drawn = stream.to_codes(self.frame.codes[:, : stream.slots])
        self.cache.settle([have + stream.slots - 1 for have in self.cache.owned])
        self.chunks.append(self._image(drawn, "sampled"))
        self.last_logits = self.frame = None
        return drawn

    def drawing(self, params: SamplingParams, keys: Tensor, guesses: Tensor | None, window: int) -> DecodeState:
        """The frame before its first pass: its noise, the first code, guesses for the others, slot by slot."""
        assert self.last_logits is not None
        model, num_codes = self.arm.model, self.arm.stream.slots
        noise = pass_noise(model, params, keys, num_codes)
        first = first_guesses(self.last_logits, params, keys, noise, guesses, num_codes, window, model.use_triton)
        return DecodeState(params, *begun(first, window), noise, self.cache)

    @torch.no_grad()
    def extend(self, codes: Tensor) -> None:
        """Give the frame of the last sentence its codes [B, codes_per_frame], fed with eof in one parallel pass."""
        assert self.waiting, "begin() comes before extend()"
        self.chunks.append(self._image(codes, "external"))
        if not self.arm.stream.independent:
            self.catch_up()

    @torch.no_grad()
    def enter(self, texts: Sequence[str], codes: Tensor) -> None:
        """``begin`` and ``extend`` in one parallel pass, for a session that shows all it holds ("full")."""
        assert self.keeps, "the window context enters sentence by sentence"
        assert not self.waiting, "the last sentence has no frame yet"
        self.chunks += [self._text(texts), self._image(codes, "external")]
        self.catch_up()

    def replace(self, frame: int, codes: Tensor) -> None:
        """Put corrected codes [B, codes_per_frame] in place of a frame's: :meth:`replace_many` of one."""
        self.replace_many(frame, codes[:, None])

    @torch.no_grad()
    def replace_many(self, first: int, codes: Tensor) -> None:
        """Put corrected codes [B, L, codes_per_frame] in place of frames ``first`` to ``first + L - 1`` (ACDC Eq. 6):
        truncate, then one parallel pass for all of them.

        Later chunks stay and are fed again. In the window context the next ``begin`` prefills anyway, so here the
        cache is only cut.
        """
        frames = places(first, codes, self.drawn)
        for frame, one in zip(frames, codes.unbind(1), strict=True):
            self.chunks[2 * frame + 1] = self._image(one, "external")
        if 2 * frames.stop - 1 >= self.origin:
            self._forget(max(2 * first + 1, self.origin))
            if self.keeps or self.waiting:
                self.catch_up()

    def truncate(self, frames: int) -> None:
        """Forget all but the first ``frames`` frames with their sentences."""
        check_kept(frames, self.drawn)
        del self.chunks[2 * frames :]
        self._forget(2 * frames)

    def fork(self) -> ArmSession:
        """An independent copy that continues from the same state."""
        forked = copy(self)
        forked.chunks, forked.cache = list(self.chunks), self.cache.fork()
        return forked

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the stories hold in it."""
        yield from self.cache.tensors()
        for chunk in self.chunks:
            yield from chunk.tensors()
        if self.last_logits is not None:
            yield self.last_logits
        if self.frame is not None:
            yield from self.frame.tensors()

    def _text(self, texts: Sequence[str] | None) -> StreamSegment:
        if texts is None:
            if not self.chunks:
                raise ValueError("the first frame needs a sentence")
            lines: list[list[int]] = [[]] * self.rows
        else:
            check_texts(texts, self.stories)
            encoded = [self.arm.encode(text) for text in texts]
            encoded += [self.arm.null_text(ids) for ids in encoded] * (self.branches - 1)
            assert max(map(len, encoded)) <= self.text_tokens, "a sentence is longer than the session was made for"
            lines = [ids + list(self.arm.stream.vision) for ids in encoded]
        return self.given(lines)

    def given(self, lines: Sequence[Sequence[int]]) -> StreamSegment:
        """Text ids, a line a row, as a chunk."""
        longest = max(map(len, lines))
        padded = [[*ids, *[0] * (longest - len(ids))] for ids in lines]
        ids = torch.tensor(padded, dtype=torch.int64).to(self.cache.lengths.device)
        return StreamSegment("text", ids.reshape(self.rows, longest), tuple(map(len, lines)), "given")

    def _image(self, codes: Tensor, provenance: Literal["sampled", "external"]) -> StreamSegment:
        check_codes(codes, self.stories, self.arm.stream.codes_per_frame)
        full = torch.nn.functional.pad(codes, (0, 1), value=self.arm.stream.eof)
        ids = full if self.branches == 1 else full.repeat(self.branches, 1)
        return StreamSegment("image", ids, (full.shape[1],) * self.rows, provenance)

    def first_slots(self, index: int) -> list[int]:
        """The slot at which chunk ``index`` starts in each row's cache, under the present context."""
        before = [chunk.counts for chunk in self.chunks[self.origin : index]]
        bos = len(self.arm.stream.bos)
        return [bos + sum(counts[row] for counts in before) for row in range(self.rows)]

    def _forget(self, index: int) -> None:
        self.cache.truncate(self.first_slots(index))
        self.last_logits = None

    @torch.no_grad()
    def catch_up(self) -> None:
        """Feed the part of the stream that the cache lacks, in one pass, and keep the logits of its last slot."""
        bos = self.given([self.arm.stream.bos] * self.rows)
        shown = [bos, *self.chunks[self.origin :]]
        if all(have == slot for have, slot in zip(self.cache.owned, self.first_slots(len(self.chunks)), strict=True)):
            if self.last_logits is not None:
                return
            self.cache.truncate([have - 1 for have in self.cache.owned])  # the logits after an id need it fed again
        columns = [list(chain(*missing(shown, row, have))) for row, have in enumerate(self.cache.owned)]
        counts = [len(row) for row in columns]
        assert min(counts) > 0, "nothing to feed"
        width, device = max(counts), self.cache.lengths.device
        index = torch.tensor([row + [0] * (width - len(row)) for row in columns]).to(device)
        ids = torch.cat([chunk.ids for chunk in shown], 1).gather(1, index)  # [R, T]
        kinds = torch.tensor([chunk.kind == "image" for chunk in shown for _ in range(chunk.ids.shape[1])])
        self.last_logits = self.arm.prefill(ids, kinds.to(device)[index], counts, self.cache)
