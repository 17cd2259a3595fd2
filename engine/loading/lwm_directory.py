"""A directory of LWM as published: ``params``, ``vqgan`` and ``tokenizer.model``, no config.

Both weight files are converted once (``converted/`` in the same folder); after that they may be deleted. ``vqgan`` is
read by ``VQGAN.from_directory``.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..models.causal.stream import StreamConfig
from ..models.layers.fused import fuse
from ..models.lwm import published
from ..models.lwm.family import Arm
from ..models.lwm.model import LWM, LWMConfig
from ..models.lwm.text import load_sentencepiece, with_prompts
from ..utils.weights import skeleton
from .converted import find
from .lwm_params import converted_params
from .shards import load_shards

PARAMS, TEXT = "params", "tokenizer.model"


def is_lwm_directory(path: Path | str) -> bool:
    """Does a published ``params``, or what it was converted to, lie there?"""
    params = Path(path) / PARAMS
    return params.is_file() or bool(find(params))


def load_lwm(
    path: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    sizes: LWMConfig = published.SIZES,
    stream: StreamConfig = published.STREAM,
    root: Path | None = None,
) -> Arm:
    """The transformer and its text side; ``params`` is converted first if need be (``root``: where to).

    Raises ``ValueError`` (one line, names the file and the key) for what is missing or does not fit, and for a
    ``tokenizer.model`` that does not spell the prompts as ``stream`` has them.
    """
    path = Path(path)
    bos, encode = load_sentencepiece(path / TEXT, sizes.text_vocab)
    spelled = with_prompts(stream, bos, encode)
    for name in ("bos", "vision", "prefix", "suffix", "video_prefix"):
        found, expected = list(getattr(spelled, name)), list(getattr(stream, name))
        if found != expected:
            raise ValueError(f"{path / TEXT}: {name} is spelled {found}, expected {expected}: not LLaMA's tokenizer")
    folder = converted_params(path / PARAMS, sizes, root)
    with skeleton():
        model = LWM(sizes)
    load_shards(model, folder, device, dtype)
    fuse(model.to(device, dtype), device)
    return Arm(model, encode, stream)
