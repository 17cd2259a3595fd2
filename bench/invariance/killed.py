"""Stories by ``acdc generate``, whose process is killed while it draws and then resumed, until all are there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from ...engine.outputs import StoryResult
from ...engine.request import StoryRequest
from ...engine.storage.story_reader import read_story
from .conditions import STEPS, Condition

FEWEST, MOST = 5, 40  # pictures that are written before a kill
POLL = 0.02  # seconds


def command(condition: Condition, stories: Path, out: Path, bundle: str) -> list[str]:
    """The command line of a condition."""
    corrected = ["--steps", str(STEPS)] if condition.corrected else ["--no-correction"]
    how = ["--backend", condition.backend, "--decoding", condition.decoding, "--threads", str(condition.threads)]
    files = ["--stories", str(stories), "--out", str(out), "--bundle", bundle]
    return [sys.executable, "-m", "acdc.engine", "generate", *files, *how, *corrected]


def draw_killed(
    condition: Condition, stories: Sequence[StoryRequest], bundle: str
) -> tuple[dict[str, StoryResult], int]:
    """Stories by id, and how many times SIGKILL ended the process before they were all there.

    Raises ``RuntimeError`` where a run that was not killed fails.
    """
    draws, kills = Random(stories[0].seed), 0
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "stories.jsonl"), Path(folder, "out")
        lines = [{"id": story.id, "seed": story.seed, "sentences": story.sentences} for story in stories]
        source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        asked = command(condition, source, out, bundle)
        while not run_until(asked, out, draws.randint(FEWEST, MOST)):
            kills += 1
            asked = [*command(condition, source, out, bundle), "--resume"]
        found = {story.id: read_story(out / story.id) for story in stories}
    drawn = {name: story for name, story in found.items() if story is not None}
    assert len(drawn) == len(stories), "a finished run has every story"
    return drawn, kills


def run_until(asked: Sequence[str], out: Path, pictures: int) -> bool:
    """Run a command and kill it once it has written that number of pictures; did it end by itself?"""
    before = count(out)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(asked, stdout=said, stderr=said)
        try:
            while process.poll() is None:
                if count(out) - before >= pictures:
                    process.kill()
                    process.wait()
                    return False
                time.sleep(POLL)
        finally:
            process.kill()
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"acdc generate ended with {process.returncode}: {said.read().decode()[-500:]}")
    return True


def count(out: Path) -> int:
    """Drafts on disk."""
    return sum(1 for _ in out.glob("*/frames/*_draft.png"))
