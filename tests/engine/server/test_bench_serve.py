"""``acdc bench serve`` against the service itself, with the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from tests.helpers.serving import running


@pytest.mark.long
def test_the_load_is_drawn_and_every_frame_has_its_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "load.json"
    with running(tmp_path / "data") as server:
        argv = ["--base-url", server.url, "--num-prompts", "7", "--request-rate", "50", "--output-file", str(target)]
        assert main(["bench", "serve", *argv, "--num-inference-steps", "5"]) == 0
        stories = server.http.get("/v1/stories?limit=100").json()["data"]
    record = json.loads(target.read_text())
    assert (record["completed"], record["failed"]) == (7, 0)
    assert len(stories) == 8, "the warm-up's story as well"
    assert {story["options"]["num_inference_steps"] for story in stories} == {5}
    assert record["frames"] == record["delivery_ms"]["samples"] == sum(len(one["frames"]) for one in record["requests"])
    assert record["delivery_ms"]["P50"] > 0
    assert record["time_to_first_partial_ms"]["samples"] == record["queue_wait_ms"]["samples"] == 7
    assert "Successful requests:" in capsys.readouterr().out
