"""Many clients, many stories, a quick start: figures that the service keeps to."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.helpers.serving import parse_events, running, wait_for

ROOT = Path(__file__).parents[3]
TEXTS = ["A fox sat.", "It ran.", "It slept."]
START = 2.0  # of what the import of its libraries takes
CLIENTS = 200
STORIES, WARM = 1000, 300
GROWTH = 0.01


@pytest.mark.long
def test_the_api_process_starts_quickly_and_without_torch(tmp_path):
    code = f"""
import sys, time
import fastapi, fastapi.openapi.models, numpy, PIL.Image, prometheus_client, pydantic_settings, sqlalchemy, uvicorn
libraries = time.process_time()
from acdc.engine.server.app import create_app
from acdc.engine.server.settings import read_settings
from acdc.engine.server.store.database import Database
settings = read_settings(data={str(tmp_path)!r})
database = Database(settings.database_url)
database.create_tables()
create_app(settings, database).openapi()
heavy = {{"torch", "transformers", "diffusers", "openvino", "ray"}} & set(sys.modules)
print(time.process_time() / libraries, *heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    times, *heavy = done.stdout.split()
    assert not heavy
    assert float(times) < START


def follow(url: str, name: str) -> list:
    with httpx2.Client(timeout=120) as http, http.stream("GET", f"{url}/v1/stories/{name}/events") as answer:
        return list(parse_events(answer.iter_lines()))


@pytest.mark.slow
def test_two_hundred_clients_follow_one_story(tmp_path):
    with running(tmp_path, env={"FAKE_FRAME_S": "0.5"}) as server, ThreadPoolExecutor(CLIENTS) as clients:
        name = server.submit(*TEXTS * 5, partial_images=3)
        streams = [clients.submit(follow, server.url, name) for _ in range(CLIENTS)]
        wait_for(lambda: f'sse_clients{{model_name="storyworld"}} {CLIENTS}.0' in server.http.get("/metrics").text)
        server.wait(name)
        expected = server.events(name)
        assert all(stream.result() == expected for stream in streams)
        wait_for(lambda: 'sse_clients{model_name="storyworld"} 0.0' in server.http.get("/metrics").text)


@pytest.mark.slow
def test_memory_stays_flat_over_a_thousand_stories(tmp_path):
    """The server's and the worker's own memory after ``WARM`` stories and after ``STORIES``."""
    with running(tmp_path, env={"FAKE_FRAME_S": "0"}, max_queue=50) as server:
        processes = [server.process.pid, *server.workers()]
        before = []
        for number in range(STORIES):
            name = server.submit("A fox sat.", seed=number)
            if number % 20 == 19:
                server.events(name)
            if number == WARM:
                server.wait(name)
                before = [resident(pid) for pid in processes]
        server.wait(name)
        after = [resident(pid) for pid in processes]
    growth = [late / early - 1 for early, late in zip(before, after, strict=True)]
    print("growth of server and worker:", *(f"{one:.2%}" for one in growth))
    assert all(one < GROWTH for one in growth), growth


def resident(pid: int) -> int:
    """Private memory in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
