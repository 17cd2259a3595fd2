"""Published names of tensors under those of transformers' modules, by patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

Rule = tuple[str, str]  # a pattern of the whole name, and ours; "" for a tensor without use
PARTS = "{part}"  # in our name: q, k and v of one published tensor, a third of its rows each


def renamed(tensors: Mapping[str, Tensor], rules: Sequence[Rule], transposed: Sequence[str] = ()) -> dict[str, Tensor]:
    """Tensors by our names; one that no rule names keeps its own, so that strict loading refuses it. ``transposed``
    are our names of matrices that are stored the other way round."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        target = our_name(name, rules)
        if PARTS in target:
            found |= {target.replace(PARTS, part): rows for part, rows in zip("qkv", value.chunk(3), strict=True)}
        elif target:
            found[target] = value.T if target in transposed else value
    return found


def our_name(name: str, rules: Sequence[Rule]) -> str:
    """The name that the first rule that matches gives."""
    for pattern, target in rules:
        if found := re.fullmatch(pattern, name):
            return found.expand(target)
    return name
