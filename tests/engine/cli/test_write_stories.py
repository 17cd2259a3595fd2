"""``acdc write-stories``: what is asked, what is kept, what a crash leaves, and that ``acdc story`` draws it."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from acdc.engine.cli import write_stories as module
from acdc.engine.cli.main import main
from acdc.engine.examples import EXAMPLES
from acdc.engine.memory import MemoryFailure
from acdc.engine.storage.stories_file import read_stories, write_records
from acdc.engine.storage.story_generator import POOL, draw_examples, query_seed, write_story
from tests.helpers.chat_runs import KEY, QUICK, set_environment
from tests.helpers.chat_server import fails, hang, numbered, says
from tests.helpers.cli_runs import files, new_story, refuse
from tests.helpers.fake_engine import Killed, killed_at

pytestmark = pytest.mark.usefixtures("own_folder")


def answers(*numbers: int):
    return [says(numbered(new_story(number))) for number in numbers]


@pytest.fixture(autouse=True)
def environment(monkeypatch, server):
    set_environment(monkeypatch, replace(QUICK, timeout_s=1.0))
    monkeypatch.setenv("ACDC_CHAT_URL", server.url)
    monkeypatch.setenv("ACDC_CHAT_MODEL", "m")


def records(path: str = "out/stories.jsonl") -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


class TestQuery:
    def test_what_is_asked(self, server):
        server.does(*answers(1, 2))
        assert main(["write-stories", "--count", "2", "--seed", "4"]) == 0
        for number, asked in enumerate(server.asked, 1):
            names = draw_examples(list(POOL), 4, number)
            assert [asked.body["temperature"], asked.body["seed"]] == [1.0, query_seed(4, number)]
            for name in names:
                assert f'"""\n{numbered(list(EXAMPLES[name]))}\n"""' in asked.everything
            assert asked.everything.count('"""') == 2 * 3 + 1  # and where the prompt speaks of them
            assert asked.user.endswith("Generated story:")

    def test_the_draw_of_examples(self):
        names = list(POOL)
        assert sorted(names) == ["benny", "max", "oliver", "thumper"]
        drawn = [draw_examples(names, 0, number) for number in range(1, 401)]
        assert all(len(set(three)) == 3 for three in drawn)
        for name in names:  # the last one, too
            assert 260 < sum(name in three for three in drawn) < 340
            assert 70 < sum(three[0] == name for three in drawn) < 130
        assert drawn[6] == draw_examples(names, 0, 7) != draw_examples(names, 1, 7)
        assert draw_examples(names, 0, 1) == ("oliver", "thumper", "benny"), "the same in every version of Python"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (numbered(new_story()[:5]), "5 lines instead of 6"),
            (numbered([*new_story(), "And more."]), "7 lines instead of 6"),
            ("A new one.\n" + numbered(new_story()), "7 lines instead of 6"),
            (numbered([*new_story()[:5], "word " * 61]), "sentence 6 has 61 words"),
            (numbered([*new_story()[:5], EXAMPLES["max"][5].upper()]), "copies a sentence of the examples"),
            (numbered(new_story(9)), "was written before"),
            ("", "holds no text"),
            (numbered([*new_story()[:5], f"It said {KEY}."]), "holds the API key"),
        ],
    )
    def test_what_is_refused(self, server, text, words):
        from acdc.engine.memory import MemorySettings, load_language_model

        model = load_language_model(MemorySettings("chat"))
        pool = {name: EXAMPLES[name] for name in ("max", "benny", "oliver")}
        server.does(says(text), *answers(1))
        assert write_story(model, pool, 0, 1, {tuple(new_story(9))}).sentences == tuple(new_story())
        assert len(server.asked) == 2
        assert words in server.asked[1].user
        server.does(says(text))
        with pytest.raises(MemoryFailure, match=words):
            write_story(model, pool, 0, 1, {tuple(new_story(9))})


class TestFile:
    def test_one_line_a_story(self, server, capsys):
        server.does(*answers(1, 2, 3))
        assert main(["write-stories", "--count", "3", "--out", "a/b.jsonl"]) == 0
        printed = capsys.readouterr()
        assert printed.out == "a/b.jsonl: 3 stories\n"
        assert [line.partition(":")[0] for line in printed.err.splitlines()] == ["story 1/3", "story 2/3", "story 3/3"]
        assert read_stories(Path("a/b.jsonl")) == [tuple(new_story(number)) for number in (1, 2, 3)]
        first = records("a/b.jsonl")[0]
        assert first.pop("examples") == list(draw_examples(list(POOL), 0, 1))
        by = {"seed": 0, "memory": "chat", "memory_model": "m", "memory_url": server.url}
        assert first == {"number": 1, "sentences": new_story(), **by}

    @pytest.mark.parametrize("calls", range(1, 4))
    def test_a_kill_between_any_two_writes_loses_no_finished_story(self, server, monkeypatch, calls):
        server.does(*answers(1, 2, 3))
        main(["write-stories", "--count", "3", "--out", "whole.jsonl"])
        server.does(*answers(1, 2, 3))
        with killed_at(calls, monkeypatch), pytest.raises(Killed):
            main(["write-stories", "--count", "3", "--out", "parts.jsonl"])
        assert len(records("parts.jsonl")) == calls - 1 if calls > 1 else not Path("parts.jsonl").exists()
        server.does(*answers(*range(calls, 4)))
        assert main(["write-stories", "--count", "3", "--out", "parts.jsonl", "--resume"]) == 0
        assert len(server.asked) == 4 - calls
        assert Path("parts.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()

    def test_a_failure_stops_with_one_line_and_keeps_what_is_finished(self, server, capfd, caplog):
        caplog.set_level(logging.DEBUG)
        server.does(*answers(1, 2), fails(404, f"no model for {KEY}"))
        assert main(["write-stories", "--count", "5"]) == 1
        printed = capfd.readouterr()
        last = printed.err.splitlines()[-1]
        assert last.startswith("acdc: memory 'chat' failed: ")
        assert last.endswith("stopped after 2 of 5 stories; add the others to out/stories.jsonl with --resume")
        assert len(records()) == 2
        written = b"".join(files(".").values()).decode()
        assert KEY not in written + caplog.text + printed.out + printed.err
        server.does(hang())
        assert main(["write-stories", "--count", "2", "--out", "b.jsonl"]) == 1
        assert "stopped after 0 of 2 stories; nothing was written" in capfd.readouterr().err

    def test_ctrl_c(self, capsys, monkeypatch, server):
        server.does(*answers(1))
        write = module.write_story

        def once(*given):
            if given[3] == 2:
                raise KeyboardInterrupt
            return write(*given)

        monkeypatch.setattr(module, "write_story", once)
        assert main(["write-stories", "--count", "3"]) == 130
        assert "interrupted after 1 of 3 stories; add the others" in capsys.readouterr().err
        assert len(records()) == 1

    def test_more_stories_may_be_asked_for_later_and_finished_ones_are_left(self, server, capsys):
        server.does(*answers(1))
        main(["write-stories", "--count", "1"])
        server.does(*answers(1, 2))  # the first is written already, so it is asked for again
        assert main(["write-stories", "--count", "2", "--resume"]) == 0
        assert "written before" in server.asked[1].user
        capsys.readouterr()
        server.does(fails(500))
        assert main(["write-stories", "--count", "2", "--resume"]) == 0
        assert capsys.readouterr().out == "out/stories.jsonl: 2 stories, nothing to write\n"
        assert server.asked == []

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ([], ["already holds stories", "--resume", "--overwrite"]),
            (["--resume", "--overwrite"], ["choose one"]),
            (["--resume", "--seed", "1"], ["cannot resume", "line 1: ", " was "]),
            (["--resume", "--memory-model", "n"], ["line 1: memory_model was 'm', now 'n'"]),
        ],
    )
    def test_earlier_stories_are_kept(self, server, capsys, argv, words):
        server.does(*answers(1))
        main(["write-stories", "--count", "1"])
        before = files()
        capsys.readouterr()
        line = refuse(capsys, "write-stories", "--count", "2", *argv)
        assert all(word in line for word in words), line
        assert files() == before
        server.does(*answers(5))
        assert main(["write-stories", "--count", "1", "--overwrite"]) == 0
        assert records()[0]["sentences"] == new_story(5)

    def test_own_examples(self, server, capsys):
        write_records(Path("mine.jsonl"), [{"sentences": new_story(number)} for number in (11, 12, 13)])
        server.does(*answers(1))
        assert main(["write-stories", "--count", "1", "--examples", "mine.jsonl"]) == 0
        assert sorted(records()[0]["examples"]) == ["1", "2", "3"]
        assert all(numbered(new_story(number)) in server.asked[0].everything for number in (11, 12, 13))
        write_records(Path("few.jsonl"), [{"sentences": new_story()}] * 2)
        capsys.readouterr()
        line = refuse(capsys, "write-stories", "--out", "b.jsonl", "--examples", "few.jsonl")
        assert "holds 2 stories; give 3" in line
        write_records(Path("short.jsonl"), [{"sentences": ["A cat."]}] * 3)
        line = refuse(capsys, "write-stories", "--out", "b.jsonl", "--examples", "short.jsonl")
        assert "'short.jsonl', line 1: 1 sentences; give 6" in line

    def test_by_a_local_model(self, server, monkeypatch, capsys):
        asked = []

        class StandIn:
            memory, limits = "local", QUICK

            def complete(self, messages, **how):
                asked.append(how)
                return numbered(new_story(len(asked)))

        monkeypatch.setattr(module, "load_language_model", lambda settings, device: StandIn())
        argv = ["write-stories", "--count", "2", "--memory", "local", "--memory-model", "models/a"]
        assert main(argv) == 0
        assert [how["seed"] for how in asked] == [query_seed(0, 1), query_seed(0, 2)]
        assert {record["memory_model"] for record in records()} == {"models/a"}
        assert "memory_url" not in records()[0]


class TestMistakes:
    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (["--count", "0"], ["0", "1<=x"]),
            (["--seed", "-1"], ["-1", "0 to"]),
            (["--memory", "rules"], ["rules", "chat", "local"]),
            (["--out", "a.txt"], ["'a.txt' does not end with .jsonl"]),
            (["--out", "d.jsonl"], ["'d.jsonl' is a directory"]),
            (["--memory-url", "here"], ["'here' is not a URL"]),
            (["--memory-url", "https://a/v1", "--memory-model", "m"], ["no API key for 'https://a/v1'"]),
            (["--memory", "local"], ["memory_model is missing"]),
            (
                ["--memory", "local", "--memory-model", ".", "--device", "abacus"],
                ["'abacus'", "choose one of cpu"],
            ),
            (["--memory", "local", "--memory-model", ".", "--device", "cuda:99"], ["'cuda:99' is not available here"]),
            (["--device", "cuda"], ["--device cuda is given, but memory 'chat' runs elsewhere"]),
            (["--memory", "local", "--memory-model", "no/where"], ["'no/where' is neither a directory"]),
            (["--examples", "no.jsonl"], ["stories file 'no.jsonl' cannot be read", "No such file"]),
        ],
    )
    def test_one_line(self, capsys, monkeypatch, argv, words):
        Path("d.jsonl").mkdir()
        monkeypatch.delenv("ACDC_CHAT_API_KEY")
        line = refuse(capsys, "write-stories", *argv)
        assert all(word in line for word in words), line
        assert files(".") == {}


class TestTwoAtOnce:
    """One run at a time writes into a file: two would each replace it by stories of their own."""

    @pytest.mark.parametrize("more", [(), ("--resume",), ("--overwrite",)])
    def test_the_second_is_refused_before_it_asks(self, server, capsys, more):
        server.does()
        Path("out").mkdir()
        with FileLock("out/.stories.jsonl.lock"):
            assert "another run is writing there" in refuse(capsys, "write-stories", "--count", "2", *more)
        assert server.asked == []

    def test_one_that_comes_while_the_first_loads_is_refused(self, server, capsys, monkeypatch):
        server.does(*answers(1, 2))
        load = module.load_language_model

        def other_run_first(*given, **how):
            monkeypatch.setattr(module, "load_language_model", load)
            assert main(["write-stories", "--count", "1"]) == 0
            capsys.readouterr()
            return load(*given, **how)

        monkeypatch.setattr(module, "load_language_model", other_run_first)
        assert "another run wrote it meanwhile" in refuse(capsys, "write-stories", "--count", "1")
        assert [record["sentences"] for record in records()] == [new_story(1)]
