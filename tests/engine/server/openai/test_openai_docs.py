"""docs/openai.md: its tables are the models' fields, and its snippets run against a server."""

import re
import subprocess
from pathlib import Path

import pytest

from acdc.engine.server.openai.chat_fields import ChatFields
from acdc.engine.server.openai.fields import OwnFields
from acdc.engine.server.openai.picture_fields import EditFields, GenerationFields, PictureFields
from acdc.engine.server.openai.video_fields import RemixFields, VideoFields
from tests.helpers.serving import running

PAGE = (Path(__file__).parents[4] / "docs" / "openai.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```(py|bash)\n(.*?)```", PAGE, flags=re.DOTALL)
TABLES = {  # a table lists the fields that the model has and the other one has not
    "own": (OwnFields, None),
    "pictures": (PictureFields, OwnFields),
    "generations": (GenerationFields, PictureFields),
    "edits": (EditFields, PictureFields),
    "chat": (ChatFields, OwnFields),
    "videos": (VideoFields, OwnFields),
    "remix": (RemixFields, VideoFields),
}


def table(name: str) -> str:
    model, known = TABLES[name]
    rows = ["| field | | meaning |", "|---|---|---|"]
    for field, about in model.model_fields.items():
        status = about.json_schema_extra["status"]
        if (
            known is None
            or field not in known.model_fields
            or known.model_fields[field].description != about.description
        ):
            rows.append(f"| `{field}` | {status} | {about.description} |")
    return "\n".join(rows)


@pytest.mark.parametrize("name", TABLES)
def test_tables_list_the_fields(name):
    assert f"<!-- fields: {name} -->\n{table(name)}\n<!-- end -->" in PAGE, "tables of fields are those of the models"


@pytest.mark.slow
def test_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with running(tmp_path / "data", fake=False) as server:
        space: dict[str, object] = {"__name__": "docs"}
        ran = 0
        for language, text in SNIPPETS:
            text = text.replace("http://127.0.0.1:8000", server.url)
            if language == "py":
                exec(compile(text, "docs/openai.md", "exec"), space)
                ran += 1
            elif text.startswith("curl"):
                assert subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=False).returncode == 0, text
                ran += 1
        assert ran >= 6
        assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} >= {".png", ".gif", ".mp4"}
