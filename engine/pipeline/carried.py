"""Frames that a client carried here: those of which only prompts and codes are known, and mere pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..models.model_set import Models
from ..models.running_batch import SequenceState
from ..outputs import Frame
from ..sdedit.pixels import from_image, to_uint8


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


def encoded_picture(models: Models, picture: Image.Image) -> tuple[NDArray[np.uint8], list[int]]:
    """A picture of any size and mode as a frame shows it, uint8 [H, W, 3], and the tokenizer's codes of it."""
    pixels, parameter = from_image(picture, models.tokenizer.config.resolution), next(models.tokenizer.parameters())
    with torch.inference_mode():
        codes = models.tokenizer.encode(pixels[None].to(parameter.device, parameter.dtype))[0]
    return to_uint8(pixels), codes.tolist()
