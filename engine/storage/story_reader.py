"""A story as ``story.json`` and PNG files hold it: to a record, and back to finished frames."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..outputs import Frame, Phase, Span, StoryResult

STORY_FILE = "story.json"
FRAMES = "frames"


def image_name(index: int) -> str:
    """The shown frame's file, relative to the story's folder; ``index`` counts from 0, file names from 1."""
    return f"{FRAMES}/frame_{index + 1:02d}.png"


def draft_name(index: int) -> str:
    """The file of what the ARM drew, before any correction."""
    return f"{FRAMES}/frame_{index + 1:02d}_draft.png"


def frame_record(frame: Frame) -> dict[str, Any]:
    """One frame's entry in ``story.json``; times in milliseconds, ``index`` from 1 as in the file names."""
    return {
        "index": frame.index + 1,
        "image": image_name(frame.index),
        "draft": draft_name(frame.index),
        "corrected": frame.corrected,
        "cut_prompt": frame.cut_prompt,
        "memory_note": frame.memory_note,
        "draft_codes": list(frame.draft_codes),
        "codes": list(frame.codes),
        "phases_ms": {name: round(ms, 3) for name, ms in frame.phases_ms.items()},
        "spans": [[span.phase.value, round(span.start_ms, 3), round(span.duration_ms, 3)] for span in frame.spans],
    }


def story_record(story: StoryResult) -> dict[str, Any]:
    """The whole of ``story.json``; a story that is not finished has fewer frames than sentences, and perhaps
    ``later_prompts``, which its memory has made already."""
    later = story.frames[-1].later_prompts if story.frames else ()
    return {
        "sentences": list(story.sentences),
        "refined_prompts": story.refined_prompts,
        **({"later_prompts": list(later)} if later else {}),
        "seed": story.seed,
        "settings": dict(story.settings),
        "versions": dict(story.versions),
        "start": dict(story.start),
        **({"constraints": dict(story.constraints)} if story.constraints else {}),
        "frames": [frame_record(frame) for frame in story.frames],
    }


def read_story(directory: Path) -> StoryResult | None:
    """The story that ``directory`` holds, finished or not; None where there is none.

    A damaged or missing file is a ``ValueError`` of one line. Frames whose pictures were written but which
    ``story.json`` does not list yet do not count: a kill between the two costs that frame.
    """
    path = directory / STORY_FILE
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return _parse_story(directory, record)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).replace("\n", " ")
        message = f"{str(path)!r} is damaged ({reason}); choose --overwrite to start again, or another --out"
        raise ValueError(message) from None


def _parse_story(directory: Path, record: Any) -> StoryResult:
    _expect(isinstance(record, dict), "not a JSON object")
    sentences = tuple(_texts(record["sentences"], "sentences"))
    prompts = _texts(record["refined_prompts"], "refined_prompts")
    entries = record["frames"]
    _expect(isinstance(entries, list), "'frames' is not a list")
    _expect(len(entries) == len(prompts) <= len(sentences), "the numbers of frames and prompts disagree")
    _expect(type(record["seed"]) is int, "'seed' is not an integer")
    for name in ("settings", "versions", "start"):
        _expect(isinstance(record[name], dict), f"{name!r} is not an object")
    story = StoryResult(sentences, record["seed"], record["settings"], record["versions"], record["start"])
    story.constraints = _constraints(record.get("constraints", {}), len(sentences))
    for index, (entry, prompt) in enumerate(zip(entries, prompts, strict=True)):
        story.frames.append(_parse_frame(directory, index, entry, sentences[index], prompt))
    if later := _texts(record.get("later_prompts", []), "later_prompts"):
        _expect(0 < len(entries) == len(sentences) - len(later), "the number of later prompts does not fit")
        story.frames[-1] = replace(story.frames[-1], later_prompts=tuple(later))
    return story


def _constraints(value: Any, length: int) -> dict[str, Any]:
    """Frame number -> digests and settings; absent from stories without constraints."""
    numbers = {str(number) for number in range(1, length + 1)}
    fits = isinstance(value, dict) and value.keys() <= numbers and all(isinstance(one, dict) for one in value.values())
    _expect(fits, "'constraints' is not an object of frames")
    return dict(value)


def _parse_frame(directory: Path, index: int, entry: Any, sentence: str, prompt: str) -> Frame:
    _expect(isinstance(entry, dict) and entry["index"] == index + 1, f"frame {index + 1} is out of order")
    _expect(isinstance(entry["corrected"], bool), f"frame {index + 1}: 'corrected' is not true or false")
    cut = entry["cut_prompt"]
    _expect(cut is None or isinstance(cut, str), f"frame {index + 1}: 'cut_prompt' is not a text")
    note = entry.get("memory_note")  # unknown to stories of earlier versions
    _expect(note is None or isinstance(note, str), f"frame {index + 1}: 'memory_note' is not a text")
    image, draft = (read_png(directory / name(index)) for name in (image_name, draft_name))
    _expect(image.shape == draft.shape, f"frame {index + 1}: picture and draft differ in size")
    spans = tuple(Span(Phase(name), float(start), float(ms)) for name, start, ms in entry["spans"])
    codes, draft_codes = (_codes(entry, name) for name in ("codes", "draft_codes"))
    return Frame(index, sentence, prompt, cut, entry["corrected"], draft, image, draft_codes, codes, spans, note)


def _codes(entry: Mapping[str, Any], name: str) -> tuple[int, ...]:
    codes = entry[name]
    valid = isinstance(codes, list) and all(type(code) is int and code >= 0 for code in codes)
    _expect(valid, f"frame {entry['index']}: {name!r} is not a list of codes")
    return tuple(codes)


def _texts(value: Any, name: str) -> list[str]:
    _expect(isinstance(value, list) and all(isinstance(text, str) for text in value), f"{name!r} is not texts")
    return list(value)


def read_png(path: Path) -> NDArray[np.uint8]:
    """The picture of a frame, uint8 [H, W, 3]; ``ValueError`` if it is not one."""
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        with Image.open(path) as picture:
            _expect(picture.mode == "RGB", f"its mode is {picture.mode}, not RGB")
            return np.array(picture, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # PIL's, for a broken PNG
        raise ValueError(f"{path.name}: {error}") from None


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
