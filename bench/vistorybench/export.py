"""Finished stories where ViStoryBench's evaluation reads pictures.

OUTPUTS/METHOD/MODE/LANGUAGE/20261130-120000/01/shots/shot_01.png
OUTPUTS/METHOD/MODE/LANGUAGE/20261130-120000/acdc.json              settings and versions of the stories
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ...engine.storage.story_reader import STORY_FILE, draft_name, image_name, read_story
from ...engine.utils.atomic import make_directory, write_bytes, write_json

TIMESTAMP = re.compile(r"\d{8}-\d{6}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
RECORD = "acdc.json"


@dataclass(frozen=True)
class Place:
    """The folder of the pictures. ``ValueError`` (one line) for names that the evaluation would not find."""

    outputs: Path
    method: str
    mode: str
    language: str
    timestamp: str

    def __post_init__(self) -> None:
        for what in ("method", "mode"):
            if not NAME.fullmatch(getattr(self, what)):
                raise ValueError(
                    f"--{what} {getattr(self, what)!r} is not a folder's name; choose letters, digits, - _ . +"
                )
        if not TIMESTAMP.fullmatch(self.timestamp):
            raise ValueError(
                f"--timestamp {self.timestamp!r} is not YYYYMMDD-HHMMSS; choose one such as 20261130-120000"
            )

    @property
    def folder(self) -> Path:
        """The folder of this run."""
        return self.outputs / self.method / self.mode / self.language / self.timestamp


@dataclass(frozen=True)
class Exported:
    """Numbers of stories and pictures; ``left_out`` has a line for each story that is not whole."""

    stories: int
    pictures: int
    left_out: tuple[str, ...]


def export(stories: Path, place: Place, drafts: bool = False) -> Exported:
    """Copy the shown pictures, or the ARM's ``drafts``, of every finished story in a folder of ``acdc generate``.

    The run's folder appears whole or not at all. ``ValueError`` (one line) where it is there already, where no story is
    finished, and for stories whose names are not numbers.
    """
    if place.folder.exists():
        raise ValueError(f"{str(place.folder)!r} is there already; choose another --timestamp")
    found = sorted(path.parent for path in stories.glob(f"*/{STORY_FILE}"))
    if not found:
        raise ValueError(f"{str(stories)!r} holds no stories; give a directory of acdc generate")
    part = place.folder.with_name(f".{place.timestamp}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    pictures, done, left_out, made = 0, 0, [], {}
    for folder in found:
        if not folder.name.isdecimal():
            raise ValueError(f"story {folder.name!r} is not a number; ViStoryBench's stories are 01 to 80")
        story = read_story(folder)
        assert story is not None, "it was found by its record"
        if len(story.frames) < len(story.sentences):
            left_out.append(f"story {folder.name}: {len(story.frames)} of {len(story.sentences)} frames are finished")
            continue
        shots = part / folder.name / "shots"
        make_directory(shots)
        name = draft_name if drafts else image_name
        for index in range(len(story.frames)):
            write_bytes(shots / f"shot_{index + 1:02d}.png", (folder / name(index)).read_bytes())
        pictures, done = pictures + len(story.frames), done + 1
        made = {"settings": dict(story.settings), "versions": dict(story.versions), "drafts": drafts}
    if not done:
        raise ValueError(f"no story in {str(stories)!r} is finished; continue it with acdc generate --resume")
    write_json(part / RECORD, made)
    os.replace(part, place.folder)
    return Exported(done, pictures, tuple(left_out))
