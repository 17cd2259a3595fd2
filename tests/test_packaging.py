"""Metadata and wheel: metadata that is setup.py's alone, and a wheel of what a user needs and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.helpers.imports import import_graph

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


@pytest.mark.long
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip would build, unpacked."""
    source, unpacked = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("unpacked")
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "docs", "results")
    shutil.copytree(ROOT, source, ignore=ignored, dirs_exist_ok=True)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").glob("*.whl")
    zipfile.ZipFile(built).extractall(unpacked)
    return unpacked


@pytest.mark.long
def test_the_wheel_holds_the_engine_and_two_measurements(wheel: Path) -> None:
    files = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    rooms = {name.split("/")[1] for name in files if name.startswith("acdc/")}
    assert rooms == {"__init__.py", "py.typed", "engine", "kernels", "compile", "bench"}
    inside = {name.split("/")[2] for name in files if name.startswith("acdc/bench/")}
    assert inside == {"__init__.py", "acdit", "overhead", "quality", "reproduce", "serve", "simulator", "vistorybench"}
    bundles = {name.split("/")[3] for name in files if name.startswith("acdc/engine/bundles/")}
    assert bundles == {"__init__.py", "published", "storyworld", "storyworld-lcm", "storyworld-video"}
    assert not {name for name in files if "/train" in name or "/test" in name}
    assert {Path(name).suffix for name in files if name.startswith("acdc/")} <= {
        ".py", ".typed", ".json", ".txt", ".md", ".safetensors", ".html", ".css", ".js", ".svg",
    }  # fmt: skip
    page = {name for name in files if name.startswith("acdc/engine/server/page/")}
    assert {Path(name).name for name in page} == {path.name for path in (ROOT / "engine/server/page").iterdir()}


@pytest.mark.long
def test_the_wheel_lacks_no_module_that_its_modules_import(wheel: Path) -> None:
    packed = {
        ".".join(path.relative_to(wheel / "acdc").with_suffix("").parts).removesuffix(".__init__")
        for path in (wheel / "acdc").rglob("*.py")
    }
    graph = import_graph("engine", "compile", "kernels", "bench")
    missing = {f"{module} imports {other}" for module in packed & graph.keys() for other in graph[module] - packed}
    assert not missing


@pytest.mark.long
def test_every_command_of_the_wheel_starts(wheel: Path) -> None:
    script = (
        "from acdc.engine.cli.main import COMMANDS, main;"
        "import acdc, sys; assert acdc.__file__.startswith(sys.argv[1]), acdc.__file__;"
        "print({name for name in COMMANDS if main([name, '--help'])})"
    )
    variables = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(wheel)], cwd=wheel, capture_output=True, text=True, env=variables
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"


def test_every_test_of_code_outside_the_wheel_carries_its_mark() -> None:
    """The README's test command leaves training and measuring out by their marks, and CI runs them apart."""
    training = re.compile(r"storyworld\.(train|judge\.train)\w*[. ]")
    texts = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)}
    named = {name for name, text in texts.items() if training.search(text)}
    assert len(named) > 10
    assert named == {name for name, text in texts.items() if "pytestmark = pytest.mark.training" in text}
    assert "not training" in (ROOT / "pyproject.toml").read_text()
    measuring = {path.name for path in (ROOT / "tests" / "bench").glob("test_*.py")} - named
    assert measuring == {name for name, text in texts.items() if "pytestmark = pytest.mark.measuring" in text}
    assert "not measuring" in (ROOT / "pyproject.toml").read_text()
    assert '-m "(long or training or measuring or toolchain) and not slow"' in (ROOT / ".ci" / "run").read_text()
