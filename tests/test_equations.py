"""For each equation of the paper, ``grep "Eq. n"`` lands on the functions that compute it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[1] / "engine"
COMPUTED_BY = {
    1: {
        "sampling.choose",
        "models.causal.decode_pass.forward",
        "models.show_o.maskgit_pass.forward",
        "models.unified_io2.passes.forward",
    },
    2: {"sdedit.correct.correct", "models.diffusion.schedule.add_noise"},
    3: {"memory.rewrite.refine"},
    4: {"models.lwm.video_session.generate", "models.lwm.clip_session.generate"},
    5: {"sdedit.correct.correct"},
    6: {"models.causal.session.replace_many", "models.lwm.clip_session.replace", "models.running_batch.replace"},
}


def labelled(equation: int) -> set[str]:
    """The functions of the engine whose docstrings name the equation."""
    found = set()
    for path in ENGINE.rglob("*.py"):
        module = ".".join(path.relative_to(ENGINE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and f"Eq. {equation}" in (ast.get_docstring(node) or ""):
                found.add(f"{module}.{node.name}")
    return found


@pytest.mark.parametrize("equation", COMPUTED_BY)
def test_an_equation_is_found_where_it_is_computed(equation: int) -> None:
    assert labelled(equation) >= COMPUTED_BY[equation]


@pytest.mark.parametrize("equation", COMPUTED_BY)
def test_each_has_its_phase(equation: int) -> None:
    assert {name for name in labelled(equation) if name.startswith("pipeline.phases.")}
