"""Strict reading of what a language model answered: numbered lines of plain text, or nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .markup import looks_like_data, split_label, wanted_lines, without_marks
from .rewrite import Refused
from .thoughts import without_thoughts

MOST_WORDS = 100
MOST_CHARACTERS = 800
JOINERS = "\u200c\u200d\u200e\u200f\u061c"  # of Persian, of emoji, and the marks of direction: invisible and harmless
_DECLINES = re.compile(
    r"(?:(?:i'?m|i am) (?:\w+ )?sorry|sorry|i apologi[sz]e)\b.{0,40}\bi(?:'m| am)? (?:can(?:no|')t|unable|not able)\b|"
    r"i (?:can(?:no|')t|am unable to|am not able to) (?:assist|help|comply|fulfil|provide|modify|rewrite|continue)\b|"
    r"as an ai\b",
    re.IGNORECASE,
)


def parse_lines(answer: str, numbers: Sequence[int]) -> list[str]:
    """The texts of the lines, which must bear exactly these ``numbers`` in this order; blank lines do not count.

    ``"1. A fox.\\n\\n2. The fox ran."`` with numbers 1 and 2 -> ``["A fox.", "The fox ran."]``. Texts are NFC, their
    white space single; thoughts and what ``markup.py`` recognises are dropped. Raises :class:`Refused` for another
    number of lines, a line without its number, an empty or overlong one, and characters that no prompt needs
    (controls, surrogates, overrides of direction).
    """
    lines = _lines(answer, len(numbers))
    texts = []
    for line, number in zip(lines, numbers, strict=True):
        found, text = split_label(line)
        if found is None:
            raise _wrong_number(number)
        texts.append(_checked(found, text, number))
    return texts


def parse_line(answer: str, number: int) -> str:
    """The text of the only line; its number may be missing, for there is nothing to mix up, but not another one."""
    (line,) = _lines(answer, 1)
    found, text = split_label(line)
    if _DECLINES.match(text.replace("’", "'")):
        raise Refused("it declines")
    return _checked(number if found is None else found, text, number)


def _wrong_number(number: int) -> Refused:
    return Refused(f"a line does not begin with its number, {number}, and a full stop")


def _lines(answer: str, count: int) -> list[str]:
    answer = without_marks(without_thoughts(answer)).strip()
    if len(answer) > (MOST_CHARACTERS + 10) * count + 400:
        raise Refused(f"it is too long for {count} lines")
    text = unicodedata.normalize("NFC", answer).replace("\r\n", "\n")
    if any(_unfit(character) for character in text if character != "\n"):
        raise Refused("it holds control characters")
    lines = wanted_lines(text, count)
    if len(lines) != count:
        raise Refused(f"it has {len(lines)} lines instead of {count}")
    return lines


def _unfit(character: str) -> bool:
    category = unicodedata.category(character)
    return category in {"Cc", "Cs", "Co", "Zl", "Zp"} or (category == "Cf" and character not in JOINERS)


def _checked(found: int, text: str, number: int) -> str:
    if found != number:
        raise _wrong_number(number)
    words = text.split()
    if not any(character.isalnum() for character in text):
        raise Refused(f"line {number} is empty")
    if looks_like_data(text):
        raise Refused(f"line {number} is data and no sentence")
    if len(words) > MOST_WORDS or len(text) > MOST_CHARACTERS:
        raise Refused(f"line {number} is longer than {MOST_WORDS} words or {MOST_CHARACTERS} characters")
    return unicodedata.normalize("NFC", " ".join(words))
