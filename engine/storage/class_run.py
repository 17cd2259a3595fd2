"""The folder of a run of ``acdc acdit``: pictures or clips, and ``acdit.json``, which lists what is finished.

    class_207_seed_0.png                   a picture
    class_27_seed_0.gif, .mp4              a clip, of the frames
    class_27_seed_0/frame_01.png ...       which are there as soon as their block is
    class_27_seed_0.blocks.safetensors     latents of the finished blocks, until the picture or clip is finished

Every file is written under another name and renamed. A block counts once its latents are there, a picture or clip once
it is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..utils.atomic import make_directory, write_bytes, write_png
from .picture_run import PictureRun
from .video_io import no_mp4_reason, write_gif, write_mp4

FPS = 4  # of the authors' clips


@dataclass
class ClassPicture:
    """A picture or clip: its class and seed, its file, whether it is there, and the seconds of its blocks' launches in
    this run."""

    label: int
    seed: int
    image: str
    finished: bool = False
    seconds: float = 0.0

    @property
    def stem(self) -> str:
        """Name of its files without their endings."""
        return stem(self.label, self.seed)

    @property
    def asked(self) -> str:
        """The request that a resumed run must repeat."""
        return self.stem


@dataclass
class ClassRun(PictureRun[ClassPicture]):
    """A run of ``acdc acdit``."""

    FILE: ClassVar[str] = "acdit.json"
    PICTURE: ClassVar[type[Any]] = ClassPicture
    MADE: ClassVar[str] = "class_[0-9]*"


def stem(label: int, seed: int) -> str:
    """As :attr:`ClassPicture.stem`."""
    return f"class_{label}_seed_{seed}"


def new_pictures(asked: Sequence[tuple[int, int]], clips: bool) -> list[ClassPicture]:
    """Pictures or clips to come, of these classes and seeds."""
    return [ClassPicture(label, seed, f"{stem(label, seed)}.{'gif' if clips else 'png'}") for label, seed in asked]


class PictureFiles:
    """Files of one picture or clip in ``directory``; a clip's block has ``frames_per_block`` (0: a picture)."""

    def __init__(self, directory: Path, picture: ClassPicture, frames_per_block: int) -> None:
        self.directory, self.picture, self.frames_per_block = directory, picture, frames_per_block
        self.latents = directory / f"{picture.stem}.blocks.safetensors"
        self.frames_folder = directory / picture.stem

    def blocks(self) -> list[NDArray[np.floating[Any]]]:
        """Latents of the finished blocks; of a clip, up to the first whose frames are not there. A damaged file is as
        none: its blocks are drawn again."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            found = load(self.latents.read_bytes())
            kept = [found[str(number)] for number in range(len(found))]
        except (OSError, SafetensorError, KeyError):
            return []
        whole = (number for number in range(len(kept)) if not all(path.is_file() for path in self._frames(number)))
        return kept[: next(whole, len(kept))]

    def save_block(self, blocks: Sequence[NDArray[np.floating[Any]]], frames: Sequence[NDArray[np.uint8]]) -> None:
        """All blocks so far, of which the last is new, with the new one's frames (none of a picture)."""
        from safetensors.numpy import save

        if frames:
            make_directory(self.frames_folder)
        for path, frame in zip(self._frames(len(blocks) - 1), frames, strict=True):
            write_png(path, frame)
        write_bytes(self.latents, save({str(number): block for number, block in enumerate(blocks)}))

    def finish(self, num_blocks: int, picture: NDArray[np.uint8] | None) -> None:
        """The picture, or the clip of the frames that are there; the latents go. The list is the caller's."""
        if picture is not None:
            write_png(self.directory / self.picture.image, picture)
        else:
            frames = [np.asarray(Image.open(path)) for number in range(num_blocks) for path in self._frames(number)]
            write_gif(self.directory / self.picture.image, frames, FPS)
            if no_mp4_reason() is None:
                write_mp4(self.directory / f"{self.picture.stem}.mp4", frames, FPS)

    def forget_blocks(self) -> None:
        """The picture or clip is listed: its latents are not needed any more."""
        self.latents.unlink(missing_ok=True)

    def _frames(self, block: int) -> list[Path]:
        first = block * self.frames_per_block
        return [self.frames_folder / f"frame_{first + n + 1:02}.png" for n in range(self.frames_per_block)]
