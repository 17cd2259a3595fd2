"""Frames of which only prompts and codes are known: a client carried them from another server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..models.model_set import Models
from ..models.running_batch import SequenceState
from ..outputs import Frame
from ..sdedit.pixels import to_uint8


def carried_frames(models: Models, sentences: Sequence[str], records: Sequence[Mapping[str, Any]]) -> list[Frame]:
    """Frames of the first ``sentences`` from their ``prompt``, ``codes``, ``draft_codes`` and ``corrected``. Their
    pictures are those that the tokenizer makes of the codes. ``ValueError`` for an ARM that reads frames as pixels."""
    if type(models.arm.new_sequence(sentences)).show is not SequenceState.show:
        raise ValueError("this model reads earlier frames as pictures, which a continuation does not carry")
    rows = [record[name] for record in records for name in ("draft_codes", "codes")]
    device = next(models.tokenizer.parameters()).device
    with torch.inference_mode():
        pictures = to_uint8(models.tokenizer.decode(torch.tensor(rows, device=device)))
    return [
        Frame(
            index,
            sentence,
            record["prompt"],
            None,
            record["corrected"],
            pictures[2 * index],
            pictures[2 * index + 1],
            tuple(record["draft_codes"]),
            tuple(record["codes"]),
            spans=(),
        )
        for index, (sentence, record) in enumerate(zip(sentences, records, strict=False))
    ]
