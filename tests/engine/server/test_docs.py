"""The shell blocks of docs/serve.md and of README, and README's OpenAI client, run against a server, as they are but
for the port and for what starts it."""

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.serving import Server, running

ROOT = Path(__file__).parents[3]
PAGE, README = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/serve.md", "README.md"))
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE + README, flags=re.DOTALL)
(CLIENT,) = re.findall(r"```py\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Server:
    with running(tmp_path_factory.mktemp("serve")) as found:
        yield found


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
@pytest.mark.parametrize("block", BLOCKS)
def test_commands_of_the_page_run(block, server, tmp_path):
    block = re.sub(r"(?m)^\.venv/bin/.*\n", "", block)  # README's way to start it
    script = block.replace("localhost:8000", f"localhost:{server.port}").replace("curl -s", "curl --fail-with-body -s")
    done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    if "luna" in block:
        assert "event: end" in done.stdout
        assert (tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    if "benny" in block:
        assert server.wait("benny")["sentences"] == ["Benny the beagle sat in a garden.", "He jumped."]


def test_readmes_openai_client_gets_a_picture(server, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    space: dict[str, str] = {}
    exec(compile(CLIENT.replace("localhost:8000", f"localhost:{server.port}"), "README.md", "exec"), space)
    assert base64.b64decode(space["picture"]).startswith(b"\x89PNG")


@pytest.mark.long
def test_the_page_names_every_route_of_stories(server):
    paths = server.http.get("/openapi.json").json()["paths"]
    for path in paths:
        if path.startswith("/v1/stories"):
            last = path.removeprefix("/v1/stories").replace("{name}", "{id}").rpartition("/")[2]
            known = last.replace("{index}", "{n}").replace("{number}", "{k}")
            assert known.rpartition(".")[2] in PAGE, path
