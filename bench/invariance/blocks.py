"""Blocks of stories: the unit that is drawn, kept in a file, and not drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...engine.outputs import Frame, StoryResult
from ...engine.request import StoryRequest
from ..storyworld.world.grammar import sample_story

FIRST_SEED, SIZE, FRAMES = 100_000, 32, 6  # of the held-out stories; stories a block; frames a story


@dataclass(frozen=True)
class Block:
    """A block's stories as one condition drew them: ``drafts`` the codes drawn and ``codes`` those in the context
    afterwards, int32 [S, F, n]; ``images`` as shown, uint8 [S, F, H, W, 3]; ``seconds`` that the drawing took, and
    ``kills`` that it survived."""

    drafts: NDArray[np.int32]
    codes: NDArray[np.int32]
    images: NDArray[np.uint8]
    seconds: float
    kills: int = 0

    @classmethod
    def of(cls, stories: Sequence[StoryResult], seconds: float, kills: int = 0) -> Block:
        """The block of finished stories of equal length."""
        drafts, codes = (
            np.array([[getattr(frame, name) for frame in story.frames] for story in stories], np.int32)
            for name in ("draft_codes", "codes")
        )
        return cls(drafts, codes, np.stack([np.stack(story.images) for story in stories]), seconds, kills)

    def save(self, path: Path) -> None:
        """Write an archive, then rename it into place."""
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, **vars(self))
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Block:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            arrays = (archive["drafts"], archive["codes"], archive["images"])
            return cls(*arrays, float(archive["seconds"]), int(archive["kills"]))

    def story(self, number: int, request: StoryRequest, settings: dict[str, object]) -> StoryResult:
        """Story ``number`` of the block as the engine hands it out, without prompts and times."""
        frames = [
            Frame(index, sentence, "", None, drafts != codes, image, image, drafts, codes, ())
            for index, (sentence, image, drafts, codes) in enumerate(
                zip(
                    request.sentences,
                    self.images[number],
                    map(tuple, self.drafts[number].tolist()),
                    map(tuple, self.codes[number].tolist()),
                    strict=True,
                )
            )
        ]
        return StoryResult(request.sentences, request.seed, settings, {}, {}, frames)


def requests(number: int, size: int = SIZE) -> list[StoryRequest]:
    """The stories of block ``number``: held out, with seeds of their own."""
    found = range(number * size, (number + 1) * size)
    return [
        StoryRequest(f"{one:06d}", sample_story(FIRST_SEED + one, "heldout", FRAMES).sentences, one) for one in found
    ]
