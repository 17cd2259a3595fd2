"""Count what a condition changed of its reference's stories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from ...engine.engine import Engine
from ...engine.options import StoryOptions
from ...engine.request import StoryRequest
from .blocks import Block
from .margin import distance_gap, top_two_gap

Kind = Literal["drawn", "encoded"]


@dataclass
class Count:
    """Sums over a condition's blocks.

    ``codes`` were drawn by the ARM, ``encoded`` by the tokenizer from corrected frames. ``changed`` are those that
    differ in all. A story parts from its reference at its first differing code, a near tie or an error; what follows is
    another story. ``compared`` counts the codes up to there, ``partings`` say where and at what gap. ``levels`` is the
    largest difference of a pixel (of 255) before a parting.
    """

    stories: int = 0
    frames: int = 0
    codes: int = 0
    encoded: int = 0
    changed: int = 0
    compared: int = 0
    levels: int = 0
    kills: int = 0
    seconds: float = 0.0
    partings: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, engine: Engine, asked: Sequence[StoryRequest], wanted: Block, drawn: Block, *, corrected: bool
    ) -> None:
        """Count a block. ``engine`` is the reference's, which finds the gaps."""
        self.stories, self.frames = self.stories + len(asked), self.frames + wanted.drafts[:, :, 0].size
        self.kills, self.seconds = self.kills + drawn.kills, self.seconds + drawn.seconds
        self.codes += wanted.drafts.size
        self.changed += int((wanted.drafts != drawn.drafts).sum())
        if corrected:
            self.encoded += wanted.codes.size
            self.changed += int((wanted.codes != drawn.codes).sum())
        for number, request in enumerate(asked):
            self._follow(_Pair(engine, request, number, wanted, drawn), corrected)

    def _follow(self, pair: _Pair, corrected: bool) -> None:
        """One story, up to its parting or its end."""
        for index in range(len(pair.request.sentences)):
            if self._parts(pair, index, "drawn"):
                return
            self.levels = max(self.levels, pair.levels(index))
            if corrected and self._parts(pair, index, "encoded"):
                return

    def _parts(self, pair: _Pair, index: int, kind: Kind) -> bool:
        one, other = pair.codes(index, kind)
        differ = one != other
        if not differ.any():
            self.compared += len(one)
            return False
        slot = int(differ.argmax())
        self.compared += slot + 1
        where = {"story": pair.request.id, "frame": index, "slot": slot, "kind": kind}
        self.partings.append({**where, "gap": pair.gap(index, slot, kind)})
        return True

    def record(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Pair:
    """Story ``number`` of two blocks."""

    engine: Engine
    request: StoryRequest
    number: int
    wanted: Block
    drawn: Block

    def codes(self, index: int, kind: Kind) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Both frames' codes, [n] each."""
        one, other = ((block.drafts if kind == "drawn" else block.codes) for block in (self.wanted, self.drawn))
        return one[self.number, index], other[self.number, index]

    def levels(self, index: int) -> int:
        """The largest difference of the shown pictures."""
        one, other = (block.images[self.number, index].astype(int) for block in (self.wanted, self.drawn))
        return int(abs(one - other).max())

    def gap(self, index: int, slot: int, kind: Kind) -> float:
        """The distance between the two choices, as the reference's models see it."""
        settings = self.engine.settings(StoryOptions())
        mine, theirs = (block.story(self.number, self.request, settings) for block in (self.wanted, self.drawn))
        if kind == "drawn":
            return top_two_gap(self.engine, mine, index, slot)
        return distance_gap(self.engine, mine.frames[index], theirs.frames[index])
