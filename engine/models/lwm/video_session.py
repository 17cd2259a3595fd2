"""LWM's videos: the first frame from the image prompt, the others from the video prompt and what came before.

The published procedure (``scripts/sample_video.py`` of LargeWorldModel/LWM, ``run_sample_video.sh``):

    1  <s> image prompt <vision>                       draw frame 0 with guidance 5, next to the null stream
    2  <s> video prompt <vision> f0 eof                a new prefill, since the prompt's words differ
                                 f1 eof f2 eof ...     with guidance 1: the null stream has no effect, it is dropped

Frames that were corrected together are replaced together (ACDC, arXiv 2410.04721, Eq. 6): the cache is cut at the
first, and one parallel pass of L (N + 1) ids enters them all. Replacing frame 0 before frame 1 is begun costs nothing,
the second prefill being still ahead.

Life of a frame, as in a story: ``begin(captions)``, from the second on ``begin(None)``; ``generate(keys)``; then
``replace(first, codes)`` or not, at any time between frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from ...options import Decoding
from ...sampling import SamplingParams
from ..causal.runner import CausalRunner
from ..causal.session import ArmSession
from ..checks import check_codes, check_room, check_sizes, places
from ..tokens_per_pass import SEQUENTIAL
from .published import VIDEO_POLICIES, VideoPolicies
from .video_batch import VideoBatch


def published_params(first: SamplingParams) -> VideoPolicies:
    """The first frame as asked; the others by the published guidance and top-k, at the same temperature and top-p."""
    rest = replace(VIDEO_POLICIES.rest, temperature=first.temperature, top_p=first.top_p)
    return VideoPolicies(first, rest)


def for_video(arm: CausalRunner) -> CausalRunner:
    """The same model with the prompt of a video around its sentences."""
    other = copy(arm)
    other.stream = replace(arm.stream, prefix=arm.stream.video_prefix)
    return other


class LwmVideo(VideoBatch):
    """B videos in lockstep, of at most ``frames`` frames each."""

    def __init__(
        self,
        arm: CausalRunner,
        videos: int,
        frames: int,
        policies: VideoPolicies = VIDEO_POLICIES,
        decoding: Decoding = "auto",
    ) -> None:
        """Raises ``ValueError`` for more frames than the model has positions for."""
        check_sizes(videos, frames, "videos")
        super().__init__(arm, videos, decoding)
        self.video_arm, self.frames, self.policies = for_video(arm), frames, policies
        self.captions: list[str] = []
        self.text_tokens = 0
        self.image: ArmSession | None = None  # step 1, until frame 0 is drawn
        self.first: Tensor | None = None  # codes of frame 0, until step 2 holds them
        self.video: ArmSession | None = None  # step 2
        self.passes = 0  # that drew the last frame
        longest = max(arm.stream.prompt_tokens, self.video_arm.stream.prompt_tokens)
        self._check(longest - arm.stream.max_text_tokens)  # even without a word of caption

    @property
    def drawn(self) -> int:
        """Number of frames that have their codes."""
        return self.video.drawn if self.video is not None else int(self.first is not None)

    @property
    def params(self) -> SamplingParams:
        """Sampling parameters of the next frame."""
        return self.policies.of(self.drawn)

    def codes(self, frame: int) -> Tensor:
        """Current codes of a frame: int64 [B, codes_per_frame]."""
        assert 0 <= frame < self.drawn, f"frame {frame} of {self.drawn} is not there"
        if self.video is not None:
            return self.video.codes(frame)
        assert self.first is not None
        return self.first

    @torch.no_grad()
    def begin(self, captions: Sequence[str] | None) -> None:
        """Feed what is pending, up to the logits of the next frame's first code.

        Raises ``ValueError`` for a first frame without captions, a wrong number of them or one that is too long, and
        for more frames than the session was made for.
        """
        check_room(self.drawn, self.frames, "video")
        if self.drawn == 0:
            self._begin_image(self.captions if captions is None else captions)
            return
        assert captions is None or list(captions) == self.captions, "a video has the captions that it began with"
        if self.video is None:
            self._begin_video()
        assert self.video is not None, "_begin_video() makes it"
        self.video.begin(None)

    @torch.no_grad()
    def generate(
        self,
        keys: Tensor,
        guesses: Tensor | None = None,
        tokens_per_pass: Sequence[int] = SEQUENTIAL,
        sync_every: int = 1,
    ) -> Tensor:
        """Draw the frame that was begun (ACDC Eq. 4): int64 [B, codes_per_frame].

        Arguments are those of :meth:`ArmSession.generate`.
        """
        session = self.image or self.video
        assert session is not None, "begin() comes before generate()"
        codes = session.generate(self.params, keys, guesses, tokens_per_pass, sync_every)
        self.passes = session.passes
        if self.image is not None:
            self._keep(codes)
        return codes

    @torch.no_grad()
    def extend(self, codes: Tensor) -> None:
        """Give the frame that was begun its codes [B, codes_per_frame] instead of drawing it."""
        if self.image is not None:
            self._keep(codes)
        else:
            assert self.video is not None, "begin() comes before extend()"
            self.video.extend(codes)

    def replace(self, first: int, codes: Tensor) -> None:
        """Put corrected codes [B, L, codes_per_frame] in place of frames ``first`` to ``first + L - 1``."""
        places(first, codes, self.drawn)
        if self.video is None:
            self._keep(codes[:, 0])
        else:
            self.video.replace_many(first, codes)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from (value for value in (self.first, self.keys) if value is not None)
        for session in (self.image, self.video):
            if session is not None:
                yield from session.tensors()

    def close(self) -> None:
        """The videos are over: their cache's buffers serve the next ones."""
        for session in (self.image, self.video):
            if session is not None:
                session.close()
        self.image = self.video = self.first = None

    def _keep(self, codes: Tensor) -> None:
        """Frame 0 has its codes; nobody reads what step 1 holds any more."""
        found = check_codes(codes, self.videos, self.arm.stream.codes_per_frame)
        if self.image is not None:
            self.image.close()
        self.image, self.first = None, found

    def _begin_image(self, captions: Sequence[str]) -> None:
        if not captions:
            raise ValueError("the first frame needs a caption")
        lines = [*map(self.arm.encode, captions), *map(self.video_arm.encode, captions)]
        self.captions, self.text_tokens = list(captions), max(map(len, lines))
        self._check(self.text_tokens)
        self.close()  # a frame that was begun and not drawn
        guided = self.policies.first.guided
        image = ArmSession(self.arm, self.videos, 1, "full", guided, self.text_tokens)
        image.begin(captions)
        self.image = image

    def _begin_video(self) -> None:
        assert self.first is not None
        guided = self.policies.rest.guided
        video = ArmSession(self.video_arm, self.videos, self.frames, "full", guided, self.text_tokens, sentences=1)
        video.enter(self.captions, self.first)
        self.first, self.video = None, video

    def _check(self, text_tokens: int) -> None:
        stream, limit = self.arm.stream, self.arm.model.config.max_position
        needed = stream.capacity(self.frames, "full", text_tokens, sentences=1)
        if needed > limit:
            most = self.frames - -(-(needed - limit) // stream.frame_tokens)
            raise ValueError(
                f"{self.frames} frames need {needed} positions, the model has {limit}; choose at most {most} frames"
            )
