"""CLIP's vocabulary: of a hub's directory, or of OpenAI's one file of merges."""

from __future__ import annotations

import gzip
from pathlib import Path

from ....engine.models.diffusion.clip_tokenizer import END, START, CLIPTokenizer
from ..network import MissingWeights
from .find import find_file

VOCABULARY, MERGES, PACKED = "vocab.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"
COUNT = 49152 - 256 - 2  # merges that are used


def tokenizer_files(models: Path | None, repository: str) -> dict[str, Path]:
    """The files of the vocabulary; :class:`..network.MissingWeights` where there are none."""
    source = f"hf download {repository}, or {PACKED} of openai/CLIP"
    try:
        return {name: find_file(models, name, source, repository) for name in (VOCABULARY, MERGES)}
    except MissingWeights as error:
        try:
            return {PACKED: find_file(models, PACKED, source)}
        except MissingWeights:
            raise error from None


def find_tokenizer(models: Path | None, repository: str) -> CLIPTokenizer:
    """The tokenizer of those files. ``ValueError`` (one line) for a damaged one."""
    files = tokenizer_files(models, repository)
    if VOCABULARY in files:
        return CLIPTokenizer.from_directory(files[VOCABULARY].parent)
    return read_packed(files[PACKED])


def read_packed(path: Path) -> CLIPTokenizer:
    """OpenAI's file: a line of its version, then a merge a line, of which the first 48,894 are used."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
        pairs = [tuple(line.split()) for line in lines[1 : COUNT + 1]]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not CLIP's merges ({error})") from None
    if len(pairs) != COUNT or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{path}: it has {len(pairs)} merges of two pieces, expected {COUNT}")
    merges = [(first, second) for first, second in pairs]
    letters = byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    return CLIPTokenizer({word: number for number, word in enumerate(words)}, merges)


def byte_letters() -> list[str]:
    """A printable letter for each byte, in the vocabulary's order: printable bytes are their own, others follow."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number, _ in enumerate(others)]
