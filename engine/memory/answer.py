"""Strict reading of what a language model answered: numbered lines of plain text, or nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MOST_WORDS = 100
MOST_CHARACTERS = 800
JOINERS = "\u200c\u200d\u200e\u200f\u061c"  # of Persian, of emoji, and the marks of direction: invisible and harmless
_NUMBERED = re.compile(r"([0-9]{1,4})[.)][ \u00a0]+(\S.*)")


class Refused(Exception):
    """An answer that cannot be used. Its text ("it has 4 lines instead of 6") quotes nothing from the answer."""


def parse_lines(answer: str, numbers: Sequence[int]) -> list[str]:
    """The texts of the lines, which must bear exactly these ``numbers`` in this order; blank lines do not count.

    ``"1. A fox.\\n\\n2. The fox ran."`` with numbers 1 and 2 -> ``["A fox.", "The fox ran."]``. Texts are NFC, their
    white space single. Raises :class:`Refused` for another number of lines, a line without its number, an empty or
    overlong one, and characters that no prompt needs (controls, surrogates, overrides of direction).
    """
    lines = _lines(answer, len(numbers))
    texts = []
    for line, number in zip(lines, numbers, strict=True):
        texts.append(_checked(_text(_NUMBERED.fullmatch(line), number), number))
    return texts


def parse_line(answer: str, number: int) -> str:
    """The text of the only line; its number may be missing, for there is nothing to mix up, but not another one."""
    (line,) = _lines(answer, 1)
    match = _NUMBERED.fullmatch(line)
    return _checked(_text(match, number) if match else line, number)


def _text(match: re.Match[str] | None, number: int) -> str:
    if match is None or int(match[1]) != number:
        raise Refused(f"a line does not begin with its number, {number}, and a full stop")
    return match[2]


def _lines(answer: str, count: int) -> list[str]:
    if len(answer) > (MOST_CHARACTERS + 10) * count + 100:
        raise Refused(f"it is too long for {count} lines")
    text = unicodedata.normalize("NFC", answer).replace("\r\n", "\n")
    if any(_unfit(character) for character in text if character != "\n"):
        raise Refused("it holds control characters")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) != count:
        raise Refused(f"it has {len(lines)} lines instead of {count}")
    return lines


def _unfit(character: str) -> bool:
    category = unicodedata.category(character)
    return category in {"Cc", "Cs", "Co", "Zl", "Zp"} or (category == "Cf" and character not in JOINERS)


def _checked(text: str, number: int) -> str:
    words = text.split()
    if not any(character.isalnum() for character in text):
        raise Refused(f"line {number} is empty")
    if len(words) > MOST_WORDS or len(text) > MOST_CHARACTERS:
        raise Refused(f"line {number} is longer than {MOST_WORDS} words or {MOST_CHARACTERS} characters")
    return " ".join(words)
