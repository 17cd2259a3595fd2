"""For each equation of the paper, ``grep "Eq. n"`` lands on the functions that compute it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
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


@pytest.fixture(scope="module")
def labelled() -> dict[int, set[str]]:
    """Equation -> the functions of the engine whose docstrings name it."""
    found = defaultdict(set)
    for path in ENGINE.rglob("*.py"):
        if "Eq. " not in (text := path.read_text(encoding="utf-8")):
            continue
        module = ".".join(path.relative_to(ENGINE).with_suffix("").parts)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                for number in re.findall(r"Eq\. (\d+)", ast.get_docstring(node) or ""):
                    found[int(number)].add(f"{module}.{node.name}")
    return found


@pytest.mark.parametrize("equation", COMPUTED_BY)
def test_an_equation_is_found_where_it_is_computed(labelled: dict[int, set[str]], equation: int) -> None:
    assert labelled[equation] >= COMPUTED_BY[equation]


@pytest.mark.parametrize("equation", COMPUTED_BY)
def test_each_has_its_phase(labelled: dict[int, set[str]], equation: int) -> None:
    assert {name for name in labelled[equation] if name.startswith("pipeline.phases.")}
