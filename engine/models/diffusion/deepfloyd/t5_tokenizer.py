"""T5's tokenizer: a SentencePiece model, ``</s>`` at the end, padding to the 77 tokens that IF was trained with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...sentencepiece_file import read_sentencepiece

END, PAD, LENGTH = 1, 0, 77


class T5Tokenizer:
    """Prompts in lower case to ids."""

    model_max_length = LENGTH

    def __init__(self, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str], vocab_size: int) -> None:
        """``encode`` gives the ids of a text without any special ones, ``decode`` the text of ids."""
        self._encode, self._decode, self.vocab_size = encode, decode, vocab_size

    @classmethod
    def from_directory(cls, folder: Path) -> T5Tokenizer:
        """From ``spiece.model``. Raises ValueError (one line, names the file)."""
        path = folder / "spiece.model"
        pieces = read_sentencepiece(path, "deepfloyd")
        if (pieces.pad_id(), pieces.eos_id()) != (PAD, END):
            raise ValueError(f"{path}: padding {pieces.pad_id()} and end {pieces.eos_id()}; T5's are {PAD} and {END}")
        return cls(pieces.EncodeAsIds, pieces.DecodeIds, len(pieces))

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, list[str | None]]:
        """(ids int64 [B, 77], for each prompt the text that was kept, or None if all of it was)."""
        texts = [self._encode(prompt.lower().strip()) for prompt in prompts]
        rows = [[*ids[: LENGTH - 1], END] for ids in texts]
        padded = [row + [PAD] * (LENGTH - len(row)) for row in rows]
        kept = [self._decode(ids[: LENGTH - 1]) if len(ids) >= LENGTH else None for ids in texts]
        return torch.tensor(padded), kept
