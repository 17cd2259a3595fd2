"""From a sentence to the ids before a frame: Phi-1.5's byte-level BPE, and Show-o's text field.

    "a cat"   ->   <|t2i|>  end  a  cat  end        (50300, 50256, 64, 3797, 50256); end is <|endoftext|> on both sides
    ""        ->   <|t2i|>  end  end                what training dropped a prompt to: the null branch

The published row pads the field to 129 ids on the left. Nothing sees a pad, so here there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from .model import ShowOConfig

END = "<|endoftext|>"
BLANKS = (*(" " * run for run in range(31, 1, -1)), *("\t" * run for run in range(9, 1, -1)))  # ids 50257 .. 50294


def caption_ids(text: Sequence[int], config: ShowOConfig, first: bool = True) -> list[int]:
    """Text ids -> the ids before a frame; the task's marker comes only before the ``first`` frame of a row.

    A field that is too long keeps its first 128 ids and the end: 126 ids of the text.
    """
    ids = list(text)
    if ids[:1] != [config.text_end]:
        ids = [config.text_end, *ids]
    ids = [config.marker("t2i"), *ids, config.text_end]
    if len(ids) > config.text_field:
        ids = [*ids[: config.text_field - 1], config.text_end]
    return ids if first else ids[1:]


def read_encoder(directory: Path, config: ShowOConfig) -> Callable[[str], list[int]]:
    """Sentence -> text ids, by ``tokenizer.json`` of ``microsoft/phi-1_5``, or its ``vocab.json`` and ``merges.txt``.

    The name of a special token in a sentence is text. Raises ``ValueError`` (one line, names the file) for files that
    are missing, unreadable or another model's.
    """
    path, pair = directory / "tokenizer.json", (directory / "vocab.json", directory / "merges.txt")
    if not path.is_file() and not all(part.is_file() for part in pair):
        raise ValueError(f"{path}: no such file, nor vocab.json and merges.txt; copy them from microsoft/phi-1_5")
    try:
        tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else _from_pair(*map(str, pair))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{directory}: not a tokenizer's files ({' '.join(str(error).split())})") from None
    size, end = tokenizer.get_vocab_size(), tokenizer.token_to_id(END)
    if (size, end) != (config.llm_vocab_size, config.text_end):
        wanted = f"{config.llm_vocab_size} and {config.text_end}"
        raise ValueError(
            f"{directory}: {size} tokens, {END} is {end}; expected {wanted}, as microsoft/phi-1_5 has them"
        )
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def encode(sentence: str) -> list[int]:
        return list(tokenizer.encode(sentence, add_special_tokens=False).ids)

    return encode


def _from_pair(vocab: str, merges: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE.from_file(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([END])
    tokenizer.add_tokens([AddedToken(blank, normalized=False) for blank in BLANKS])
    return tokenizer
