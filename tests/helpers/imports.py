"""The import graph of the package, read from its source. Imports inside functions count; those for types do not."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
Graph = Mapping[str, set[str]]


def module_name(path: Path) -> str:
    """``engine/models/kv_cache.py`` -> ``engine.models.kv_cache``; a package is named by its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(*rooms: str) -> Graph:
    """Module -> the package's modules that it imports, for all modules of the rooms."""
    files = {module_name(path): path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))}
    return {name: set(imported(name, path, files)) - {name} for name, path in files.items()}


def imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    """The modules that one file imports; a package alone counts only where a name is taken from it."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name.removeprefix("acdc.") for alias in node.names]
            yield from (module for module in found if module in files)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*above, *(node.module or "").removeprefix("acdc.").split(".")]).strip(".")
            for alias in node.names:
                inside = f"{target}.{alias.name}"
                if inside in files:
                    yield inside
                elif target in files:
                    yield target


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from runtime_nodes(node)


def cycles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import one another, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = []
            while not group or group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def folder_graph(graph: Graph, depth: int) -> Graph:
    """The same among folders: ``engine.models.causal.session`` is in ``engine.models`` at depth 2."""
    folders: dict[str, set[str]] = {}
    for name, others in graph.items():
        home = folder(name, depth)
        folders.setdefault(home, set()).update({folder(other, depth) for other in others} - {home})
    return folders


def folder(name: str, depth: int) -> str:
    """The first ``depth`` parts of a module's folder."""
    path = ROOT.joinpath(*name.split("."))
    parts = name.split(".") if path.is_dir() else name.split(".")[:-1]
    return ".".join(parts[:depth])
