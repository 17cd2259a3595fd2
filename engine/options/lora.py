"""LoRA files that are merged into the corrector's weights, each with its weight."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..utils.field_types import check_types


@dataclass(frozen=True)
class Lora:
    """A file (or its folder) of low-rank changes, merged at this ``weight``: 1 is as trained, 0 changes nothing."""

    path: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        if not self.path.strip():
            raise ValueError("the LoRA's path is empty; give FILE or FILE=WEIGHT")
        if not math.isfinite(self.weight):
            raise ValueError(f"LoRA {self.path!r}: weight {self.weight} is not finite; choose a number such as 0.8")

    @classmethod
    def parse(cls, text: str) -> Lora:
        """``FILE`` or ``FILE=WEIGHT``; a file's own name may hold the sign "=", so what follows the last one is a
        weight unless it ends the name of a safetensors file. ``ValueError`` for a weight that is not a number."""
        path, sign, weight = text.rpartition("=")
        if not sign or weight.endswith(".safetensors") or os.sep in weight:
            return cls(text)
        try:
            return cls(path, float(weight))
        except ValueError as error:
            if str(error).startswith("LoRA "):
                raise
            raise ValueError(f"LoRA {text!r}: weight {weight!r} is not a number; give FILE=WEIGHT") from None


def as_loras(given: Iterable[str | os.PathLike[str] | Lora]) -> tuple[Lora, ...]:
    """LoRAs as a person names them: ``FILE``, ``FILE=WEIGHT``, a path, or a :class:`Lora`."""
    if isinstance(given, str | os.PathLike | Lora):
        raise ValueError(f"loras is {given!r}; give a list of files")
    return tuple(
        one if isinstance(one, Lora) else Lora.parse(one) if isinstance(one, str) else Lora(os.fspath(one))
        for one in given
    )
