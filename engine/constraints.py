"""User constraints of one story: pictures that say where and how its frames are corrected. No tensors, no models.

The paper repairs physical errors in this way (ACDC, arXiv 2410.04721, section 4, Figs. 5 and 9): a constrained frame
enters the autoregressive model's context like any corrected frame, so the later ones carry it on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .options import StoryOptions

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
HALF = 128  # of 255: a mask's pixel counts as white from here on, as diffusers rounds it
NUMBERED = {"masks": "mask", "depths": "depth", "canvases": "canvas"}


class FrameConstraints(NamedTuple):
    """The pictures of one frame, of any size: ``mask`` uint8 [H, W], bright where the frame may change; ``depth`` uint8
    [H, W, 3], near is bright; ``canvas`` uint8 [H, W, 3], which is corrected in place of the draft."""

    mask: Pixels | None = None
    depth: Pixels | None = None
    canvas: Pixels | None = None


@dataclass(frozen=True, eq=False)
class Constraints:
    """Masks, depth maps and canvases of one story's frames, which count from 1 here, as file names do.

    ``mask`` and ``depth`` are for every frame that has none of its own in ``masks`` and ``depths``. A frame's canvas is
    corrected in place of the autoregressive model's draft. A picture is a PIL image, a uint8 array or a file's name. In
    a mask white may change and black stays; transparent parts count as black. Raises ``ValueError`` (one line) for what
    is not a picture, for a mask without white, and for a number below 1.
    """

    mask: Image | Pixels | str | Path | None = None
    depth: Image | Pixels | str | Path | None = None
    masks: Mapping[int, Any] = field(default_factory=dict)
    depths: Mapping[int, Any] = field(default_factory=dict)
    canvases: Mapping[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in NUMBERED.items():
            read = {self._checked(number, kind): _read(p, kind, number) for number, p in getattr(self, name).items()}
            object.__setattr__(self, name, read)
        for kind in ("mask", "depth"):
            picture = getattr(self, kind)
            object.__setattr__(self, kind, None if picture is None else _read(picture, kind, None))

    def __bool__(self) -> bool:
        """Is any frame constrained?"""
        return self.mask is not None or self.depth is not None or any(getattr(self, name) for name in NUMBERED)

    def __eq__(self, other: object) -> bool:
        """The same pictures for the same frames; arrays have no equality of their own."""
        return isinstance(other, Constraints) and self._digests() == other._digests()

    def __hash__(self) -> int:
        return hash(self._digests())

    @property
    def has_depth(self) -> bool:
        """Has any frame a depth map?"""
        return self.depth is not None or bool(self.depths)

    def of(self, index: int) -> FrameConstraints:
        """The pictures of frame ``index``, which counts from 0."""
        number = index + 1
        own = self.masks.get(number, self.mask), self.depths.get(number, self.depth), self.canvases.get(number)
        return FrameConstraints(*own)  # type: ignore[arg-type]

    def check(self, length: int, options: StoryOptions) -> None:
        """``ValueError`` (one line) for a frame that a story of ``length`` frames does not have, or does not
        correct."""
        for name, kind in NUMBERED.items():
            for number in getattr(self, name):
                if number > length:
                    raise ValueError(f"{kind} of frame {number}: the story has frames 1 to {length}")
                if not options.corrects(number - 1):
                    raise ValueError(f"{kind} of frame {number}, which these options do not correct; choose another")
        if self and not any(options.corrects(index) for index in range(length)):
            raise ValueError("a mask or depth map is given, but these options correct no frame; leave one of them out")

    def recorded(self, length: int, options: StoryOptions) -> dict[str, dict[str, Any]]:
        """Each constrained frame's entry in ``story.json``, by its number: digests of the pictures, and of a masked
        frame how it is corrected where it is not as the other frames."""
        record: dict[str, dict[str, Any]] = {}
        for index in filter(options.corrects, range(length)):
            found: dict[str, Any] = {kind: digest(p) for kind, p in self.of(index)._asdict().items() if p is not None}
            if "mask" in found:
                chosen = options.constraint
                found |= {} if chosen.mask_strength is None else {"strength": chosen.mask_strength}
                found["paste_back"] = chosen.paste_back
            if found:
                record[str(index + 1)] = found
        return record

    def _digests(self) -> frozenset[tuple[str, int, str]]:
        """Kind, frame (0: all) and digest of each picture."""
        every = [(kind, 0, getattr(self, kind)) for kind in ("mask", "depth")]
        every += [(kind, number, p) for name, kind in NUMBERED.items() for number, p in getattr(self, name).items()]
        return frozenset((kind, number, digest(p)) for kind, number, p in every if p is not None)

    @staticmethod
    def _checked(number: Any, kind: str) -> int:
        if type(number) is not int or number < 1:
            raise ValueError(f"{kind} of frame {number!r}: frames count from 1")
        return number


NONE = Constraints()


def digest(picture: Pixels) -> str:
    """Sixteen hex digits of a picture's size and pixels, to notice another one at ``--resume``."""
    return hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()[:16]


def _read(picture: Any, kind: str, number: int | None) -> Pixels:
    what = f"{kind} of every frame" if number is None else f"{kind} of frame {number}"
    pixels = _pixels(picture, kind, what)
    if kind == "mask" and not (pixels >= HALF).any():
        named = f" ({str(picture)!r})" if isinstance(picture, str | Path) else ""
        raise ValueError(f"{what}{named} is black, so that nothing may change; paint white what may change")
    return pixels


def _pixels(picture: Any, kind: str, what: str) -> Pixels:
    """Masks as uint8 [H, W], other pictures as uint8 [H, W, 3]."""
    from PIL import Image

    from .utils.picture import read_picture, upright_rgb

    if isinstance(picture, np.ndarray):
        picture = _from_array(picture, what)
    background = "black" if kind == "mask" else "white"
    if isinstance(picture, Image.Image):
        upright = upright_rgb(picture, what, background)
    elif isinstance(picture, str | Path):
        upright = read_picture(picture, what, background)
    else:
        raise ValueError(f"{what} is a {type(picture).__name__}; give a PIL image, a uint8 array or a file's name")
    return np.asarray(upright.convert("L") if kind == "mask" else upright)


def _from_array(array: NDArray[Any], what: str) -> Image:
    from PIL import Image

    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))
    if array.dtype not in (np.uint8, np.bool_) or not fits or not array.size:
        shape = "x".join(map(str, array.shape))
        raise ValueError(f"{what} is an array of {array.dtype} {shape}; give uint8 HxW or HxWx3")
    return Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == np.bool_ else np.ascontiguousarray(array))
