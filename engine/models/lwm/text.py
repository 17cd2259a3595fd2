"""LWM's text side: LLaMA's SentencePiece model, and the prompts around a sentence (``lwm_published.py``).

The prompt is one text, "... Generate an image of {sentence} ASSISTANT:", yet its ids are those of its three parts one
after another, and ``<vision>``'s after them: pieces never reach across a space, and SentencePiece puts one before
each text it is given ("legacy" in transformers). ``<vision>`` is ordinary text; the one special id is bos, which no
text of a user's can spell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..causal.stream import StreamConfig
from ..sentencepiece_file import read_sentencepiece

SPACE = "\u2581"  # SentencePiece's own sign for a space
VISION = "<vision>"
IMAGE_PROMPT = ("You are a helpful assistant. USER: Generate an image of", "ASSISTANT:")
VIDEO_PROMPT = ("You are a helpful assistant. USER: Generate a video of", "ASSISTANT:")
Encode = Callable[[str], list[int]]


def load_sentencepiece(path: Path, text_vocab: int) -> tuple[int, Encode]:
    """bos and the function from a text to its ids, of a ``tokenizer.model`` with ``text_vocab`` pieces.

    Raises ``ValueError`` (one line, names the file) for no such model or one of another size, and where the library
    is missing.
    """
    pieces = read_sentencepiece(path, "lwm")
    if len(pieces) != text_vocab or pieces.bos_id() < 0:
        raise ValueError(f"{path}: {len(pieces)} pieces, bos {pieces.bos_id()}; expected {text_vocab} and a bos")

    def encode(text: str) -> list[int]:
        bare = text.strip().strip(SPACE + " ")  # spaces at the ends would join those of the prompt
        return list(pieces.EncodeAsIds(bare))

    return pieces.bos_id(), encode


def with_prompts(stream: StreamConfig, bos: int, encode: Encode) -> StreamConfig:
    """``stream`` with bos, ``<vision>`` and the prompts for images and for video as this tokenizer spells them."""
    (before, after), (before_video, _) = IMAGE_PROMPT, VIDEO_PROMPT
    return replace(
        stream,
        bos=(bos,),
        vision=tuple(encode(VISION)),
        prefix=tuple(encode(before)),
        suffix=tuple(encode(after)),
        video_prefix=tuple(encode(before_video)),
    )
