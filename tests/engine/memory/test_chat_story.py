"""``acdc story --memory chat``: what is recorded, how it stops, falls back and resumes, what it refuses."""

import json
import logging
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from acdc.engine.memory.rules import Rules
from acdc.engine.outputs import Frame, StoryResult
from acdc.engine.storage.story_writer import StoryWriter
from tests.helpers.chat_runs import GOOD, KEY, STORY
from tests.helpers.chat_server import ChatServer, fails, says
from tests.helpers.cli_runs import files, refuse, without_times

pytestmark = pytest.mark.usefixtures("chat_environment")


@pytest.mark.usefixtures("own_folder")
class TestCommand:
    def argv(self, server: ChatServer, tiny: str, *more: str) -> list[str]:
        story = ["story", *STORY, "--bundle", tiny, "--steps", "2"]
        return [*story, "--memory", "chat", "--memory-url", server.url, "--memory-model", "m", *more]

    def test_a_story_and_what_is_recorded(self, server, tiny, capfd, caplog):
        caplog.set_level(logging.DEBUG)
        server.does(says(GOOD[1]), says(GOOD[2]))
        assert main(self.argv(server, tiny)) == 0
        record = without_times("out/story")
        assert record["refined_prompts"] == [STORY[0], *GOOD[1:]]
        assert [frame["memory_note"] for frame in record["frames"]] == [None] * 3
        expected = {"memory": "chat", "memory_model": "m", "memory_url": server.url, "memory_calls": "chunk"}
        assert record["settings"].items() >= {**expected, "memory_on_failure": "error"}.items()
        written = b"".join(files(".").values()).decode("latin-1")
        assert KEY not in written + caplog.text + "".join(capfd.readouterr())

    def test_stops_with_one_line_keeps_the_frames_and_resumes(self, server, tiny, capsys):
        server.does(says(GOOD[1]), fails(404, f"no model for {KEY}"))
        assert main(self.argv(server, tiny)) == 1
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith("acdc: memory 'chat' failed: ")
        assert "stopped after 2 of 3 frames; continue out/story with --resume" in last
        before = files("out/story/frames")
        assert len(before) == 4
        server.does(says(GOOD[2]))
        assert main(self.argv(server, tiny, "--resume")) == 0
        assert without_times("out/story")["refined_prompts"] == [STORY[0], *GOOD[1:]]
        assert files("out/story/frames").items() >= before.items()
        assert not any(KEY.encode() in content for content in files(".").values())
        line = refuse(capsys_of(capsys), *self.argv(server, tiny, "--resume", "--memory-calls", "story"))
        assert "cannot resume: memory_calls was 'chunk', now 'story'" in line

    @pytest.mark.long
    @pytest.mark.parametrize("frames", [1, 2])
    def test_a_resumed_story_does_not_ask_for_the_whole_story_again(self, server, tiny, monkeypatch, frames):
        """Its one answer, which came with the second frame, is on disk; before that frame there is none."""
        argv, add = self.argv(server, tiny, "--memory-calls", "story"), StoryWriter.add

        def killed(writer: StoryWriter, story: StoryResult, frame: Frame) -> None:
            if frame.index == frames:
                raise KeyboardInterrupt
            add(writer, story, frame)

        server.does(says("\n".join(f"{number}. {text}" for number, text in enumerate(GOOD, 1))))
        with monkeypatch.context() as patch:
            patch.setattr(StoryWriter, "add", killed)
            assert main(argv) != 0
        assert len(server.asked) == 1
        assert json.loads(Path("out/story/story.json").read_text()).get("later_prompts", []) == GOOD[2:] * (frames - 1)
        server.does(says("\n".join(f"{number}. {text}" for number, text in enumerate(GOOD, 1))))
        assert main([*argv, "--resume"]) == 0
        assert len(server.asked) == (1 if frames == 1 else 0)
        record = without_times("out/story")
        assert record["refined_prompts"] == [STORY[0], *GOOD[1:]]
        assert "later_prompts" not in record, "there is nothing to come"

    @pytest.mark.long
    @pytest.mark.parametrize("later", [["one", "too many"], [], "text", [3]])
    def test_later_prompts_that_do_not_fit_are_refused_or_asked_for(self, server, tiny, capsys, later):
        argv = self.argv(server, tiny, "--memory-calls", "story")
        answer = says("\n".join(f"{number}. {text}" for number, text in enumerate(GOOD, 1)))
        server.does(answer)
        assert main(argv) == 0
        path = Path("out/story/story.json")
        record = json.loads(path.read_text())
        del record["frames"][2], record["refined_prompts"][2]
        path.write_text(json.dumps({**record, "later_prompts": later}))
        server.does(answer)
        if later == []:
            assert main([*argv, "--resume"]) == 0
            assert len(server.asked) == 1
        else:
            assert "'out/story/story.json' is damaged" in refuse(capsys_of(capsys), *argv, "--resume")

    def test_falls_back_and_says_so(self, server, tiny, capsys):
        server.does(says("nonsense\nin\ntoo many lines"))
        assert main(self.argv(server, tiny, "--memory-on-failure", "rules", "--memory-calls", "story")) == 0
        record = without_times("out/story")
        assert record["refined_prompts"] == Rules().refine_story(STORY)
        notes = [frame["memory_note"] for frame in record["frames"]]
        assert notes[0] is None
        assert all(note.startswith("rewritten by rules: memory 'chat' failed: ") for note in notes[1:])
        assert "acdc: frame 2: rewritten by rules" in capsys.readouterr().err
        server.does(fails(500))
        assert main(self.argv(server, tiny, "--memory-on-failure", "rules", "--memory-calls", "story", "--resume")) == 0
        assert server.asked == [], "a finished story asks nobody"

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (["--memory", "chat"], ["no API key for 'https://api.openai.com/v1'", "ACDC_CHAT_API_KEY"]),
            (["--memory", "chat", "--memory-url", "here"], ["'here' is not a URL", "https://"]),
            (["--memory", "chat", "--memory-url", f"http://me:{KEY}@a/"], ["user name", "'http://a/'"]),
            (["--memory", "chat", "--memory-url", "http://a"], ["memory_model is missing", "ACDC_CHAT_MODEL"]),
            (["--memory", "chat", "--memory-calls", "frame"], ["frame", "chunk", "story"]),
            (["--memory", "chat", "--memory-on-failure", "cry"], ["cry", "error", "rules"]),
            (["--memory-model", "m"], ["memory_model is given", "'rules' asks no model", "chat or local"]),
        ],
    )
    def test_mistakes(self, capsys, monkeypatch, argv, words):
        monkeypatch.delenv("ACDC_CHAT_API_KEY")
        line = refuse(capsys, "story", "A cat.", *argv)
        assert all(word in line for word in words), line
        assert KEY not in line
        assert files(".") == {}

    def test_a_story_of_an_earlier_version_has_no_notes(self, server, tiny):
        server.does(says(GOOD[1]), says(GOOD[2]))
        assert main(self.argv(server, tiny)) == 0
        path = Path("out/story/story.json")
        record = json.loads(path.read_text())
        for frame in record["frames"]:
            del frame["memory_note"]
        del record["frames"][2], record["refined_prompts"][2]
        path.write_text(json.dumps(record))
        server.does(says(GOOD[2]))
        assert main(self.argv(server, tiny, "--resume")) == 0
        assert without_times("out/story")["refined_prompts"] == [STORY[0], *GOOD[1:]]


def capsys_of(capsys):
    """Forget what was printed."""
    capsys.readouterr()
    return capsys
