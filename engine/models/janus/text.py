"""From a sentence to the ids before a frame, as Janus-Pro was trained (its conversation template and image marker):

    <bos><|User|>: {sentence}\\n\\n<|Assistant|>:<begin_of_image>

In the null branch all ids but the first and the last are the pad's, so both branches are equally long. A special
token's name in a sentence is text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..tokenizer_file import plain_encoder, read_tokenizer

BOS, PAD = "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5c\u2581pad\u2581\uff5c>"
USER, ASSISTANT, IMAGE = "<|User|>", "<|Assistant|>", "<begin_of_image>"
Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class JanusText:
    """Ids of a prompt around each sentence, ``plain`` encodes text without special tokens."""

    plain: Encode
    bos: int
    pad: int
    image: int
    user: tuple[int, ...]
    assistant: tuple[int, ...]

    def __call__(self, sentence: str) -> list[int]:
        """Ids after bos and before the image marker."""
        said = self.plain(f": {sentence.strip()}\n\n")
        return [*self.user, *said, *self.assistant, *self.plain(":")]


def read_text(folder: Path, text_vocab: int) -> JanusText:
    """The prompts' ids by ``tokenizer.json`` of a published directory; ``ValueError`` (one line) names the file."""
    path = folder / "tokenizer.json"
    tokenizer = read_tokenizer(path)
    ids: dict[str, int] = {}
    for name in (BOS, PAD, IMAGE):
        value = tokenizer.token_to_id(name)
        if value is None or value >= text_vocab:
            raise ValueError(f"{path}: {name} is {value}, expected an id below {text_vocab}: not Janus-Pro's tokenizer")
        ids[name] = value
    user, assistant = (tuple(tokenizer.encode(mark, add_special_tokens=False).ids) for mark in (USER, ASSISTANT))
    return JanusText(plain_encoder(tokenizer), ids[BOS], ids[PAD], ids[IMAGE], user, assistant)
