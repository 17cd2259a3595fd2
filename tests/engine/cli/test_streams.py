"""Standard streams that are closed, full, broken, sockets, or lack letters: pictures are drawn anyway."""

from __future__ import annotations

import itertools
import json
import os
import pty
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from acdc.engine.cli.inputs import read_lines
from acdc.engine.storage.stories_file import read_requests
from tests.helpers.acdc_fake import COMMAND
from tests.helpers.cli_runs import files, refuse

ROOT = Path(__file__).parents[3]
STORY = 'story "A fox sat in the snow." --steps 2'


def shell(line: str, folder: Path, **how) -> subprocess.CompletedProcess[str]:
    """``line`` as bash runs it; ``acdc`` in it is the command, ``fake_acdc`` the same with a fake engine."""
    functions = f'acdc() {{ "{sys.executable}" -m acdc.engine "$@"; }}; fake_acdc() {{ {shlex.join(COMMAND)} "$@"; }}'
    command = f"{functions}; set -o pipefail; {line}"
    variables = {**os.environ, "PYTHONPATH": str(ROOT.parent), **how.pop("env", {})}
    how = {"stdin": subprocess.DEVNULL, **how}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, env=variables, timeout=180, **how
    )


CLOSINGS = ["".join(some) for count in range(4) for some in itertools.combinations(("<&- ", ">&- ", "2>&- "), count)]


@pytest.mark.long
@pytest.mark.parametrize("closing", CLOSINGS)
def test_a_command_works_without_streams(tmp_path: Path, closing: str) -> None:
    """treeverse/dvc#10041"""
    done = shell(f"acdc cache {closing}; a=$?; acdc nonsense {closing}; echo $a $?", tmp_path)
    assert done.stdout.splitlines()[-1] == "0 2"
    assert "Traceback" not in done.stdout + done.stderr
    assert ("plans" in done.stdout) == (">&-" not in closing.replace("2>&-", ""))
    assert ("unknown command 'nonsense'" in done.stderr) == ("2>&-" not in closing)


@pytest.mark.long
def test_a_story_is_drawn_without_streams(tmp_path: Path, tiny: str) -> None:
    """By real models, whose files get the numbers of the streams."""
    check_story(shell(f"acdc {STORY} --bundle '{tiny}' <&- >&- 2>&-", tmp_path), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "2>&-", "> /dev/full 2> /dev/full", "2>&1 | head -c 1"])
def test_a_story_is_drawn_whatever_the_streams(tmp_path: Path, streams: str) -> None:
    check_story(shell(f"fake_acdc {STORY} {streams}", tmp_path), tmp_path)


def check_story(done: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert {"story.json", "sheet.png", "frames/frame_01.png"} <= files(tmp_path / "out/story").keys()
    for name, content in files(tmp_path / "out/story").items():
        assert content.startswith(b"\x89PNG") if name.endswith(".png") else json.loads(content or b"0") is not None


def test_many_stories_too(tmp_path: Path) -> None:
    """pallets/click#625: both commands go on when the reader of their output is gone."""
    (tmp_path / "s.jsonl").write_text('{"sentences": ["A fox sat."]}\n' * 2)
    done = shell("fake_acdc generate --stories s.jsonl --steps 2 2>&1 | head -c 1", tmp_path)
    assert done.returncode == 0
    assert len(files(tmp_path / "out/s") & {f"00000{n}/sheet.png": 0 for n in (1, 2)}.keys()) == 2


def test_output_that_is_the_product_must_be_written(tmp_path: Path) -> None:
    done = shell("acdc cache > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "acdc: [Errno 28] No space left on device\n"
    assert shell("acdc --help | head -c 1; exit ${PIPESTATUS[0]}", tmp_path).stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_letters_that_the_encoding_lacks_are_replaced(tmp_path: Path, encoding: str) -> None:
    """pallets/click#3778"""
    (tmp_path / "狐").mkdir()
    variables = {"PYTHONIOENCODING": encoding, "ACDC_CACHE": str(tmp_path / "狐")}
    done = shell("acdc cache; acdc 狐", tmp_path, env=variables)
    assert "plans" in done.stdout
    assert "unknown command" in done.stderr
    if encoding != "ascii":  # which click takes for a mistake and writes UTF-8
        assert ("狐" in done.stdout) == (encoding == "utf-8")


def test_so_are_bytes_that_are_not_letters(tmp_path: Path) -> None:
    done = shell("acdc cache", tmp_path, env={"ACDC_CACHE": str(tmp_path / os.fsdecode(b"caf\xe9"))})
    assert (done.returncode, "caf?" in done.stdout) == (0, True)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert shell("acdc cache", tmp_path, env={**plain, "ACDC_CACHE": str(tmp_path / "狐")}).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("command", ["story --prompts -", "generate --stories -", "generate --stories /dev/stdin"])
def test_input_that_is_closed_is_one_line(tmp_path: Path, command: str) -> None:
    """aws/aws-cli#2518"""
    done = shell(f"acdc {command} <&-", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard input is closed" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/proc/self/fd/0"])
@pytest.mark.parametrize("command", ["story --prompts", "generate --stories"])
def test_input_may_be_a_socket(tmp_path: Path, command: str, name: str) -> None:
    """nodejs/node#21941: a socket cannot be opened by a name. What is read is refused, for speed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"word " * 61)
        ours.shutdown(socket.SHUT_WR)
        done = shell(f"acdc {command} {name}", tmp_path, stdin=theirs)
    assert done.returncode == 2
    assert ("has 61 words" if "prompts" in command else ", line 1 ") in done.stderr


def test_input_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb") as source:
        late = subprocess.Popen(["bash", "-c", 'sleep 3; printf "word %.0s" {1..61}'], stdout=writer)
        os.close(writer)
        done = shell("acdc story --prompts -", tmp_path, stdin=source)
        late.wait()
    assert "has 61 words" in done.stderr


def test_input_that_was_begun_is_read_on(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("first\n" + "word " * 61)
    done = shell("{ read -r line; acdc story --prompts /dev/stdin; } < s.txt", tmp_path)
    assert "sentence 1 has 61 words" in done.stderr


@pytest.mark.parametrize(("term", "bar"), [("dumb", False), ("xterm", True)])
def test_a_terminal_without_a_cursor_gets_lines(term: str, bar: bool) -> None:
    ours, theirs = pty.openpty()
    code = "from acdc.engine.storage.progress import make_progress; print(type(make_progress(1, 0)).__name__)"
    variables = {**os.environ, "TERM": term, "COLUMNS": "1", "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, text=True, env=variables)
    os.close(ours)
    os.close(theirs)
    assert done.stdout.strip() == ("Bar" if bar else "Lines")


@pytest.mark.usefixtures("own_folder")
class TestPaths:
    @pytest.mark.parametrize("out", ["", " ", "x\n", "a\x1bb", "a\tb"])
    @pytest.mark.parametrize(
        "command", [["story", "Fox."], ["video", "--prompt", "Fox."], ["generate", "--stories", "s"]]
    )
    def test_names_that_a_shell_made_by_mistake(self, capsys, command: list[str], out: str) -> None:
        """box-project/box#531: ``--out ""`` wrote into the current folder."""
        assert "--out" in refuse(capsys, *command, "--out", out)
        assert files(".") == {}

    @pytest.mark.parametrize("out", ["", "a\n.jsonl", "s.jsonl/"])
    def test_of_a_file_of_stories(self, capsys, out: str) -> None:
        assert "--out" in refuse(
            capsys, "write-stories", "--out", out, "--memory-url", "http://127.0.0.1:1", "--memory-model", "m"
        )

    def test_a_folder_that_is_gone(self, capsys, tmp_path: Path, monkeypatch) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert "the current folder is gone" in refuse(capsys, "story", "Fox.")


def test_lines_end_at_line_ends_only(tmp_path: Path) -> None:
    """wbolster/jsonlines#53"""
    path = tmp_path / "prompts.txt"
    path.write_bytes("A fox\u2028sat.\r\nIt\u2029ran.\rIt slept.\x0cDeeply.\n".encode())
    assert read_lines(str(path)) == ["A fox\u2028sat.", "It\u2029ran.", "It slept.\x0cDeeply."]
    stories = tmp_path / "stories.jsonl"
    lines = [json.dumps({"sentences": [text]}, ensure_ascii=False) for text in ("A\u2028b.", "C\u0085d.", "E.")]
    stories.write_bytes(f"{lines[0]}\r{lines[1]}\r\n{lines[2]}\n".encode())
    assert [request.sentences for request in read_requests(stories, 0)] == [("A b.",), ("C d.",), ("E.",)]
