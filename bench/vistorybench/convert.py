"""Stories of ViStoryBench as lines of a stories file.

DATASET/01/story.json      Characters: name -> prompt_en, name_en, ...; Shots: what each shows, in English and Chinese

A sentence is made of whole parts, as many as fit into the words that a sentence may have: the shot's description, the
characters' descriptions where they appear first, the setting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...engine.options import MAX_WORDS, check_sentences

Language = Literal["en", "ch"]
LANGUAGES: tuple[Language, ...] = ("en", "ch")
FILE = "story.json"
ENDS = re.compile(r"(?<=[.!?。！？])\s+")


@dataclass(frozen=True)
class Converted:
    """A story's number and sentences, one a shot. ``left_out`` parts did not fit, ``cut`` shots lost their end."""

    id: str
    sentences: tuple[str, ...]
    left_out: int = 0
    cut: int = 0

    def record(self) -> dict[str, Any]:
        """The line of a stories file."""
        return {"id": self.id, "sentences": list(self.sentences)}


def read_dataset(folder: Path, language: Language) -> list[Converted]:
    """All stories of a dataset's folder, by number. ``ValueError`` (one line) for none, and for a damaged one."""
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is not a directory; give ViStoryBench's dataset (01/story.json, ...)")
    places = sorted((path for path in folder.glob(f"*/{FILE}") if path.parent.name.isdecimal()), key=_number)
    if not places:
        raise ValueError(f"{str(folder)!r} holds no 01/{FILE}; give ViStoryBench's dataset")
    return [convert(path, language) for path in places]


def convert(path: Path, language: Language) -> Converted:
    """One story; ``ValueError`` (file, shot, reason)."""
    try:
        story = json.loads(path.read_text(encoding="utf-8"))
        characters, shots = story["Characters"], story["Shots"]
        if not (isinstance(characters, dict) and isinstance(shots, list) and shots):
            raise ValueError("Characters and Shots are not what ViStoryBench has there")
        return _converted(path.parent.name, characters, shots, language)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is not a story of ViStoryBench: {reason}") from None


def _converted(
    number: str, characters: Mapping[str, Any], shots: Sequence[Mapping[str, Any]], language: Language
) -> Converted:
    sentences, met, left_out, cut = [], set[str](), 0, 0
    for shot in sorted(shots, key=lambda one: int(one["index"])):
        described = _text(shot, "Static Shot Description", language)
        first = _shortened(described)
        cut += first != described
        new = [name for name in _appearing(shot, language) if name not in met]
        parts = [
            *(_described(characters, name, language) for name in new),
            _text(shot, "Setting Description", language),
        ]
        met |= set(new)
        sentence, missing = _joined(first, [part for part in parts if part])
        sentences.append(sentence)
        left_out += missing
    return Converted(number, check_sentences(sentences), left_out, cut)


def _text(shot: Mapping[str, Any], part: str, language: Language) -> str:
    value = shot.get(part) or {}
    return " ".join(str(value.get(language) or "").split())


def _appearing(shot: Mapping[str, Any], language: Language) -> list[str]:
    return [str(name) for name in (shot.get("Characters Appearing") or {}).get(language) or []]


def _described(characters: Mapping[str, Any], name: str, language: Language) -> str:
    """ "NAME: what the character looks like"; empty for one that the story does not describe."""
    keys = (key for key, one in characters.items() if name in (key, one.get("name_en"), one.get("name_ch")))
    found = characters.get(next(keys, ""), {})
    prompt = " ".join(str(found.get(f"prompt_{language}") or "").split())
    return f"{name}: {prompt}" if prompt else ""


def _shortened(text: str) -> str:
    """Whole sentences up to the words that are allowed, or at least the first words."""
    if len(text.split()) <= MAX_WORDS:
        return text
    kept, _ = _joined("", ENDS.split(text))
    return kept or " ".join(text.split()[:MAX_WORDS])


def _joined(first: str, parts: Sequence[str]) -> tuple[str, int]:
    """``first`` and those parts that fit after it, each ended by a full stop; and how many do not fit."""
    text, missing = first, 0
    for part in parts:
        longer = f"{_ended(text)} {part}" if text else part
        if len(longer.split()) <= MAX_WORDS:
            text = longer
        else:
            missing += 1
    return _ended(text), missing


def _ended(text: str) -> str:
    return text if not text or text[-1] in ".!?。！？" else f"{text}."


def _number(path: Path) -> int:
    return int(path.parent.name)
