"""The folder of a measurement: blocks that are there, those that are missing, and what they show."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ...engine.engine import Engine
from ...engine.loading.bundle import find_bundle
from ...engine.utils.atomic import write_json
from ...engine.utils.versions import versions
from .blocks import Block, requests
from .compare import Count
from .conditions import ALONE, CORRECTED_ALONE, Condition
from .draw import draw_block, engine_for

MADE_WITH, COST = "made_with.json", "cost.json"


@dataclass(frozen=True)
class Pieces:
    """Blocks of ``bundle`` in ``folder``: ``plain`` ones of a condition, or ``corrected`` ones."""

    folder: Path
    bundle: str
    plain: int
    corrected: int

    def check(self) -> None:
        """``ValueError`` where the folder holds blocks of other weights or versions."""
        path, now = self.folder / MADE_WITH, {"weights": find_bundle(self.bundle).fingerprint(), **versions()}
        if not path.exists():
            write_json(path, now)
        found = json.loads(path.read_text(encoding="utf-8"))
        for name, value in now.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{str(path)!r} says {name} {found.get(name)!r}, now it is {value!r}; choose another --folder"
                )

    def blocks(self, condition: Condition) -> list[tuple[int, int]]:
        """(number, turn) of every block that a condition draws."""
        count = self.corrected if condition.corrected else self.plain
        return list(product(range(min(count, 1) if condition.few else count), range(condition.orders or 1)))

    def path(self, condition: Condition, number: int, turn: int = 0) -> Path:
        """The file of a block."""
        return self.folder / f"{condition.name}_{number:03d}_{turn}.npz"

    def missing(self, condition: Condition) -> list[tuple[int, int]]:
        """The blocks that are not there."""
        return [block for block in self.blocks(condition) if not self.path(condition, *block).exists()]

    def draw(self, conditions: Sequence[Condition], until: float) -> Generator[str, None, None]:
        """Draw every block that is missing, up to a time of ``time.monotonic``; a line for each. Block after block, so
        that a measurement that is stopped has some of every condition."""
        engines: dict[tuple[str, int], Engine] = {}
        asked = [(number, turn, one) for one in conditions for number, turn in self.missing(one)]
        for number, turn, condition in sorted(asked, key=lambda block: block[0]):
            if time.monotonic() > until:
                return
            if (how := (condition.backend, condition.threads)) not in engines:
                engines[how] = engine_for(condition, self.bundle)
            block = draw_block(engines[how], condition, requests(number), self.bundle, turn)
            block.save(self.path(condition, number, turn))
            yield f"{self.path(condition, number, turn).stem}: {block.seconds:.1f} s"

    def rows(self, conditions: Sequence[Condition]) -> list[dict[str, Any]]:
        """A row for each condition, over the blocks that it and its reference have."""
        engine, found = engine_for(ALONE, self.bundle), []
        for condition in conditions:
            if condition in (ALONE, CORRECTED_ALONE):
                continue
            total = Count()
            for number, turn in self.blocks(condition):
                mine, other = self.path(condition, number, turn), self.path(condition.reference, number)
                if mine.exists() and other.exists():
                    pair = Block.load(other), Block.load(mine)
                    total.add(engine, requests(number), *pair, corrected=condition.corrected)
            if total.stories:
                found.append({**asdict(condition), **total.record()})
        return found

    def costs(self) -> list[dict[str, Any]]:
        """The cost as far as it was measured."""
        path = self.folder / COST
        return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []
