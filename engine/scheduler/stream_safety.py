"""Tensors that a launch reads and others made: on a GPU their memory must outlive the launch, not only its host code.

A tensor's memory goes back to the stream on which it was allocated as soon as Python lets go of it, though another
slot's stream may not have come to reading it. So a slot tells the allocator first what it is going to read (PyTorch's
``record_stream``). What a launch makes itself is of its own stream and needs no telling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..models.kv_buffers import SharedPair
from ..models.kv_cache import KVCache
from ..models.lwm.batch import SequenceState, SharedSession
from ..models.lwm.chunk import Chunk
from ..models.lwm.decode import DecodeState
from ..models.lwm.session import ArmSession
from ..models.show_o.maskgit import MaskGitState
from ..models.show_o.session import ShowOSession
from .story_state import StoryState

HOLDERS = (
    StoryState,
    SequenceState,
    SharedSession,
    ArmSession,
    ShowOSession,
    Chunk,
    DecodeState,
    MaskGitState,
    KVCache,
    SharedPair,
)  # models, plans and free buffers are not a story's


def record_stream_uses(thing: Any) -> None:
    """The current stream is about to read what ``thing`` holds; nothing where there are no streams."""
    if not torch.cuda.is_available():
        return
    for tensor in tensors_of(thing):
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))


def tensors_of(thing: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Every tensor of a story's state, once."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield thing
        return
    held: Any = ()
    if isinstance(thing, HOLDERS):
        held = vars(thing).values()
    elif isinstance(thing, Mapping):
        held = thing.values()
    elif isinstance(thing, list | tuple):
        held = thing
    for value in held:
        yield from tensors_of(value, seen)
