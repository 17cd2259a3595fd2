"""The comparison of the service with the engine alone: every load's figures, and their table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from acdc.bench import service
from acdc.bench.service_process import Served
from acdc.bench.service_table import TITLES, service_table
from acdc.engine.examples import EXAMPLES
from acdc.engine.options import StoryOptions
from acdc.engine.scheduler.policy import SchedulerConfig
from tests.helpers.fake_many import FakeMany, FakeRun
from tests.helpers.stub_service import StubService

pytestmark = pytest.mark.measuring


class Quick(FakeMany):
    """An engine that draws at once, with the device's defaults."""

    def generate_many(self, stories, **_) -> FakeRun:  # type: ignore[override]
        return super().generate_many(stories, options=StoryOptions(), pipelining=SchedulerConfig())

    def settings(self, options: StoryOptions) -> dict:
        return {**super().settings(options), "dtype": "float32"}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    """The service's place is taken by one that draws nothing."""
    with StubService(pause=0.002) as found:
        found.processor_seconds = time.process_time  # type: ignore[attr-defined]

        @contextmanager
        def served(*_: object) -> Iterator[StubService]:
            yield found

        monkeypatch.setattr(service, "Served", served)
        monkeypatch.setattr(service.Engine, "from_pretrained", lambda *_, **__: Quick())
        monkeypatch.setattr(service, "frames_in_page", lambda url, stories: [20.0] * sum(map(len, stories)))
        yield found


def test_every_load_has_its_figures_and_the_table_shows_them(stub: StubService, tmp_path: Path) -> None:
    out = tmp_path / "service.json"
    done = CliRunner().invoke(service.main, ["--stories", "7", "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    record = json.loads(out.read_text())
    assert record["frames"] == sum(map(len, EXAMPLES.values()))
    for load, stories in (("poisson", 7), ("at_once", 7), ("alone", service.ALONE)):
        assert (record[load]["completed"], record[load]["failed"]) == (stories, 0)
        rate = record[load]["frame_throughput"] / record[load]["share_of_offline"]
        assert rate == pytest.approx(sum(record["offline_frames_a_second"]) / 2)
    assert record["alone"]["peak_concurrent_requests"] == 1
    assert record["page_delivery_ms"]["P50"] == 20.0
    table = service_table(out.name, record)
    assert all(f"| {title} |" in table for title in TITLES.values())
    assert out.name in table


def test_a_story_that_fails_ends_the_measurement(stub: StubService, tmp_path: Path) -> None:
    stub.broken = {8: "failed"}
    with pytest.raises(ValueError, match="1 of 7 stories failed"):
        CliRunner().invoke(service.main, ["--stories", "7", "--out", str(tmp_path / "x.json")], catch_exceptions=False)
    assert not (tmp_path / "x.json").exists()


def test_a_service_that_does_not_start_is_ended(tmp_path: Path) -> None:
    served = Served("storyworld", tmp_path)
    served.command = [sys.executable, "-c", "import time; print('no bundle', flush=True); time.sleep(60)"]
    with pytest.raises(ValueError, match="the service does not start; it said 'no bundle"), served:
        pass
    assert served.process.poll() is not None
