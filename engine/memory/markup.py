"""Remove what models put around the lines that they were asked for: marks of a chat template, fences, labels, quotes,
remarks.

All of it is recognised by its form and taken off; what is left is judged by ``answer.py``.
"""

from __future__ import annotations

import re

from .rewrite import Refused

ROLES = r"(?:assistant|model|bot|CHATBOT)"
MARKS = (
    r"<\|[\w/ ]{1,40}\|?>",
    r"<[\w/ ]{1,40}\|>",
    r"<｜[^<>]{1,40}｜>",
    r"</?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|end_of_utterance)>",
    r"\[/?INST\]",
)
_MARK = re.compile("|".join(MARKS))
_START = re.compile(rf"(?:\s|{_MARK.pattern}|{ROLES}(?=\s*(?:\n|{_MARK.pattern})))*")
_WRAPPER = re.compile(r"</?(?:(?:final_?)?answer|output|response|result|sentence|(?:modified_?)?story(?:-\d+)?)>", re.I)
_FENCE = re.compile(r"```.*|~~~.*|[-=_*]{3,}|\"{3}|'{3}|</?[a-z][a-z0-9_-]*>", re.IGNORECASE)
_ECHO = re.compile(r"\(?(?:original|modified|generated)\s(?:story|sentence)(?:\s[0-9]+)?\)?:?", re.IGNORECASE)
_OPENER = re.compile(r".*[:：]|#{1,6}\s.*|(?:sure|certainly|of course|absolutely|okay|ok|got it)\W*", re.IGNORECASE)
_REMARK = re.compile(
    r"\W*(?:note|notes|explanation|changes|comment|reasoning|let me know|i hope|hope this|feel free|would you like|"
    r"i have|i've|i made|i added|i kept|this (?:version|sentence|rewrite|line)|in this (?:version|sentence|rewrite))\b",
    re.IGNORECASE,
)
_TAIL = re.compile(r"\s*[(\[](?:note|explanation|modified|changes?|added)\b[^()\[\]]*[)\]]$", re.IGNORECASE)
_BULLET = re.compile(r"(?:(?:[-*•‣>]|#{1,6})\s+)+")
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,3}|`{1,3})(?=\S)(.+?)(?<=\S)\1")
_BOLD = re.compile(r"\*\*(\w[^*]*)\*\*")
_INTRO = (
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok)[,!.]*\s+)?(?:here(?: is|['’]s| are)\s+)?"
    r"(?:(?:the|my|your)\s+)?(?:(?:modified|refined|rewritten|revised|updated|final)\s+)?"
)
_NOUN = r"(?:sentence|line|frame|scene|answer|output|response|result|version|rewrite|prompt)"
_AFTER = r"(?:\s+(?:\d{1,4}|one|two|three|four|five|six|is|below|would be|could be|reads|with (?:the )?context))*"
_NUMBER = re.compile(
    rf"(?:{_INTRO}{_NOUN}\s*)?(?:no\.?\s*|number\s+|\#)?"
    r"(?:[\[(](?P<within>\d{1,4})[\])](?:\\?[.:：])?|(?<=\#)(?P<hash>\d{1,4})\s|"
    r"(?P<bare>\d{1,4})(?:\\?[.)．。、:：](?!\d)|\ufe0f?\u20e3|\s+[-–—](?=\s)))\s*",
    re.IGNORECASE,
)
_LABEL = re.compile(rf"{_INTRO}(?:{_NOUN}{_AFTER}|(?:modified|refined|rewritten|revised))\s*[:：]\s*", re.IGNORECASE)
_QUOTES = ('""', "''", "“”", "‘’", "„“", "„”", "«»", "「」", "『』", "``")
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")


def without_marks(text: str) -> str:
    """The first turn of ``text``, without the marks of a chat template before and after it.

    ``"<|im_start|>assistant\\nLuna ran.<|im_end|>"`` -> ``"Luna ran."``. :class:`Refused` for a mark inside a line.
    """
    start = _START.match(text)
    assert start is not None
    text = text[start.end() :]
    mark = _MARK.search(text)
    if mark is None:
        return text
    after = text[mark.end() :].partition("\n")[0].strip()
    if after and not _MARK.match(after):
        raise Refused("it holds marks of a chat template")
    return text[: mark.start()]


def wanted_lines(text: str, count: int) -> list[str]:
    """The lines of ``text`` that are neither blank nor a fence; an opener ("Sure, here it is:") and remarks after the
    last line only go where there are more than ``count`` lines."""
    lines = [line.strip() for line in _WRAPPER.sub("\n", text).split("\n")]
    lines = [line for line in lines if line and not _FENCE.fullmatch(line) and not _ECHO.fullmatch(line)]
    while len(lines) > count and any(map(_opens, lines[:2])) and split_label(lines[0])[0] is None:
        del lines[0]
    while len(lines) > count and _REMARK.match(lines[-1]):
        del lines[-1]
    return lines


def _opens(line: str) -> bool:
    return _OPENER.fullmatch(line) is not None and split_label(line)[0] is None


def split_label(line: str) -> tuple[int | None, str]:
    """The number that ``line`` is labelled with (None: it has none) and its text without labels, emphasis and quotes.

    ``"**2.** Luna ran."``, ``"Modified sentence 2: Luna ran."`` and ``'- (2) "Luna ran."'`` -> ``(2, "Luna ran.")``.
    """
    number = None
    while True:
        before, line = line, _bare(line)
        match = _NUMBER.match(line)
        if match and (found := int(match["within"] or match["hash"] or match["bare"])) == (
            found if number is None else number
        ):
            number, line = found, line[match.end() :]
        elif match := _LABEL.match(line):
            line = line[match.end() :]
        if line == before:
            return number, line


def _bare(line: str) -> str:
    """``line`` without a bullet, emphasis, a remark in brackets and quotes around all of it."""
    bullet = _BULLET.match(line)
    line = line[bullet.end() :] if bullet else line
    if emphasis := _EMPHASIS.match(line):
        line = emphasis[2] + line[emphasis.end() :]
    line = line.lstrip("*`")  # a pair of which the other half is missing
    return _unquoted(_TAIL.sub("", _BOLD.sub(r"\1", line)).strip())


def _unquoted(text: str) -> str:
    if len(text) > 6 and text.startswith(('"""', "'''")) and text.endswith(text[:3]):
        return text[3:-3].strip()
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        inside = text[1:-1]
        if not set(_APOSTROPHE.sub("", inside)) & {text[0], text[-1]}:
            return inside.strip()
    return text


def looks_like_data(text: str) -> bool:
    """Is it JSON or a row of a table, and not a sentence?"""
    return text[:1] in {"|", "{"} or (text[:1] == "[" and text[-1:] == "]")
