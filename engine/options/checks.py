"""Checks of text and of a story's sentences."""

from __future__ import annotations

from collections.abc import Sequence

MAX_WORDS = 60
LOWEST_TEMPERATURE = 1e-4  # logits / T may overflow below it


def check_text(name: str, text: str) -> None:
    """``ValueError`` for half of a surrogate pair: Python reads bytes of the command line so that are not UTF-8."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{name} is not UTF-8 text; give it in UTF-8")


def check_sentences(sentences: Sequence[str]) -> tuple[str, ...]:
    """The story's sentences, stripped; ``ValueError`` for none, an empty one, or more than ``MAX_WORDS`` words."""
    if isinstance(sentences, str):
        raise ValueError("sentences is one string; give a list with one sentence a frame")
    if not sentences:
        raise ValueError("no sentence given; give at least one, one a frame")
    for number, sentence in enumerate(sentences, 1):
        words = len(sentence.split())
        if words == 0:
            raise ValueError(f"sentence {number} is empty; give one sentence a frame")
        if words > MAX_WORDS:
            raise ValueError(f"sentence {number} has {words} words; the limit is {MAX_WORDS}")
        check_text(f"sentence {number}", sentence)
    return tuple(" ".join(sentence.split()) for sentence in sentences)
