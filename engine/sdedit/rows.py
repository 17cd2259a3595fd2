"""Rows of a batch of pictures: the prompt and the number of each, and which ones share a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import index as as_integer
from typing import Any


def texts_of(prompts: str | Sequence[str], count: int) -> list[str]:
    """One prompt a picture."""
    texts = [prompts] * count if isinstance(prompts, str) else list(prompts)
    if len(texts) != count:
        raise ValueError(f"{len(texts)} prompts for {count} pictures; give one for all, or one a picture")
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise ValueError(f"prompt {number} is a {type(text).__name__}; give a text")
    return texts


def numbers_of(index: int | Sequence[int], count: int) -> list[int]:
    """The number of each picture, which decides its noise."""
    numbers = list(index) if isinstance(index, Sequence) else [as_integer(index) + row for row in range(count)]
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers for {count} pictures; give that of the first, or one a picture")
    if min(numbers, default=0) < 0:
        raise ValueError(f"index {min(numbers)} is negative; choose 0 or more")
    return numbers


def neighbours(kinds: Sequence[Any], most: int) -> Iterator[list[int]]:
    """The numbers of pictures that follow one another and are of one kind, at most that many together."""
    rows: list[int] = []
    for row, kind in enumerate(kinds):
        if rows and (len(rows) == most or kind != kinds[rows[0]]):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows
