"""Checks that all sessions share: users' mistakes as ``ValueError`` of one line, ours as assertions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..options import CONTEXTS
from ..sampling import SamplingParams


def check_sizes(count: int, frames: int, what: str = "stories") -> None:
    """``ValueError`` for no ``what`` or no frames."""
    if count < 1 or frames < 1:
        raise ValueError(f"{count} {what} of {frames} frames; choose at least 1 of each")


def check_room(drawn: int, frames: int, what: str = "session") -> None:
    """``ValueError`` where all ``frames`` of a ``what`` are drawn."""
    if drawn == frames:
        raise ValueError(f"frame {drawn + 1} exceeds the {frames} frames of this {what}")


def check_texts(texts: Sequence[str], stories: int) -> None:
    """``ValueError`` unless there is one sentence a story."""
    if len(texts) != stories:
        raise ValueError(f"{len(texts)} sentences for {stories} stories; give one per story")


def check_guided(params: SamplingParams, branches: int) -> None:
    """``ValueError`` for guidance without a null branch."""
    if params.guided and branches == 1:
        raise ValueError(f"guidance_scale {params.guidance_scale} needs a guided session; choose 1 or guided=True")


def check_codes(codes: Tensor, rows: int, codes_per_frame: int) -> Tensor:
    """``codes``, which are [rows, codes_per_frame]."""
    wanted = [rows, codes_per_frame]
    assert list(codes.shape) == wanted, f"codes are {list(codes.shape)}, expected {wanted}"
    return codes


def places(first: int, codes: Tensor, drawn: int) -> range:
    """The numbers of the frames that codes [B, L, n] take the places of, from ``first`` on; all are drawn."""
    frames = range(first, first + codes.shape[1])
    assert 0 <= first < frames.stop <= drawn, f"frames {first} to {frames.stop - 1} of {drawn} are not there"
    return frames


def check_kept(frames: int, drawn: int) -> None:
    """So many frames can be kept of those that are drawn."""
    assert 0 <= frames <= drawn, f"{frames} of {drawn} frames cannot be kept"


def check_context(context: str) -> None:
    """``ValueError`` unless ``context`` is one of ``CONTEXTS``."""
    if context not in CONTEXTS:
        raise ValueError(f"unknown context {context!r}; choose from {', '.join(CONTEXTS)}")
