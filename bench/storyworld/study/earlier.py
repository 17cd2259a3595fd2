"""Rows of an earlier study of the same stories and weights, so that one study may be made in several sittings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .report import compact

IMPLIED = {"edition": 1}  # what reports said nothing of before there was a choice
SAME = ("what", "edition", "stories", "frames", "first_seed", "settings", "start")
FREE = ("threads",)  # settings that may differ: they change no picture by more than rounding


def add_earlier(study: Mapping[str, Any], path: Path, order: Sequence[str]) -> dict[str, Any]:
    """``study`` with the rows and differences that only the report at ``path`` has; rows in ``order``.

    ``ValueError`` names what differs if the report is of other stories, weights or settings.
    """
    earlier = json.loads(path.read_text(encoding="utf-8"))
    for name in SAME:
        ours, theirs = (_bound(part.get(name, IMPLIED.get(name))) for part in (compact(study), earlier))
        if ours != theirs:
            raise ValueError(f"{path}: {name} is {theirs}, but this study has {ours}; give a report of the same study")
    rows = earlier["rows"] | dict(study["rows"])
    return {
        **study,
        "rows": {name: rows[name] for name in order if name in rows},
        "differences": earlier["differences"] | dict(study["differences"]),
        "left_out": [name for name in order if name not in rows],
    }


def _bound(value: Any) -> Any:
    return {k: v for k, v in value.items() if k not in FREE} if isinstance(value, Mapping) else value
