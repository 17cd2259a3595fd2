"""``acdc bench serve`` against a service that draws nothing: what arrives is counted, timed and written, and what goes
wrong is a failure of that request alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acdc.bench.serve.client import message_of
from acdc.engine.cli.main import main
from acdc.engine.examples import EXAMPLES
from tests.helpers.cli_runs import refuse
from tests.helpers.stub_service import StubService

FRAMES = [len(sentences) for sentences in EXAMPLES.values()]
Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def bench(service: StubService, *argv: str) -> tuple[int, dict[str, Any], str]:
        target = tmp_path / "load.json"
        code = main(["bench", "serve", "--base-url", service.url, "--output-file", str(target), *argv])
        return code, json.loads(target.read_text()), capsys.readouterr().out

    return bench


def figure(out: str, title: str) -> str:
    found = re.search(rf"^{re.escape(title)}: +(\S+)$", out, re.MULTILINE)
    assert found, f"{title} is not in the block:\n{out}"
    return found[1]


def test_stories_arrive_frame_by_frame(run: Run) -> None:
    with StubService() as service:
        code, record, out = run(service, "--num-prompts", "7", "--seed", "5", "--num-warmups", "0")
    assert code == 0
    assert (record["completed"], record["failed"], record["frames"]) == (7, 0, sum(FRAMES))
    assert figure(out, "Successful requests") == "7"
    assert figure(out, "Frames") == str(sum(FRAMES))
    assert sorted(body["seed"] for body in service.bodies) == list(range(5, 12))
    by_seed = {body["seed"]: body["sentences"] for body in service.bodies}
    assert [tuple(by_seed[5 + number]) for number in range(7)] == list(EXAMPLES.values())
    assert record["frame_latency_ms"]["samples"] == sum(FRAMES)
    assert record["stage_durations_ms"]["correct"]["mean"] == 8.0
    assert 0 <= record["delivery_ms"]["P50"] < 1e3 * record["duration_s"]
    assert "replace" not in record["stage_durations_ms"], "a stage that never ran has no duration"


def test_times_of_a_request_are_in_order(run: Run) -> None:
    with StubService(pause=0.01) as service:
        _, record, _ = run(service, "--num-prompts", "3", "--request-rate", "100")
    for one in record["requests"]:
        times = [one["due"], one["sent"], one["first_partial"], *one["frames"], one["ended"]]
        assert times == sorted(times)
        assert one["frames"][-1] - one["sent"] >= 0.01 * len(one["frames"])
        assert one["queue_wait_s"] >= 0
    assert len(service.bodies) == 4, "three requests and one to warm up"


def test_a_limit_holds_requests_back_and_says_for_how_long(run: Run) -> None:
    with StubService(pause=0.05) as service:  # long enough that two meet on a busy machine, too
        _, record, out = run(service, "--num-prompts", "6", "--max-concurrency", "2")
    assert service.peak == record["peak_concurrent_requests"] == 2
    assert record["held_back_ms"]["max"] > 5.0
    assert "Held Back by --max-concurrency" in out


def test_without_a_limit_no_request_waits_for_an_answer(run: Run) -> None:
    with StubService(pause=0.02) as service:
        _, record, _ = run(service, "--num-prompts", "6")
    assert record["peak_concurrent_requests"] == 6


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("status", "status 429: the queue is full"),
        ("failed", "the story was failed: out of memory"),
        ("early", "the events ended before the story did"),
        ("short", "frames arrived for"),
        ("shape", "the answer is not understood"),
    ],
)
def test_a_failed_story_is_counted_and_named(run: Run, broken: str, message: str) -> None:
    with StubService({1: broken}) as service:
        code, record, out = run(service, "--num-prompts", "3", "--num-warmups", "0")
    assert code == 1
    assert (record["completed"], record["failed"]) == (2, 1)
    assert message in "".join(record["errors"])
    assert message in out
    assert record["time_to_first_frame_ms"]["samples"] == 2


@pytest.mark.parametrize("text", ['{"error": {"message": "no\\u001b[31m\\nmodel"}}', "no\x1b[31m\nmodel"])
def test_a_message_of_the_service_cannot_write_to_the_terminal(text: str) -> None:
    assert message_of(text) == r"no\x1b[31m model"


def test_pictures_of_any_openai_endpoint(run: Run) -> None:
    with StubService() as service:
        code, record, _ = run(
            service, "--endpoint-type", "openai-images", "--num-prompts", "8", "--model", "m", "--num-warmups", "0"
        )
    assert code == 0
    assert (record["frames"], record["queue_wait_ms"]["P50"]) == (8, 3.0)
    sentences = [sentence for story in EXAMPLES.values() for sentence in story]
    assert {body["prompt"] for body in service.bodies} == set(sentences[:8])
    assert {(body["model"], body["n"]) for body in service.bodies} == {("m", 1)}
    assert record["time_to_first_partial_ms"]["samples"] == 0


def test_an_endpoint_with_another_idea_of_an_answer_fails_that_request_alone(run: Run) -> None:
    with StubService({1: "shape"}) as service:
        code, record, _ = run(service, "--endpoint-type", "openai-images", "--num-prompts", "3", "--num-warmups", "0")
    assert (code, record["completed"], record["failed"]) == (1, 2, 1)
    assert "the answer is not understood" in "".join(record["errors"])


def test_streamed_pictures_have_a_first_partial(run: Run) -> None:
    with StubService({2: "failed", 3: "early"}, pause=0.01) as service:
        code, record, _ = run(
            service, "--endpoint-type", "openai-images", "--num-prompts", "5", "--partial-images", "2",
            "--num-warmups", "0",
        )  # fmt: skip
    assert (code, record["completed"]) == (1, 3)
    assert record["time_to_first_partial_ms"]["samples"] == 3
    assert all(one["first_partial"] < one["frames"][0] for one in record["requests"] if one["frames"])
    assert set(record["errors"]) == {"out of memory", "the stream ended without a finished picture"}


def test_stories_of_a_file_are_repeated_with_other_seeds(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "stories.jsonl"
    file.write_text('{"sentences": ["A fox sat."]}\n{"sentences": ["A hen ran.", "It slept."]}\n')
    with StubService() as service:
        _, record, _ = run(service, "--num-prompts", "5", "--dataset-path", str(file), "--num-warmups", "0")
    assert record["frames"] == 1 + 2 + 1 + 2 + 1
    assert len({body["seed"] for body in service.bodies}) == 5


def test_the_key_is_sent_and_written_nowhere(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACDC_API_KEY", "very-secret-key")
    with StubService() as service:
        _, _, out = run(service, "--num-prompts", "2")
    assert set(service.keys) == {"Bearer very-secret-key"}
    assert "very-secret-key" not in out + (tmp_path / "load.json").read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--request-rate", "0"], ["request rate 0.0 is not positive"]),
        (["--base-url", "localhost:8000"], ["--base-url 'localhost:8000' is not an address"]),
        (["--base-url", "http://me:pw@localhost"], ["ACDC_API_KEY"]),
        (["--base-url", "http://127.0.0.1:9"], ["warm-up failed", "ConnectError"]),
        (["--partial-images", "2"], ["--partial-images is for openai-images"]),
        (["--dataset-path", "missing.jsonl"], ["missing.jsonl"]),
        (["--seed", "-1"], ["seed -1 is out of range"]),
        (["--output-file", "no/such/folder/x.json"], ["--output-file"]),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], words: list[str]) -> None:
    line = refuse(capsys, "bench", "serve", *argv)
    assert all(word in line for word in words), line


def test_a_percentile_of_too_few_samples_is_left_out(run: Run) -> None:
    with StubService() as service:
        _, record, out = run(service, "--num-prompts", "4")
    assert record["story_latency_ms"]["P99"] is None
    assert record["story_latency_ms"]["P50"] > 0
    assert figure(out, "P99 (ms)") == "-"
