"""From sentences to the encoder's text: the published prompt, and where a story's earlier frames are named in it.

    first frame   [Image] [S] Generate an image of {sentence} end
    later ones    [Image] [S] <image_history_1> {sentence 1} <image_history_2> {sentence 2} <image_input> {sentence 3}
                  Generate an image of {sentence 4} end
    null branch   [Image] [S] An image of a random picture. end          and the same frames

The model was published with single prompts, and with prompts that name earlier frames; a story in one prompt is ours.
The tokenizer is LLaMA's with names of inputs and tasks after its own pieces, and its first three ids in another order.
Those names are ids here, so that a user's "<image_input>" is text. What a sentence lies between is spelled apart, since
pieces never reach across a space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..sentencepiece_file import read_sentencepiece

TASK = 33221  # [Image] [S]
END = 1
LAST_FRAME = 33216  # <image_input>
GENERATE_TEXT, NULL_TEXT = "Generate an image of", "An image of a random picture."
GENERATE = (3251, 403, 385, 1967, 310)
NULL = (530, 1967, 310, 263, 4036, 7623, 29889)
NULL_PROMPT = [TASK, *NULL, END]
FRAME_TOKENS = 2 + len(GENERATE)  # ids of a prompt besides its sentences and frames
LLAMA_PIECES, UNKNOWN = 32000, 2


def earlier_frame(number: int) -> int:
    """The id of <image_history_k>, k from 1 for the oldest."""
    return 33200 + 2 * (number - 1)


def prompt_ids(sentences: Sequence[Sequence[int]], room: int) -> list[int]:
    """Text ids of a frame: its own sentence is the last of ``sentences``, the others are those of the frames that it
    sees, oldest first. Where they exceed ``room`` ids, the oldest are left out; the frames keep their names."""
    *earlier, own = sentences
    names = [*(earlier_frame(number) for number in range(1, len(earlier))), LAST_FRAME] if earlier else []
    left = room - FRAME_TOKENS - len(own) - len(earlier)
    parts: list[Sequence[int]] = []
    for name, sentence in zip(reversed(names), reversed(earlier), strict=True):
        left -= len(sentence)
        parts.append([name, *(sentence if left >= 0 else [])])
    return [TASK, *(piece for part in reversed(parts) for piece in part), *GENERATE, *own, END]


def read_encoder(path: Path) -> Callable[[str], list[int]]:
    """Sentence -> text ids, by LLaMA's ``tokenizer.model``.

    Raises ``ValueError`` (one line, names the file) for no such model, or one that does not spell the prompts.
    """
    pieces = read_sentencepiece(path, "unified-io-2")
    if len(pieces) != LLAMA_PIECES:
        raise ValueError(f"{path}: {len(pieces)} pieces, expected {LLAMA_PIECES}: not LLaMA's tokenizer")

    def encode(text: str) -> list[int]:
        return [UNKNOWN if piece == pieces.unk_id() else piece for piece in pieces.EncodeAsIds(text.strip())]

    for text, expected in ((GENERATE_TEXT, GENERATE), (NULL_TEXT, NULL)):
        if (found := encode(text)) != list(expected):
            raise ValueError(f"{path}: {text!r} is spelled {found}, expected {list(expected)}: not LLaMA's tokenizer")
    return encode
