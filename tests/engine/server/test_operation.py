"""Health, metrics, models, restarts, and failures of the server itself."""

import re
import sys
import time
from itertools import pairwise, product

from acdc.engine.request import StoryRequest
from acdc.engine.server import supervisor
from acdc.engine.server.store.claims import Claims
from acdc.engine.server.store.database import Database
from acdc.engine.server.store.workers import Workers
from acdc.engine.server.supervisor import Supervisor
from acdc.engine.server.worker import drawing
from acdc.engine.server.worker.process import FAILED, WorkerProcess
from tests.helpers.fake_serving import DEFAULTS, FAILS, FakeServing
from tests.helpers.serving import wait_for
from tests.helpers.serving_here import client_of, ended, settings_of, worker_of

NUMBERS = ["strength", "num_inference_steps", "guidance_scale", "temperature", "top_k", "top_p", "arm_guidance_scale"]


def metric(text: str, name: str, **labels: str) -> float:
    """The value of a metric; its labels in the order of Prometheus' text."""
    wanted = ",".join(f'{key}="{value}"' for key, value in sorted({"model_name": "storyworld", **labels}.items()))
    (value,) = re.findall(rf"^acdc:{name}\{{{re.escape(wanted)}\}} (\S+)$", text, flags=re.MULTILINE)
    return float(value)


def test_health_says_when_a_model_is_there(tmp_path):
    settings = settings_of(tmp_path)
    with client_of(settings) as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "loading")
        assert answer.headers["retry-after"]
        assert client.get("/healthz").status_code == 200
        with worker_of(settings):
            wait_for(lambda: client.get("/health").status_code == 200)
            assert client.get("/readyz").json() == {"status": "ok"}
            (model,) = client.get("/v1/models").json()["data"]
            assert (model["id"], model["size"], model["defaults"]) == ("storyworld", "16x16", DEFAULTS)
            assert client.get("/v1/models/storyworld").json() == model
            assert client.get("/v1/models/gpt-image-1").json()["error"]["code"] == "model_not_found"
        wait_for(lambda: client.get("/health").status_code == 503)


def test_a_worker_draws_a_frame_before_it_is_ready(tmp_path):
    """A user's first frame waits for no plan; the frame belongs to no story of the API."""
    settings = settings_of(tmp_path, warm_up=True)
    with client_of(settings) as client:
        name = client.post("/v1/stories", json={"id": "warm-up", "sentences": ["A fox sat."]}).json()["id"]
        begun = time.monotonic()
        with worker_of(settings, frame_s=0.5):
            assert time.monotonic() - begun > 0.5
            assert len(ended(client, name)["frames"]) == 1
        assert [story["id"] for story in client.get("/v1/stories").json()["data"]] == [name]


def test_an_engine_that_cannot_draw_its_first_frame_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "WARM_UP", StoryRequest("warm-up", (FAILS,)))
    worker = WorkerProcess(settings_of(tmp_path, warm_up=True), "here", lambda _: FakeServing(0.0), {})
    worker.database.create_tables()
    assert worker.run() == FAILED
    assert not worker.drawing.ready.is_set()


def test_a_worker_without_jobs_asks_the_store_seldom(tmp_path, monkeypatch):
    """Each look costs as much as half a millisecond of drawing; a submission is seen at once all the same."""
    settings, looks, waiting = settings_of(tmp_path), [], Claims.waiting

    def counted(claims):
        looks.append(time.monotonic())
        return waiting(claims)

    monkeypatch.setattr(Claims, "waiting", counted)
    with client_of(settings) as client, worker_of(settings):
        time.sleep(0.5)
        began = time.monotonic()
        time.sleep(1.5)
        assert sum(look > began for look in looks) <= 10
        assert len(ended(client, client.post("/v1/stories", json={"sentences": ["A fox sat."]}).json()["id"])["frames"])


def test_metrics_count_what_happened(tmp_path):
    settings = settings_of(tmp_path)
    with client_of(settings) as client, worker_of(settings, frame_s=0.01):
        good = client.post("/v1/stories", json={"sentences": ["A fox sat.", "It ran."]}).json()["id"]
        bad = client.post("/v1/stories", json={"sentences": [FAILS]}).json()["id"]
        ended(client, good)
        ended(client, bad, "failed")
        wait_for(lambda: "requests_failed_total{code=" in client.get("/metrics").text)
        wait_for(lambda: "requests_success_total{finished_reason=" in client.get("/metrics").text)
        text = client.get("/metrics").text
    assert metric(text, "frames_total", corrected="true") == 2
    assert metric(text, "image_tokens_total") == 32
    assert metric(text, "requests_success_total", finished_reason="stop") == 1
    assert metric(text, "requests_failed_total", code="engine_error") == 1
    assert metric(text, "time_to_first_frame_seconds_count") == 1
    assert metric(text, "e2e_request_latency_seconds_count") == 2
    assert metric(text, "stage_gen_time_seconds_count", stage="draw") == 2
    assert metric(text, "jobs", kind="story", state="done") == 1
    assert metric(text, "num_requests_running") == 0


def test_a_failure_of_the_server_itself_is_one_line_without_what_the_user_wrote(tmp_path, caplog):
    with client_of(settings_of(tmp_path)) as client:

        def broken() -> None:
            raise RuntimeError("Zanzibar sat.")

        client.app.add_api_route("/broken", broken)
        answer = client.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["type"] == "server_error"
    assert "RuntimeError in test_operation.py" in caplog.text
    assert "Zanzibar" not in caplog.text + answer.text


def test_numbers_that_are_none_are_refused(tmp_path):
    with client_of(settings_of(tmp_path)) as client:
        for name, value in product(NUMBERS, ["NaN", "Infinity", "-Infinity", "1e400"]):
            body = f'{{"sentences": ["A fox sat."], "{name}": {value}}}'
            answer = client.post("/v1/stories", content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, name), body


def test_a_worker_that_cannot_load_is_started_again_with_growing_pauses(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.0, 0.2, 0.6, 1.2))
    settings, restarts = settings_of(tmp_path), []
    database = Database(settings.database_url)
    database.create_tables()
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    keeper = Supervisor(settings, Workers(database), lambda: restarts.append(time.monotonic()), restarts.clear, command)
    keeper.start()
    wait_for(lambda: len(restarts) == 4)
    keeper.stop()
    gaps = [late - early for early, late in pairwise(restarts)]
    assert gaps[0] >= 0.2
    assert gaps[1] >= 0.6
    assert gaps[2] >= 1.2
    database.close()
