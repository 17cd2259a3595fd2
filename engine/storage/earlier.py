"""Earlier versions of a story, which ``acdc story --redo`` keeps: DIR/earlier/1, DIR/earlier/2, ..., each whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..constraints import Pixels, digest
from ..outputs import StoryResult
from ..utils.atomic import write_json
from .manifest import sync_directory
from .story_reader import FRAMES, STORY_FILE, draft_name, image_name, read_png, story_record

EARLIER = "earlier"
PART = ".part"


def keep_earlier(directory: Path, files: tuple[str, ...]) -> Path:
    """Copy the story in ``directory``, with its other ``files`` that are there, to the next free folder, whole or not
    at all; returns that folder."""
    parent = directory / EARLIER
    parent.mkdir(exist_ok=True)
    number = 1 + max((int(path.name) for path in parent.iterdir() if path.name.isdigit()), default=0)
    part, folder = parent / f"{PART}{number}", parent / str(number)
    if part.exists():  # a kill left it
        shutil.rmtree(part)
    shutil.copytree(directory / FRAMES, part / FRAMES)
    for name in (STORY_FILE, *files):
        if (directory / name).exists():
            shutil.copy2(directory / name, part / name)
    for copied in (part / FRAMES, part):
        sync_directory(copied)
    part.rename(folder)
    sync_directory(parent)
    return folder


def cut_story(directory: Path, kept: StoryResult, earlier: int, files: tuple[str, ...]) -> None:
    """Leave the frames of ``kept`` in ``directory``, of ``earlier`` ones; ``files``, which show all of them, go.

    ``story.json`` is the first: from then on the folder holds an interrupted story, which ``--resume`` continues.
    """
    write_json(directory / STORY_FILE, story_record(kept))
    for name in files:
        (directory / name).unlink(missing_ok=True)
    for index in range(len(kept.frames), earlier):
        for frame_name in (image_name(index), draft_name(index)):
            (directory / frame_name).unlink(missing_ok=True)


def find_canvas(directory: Path, number: int, wanted: str) -> Pixels:
    """The picture that was frame ``number`` (from 1) of an earlier version, by its digest; ``ValueError`` where it is
    gone."""
    for folder in sorted((directory / EARLIER).glob("[0-9]*")):
        file = folder / image_name(number - 1)
        if file.is_file() and digest(picture := read_png(file)) == wanted:
            return picture
    where = str(directory / EARLIER)
    raise ValueError(f"the picture that frame {number} was to be made of is gone from {where!r}; choose --overwrite")
