"""Which files make a folder's stories: nothing is opened yet but lists and texts.

story.json                 one story or video of `acdc story` or `acdc video`
manifest.jsonl             the stories of `acdc generate`
correct.json, ...          pictures and clips that `acdc correct` and `acdc reference` list, with their prompts
a.png, b.png, ...          one story's frames, or single pictures
a.mp4, b.gif, ...          a clip each
folders of these           a story each
prompts.txt                one text a picture, or one a clip, in the order of their names
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....engine.cli.inputs import read_lines
from ....engine.storage.correction_run import CorrectionRun
from ....engine.storage.manifest import MANIFEST_FILE, Failed, read_manifest
from ....engine.storage.reference_run import ReferenceRun
from ....engine.storage.story_reader import STORY_FILE
from .story_files import StoryFiles, read_story_files

STILL = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CLIP = (".gif", ".mp4", ".mov", ".m4v")
PROMPTS = "prompts.txt"
CHOICES = "a folder of stories, of pictures (PNG, JPEG, WebP, BMP) or of clips (GIF, MP4)"
LISTS = (CorrectionRun, ReferenceRun)


@dataclass(frozen=True)
class Listing:
    """Stories of a folder, and a line for each that is not whole."""

    stories: tuple[StoryFiles, ...]
    failures: tuple[str, ...] = ()


def list_stories(folder: Path, drafts: bool = False, single: bool = False) -> Listing:
    """The stories in ``folder``, or the one clip that it names.

    ``drafts`` are frames before their correction. ``single``: pictures that lie in one folder are a story of one frame
    each, as of a reference set. Raises ``ValueError`` (one line) where nothing is there, or texts do not fit.
    """
    if folder.is_file() and folder.suffix.lower() in CLIP:
        return Listing((StoryFiles(folder.name, (folder,)),))
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"{str(folder)!r} {what}; give {CHOICES}")
    found = _written_here(folder, drafts) or _plain(folder, single) or _below(folder, drafts)
    if found is None:
        raise ValueError(f"{str(folder)!r} holds no pictures; give {CHOICES}")
    return found


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Key by which frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _written_here(folder: Path, drafts: bool) -> Listing | None:
    """Stories that a command of acdc wrote, by its list."""
    if (folder / MANIFEST_FILE).is_file():
        return _generated(folder, drafts)
    if (folder / STORY_FILE).is_file():
        return _gathered([folder], drafts)
    for kind in LISTS:
        if (run := kind.read(folder)) is not None:
            stories = tuple(
                StoryFiles(entry.image, (folder / entry.image,), (entry.prompt,))
                for entry in run.pictures
                if entry.finished
            )
            missing = len(run.pictures) - len(stories)
            failures = (f"{folder}: {missing} pictures of {kind.FILE} are not finished",) if missing else ()
            return Listing(stories, failures)
    return None


def _generated(folder: Path, drafts: bool) -> Listing:
    entries = read_manifest(folder / MANIFEST_FILE).entries
    failed = [f"{folder / name}: {one.error}" for name, one in entries.items() if isinstance(one, Failed)]
    found = _gathered([folder / name for name, one in entries.items() if not isinstance(one, Failed)], drafts)
    begun = (path.parent.name for path in sorted(folder.glob(f"*/{STORY_FILE}")))
    open_ones = [f"{folder / name}: the story is not finished" for name in begun if name not in entries]
    return Listing(found.stories, (*found.failures, *failed, *open_ones))


def _gathered(folders: Sequence[Path], drafts: bool) -> Listing:
    stories, failures = [], []
    for folder in folders:
        try:
            stories.append(read_story_files(folder, drafts))
        except ValueError as error:
            failures.append(str(error))
    return Listing(tuple(stories), tuple(failures))


def _plain(folder: Path, single: bool) -> Listing | None:
    """Pictures or clips that lie in the folder itself."""
    files = sorted((path for path in _visible(folder) if path.is_file()), key=natural)
    stills = [path for path in files if path.suffix.lower() in STILL]
    clips = [path for path in files if path.suffix.lower() in CLIP]
    if stills and clips:
        both = f"{stills[0].name} and {clips[0].name}"
        raise ValueError(f"{str(folder)!r} holds pictures and clips, such as {both}; give each kind its folder")
    if not stills and not clips:
        return None
    texts = _texts(folder, len(clips or stills), "clip" if clips else "picture")
    if stills and not single:
        return Listing((StoryFiles(folder.name, tuple(stills), texts),))
    each = texts or [None] * len(files)
    stories = (
        StoryFiles(path.name, (path,), () if text is None else (text,))
        for path, text in zip(clips or stills, each, strict=False)
    )
    return Listing(tuple(stories))


def _below(folder: Path, drafts: bool) -> Listing | None:
    """A story in each of the folders within."""
    stories: list[StoryFiles] = []
    failures: list[str] = []
    for inner in sorted((path for path in _visible(folder) if path.is_dir()), key=natural):
        found = _gathered([inner], drafts) if (inner / STORY_FILE).is_file() else _plain(inner, False)
        if found is None:
            failures.append(f"{inner}: no pictures there")
            continue
        stories += [_renamed(story, inner, len(found.stories)) for story in found.stories]
        failures += found.failures
    return Listing(tuple(stories), tuple(failures)) if stories or failures else None


def _renamed(story: StoryFiles, folder: Path, count: int) -> StoryFiles:
    name = folder.name if count == 1 else f"{folder.name}/{story.name}"
    return StoryFiles(name, story.files, story.sentences, story.refined)


def _texts(folder: Path, count: int, what: str) -> tuple[str, ...]:
    if not (folder / PROMPTS).is_file():
        return ()
    lines = read_lines(str(folder / PROMPTS))
    if len(lines) != count:
        raise ValueError(f"{str(folder / PROMPTS)!r} has {len(lines)} lines for {count} {what}s; give one a {what}")
    return tuple(line.strip() for line in lines)


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))
