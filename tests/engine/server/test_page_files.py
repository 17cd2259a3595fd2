"""Files of the page, and the GIF of a story, without a browser."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from acdc.engine.server.errors import add_handlers
from acdc.engine.server.routes import page, story_gif
from acdc.engine.server.routes.page import FOLDER
from acdc.engine.server.routes.story_files import folder
from acdc.engine.storage.story_reader import image_name

FILES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    app = FastAPI()
    app.include_router(page.router)
    app.include_router(story_gif.router)
    app.dependency_overrides[folder] = lambda: tmp_path
    add_handlers(app)
    return TestClient(app, base_url="http://localhost")


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_page_is_served_with_its_type(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
    again = client.get(f"/page/{name}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/page/{name}", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "app.py", ".git", "index.html%00", "INDEX.html"]
)
def test_no_other_file_is(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_the_page_needs_nothing_that_its_policy_forbids(client: TestClient) -> None:
    """No script, style or handler within the HTML, and nothing from another host."""
    html = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)
        assert [one for one in found if "www.w3.org" not in one] == [], path.name
    named = set(re.findall(r'(?:src|href)="page/([\w.]+)"', html))
    assert named == {"app.js", "style.css", "icon.svg"}


def test_modules_import_files_that_are_there() -> None:
    for path in FOLDER.glob("*.js"):
        for name in re.findall(r'from "\./([\w.]+)"', path.read_text(encoding="utf-8")):
            assert name in FILES, f"{path.name} imports {name}"


@pytest.mark.parametrize("count", [1, 3])
def test_a_gif_has_every_frame_and_is_large_enough_to_see(client: TestClient, tmp_path: Path, count: int) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(count):
        Image.new("RGB", (16, 16), (80 * index, 40, 200)).save(tmp_path / image_name(index))
    answer = client.get("/v1/stories/one/story.gif?frame_duration_ms=500")
    assert answer.headers["content-type"] == "image/gif"
    with Image.open(BytesIO(answer.content)) as picture:
        assert (picture.n_frames, picture.size, picture.info.get("duration")) == (count, (256, 256), 500)


@pytest.mark.parametrize(("query", "status"), [("", 404), ("?frame_duration_ms=1", 400), ("?frame_duration_ms=x", 400)])
def test_a_gif_that_cannot_be_made_is_an_error(client: TestClient, query: str, status: int) -> None:
    answer = client.get(f"/v1/stories/one/story.gif{query}")
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
