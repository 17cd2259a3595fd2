"""A story's files and texts, as listed; ``story.json`` is read without its pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....engine.storage.story_reader import STORY_FILE, draft_name, image_name


@dataclass(frozen=True)
class StoryFiles:
    """Pictures in order, or one clip's file; texts as in :class:`.story_set.Story`, one for all frames of a clip."""

    name: str
    files: tuple[Path, ...]
    sentences: tuple[str, ...] = ()
    refined: tuple[str, ...] = ()


def read_story_files(folder: Path, drafts: bool = False) -> StoryFiles:
    """The story in ``folder``; ``ValueError`` (one line) where it is damaged, not finished or lacks a picture."""
    path = folder / STORY_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable ({' '.join(str(error).split())})") from None
    if not isinstance(record, dict) or not isinstance(record.get("frames"), list):
        raise ValueError(f"{path}: it has no list 'frames'")
    sentences, refined = _texts(path, record, "sentences"), _texts(path, record, "refined_prompts")
    count = len(record["frames"])
    if not count == len(sentences) == len(refined):
        raise ValueError(f"{folder}: the story is not finished ({count} of {len(sentences)} frames)")
    files = tuple(folder / (draft_name if drafts else image_name)(index) for index in range(count))
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file}: no such file")
    return StoryFiles(folder.name, files, sentences, refined)


def _texts(path: Path, record: dict[str, Any], name: str) -> tuple[str, ...]:
    value = record.get(name)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{path}: {name!r} is not a list of texts")
    return tuple(value)
