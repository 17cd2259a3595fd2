"""What an earlier ``acdc generate`` left in a folder, and may this run go on from there?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..manifest import MANIFEST_FILE, Finished, Manifest, digest, read_manifest
from ..output import StoryWriter
from ..request import StoryRequest
from ..stored import STORY_FILE, read_story
from ..story import StoryResult
from .resume import changed_versions, check_request, check_settings


@dataclass(frozen=True)
class Earlier:
    """``begun`` are the frames of stories that the manifest does not call finished (it may be all of them; failed
    stories count); ``made`` says how stories were made: settings and versions."""

    manifest: Manifest = field(default_factory=Manifest)
    begun: Mapping[str, int] = field(default_factory=dict)
    made: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]] = ()

    def check(self, new: StoryResult) -> str:
        """``ValueError`` that names the first setting in which ``new`` differs; else a remark on versions."""
        for settings, _ in self.made:
            check_settings(settings, new.settings)
        return next((remark for _, used in self.made if (remark := changed_versions(used, new.versions))), "")


def earlier_run(directory: Path, requests: Sequence[StoryRequest], *, resume: bool) -> Earlier:
    """What there is to go on from. Reads the manifest and the stories that are not finished; of those that are, one.

    ``ValueError`` where earlier stories would be lost, or are others than ``requests``.
    """
    manifest = read_manifest(directory / MANIFEST_FILE)
    begun = [request for request in _stored(directory, requests) if request.id not in manifest.finished]
    if not resume:
        if manifest.size or begun:
            message = f"{str(directory)!r} already holds stories; choose --resume, --overwrite or another --out"
            raise ValueError(message)
        return Earlier()
    asked = {request.id: request for request in requests}
    for entry in manifest.finished.values():
        _check_finished(directory, entry, asked.get(entry.id))
    stories = [(request, _read(directory, request)) for request in begun]
    example = next((name for name in manifest.finished if (directory / name / STORY_FILE).exists()), None)
    made = [(story.settings, story.versions) for _, story in stories]
    if example is not None:
        story = _read(directory, asked[example])
        made.insert(0, (story.settings, story.versions))
    return Earlier(manifest, {request.id: len(story.frames) for request, story in stories}, made)


def names_to_clear(directory: Path, requests: Sequence[StoryRequest]) -> list[str]:
    """Stories that ``--overwrite`` is to remove: those asked for, and those that the manifest knows."""
    try:
        known = list(read_manifest(directory / MANIFEST_FILE).entries)
    except ValueError:
        known = []  # a damaged one is no reason to keep it
    return list(dict.fromkeys([*(request.id for request in requests), *known]))


def clear_stories(directory: Path, names: Sequence[str]) -> None:
    """Remove these stories' files, and their folders where nothing else is in them."""
    there = _folders(directory)
    for name in names:
        if name in there:
            writer = StoryWriter(directory / name)
            writer.clear()
            for folder in (writer.directory / "frames", writer.directory):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def _stored(directory: Path, requests: Sequence[StoryRequest]) -> list[StoryRequest]:
    """Those of which there is a frame."""
    there = _folders(directory)
    return [r for r in requests if r.id in there and (directory / r.id / STORY_FILE).exists()]


def _folders(directory: Path) -> set[str]:
    """One listing, however many stories."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name for entry in entries if entry.is_dir()}
    except FileNotFoundError:
        return set()


def _read(directory: Path, request: StoryRequest) -> StoryResult:
    """A story of which there is a frame, if it is the one that is asked for."""
    folder = directory / request.id
    try:
        story = read_story(folder)
    except ValueError as error:
        raise ValueError(f"{error}, or remove {str(folder)!r} to draw that story anew") from None
    assert story is not None, f"{folder} holds a story"
    try:
        check_request(story, request.sentences, request.seed)
    except ValueError as error:
        raise ValueError(f"story {request.id!r}: {error}") from None
    return story


def _check_finished(directory: Path, entry: Finished, request: StoryRequest | None) -> None:
    advice = "repeat the first run's, or choose another --out"
    if request is None:
        raise ValueError(f"cannot resume: story {entry.id!r} is finished, but --stories has it no longer; {advice}")
    if (entry.seed, entry.sentences) == (request.seed, digest(request.sentences)):
        return
    if (directory / entry.id / STORY_FILE).exists():
        _read(directory, request)  # which says what differs
    what = f"seed was {entry.seed}, now {request.seed}" if entry.seed != request.seed else "its sentences were others"
    raise ValueError(f"story {entry.id!r}: cannot resume: {what}; {advice}")
