"""The life of a chunk of video, in the paper's order (ACDC, arXiv 2410.04721, section 3.2, Eqs. 4 to 6).

A chunk is L frames: the ARM draws them one after another, the diffusion model corrects them together, the tokenizer
encodes them, and the ARM goes on after the corrected ones. The loop calls the phases of stories (``phases.py``) with
the frames of a chunk where those have one frame each; ``correct_first`` and ``correct_every`` of the options count
chunks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..memory import Memory, Rewrite
from ..models.interfaces import VideoSession
from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Frame, Phase
from .clock import Clock
from .frame_state import FrameState, build_frame
from .phases import Phases, rewrite
from .story import stored_codes

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


@dataclass(eq=False, kw_only=True)
class VideoFrame(FrameState):
    """A frame of chunk ``number`` of a video."""

    video: Video
    number: int
    prompt: Rewrite

    @property
    def sentence(self) -> str:
        """The caption, whichever frame it is."""
        return self.video.prompt

    @property
    def rewritten(self) -> Rewrite:
        """The caption as the memory rewrote it."""
        return self.prompt

    @property
    def seed(self) -> int:
        """The video's."""
        return self.video.seed

    @property
    def noise_index(self) -> int:
        """The chunk's number: its frames are corrected with one draw of noise."""
        return self.number


class VideoPipeline:
    """One video, one chunk after another, one phase after another."""

    def __init__(self, models: Models, video: Video, options: StoryOptions, memory: Memory) -> None:
        """``options`` are resolved. ``ValueError`` if they cannot be met."""
        check(models, video, options)
        self.phases, self.video, self.options, self.memory = Phases(models, options), video, options, memory
        models.arm.encode(video.prompt)  # one that is too long is refused before anything is drawn

    @torch.inference_mode()
    def chunks(self, clock: Clock) -> Iterator[list[Frame]]:
        """The frames of each finished chunk, from the first that is not done yet."""
        session = self.phases.models.arm.video_session(1, self.video.num_frames, self.options)
        try:
            for number, indexes in enumerate(self.video.chunks):
                if indexes.stop <= len(self.video.done):
                    self.enter_again(session, number, indexes)
                else:
                    yield self.generate_chunk(session, number, indexes, clock)
        finally:
            session.close()

    def generate_chunk(self, session: VideoSession, number: int, indexes: range, clock: Clock) -> list[Frame]:
        """The paper's algorithm for L frames: they are drawn one by one, corrected and replaced together."""
        phases, last = self.phases, indexes[-1]
        with clock(indexes[0], Phase.MEMORY):  # Eq. 3; a video has one caption
            prompt = rewrite(self.memory, [self.video.prompt], 0)
        frames = [VideoFrame(index=index, video=self.video, number=number, prompt=prompt) for index in indexes]
        for frame in frames:  # Eq. 4
            self.draw(session, frame, clock)
            frame.spans += clock.take()
        with clock(last, Phase.VQ_DECODE):
            phases.vq_decode(frames)
        if self.options.corrects(number):
            with clock(last, Phase.SDEDIT):  # Eq. 5
                self.correct(frames)
        if self.options.corrects(number) and self.options.correction.feed_back:
            with clock(last, Phase.VQ_ENCODE):
                phases.vq_encode(frames)
            if indexes.stop < self.video.num_frames:
                with clock(last, Phase.UPDATE_CONTEXT):  # Eq. 6
                    phases.update_clip_context(session, frames)
        frames[-1].spans += clock.take()
        return [build_frame(frame) for frame in frames]

    def draw(self, session: VideoSession, frame: VideoFrame, clock: Clock) -> None:
        """Codes of a frame after those before it."""
        with clock(frame.index, Phase.PREFILL):
            self.phases.prefill(session, [frame])
        with clock(frame.index, Phase.SAMPLE):
            self.phases.sample([frame])

    def correct(self, frames: Sequence[VideoFrame]) -> None:
        """By a model of clips together; else picture by picture with equal noise, which leaves still what does not
        move."""
        if self.phases.models.corrector.max_clip_frames is not None:
            self.phases.sdedit(frames, as_clip=True)
            return
        for first in range(0, len(frames), VAE_BATCH):
            self.phases.sdedit(frames[first : first + VAE_BATCH])

    def enter_again(self, session: VideoSession, number: int, indexes: range) -> None:
        """Bring the session to where it was after a chunk by passes of the very same shapes.

        Corrected frames were entered together; uncorrected ones are drawn again. ``ValueError`` if that does not give
        the stored codes.
        """
        phases, prompt = self.phases, Rewrite(self.video.prompt)
        done = [self.video.done[index] for index in indexes]
        stored = stored_codes(done, phases.models.arm.stream).to(phases.device)
        frames = [VideoFrame(index=index, video=self.video, number=number, prompt=prompt) for index in indexes]
        if self.options.corrects(number) and self.options.correction.feed_back:
            for frame, codes in zip(frames, stored, strict=True):
                session.begin([frame.sentence])
                session.extend(codes[None])
            session.replace(indexes[0], stored[None])
            return
        silent = Clock(phases.device)
        for frame, codes in zip(frames, stored.tolist(), strict=True):
            self.draw(session, frame, silent)
            assert frame.draft_codes is not None, "just drawn"
            if frame.draft_codes.tolist() != codes:
                number = frame.index + 1
                raise ValueError(
                    f"frame {number} cannot be reproduced with these settings; restart it with --overwrite"
                )


def check(models: Models, video: Video, options: StoryOptions) -> None:
    """``ValueError`` for numbers of frames that cannot be, chunks that the corrector cannot hold, finished frames that
    are not whole chunks, and memory by a language model, which rewrites what follows a first sentence."""
    options.memory.check_for_video()
    if models.corrector.controlnet is not None:
        raise ValueError("a ControlNet is for the frames of stories; load the engine without one for a video")
    if video.num_frames < 1:
        raise ValueError(f"num_frames {video.num_frames} is too small; choose 1 or more")
    if video.chunk_frames < 1:
        raise ValueError(f"chunk_frames {video.chunk_frames} is too small; choose 1 or more")
    limit = models.corrector.max_clip_frames
    if limit is not None and video.chunk_frames > limit:
        raise ValueError(
            f"chunk_frames {video.chunk_frames} is more than the motion modules know; choose at most {limit}"
        )
    done = len(video.done)
    if done > video.num_frames or (done % video.chunk_frames and done != video.num_frames):
        raise ValueError(f"{done} finished frames are not whole chunks of {video.chunk_frames}; give those alone")
