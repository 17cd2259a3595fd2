"""Pictures and clips in files of any usual kind: found out by their contents, read frame by frame, written again.

picture     PNG, JPEG, WebP, GIF, BMP of one frame          written as PNG
animation   GIF, WebP, PNG of several frames                written as the same kind, with its times
movie       MP4 and its relatives (ISO media), by PyAV      written as MP4, at its rate, without sound
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from ..utils.atomic import write_bytes
from ..utils.picture import upright, upright_rgb
from .video_io import encode_mp4, no_mp4_reason

WEBP = WebPImagePlugin.WebPImageFile.format  # Pillow knows it once its plugin is imported
FORMATS = ("PNG", "JPEG", WEBP, "GIF", "BMP")  # JPEG covers MPO, a camera's JPEG with a preview
ANIMATED = {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png"}
CHOICES = "PNG, JPEG, WebP, GIF or MP4 files"
HD = 720  # lines from which a movie that does not say its colours is BT.709, below BT.601
GUESS = 100  # frames
UNSPECIFIED = 2  # ITU-T H.273
Kind = Literal["picture", "animation", "movie"]


@dataclass(frozen=True)
class PictureFile:
    """A file that can be read; ``form`` is Pillow's name of its format, or "MP4". ``size`` is width and height as
    stored; ``count`` is the number of frames (of a movie that does not say it, a guess)."""

    path: Path
    kind: Kind
    form: str
    size: tuple[int, int]
    count: int = 1

    @property
    def target(self) -> str:
        """Name of the file that is written for it."""
        suffix = {"picture": ".png", "movie": ".mp4"}.get(self.kind) or ANIMATED[self.form]
        return f"{self.path.stem}{suffix}"

    @property
    def frames_folder(self) -> str:
        """Name of the folder of a clip's frames, which are lossless."""
        return f"{self.path.stem}_frames"

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of everything that is written for it."""
        return (self.target,) if self.kind == "picture" else (self.target, self.frames_folder)


def find_picture(name: str) -> PictureFile:
    """The file ``name``; ``ValueError`` (one line) for one that is missing or of an unknown kind."""
    path = Path(name)
    if not path.exists():
        raise ValueError(f"picture {name!r} does not exist; give {CHOICES}")
    if path.is_dir():
        raise ValueError(f"picture {name!r} is a directory; give its files, such as {name.rstrip('/')}/*.png")
    try:
        with path.open("rb") as file:
            start = file.read(12)
        if start[4:8] == b"ftyp":
            if (reason := no_mp4_reason()) is not None:
                raise ValueError(reason)
            return _find_movie(path)
        with Image.open(path, formats=FORMATS) as picture:
            form = str(picture.format)
            count = getattr(picture, "n_frames", 1) if form in ANIMATED else 1
            return PictureFile(path, "animation" if count > 1 else "picture", form, picture.size, count)
    except ValueError as error:
        why = getattr(error, "strerror", None) or str(error)  # PyAV's errors of damaged files are of both kinds
        raise ValueError(f"picture {name!r} cannot be read: {why}") from None
    except Exception as error:  # the readers of damaged files raise whatever they meet
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise ValueError(f"picture {name!r} is not readable{why}; give {CHOICES}") from None


def read_picture(source: PictureFile) -> Image.Image:
    """A still picture, upright, as RGB or RGBA, with its colour profile where that still holds."""
    with Image.open(source.path, formats=FORMATS) as picture:
        rgb, alpha = upright(picture, f"picture {str(source.path)!r}")
        if alpha is not None:
            rgb.putalpha(alpha)
        if picture.mode in ("RGB", "RGBA", "P") and (profile := picture.info.get("icc_profile")):
            rgb.info["icc_profile"] = profile
    return rgb


def read_frames(source: PictureFile) -> Iterator[NDArray[np.uint8]]:
    """The frames of an animation or a movie, one after another, [H, W, 3]; transparent parts are white."""
    if source.kind == "movie":
        yield from _movie_frames(source.path)
        return
    with Image.open(source.path, formats=(source.form,)) as picture:
        for number in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(number)
            yield np.asarray(upright_rgb(picture, f"frame {number + 1}"))


def _find_movie(path: Path) -> PictureFile:
    import av  # an extra, and slow to import

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no pictures")
        stream = container.streams.video[0]
        return PictureFile(path, "movie", "MP4", (stream.width, stream.height), stream.frames or GUESS)


def has_sound(source: PictureFile) -> bool:
    """Does a movie have sound, which is not kept?"""
    import av

    with av.open(str(source.path)) as container:
        return bool(container.streams.audio)


def write_clip(target: Path, source: PictureFile, frames: Sequence[Path]) -> None:
    """Replace ``target`` by the clip of the pictures in ``frames``, with the times of ``source``."""
    if source.kind == "movie":
        write_bytes(target, encode_mp4((np.asarray(picture) for picture in _Stored(frames)), movie_rate(source.path)))
        return
    with Image.open(source.path, formats=(source.form,)) as picture:
        loop, times = picture.info.get("loop"), []
        for number in range(len(frames)):
            picture.seek(number)
            picture.load()  # WebP's times are known then
            times.append(int(picture.info.get("duration", 0)))
    how: dict[str, Any] = {"duration": times} if any(times) else {}
    how |= {} if loop is None else {"loop": loop}
    how |= {"lossless": True} if source.form == "WEBP" else {}
    buffer = BytesIO()
    with Image.open(frames[0]) as first:
        first.save(buffer, format=source.form, save_all=True, append_images=_Stored(frames[1:]), **how)
    write_bytes(target, buffer.getvalue())


class _Stored:
    """Pictures in files, read as they are used; Pillow goes over them more than once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[Image.Image]:
        for path in self.paths:
            with Image.open(path) as picture:
                picture.load()  # a writer may use it after the file is closed
            yield picture


def _movie_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    import av
    from av.video.reformatter import Colorspace

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            usual = Colorspace.ITU709 if frame.height >= HD else Colorspace.ITU601
            said = None if frame.colorspace == UNSPECIFIED else frame.colorspace
            rgb = frame.reformat(format="rgb24", src_colorspace=said or usual).to_ndarray()
            yield np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90 % 4))


def movie_rate(path: Path) -> Fraction:
    """Frames a second of a movie; 25 where it does not say."""
    import av

    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
    return Fraction(25) if not rate else Fraction(rate)
