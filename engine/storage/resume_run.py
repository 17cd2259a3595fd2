"""State that an earlier ``acdc generate`` left in a folder, and checks before this run continues it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options import StoryOptions
from ..outputs import StoryResult
from ..request import StoryRequest
from ..utils.atomic import check_directory
from .manifest import MANIFEST_FILE, Finished, Manifest, digest, read_manifest
from .resume_story import changed_versions, check_request, check_settings
from .story_reader import FRAMES, STORY_FILE, read_story
from .story_writer import StoryWriter

ADVICE = "repeat the first run's, or choose another --out"


@dataclass(frozen=True)
class Earlier:
    """``finished`` are stories that need not be drawn: the manifest has them, and so has the folder. ``begun`` are the
    numbers of frames of others (it may be all of a story's; failed ones count); ``made`` are the ways in which stories
    were made, settings and versions, each way once."""

    manifest: Manifest = field(default_factory=Manifest)
    finished: Collection[str] = ()
    begun: Mapping[str, int] = field(default_factory=dict)
    made: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]] = ()

    def check(self, new: StoryResult, old_weights: Callable[[], str] | None = None) -> str:
        """``ValueError`` that names the first setting in which ``new`` differs; else a remark on versions.
        ``old_weights`` as in :func:`check_settings`."""
        for settings, _ in self.made:
            check_settings(settings, new.settings, old_weights)
        return next((remark for _, used in self.made if (remark := changed_versions(used, new.versions))), "")


def earlier_run(directory: Path, requests: Sequence[StoryRequest], options: StoryOptions, *, resume: bool) -> Earlier:
    """State of the earlier run. Reads the manifest and, one after another, the stories that are not finished; of
    those that are, one.

    ``ValueError`` where earlier stories would be lost, or are others than ``requests``.
    """
    manifest = read_manifest(directory / MANIFEST_FILE)
    stored = _stored(directory)
    requested = {request.id: request for request in requests}
    if not resume:
        if manifest.size or not stored.isdisjoint(requested):
            message = f"{str(directory)!r} already holds stories; choose --resume, --overwrite or another --out"
            raise ValueError(message)
        return Earlier()
    for entry in manifest.finished.values():
        _check_finished(directory, entry, requested.get(entry.id), options)
    _check_strangers(directory, sorted(stored - requested.keys()))
    finished = [name for name in manifest.finished if name in stored]
    unfinished = [name for name in requested if name in stored and name not in manifest.finished]
    begun: dict[str, int] = {}
    made: dict[str, tuple[Mapping[str, Any], Mapping[str, str]]] = {}
    for name in [*finished[:1], *unfinished]:
        story = _read(directory, requested[name], options)
        begun[name] = len(story.frames)
        made[json.dumps([story.settings, story.versions], sort_keys=True)] = (story.settings, story.versions)
    return Earlier(manifest, frozenset(finished), {name: begun[name] for name in unfinished}, list(made.values()))


def check_folders(directory: Path, names: Iterable[str]) -> None:
    """``ValueError`` where a story's folder is there, and is a file or may not be written to."""
    there = _names(directory)
    for name in names:
        if name in there:
            check_directory(directory / name)
            check_directory(directory / name / FRAMES)


def names_to_clear(directory: Path, requests: Sequence[StoryRequest]) -> list[str]:
    """Folders that ``--overwrite`` is to clear: those of stories asked for, and of those that the manifest knows."""
    try:
        known = list(read_manifest(directory / MANIFEST_FILE).entries)
    except ValueError:
        known = []  # a damaged manifest can be replaced as well
    there = _names(directory)
    names = dict.fromkeys([*(request.id for request in requests), *known])
    return [name for name in names if name in there and (directory / name).is_dir()]


def clear_stories(directory: Path, names: Iterable[str]) -> None:
    """Remove these stories' files, and their folders where nothing else is in them."""
    for name in names:
        writer = StoryWriter(directory / name)
        writer.clear()
        for folder in (writer.directory / FRAMES, writer.directory):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _stored(directory: Path) -> set[str]:
    """Stories of which there is a frame."""
    return {name for name in _names(directory) if (directory / name / STORY_FILE).exists()}


def _names(directory: Path) -> set[str]:
    """The names in the folder, from one listing for all stories."""
    try:
        return set(os.listdir(directory))
    except FileNotFoundError:
        return set()


def _read(directory: Path, request: StoryRequest, options: StoryOptions) -> StoryResult:
    """A story of which there is a frame, if it is the one that is asked for."""
    folder = directory / request.id
    try:
        story = read_story(folder)
    except ValueError as error:
        raise ValueError(f"{error}, or remove {str(folder)!r} to draw that story again") from None
    assert story is not None, f"{folder} holds a story"
    try:
        check_request(story, request.sentences, request.seed, request.recorded(options))
    except ValueError as error:
        raise ValueError(f"story {request.id!r}: {error}") from None
    return story


def _check_strangers(directory: Path, names: Iterable[str]) -> None:
    """``ValueError`` for a story that is not whole and not asked for: an earlier run's, of another file."""
    for name in names:
        try:
            record = json.loads((directory / name / STORY_FILE).read_bytes())
            whole = len(record["frames"]) == len(record["sentences"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue  # not from this program
        if not whole:
            problem = f"cannot resume: story {name!r} is begun, but --stories no longer contains it"
            raise ValueError(f"{problem}; {ADVICE}, or remove {str(directory / name)!r}")


def _check_finished(directory: Path, entry: Finished, request: StoryRequest | None, options: StoryOptions) -> None:
    if request is None:
        raise ValueError(
            f"cannot resume: story {entry.id!r} is finished, but --stories no longer contains it; {ADVICE}"
        )
    if (entry.seed, entry.sentences) == (request.seed, digest(request.sentences, request.recorded(options))):
        return
    if (directory / entry.id / STORY_FILE).exists():
        _read(directory, request, options)  # which says what differs
    same_seed = entry.seed == request.seed
    what = (
        "its sentences were others, or its constraints" if same_seed else f"seed was {entry.seed}, now {request.seed}"
    )
    raise ValueError(f"story {entry.id!r}: cannot resume: {what}; {ADVICE}")
