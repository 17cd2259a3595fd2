"""Reading a SentencePiece model, the file in which LLaMA's and T5's tokenizers are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_sentencepiece(path: Path, extra: str) -> Any:
    """The library's processor of the file; ``extra`` of our package brings the library.

    Raises ``ValueError`` (one line, names the file) for no such model, and where the library is missing.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise ValueError(
            f"{path}: its text needs the package sentencepiece: pip install 'acdc-engine[{extra}]'"
        ) from None
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(path.read_bytes())
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path}: not a SentencePiece model ({' '.join(str(error).split())})") from None
    return pieces
