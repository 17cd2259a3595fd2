"""Files of stories: which lines are read, and what is refused."""

from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from acdc.engine.storage.stories_file import read_stories, write_records
from tests.helpers.cli_runs import new_story, refuse, without_times

pytestmark = pytest.mark.usefixtures("own_folder")


def test_acdc_story_draws_any_of_them(fake, capsys):
    write_records(Path("s.jsonl"), [{"sentences": new_story(number)} for number in (1, 2)])
    assert main(["story", "--prompts", "s.jsonl", "--out", "first"]) == 0
    assert main(["story", "--prompts", "s.jsonl", "--number", "2", "--out", "second"]) == 0
    assert without_times("first")["sentences"] == new_story(1)
    assert without_times("second")["sentences"] == new_story(2)
    capsys.readouterr()
    assert "'s.jsonl' holds stories 1 to 2" in refuse(capsys, "story", "--prompts", "s.jsonl", "--number", "3")
    assert "--number 2 is given without" in refuse(capsys, "story", "A cat.", "--number", "2")
    assert "x>=1" in refuse(capsys, "story", "--prompts", "s.jsonl", "--number", "0")


def test_separators_of_lines_within_a_sentence():
    Path("s.jsonl").write_text('{"sentences": ["A\u2028cat.", "It\x85ran."]}\r\n', newline="")
    assert read_stories(Path("s.jsonl")) == [("A cat.", "It ran.")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"{", "line 1 is not JSON"),
        (b'{"sentences": ["A cat."]}\n{"sent', "line 2 is not JSON"),
        (b"[" * 100_000, "line 1 is not JSON"),
        (b"[]", "line 1 has no list of texts 'sentences'"),
        (b'{"sentences": "A cat."}', "line 1 has no list of texts"),
        (b'{"sentences": [1]}', "line 1 has no list of texts"),
        (b'{"sentences": []}', "line 1: no sentence given"),
        (b'{"sentences": ["A cat.", " "]}', "line 1: sentence 2 is empty"),
        (b"\xff", "is not UTF-8 (byte 0)"),
        (b'{"sentences": ["A cat."]}\n\n{"sentences": ["A cat."]}', "line 2 is not JSON"),
    ],
)
def test_a_file_that_holds_none(capsys, content, words):
    Path("s.jsonl").write_bytes(content)
    line = refuse(capsys, "story", "--prompts", "s.jsonl")
    assert words in line
    assert "'s.jsonl'" in line
