"""The shape of the house: imports point down, light rooms stay light, names of the house are not the library's."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.imports import Graph, cycles, import_graph

ROOT = Path(__file__).parents[1]
BELOW = {"kernels": set(), "compile": {"kernels"}, "engine": {"compile", "kernels"}}
ROOMS = {"engine", "compile", "kernels", "bench"}


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a file imports, absolutely or relatively."""
    inside = path.relative_to(ROOT).parts[:-1]
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = inside[: len(inside) - node.level + 1]
            names = (node.module or "").split(".") if node.module else [alias.name for alias in node.names]
            rooms.add((*above, *names)[0])
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            rooms |= {parts[1]} if parts[0] == "acdc" and len(parts) > 1 else {parts[0]}
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[0] for alias in node.names}
    return rooms & ROOMS


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_down(room):
    for path in (ROOT / room).rglob("*.py"):
        allowed = BELOW[room] | {room}
        assert imported_rooms(path) <= allowed, f"{path.relative_to(ROOT)} imports {imported_rooms(path) - allowed}"


ALLOWED = {  # room of the engine -> the rooms that it may import; compile, kernels and utils are open to all
    "utils": set(),
    "memory": set(),
    "options": {"memory"},
    "outputs": set(),
    "constraints": {"options"},
    "examples": set(),
    "request": {"constraints", "options", "outputs"},
    "sampling": {"options"},
    "models": {"options", "sampling"},
    "loading": {"models", "options"},
    "sdedit": {"constraints", "models", "options"},
    "runtime": {"models", "sdedit"},
    "pipeline": {"constraints", "examples", "memory", "models", "options", "outputs", "request", "sdedit"},
    "scheduler": {"memory", "models", "options", "outputs", "pipeline", "request", "runtime", "sdedit"},
    "fleet": {
        "constraints", "engine", "memory", "options", "outputs", "request", "scheduler", "storage",
    },
    "storage": {"constraints", "examples", "memory", "options", "outputs", "request", "scheduler"},
    "server": {
        "constraints", "corrector", "engine", "fleet", "memory", "options", "outputs", "pipeline", "request",
        "scheduler", "storage",
    },
    "engine": {
        "constraints", "loading", "memory", "models", "options", "outputs", "pipeline", "request", "runtime",
        "scheduler", "sdedit",
    },
    "cli": {
        "acdit", "constraints", "corrector", "engine", "examples", "fleet", "loading", "memory", "options", "outputs",
        "request", "runtime", "scheduler", "server", "storage", "text_to_image",
    },
    "corrector": {"constraints", "loading", "models", "options", "runtime", "sdedit"},
    "text_to_image": {"loading", "models", "options", "sdedit"},
    "acdit": {"loading", "models", "options", "outputs", "runtime", "scheduler", "sdedit"},
}  # fmt: skip


def room(module: str) -> str:
    """``engine.models.causal.session`` -> ``models``; other rooms of the package by their own name."""
    parts = module.split(".")
    return parts[1] if parts[0] == "engine" and len(parts) > 1 else parts[0]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_graph("engine", "compile", "kernels", "bench")


@pytest.mark.long
def test_no_module_imports_itself_through_others(graph):
    assert cycles(graph) == []


def test_a_cycle_is_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_rooms_of_the_engine_import_what_lies_below(name, graph):
    open_to_all = {name, "utils", "compile", "kernels"}
    used = {
        room(other)
        for module, others in graph.items()
        if module.startswith("engine.") and room(module) == name
        for other in others
    }
    assert used - open_to_all <= ALLOWED[name], f"{name} imports {used - open_to_all - ALLOWED[name]}"


def test_every_room_of_the_engine_has_its_line(graph):
    rooms = {room(module) for module in graph if module.startswith("engine.")}
    assert rooms - {"bundles", "__main__"} == set(ALLOWED)


def test_the_top_of_the_engine_stays_short():
    assert len(list((ROOT / "engine").glob("*.py"))) <= 10


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}; import sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return set(result.stdout.split())


LIGHT = [
    "options",
    "outputs",
    "memory.rules",
    "examples",
    "utils.versions",
    "cli.main",
    "storage.story_reader",
    "cli.cache",
    "scheduler.scheduler",
    "fleet.fleet",
    "fleet.local_processes",
    "server.serve",
]
LIGHT = [f"acdc.engine.{name}" for name in LIGHT] + ["acdc.bench.simulator.simulator"]


@pytest.mark.long
@pytest.mark.parametrize("module", LIGHT)
def test_decisions_import_no_torch(module):
    loaded = loaded_after(f"import {module}")
    assert "torch" not in loaded


@pytest.mark.long
def test_the_engine_runs_without_diffusers_and_transformers():
    loaded = loaded_after("import acdc.engine.engine")
    assert "torch" in loaded
    assert not {"diffusers", "transformers", "scipy", "matplotlib"} & loaded


@pytest.mark.long
def test_backends_are_loaded_when_they_are_asked_for():
    assert not {"openvino", "onnx", "tensorrt"} & loaded_after("import acdc.engine.engine")


@pytest.mark.long
def test_loading_a_bundle_does_not_wake_torchs_compiler():
    """Its import takes longer than all else that a start does."""
    statement = 'import sys; from acdc.engine.engine import Engine; Engine.from_pretrained("storyworld")'
    assert "sympy" not in loaded_after(statement)


def test_which_graphs_are_kept_is_decided_without_torch():
    assert "torch" not in loaded_after("import acdc.compile.graph_pool")


def test_kernels_have_no_effects_at_import():
    assert "torch" not in loaded_after("import acdc.kernels")


def test_files_stay_small():
    """Past 300 lines a file holds a second noun."""
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert not long


@pytest.mark.long
def test_a_run_without_training_and_measuring_loses_no_other_test():
    """It does not import the files of `tests/bench`, which tests/bench/conftest.py leaves out."""
    for path in (ROOT / "tests" / "bench").glob("test_*.py"):
        marks = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("pytestmark = ")]
        assert any("mark.training" in line or "mark.measuring" in line for line in marks), path.name
