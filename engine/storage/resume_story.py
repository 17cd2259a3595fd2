"""May a stored story be continued by this run?"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..outputs import StoryResult
from .story_reader import STORY_FILE, read_story

BEFORE = {"sampler": "ddim"}  # of stories that do not record it: every correction ran DDIM
OLD_FINGERPRINT = "[0-9a-f]{16}"  # of weights, by samples; later ones are longer


def stored_story(directory: Path, *, resume: bool, overwrite: bool) -> StoryResult | None:
    """The story to continue, None to start a new one; ``ValueError`` where an earlier story would be lost."""
    if resume:
        return read_story(directory)
    if not overwrite and (directory / STORY_FILE).exists():
        raise ValueError(f"{str(directory)!r} already holds a story; choose --resume, --overwrite or another --out")
    return None


def check_request(
    stored: StoryResult, sentences: Sequence[str], seed: int, constraints: Mapping[str, Any] | None = None
) -> None:
    """``ValueError`` that names the first difference in what was asked; needs no weights, so it comes early."""
    if len(stored.sentences) != len(sentences):
        raise _mismatch("the number of sentences", len(stored.sentences), len(sentences))
    for number, (old, new) in enumerate(zip(stored.sentences, sentences, strict=True), 1):
        if old != new:
            raise _mismatch(f"sentence {number}", old, new)
    if stored.seed != seed:
        raise _mismatch("seed", stored.seed, seed)
    for number in range(1, len(sentences) + 1):
        old, new = stored.constraints.get(str(number), {}), (constraints or {}).get(str(number), {})
        for name in [*new, *(name for name in old if name not in new)]:
            drawn = name == "canvas" and number <= len(stored.frames)  # it was read when the frame was made again
            if old.get(name) != new.get(name) and not drawn:
                raise _mismatch(f"{name} of frame {number}", old.get(name), new.get(name))


def check_settings(
    stored: Mapping[str, Any], current: Mapping[str, Any], old_weights: Callable[[], str] | None = None
) -> None:
    """``ValueError`` that names the first differing setting; values are compared as JSON holds them.

    ``old_weights`` makes the current weights' fingerprint in the form that a story of an earlier version holds.
    """
    current = json.loads(json.dumps(dict(current)))
    stored = {**{name: value for name, value in BEFORE.items() if name in current}, **stored}
    if old_weights is not None and re.fullmatch(OLD_FINGERPRINT, str(stored.get("weights"))):
        current = {**current, "weights": old_weights()}
    for name in [*current, *(name for name in stored if name not in current)]:
        old, new = stored.get(name), current.get(name)
        if old != new or isinstance(old, bool) != isinstance(new, bool):  # 3 is 3.0, but 1 is not true
            raise _mismatch(name, old, new)


def changed_versions(stored: Mapping[str, str], current: Mapping[str, str]) -> str:
    """A remark on libraries that changed since the first frames, which may round differently; or nothing."""
    changed = [f"{n} {stored.get(n)} -> {current[n]}" for n in current if stored.get(n) != current[n]]
    return f"the first frames were drawn with other versions: {', '.join(changed)}" if changed else ""


def _mismatch(name: str, old: Any, new: Any) -> ValueError:
    return ValueError(
        f"cannot resume: {name} was {old!r}, now {new!r}; repeat the first run's, or choose another --out"
    )
