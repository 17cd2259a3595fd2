"""The life of a chunk of video, in the paper's order (ACDC, arXiv 2410.04721, section 3.2, Eqs. 5 and 6).

A chunk is L frames: the ARM draws them one after another, the diffusion model corrects them together, the tokenizer
encodes them, and the ARM goes on behind the corrected ones. The loop is that of stories (``pipeline.py``) with a clip
in the place of a picture; ``correct_first`` and ``correct_every`` of the options count chunks.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..memory import Memory, Rewrite
from ..models.diffusion.animatediff import AnimateDiff
from ..models.interfaces import VideoSession
from ..models.lwm.windows import choose_sync_every, choose_windows
from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Frame, Phase, Span
from ..sdedit.correction import Correction
from ..sdedit.pixels import check_finite, to_uint8
from ..utils.rng import Purpose, make_keys
from .clock import Clock
from .serial import make_sampling_params, stored_codes

VAE_BATCH = 8  # frames that a model of pictures corrects side by side: memory grows with them, rates hardly


class Video(NamedTuple):
    """One video to make; ``done`` are the frames of an earlier, interrupted run, whole chunks of them."""

    prompt: str
    seed: int
    num_frames: int
    chunk_frames: int
    done: Sequence[Frame] = ()

    @property
    def chunks(self) -> list[range]:
        """The numbers of the frames of each chunk; the last may be shorter."""
        starts = range(0, self.num_frames, self.chunk_frames)
        return [range(start, min(start + self.chunk_frames, self.num_frames)) for start in starts]


class Clip(NamedTuple):
    """What one pass through the loop made of L frames: pixels [L, 3, H, W] in [-1, 1] and codes [L, n]."""

    rewrite: Rewrite
    cut_prompt: str | None
    corrected: bool
    draft: Tensor
    draft_codes: Tensor
    shown: Tensor
    codes: Tensor


class VideoPipeline:
    """One video, one chunk after another, one phase after another."""

    def __init__(self, models: Models, video: Video, options: StoryOptions, memory: Memory) -> None:
        """``options`` are resolved. ``ValueError`` if they cannot be met."""
        self.models, self.video, self.options, self.memory = models, video, options, memory
        check(models, video, options)
        models.arm.check(options)
        self.device, like = _device_of(models), models.arm
        self.windows = choose_windows(options.decoding, like.stream.windows, self.device.type, like.draw_backend, 1)
        self.sync_every = choose_sync_every(self.device.type)
        self.correction = Correction(models.corrector, options)
        models.arm.encode(video.prompt)  # one that is too long is refused before anything is drawn

    @torch.inference_mode()
    def chunks(self, clock: Clock) -> Iterator[list[Frame]]:
        """The frames of each finished chunk, from the first that is not done yet."""
        params = make_sampling_params(self.options)
        session = self.models.arm.video_session(1, self.video.num_frames, params)
        try:
            for number, frames in enumerate(self.video.chunks):
                if frames.stop <= len(self.video.done):
                    self._enter_again(session, number, frames)
                else:
                    yield self._make(session, number, frames, clock)
        finally:
            session.close()

    def _make(self, session: VideoSession, number: int, frames: range, clock: Clock) -> list[Frame]:
        """The algorithm: memory, then prefill and draw for each frame; decode, correct, encode, replace together."""
        tokenizer, last = self.models.tokenizer, frames[-1]
        spans: list[tuple[Span, ...]] = []
        with clock(frames[0], Phase.MEMORY):  # Eq. 3; a video has one caption
            rewrite = self.memory.rewrite([self.video.prompt], ())
        drawn = []
        for index in frames:  # Eq. 4
            drawn.append(self._draw(session, index, clock))
            spans.append(clock.take())
        draft_codes = torch.cat(drawn)
        with clock(last, Phase.DECODE):
            draft = tokenizer.decode(draft_codes)
        clip = Clip(rewrite, None, False, draft, draft_codes, draft, draft_codes)
        if self.options.corrects(number):
            clip = self._correct(session, clip, number, frames, clock)
        spans[-1] = (*spans[-1], *clock.take())
        return self._finish(clip, frames, spans)

    def _correct(self, session: VideoSession, clip: Clip, number: int, frames: range, clock: Clock) -> Clip:
        codes = clip.draft_codes
        with clock(frames[-1], Phase.CORRECT):  # Eq. 5
            shown, found, cut = self._correct_clip(clip.draft, clip.rewrite.text, number)
        if self.options.feed_back:  # Eq. 6
            with clock(frames[-1], Phase.ENCODE):
                codes = self.models.tokenizer.encode(shown) if found is None else found
            if frames.stop < self.video.num_frames:
                with clock(frames[-1], Phase.REPLACE):
                    session.replace(frames[0], codes[None])
        return clip._replace(cut_prompt=cut, corrected=True, shown=shown, codes=codes)

    def _correct_clip(self, draft: Tensor, prompt: str, number: int) -> tuple[Tensor, Tensor | None, str | None]:
        """Pixels [L, 3, H, W] -> the same, corrected together by a model of clips; else one by one with equal noise,
        which leaves still what stands still. With the codes [L, n] where a plan makes them too, and a cut prompt."""
        if isinstance(self.models.corrector, AnimateDiff):
            shown, codes, cut = self._corrected(draft[None], prompt, number)
            return shown[0], None if codes is None else codes[0], cut
        parts = [self._corrected(part, prompt, number) for part in draft.split(VAE_BATCH)]
        found = [codes for _, codes, _ in parts if codes is not None]
        return torch.cat([shown for shown, _, _ in parts]), torch.cat(found) if found else None, parts[0][2]

    def _corrected(self, pixels: Tensor, prompt: str, number: int) -> tuple[Tensor, Tensor | None, str | None]:
        """Frames [B, 3, H, W] or clips [B, L, 3, H, W] under one prompt and one noise."""
        rows = len(pixels)
        conditioning, cut = self.correction.condition([prompt] * rows)
        asked = pixels, conditioning, [self.video.seed] * rows, number
        if self.models.correction is not None:
            return *self.models.correction(self.correction, *asked), cut[0]
        return self.correction.run(*asked), None, cut[0]

    def _draw(self, session: VideoSession, index: int, clock: Clock) -> Tensor:
        """Codes [1, n] of frame ``index``."""
        with clock(index, Phase.PREFILL):
            session.begin([self.video.prompt] if index == 0 else None)
        with clock(index, Phase.DRAW):
            keys = make_keys([self.video.seed], index, Purpose.TOKEN, self.device)
            draft = session.codes(index - 1) if index else None  # frames change little: good first guesses
            return session.generate(keys, draft, self.windows, self.sync_every)

    def _enter_again(self, session: VideoSession, number: int, frames: range) -> None:
        """Bring the session to where it stood after a chunk by passes of the very same shapes.

        Corrected frames were entered together; uncorrected ones are drawn again. ``ValueError`` if that does not give
        the stored codes.
        """
        stored = stored_codes([self.video.done[index] for index in frames], self.models.arm.stream).to(self.device)
        if self.options.corrects(number) and self.options.feed_back:
            for index, codes in zip(frames, stored, strict=True):
                session.begin([self.video.prompt] if index == 0 else None)
                session.extend(codes[None])
            session.replace(frames[0], stored[None])
            return
        silent = Clock(self.device)
        for index, codes in zip(frames, stored, strict=True):
            if not torch.equal(self._draw(session, index, silent)[0], codes):
                raise ValueError(f"frame {index + 1} is not what this computation draws; start the video anew")

    def _finish(self, clip: Clip, frames: range, spans: Sequence[tuple[Span, ...]]) -> list[Frame]:
        for place, index in enumerate(frames):
            check_finite(index, clip.draft[place], clip.shown[place])
        drafts, images = to_uint8(torch.stack((clip.draft, clip.shown)))
        draft_codes, codes = clip.draft_codes.tolist(), clip.codes.tolist()
        return [
            Frame(
                index=index,
                sentence=self.video.prompt,
                refined_prompt=clip.rewrite.text,
                cut_prompt=clip.cut_prompt,
                corrected=clip.corrected,
                draft=drafts[place],
                image=images[place],
                draft_codes=tuple(draft_codes[place]),
                codes=tuple(codes[place]),
                spans=spans[place],
                memory_note=clip.rewrite.note,
            )
            for place, index in enumerate(frames)
        ]


def check(models: Models, video: Video, options: StoryOptions) -> None:
    """``ValueError`` for numbers of frames that cannot be, chunks that the corrector cannot hold, finished frames that
    are no whole chunks, and memory by a language model, which rewrites what follows a first sentence."""
    options.memory_settings.check_for_video()
    if video.num_frames < 1:
        raise ValueError(f"num_frames {video.num_frames} is too small; choose 1 or more")
    if video.chunk_frames < 1:
        raise ValueError(f"chunk_frames {video.chunk_frames} is too small; choose 1 or more")
    if isinstance(models.corrector, AnimateDiff) and video.chunk_frames > models.corrector.max_frames:
        limit = models.corrector.max_frames
        raise ValueError(
            f"chunk_frames {video.chunk_frames} is more than the motion modules know; choose at most {limit}"
        )
    done = len(video.done)
    if done > video.num_frames or (done % video.chunk_frames and done != video.num_frames):
        raise ValueError(f"{done} finished frames are no whole chunks of {video.chunk_frames}; give those alone")


def _device_of(models: Models) -> torch.device:
    device: torch.device = next(iter(models.tokenizer.parameters())).device
    return device
