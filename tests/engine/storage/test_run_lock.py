"""One run at a time writes into a story's folder, or a file of stories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from acdc.engine.cli.main import main
from acdc.engine.storage.manifest import IN_USE
from acdc.engine.storage.run_lock import RunLock, file_lock, story_lock
from tests.helpers.acdc_fake import COMMAND
from tests.helpers.cli_runs import STORY, refuse, without_times
from tests.helpers.fake_engine import FakeEngine

pytestmark = pytest.mark.usefixtures("own_folder")
BUSY = "another run is writing there; wait for its end, or choose another --out"


def lock_of(folder: str) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder, ".lock")


def test_a_lock_is_one_runs_alone() -> None:
    first = story_lock(Path("out"))
    assert not Path("out").exists(), "nothing is made before something is written"
    second = story_lock(Path("out"))
    with first, pytest.raises(ValueError, match=BUSY), second:
        pass
    with second:
        pass
    assert not Path("out").exists(), "who writes nothing leaves nothing"
    with story_lock(Path("deep/er")):
        Path("deep/file").write_text("kept")
    assert [path.name for path in Path("deep").iterdir()] == ["file"]
    assert BUSY == IN_USE


def test_who_comes_while_another_writes_is_refused_at_once() -> None:
    with story_lock(Path("out")), pytest.raises(ValueError, match=r"^'out/story.json': another run is writing there"):
        story_lock(Path("out"))
    with file_lock(Path("s.jsonl")), pytest.raises(ValueError, match=r"^'s.jsonl': another run is writing there"):
        file_lock(Path("s.jsonl"))


def test_a_lock_that_was_removed_before_it_was_ours_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder removes it with its release: a lock on a file without a name excludes no other process."""
    acquire, calls = FileLock.acquire, []

    def removed(self: FileLock) -> None:
        acquire(self)
        calls.append(self)
        if len(calls) == 1:
            Path("s.lock").unlink()

    monkeypatch.setattr(FileLock, "acquire", removed)
    with RunLock(Path("s"), Path("s.lock")):
        assert Path("s.lock").exists()
    assert len(calls) == 2


def test_what_was_written_since_it_was_read_is_noticed() -> None:
    lock = file_lock(Path("s.jsonl"))
    Path("s.jsonl").write_text("a story of another run")
    with pytest.raises(ValueError, match="another run wrote it meanwhile; choose --resume or another --out"), lock:
        pass
    with file_lock(Path("s.jsonl")):
        Path("s.jsonl").write_text("its own")
    with file_lock(Path("s.jsonl")):
        pass


def test_a_file_system_without_locks_has_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: FileLock) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock; use SoftFileLock instead")

    monkeypatch.setattr(FileLock, "acquire", refuses)
    monkeypatch.setattr(FileLock, "release", lambda self: None)
    with RunLock(Path("a"), Path("a.lock")):
        pass


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume",)])
def test_a_story_is_not_begun_where_another_run_writes(fake: FakeEngine, capsys, more: tuple[str, ...]) -> None:
    with FileLock(lock_of("o")):
        assert BUSY in refuse(capsys, "story", *STORY, "--out", "o", *more)
    assert not [path for path in Path("o").iterdir() if path.name != ".lock"]
    assert main(["story", *STORY, "--out", "o", *more]) == 0


def test_neither_is_a_video(capsys) -> None:
    with FileLock(lock_of("o")):
        assert BUSY in refuse(capsys, "video", "--prompt", "A fox runs.", "--out", "o")


def test_a_story_that_another_run_finished_meanwhile_is_kept(fake, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """While this one loads its models."""
    from acdc.engine.cli import story as module

    load = module.load_engine

    def other_run_first(given: dict, **known: Any) -> FakeEngine:
        monkeypatch.setattr(module, "load_engine", load)
        assert main(["story", *STORY, "--out", "o"]) == 0
        capsys.readouterr()
        return load(given, **known)

    monkeypatch.setattr(module, "load_engine", other_run_first)
    said = refuse(capsys, "story", "Another fox sat.", "--out", "o")
    assert "another run wrote it meanwhile" in said
    assert without_times("o")["sentences"] == STORY


@pytest.mark.long
def test_two_commands_at_once_into_one_fresh_folder(fake: FakeEngine) -> None:
    """jswest/bartleby#553: one of them is refused, and the other's story is whole and its own."""
    stories = STORY, [sentence.replace("Benny", "Rex") for sentence in STORY]
    how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    how["env"] = {**os.environ, "FAKE_FRAME_S": "1"}  # on a crowded machine, too, the second one begins before the end
    runs = [subprocess.Popen([*COMMAND, "story", *story, "--out", "o"], **how) for story in stories]
    results = [(*run.communicate(timeout=300), run.returncode) for run in runs]
    codes = [code for _, _, code in results]
    if codes == [2, 2]:
        pytest.fail(f"nobody drew: {results}")
    winner = codes.index(0)
    assert codes[1 - winner] == 2, results
    refused = results[1 - winner][1]
    assert "another run" in refused
    assert refused.count("\n") == 1
    assert without_times("o")["sentences"] == stories[winner]
    assert main(["story", *stories[winner], "--out", "alone"]) == 0
    for name in ("frames/frame_01.png", "frames/frame_03.png"):
        assert Path("o", name).read_bytes() == Path("alone", name).read_bytes()
