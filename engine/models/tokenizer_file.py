"""Read a ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer, without padding and truncation. ``ValueError`` (one line, names the file) for another file."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path}: not a tokenizer file ({' '.join(str(error).split())})") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def plain_encoder(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    """From a text to its ids, none of them a special token's: a user's "<vision>" is text and no marker."""
    tokenizer.encode_special_tokens = True

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return encode
