"""A segment of a session's stream: a sentence or a frame of every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class StreamSegment:
    """A sentence or a frame of every row: ``ids`` int64 [R, n], of which the first ``counts[r]`` are real."""

    kind: Literal["text", "image"]
    ids: Tensor
    counts: tuple[int, ...]
    provenance: Literal["given", "sampled", "external"]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield self.ids


def missing(shown: Sequence[StreamSegment], row: int, have: int) -> list[range]:
    """Columns of the concatenated chunks that row ``row`` must still be fed, having been fed ``have`` ids."""
    columns, offset = [], 0
    for chunk in shown:
        columns.append(range(offset + min(have, chunk.counts[row]), offset + chunk.counts[row]))
        have -= min(have, chunk.counts[row])
        offset += chunk.ids.shape[1]
    return columns
