"""What installers read: the [project] table is there for uv, and changes nothing that setup.py says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("setuptools.build_meta", reason="the build backend, which pip brings along for itself")

ROOT = Path(__file__).parents[1]
WITHOUT_CODE = shutil.ignore_patterns(".*", "build", "*.egg-info", "*.safetensors", "*.json", "*.png", "tests", "docs")
METADATA = """
import pathlib, sys
from setuptools.build_meta import prepare_metadata_for_build_wheel
folder = pathlib.Path("meta", prepare_metadata_for_build_wheel("meta"))
print((folder / "METADATA").read_text(), (folder / "entry_points.txt").read_text())
"""


def metadata(folder: Path) -> str:
    """The metadata of a wheel of ``folder``, and its entry points."""
    variables = {**os.environ, "PYTHONPATH": ""}
    (folder / "meta").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", METADATA],
        cwd=folder,
        capture_output=True,
        text=True,
        env=variables,
    )
    assert done.returncode == 0, done.stderr
    assert "defined outside of `pyproject.toml`" not in done.stderr, "a field is missing in `dynamic`"
    return done.stdout[done.stdout.index("Metadata-Version") :]


def test_the_project_table_changes_no_metadata(tmp_path: Path) -> None:
    """astral-sh/uv#8666: without the table ``uv sync`` installs nothing and says so nowhere."""
    with_table, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_table, without):
        shutil.copytree(ROOT, folder, ignore=WITHOUT_CODE)
    settings = (without / "pyproject.toml").read_text()
    bare = re.sub(r"(?ms)^\[project\]$.*?(?=^\[)", "", settings)
    assert tomllib.loads(settings).keys() - tomllib.loads(bare).keys() == {"project"}
    (without / "pyproject.toml").write_text(bare)
    found = metadata(with_table)
    assert found == metadata(without)
    assert "Name: acdc-engine" in found
    assert "Requires-Dist: torch" in found
    assert "acdc = acdc.engine.cli.main:main" in found


def test_every_field_is_setup_pys() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.keys() == {"name", "dynamic"}
