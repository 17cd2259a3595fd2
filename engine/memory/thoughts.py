"""The thoughts that a reasoning model writes before its answer: they are dropped."""

from __future__ import annotations

import re

from .rewrite import Refused

NAMES = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reason|reflection|analysis|scratchpad)"
OPENING = "|".join(
    (
        rf"[<\[◁]\|?\s*{NAMES}(?:\s[^<>\[\]]{{0,80}})?\|?[>\]▷]",  # DeepSeek R1, Qwen 3, Magistral, Kimi-VL
        r"<\|(?:START_THINKING|begin_of_thought)\|>",  # Command A, OpenThinker
        r"<\|channel>[a-z]*",  # Gemma 4
        r"Here(?: is|'s) my thought process:",  # Granite 3
    )
)
CLOSING = "|".join(
    (
        rf"[<\[◁]\|?\s*/\s*\|?{NAMES}\s*\|?[>\]▷]",
        r"<\|(?:END_THINKING|end_of_thought)\|>",
        r"<channel\|>",
        r"Here(?: is|'s) my response:",
    )
)
_TAG = re.compile(rf"(?P<opens>{OPENING})|{CLOSING}", re.IGNORECASE)
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")  # OpenAI's harmony format
_FINAL_WITHOUT_MARKS = "assistantfinal"  # the same, where a server has removed the marks and left the words


def without_thoughts(text: str) -> str:
    """``text`` without what lies between tags of thoughts; a closing tag without an opening one ends thoughts that
    began before the text. Raises :class:`Refused` if the text ends within them.

    ``"<think>A fox?</think>2. Luna ran."`` and ``"A fox?</think>2. Luna ran."`` -> ``"2. Luna ran."``.
    """
    text = _final_channel(text)
    kept: list[str] = []
    start, thinking = 0, False
    for tag in _TAG.finditer(text):
        if tag["opens"]:
            if not thinking:
                kept.append(text[start : tag.start()])
            thinking = True
            continue
        if not thinking:
            kept.clear()
        start, thinking = tag.end(), False
    if thinking:
        raise Refused("it ends within its thoughts")
    return "".join((*kept, text[start:]))


def _final_channel(text: str) -> str:
    """The final message of harmony's channels; all of ``text`` where there are none."""
    if "<|channel|>" in text:
        ends = [match.end() for match in _FINAL.finditer(text)]
        if not ends:
            raise Refused("it holds thoughts and no answer")
        return text[ends[-1] :]
    if text.lstrip().startswith(("analysis", "assistantanalysis")) and _FINAL_WITHOUT_MARKS in text:
        return text.rpartition(_FINAL_WITHOUT_MARKS)[2]
    return text
