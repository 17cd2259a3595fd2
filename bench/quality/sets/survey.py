"""Every file read once before any network is loaded: sizes, digests, and those that no reader reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ....engine.storage.picture_files import find_picture, read_frames
from ....engine.utils.picture import read_picture
from ....engine.utils.to_one_line import one_line
from .clip_rate import clip_rate
from .listing import Listing
from .story_files import StoryFiles
from .story_set import Picture, Story, StorySet

SOURCES = {"picture": "frames", "animation": "animation", "movie": "movie"}


class FileFacts(NamedTuple):
    """A file's contents: height and width, the number of frames, frames a second (None: a still), how it is stored."""

    height: int
    width: int
    frames: int
    fps: float | None
    kind: str


class KnownFiles(Protocol):
    """Remembers files by their digest, so that a resumed run does not decode them again."""

    def facts(self, digest: str) -> FileFacts | None:
        """Facts of a file that was read before; None for one that was not."""
        ...

    def remember(self, digest: str, found: FileFacts) -> None:
        """Keep what a file holds."""
        ...


def survey(name: str, listing: Listing, known: KnownFiles, on_file: Callable[[], None] = lambda: None) -> StorySet:
    """The stories whose files can all be read; each other one is a line of ``failures``, and left out whole."""
    stories, failures = [], list(listing.failures)
    for files in listing.stories:
        try:
            stories.append(_story(files, known, on_file))
        except (ValueError, OSError) as error:
            failures.append(one_line(f"{files.name}: {error}"))
    return StorySet(name, tuple(stories), tuple(failures))


def _story(files: StoryFiles, known: KnownFiles, on_file: Callable[[], None]) -> Story:
    read = []
    for path in files.files:
        digest = _digest(path)
        found = known.facts(digest)
        if found is None:
            found = _read(path)
            known.remember(digest, found)
        read.append((path, digest, found))
        on_file()
    path, digest, first = read[0]
    if len(read) == 1 and first.kind != "picture":
        pictures = [Picture(path, digest, (first.height, first.width), place) for place in range(first.frames)]
    else:
        pictures = [_still(path, digest, found) for path, digest, found in read]
    sentences, refined = (_one_each(texts, len(pictures)) for texts in (files.sentences, files.refined))
    return Story(files.name, tuple(pictures), sentences, refined, first.fps, SOURCES[first.kind])


def _still(path: Path, digest: str, found: FileFacts) -> Picture:
    if found.frames > 1:
        raise ValueError(f"{path.name} holds {found.frames} frames among single pictures; give each clip its folder")
    return Picture(path, digest, (found.height, found.width))


def _one_each(texts: tuple[str, ...], count: int) -> tuple[str, ...]:
    return texts * count if len(texts) == 1 else texts


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> FileFacts:
    source = find_picture(str(path))
    if source.kind == "picture":
        with read_picture(path, "picture") as picture:
            return FileFacts(picture.height, picture.width, 1, None, source.kind)
    count, size = _counted(read_frames(source), path)
    return FileFacts(*size, count, clip_rate(source), source.kind)


def _counted(frames: Iterable[Any], path: Path) -> tuple[int, tuple[int, int]]:
    count, size = 0, (0, 0)
    try:
        for frame in frames:
            count, size = count + 1, frame.shape[:2]
    except Exception as error:  # the readers of damaged files raise whatever they meet
        raise ValueError(f"{path.name} cannot be read from frame {count + 1} on ({one_line(str(error))})") from None
    if not count:
        raise ValueError(f"{path.name} holds no frames")
    return count, size
