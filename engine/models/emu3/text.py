"""From a sentence to the ids before a frame, as Emu3-Gen's published script has them:

    <bos>{sentence} masterpiece, film grained, best quality.<|image start|>90*90<|image token|>

The null branch has a text of its own, of what a picture should not be, in the sentence's place. A special token's name
in a sentence is text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..tokenizer_file import plain_encoder, read_tokenizer

BOS, START, IMAGE, EOL = "<|extra_203|>", "<|image start|>", "<|image token|>", "<|extra_200|>"
CODE = "<|visual token {:06}|>"
STYLE = " masterpiece, film grained, best quality."
NEGATIVE = (
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, "
    "low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
)


@dataclass(frozen=True)
class Emu3Text:
    """``plain`` encodes text without special tokens; ids of those, and of the first code."""

    plain: Callable[[str], list[int]]
    bos: int
    start: int
    image: int
    eol: int
    first_code: int

    def __call__(self, sentence: str) -> list[int]:
        """Ids after bos and before the picture's size."""
        return self.plain(sentence.strip() + STYLE)

    def opening(self, side: int) -> tuple[int, ...]:
        """Ids before the first code of a picture of ``side`` rows and columns."""
        return (self.start, *self.plain(f"{side}*{side}"), self.image)


def read_text(folder: Path, text_vocab: int, codes: int) -> Emu3Text:
    """The prompts' ids by ``tokenizer.json`` of a published directory; ``ValueError`` (one line) names the file."""
    path = folder / "tokenizer.json"
    tokenizer = read_tokenizer(path)
    ids: list[int] = []
    for name in (BOS, START, IMAGE, EOL, CODE.format(0), CODE.format(codes - 1)):
        value = tokenizer.token_to_id(name)
        if value is None or value >= text_vocab:
            raise ValueError(f"{path}: {name} is {value}, expected an id below {text_vocab}: not Emu3's tokenizer")
        ids.append(value)
    bos, start, image, eol, first, last = ids
    if last - first != codes - 1:
        raise ValueError(f"{path}: visual tokens are {first} to {last}, expected {codes} of them in a row")
    return Emu3Text(plain_encoder(tokenizer), bos, start, image, eol, first)
