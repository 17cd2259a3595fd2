"""Frames as one moving picture: GIF by Pillow, MP4 (H.264) by PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..utils.atomic import write_bytes

Pictures = Sequence[NDArray[np.uint8]]  # [H, W, 3] each
BT709 = 1  # ITU-T H.273: colour primaries, transfer characteristics and matrix coefficients alike
SHORTEST = 2  # hundredths of a second
SMALLEST = 256  # pixels a side of what is written; smaller frames are enlarged by whole numbers, pixel by pixel


def side_by_side(first: Pictures, second: Pictures) -> list[NDArray[np.uint8]]:
    """Pairs of pictures as one each, the first on the left."""
    return [np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True)]


def enlarged(pictures: Pictures) -> list[NDArray[np.uint8]]:
    """Small pictures by the smallest whole number that makes their height 256 or more."""
    times = max(1, -(-SMALLEST // pictures[0].shape[0]))
    return [picture.repeat(times, axis=0).repeat(times, axis=1) for picture in pictures]


def write_gif(path: Path, pictures: Pictures, fps: int) -> None:
    """Replace ``path`` by an endless GIF."""
    write_bytes(path, encode_gif(pictures, delays(len(pictures), fps)))


def encode_gif(pictures: Pictures, durations_ms: Sequence[int]) -> bytes:
    """An endless GIF that shows each picture for its milliseconds, in steps of 10; its colours are 256 a picture."""
    first, *rest = [Image.fromarray(picture) for picture in enlarged(pictures)]
    buffer = BytesIO()
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=list(durations_ms), loop=0)
    return buffer.getvalue()


def delays(count: int, fps: int) -> list[int]:
    """Milliseconds that a GIF shows each of ``count`` pictures, in the hundredths of a second that it knows.

    They are dealt out so that the whole lasts count / fps seconds: 8 a second -> 120, 130, 120, 130, ... Players show
    what is shorter than 20 ms for 100 ms, so no picture gets less, and 50 a second are the most.
    """
    ends = [round(100 * number / fps) for number in range(count + 1)]
    return [10 * max(SHORTEST, after - before) for before, after in pairwise(ends)]


def write_mp4(path: Path, pictures: Pictures, fps: int) -> None:
    """Replace ``path`` by an MP4 that browsers play (yuv420p, even sides)."""
    write_bytes(path, encode_mp4(enlarged(pictures), Fraction(fps)))


def encode_mp4(pictures: Iterable[NDArray[np.uint8]], fps: Fraction) -> bytes:
    """An MP4 (H.264, yuv420p) of pictures of one size; of odd sides the last row or column is left out.

    Colours are converted by BT.709 in the limited range, and the file says so: players guess where nothing is said, by
    the size of the picture, and guess differently.
    """
    import av  # an extra, and slow to import
    from av.video.reformatter import ColorRange, Colorspace

    buffer, stream = BytesIO(), None
    with av.open(buffer, "w", format="mp4") as container:
        for picture in pictures:
            height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": "15"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                context = stream.codec_context
                context.colorspace = context.color_primaries = context.color_trc = BT709
                context.color_range = ColorRange.MPEG
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            how = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
            container.mux(stream.encode(frame.reformat(format="yuv420p", src_color_range=ColorRange.JPEG, **how)))
        assert stream is not None, "a movie has pictures"
        container.mux(stream.encode())
    return buffer.getvalue()


def no_mp4_reason() -> str | None:
    """Why no MP4 can be written; None if it can."""
    return None if find_spec("av") is not None else "PyAV is missing: pip install 'acdc-engine[video]'"
