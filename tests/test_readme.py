"""The commands of README.md and docs/ work: Python blocks and ``sh`` blocks of ``acdc`` run."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]
BLOCKS = [block for page in PAGES for block in re.findall(r"```(\w+)\n(.*?)```", page, flags=re.DOTALL)]
PYTHON = [text for language, text in BLOCKS if language == "python"]
FEW_STEPS = ["--steps", "4"]  # for commands of docs/: drawing in full is what the README's are for
ACDC = [
    part.strip().removeprefix(".venv/bin/")
    for language, text in BLOCKS
    if language == "sh"
    for line in text.replace("\\\n", " ").splitlines()
    for part in line.split("#")[0].split("&&")
    if part.strip().removeprefix(".venv/bin/").startswith("acdc ")
]


@pytest.mark.long
@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.long
@pytest.mark.parametrize("command", ACDC)
def test_acdc_commands_run(command, tmp_path, monkeypatch):
    from acdc.engine.cli.main import main

    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(command)[1:], *([] if command in README else FEW_STEPS)]) == 0


def test_readme_has_both_commands_and_ci_runs_the_second():
    assert len(PYTHON) >= 1
    assert len(ACDC) >= 2
    assert "<!-- tests -->" in README
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
