"""Frames that a conversation brought along as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...outputs import Frame
from ..openai.sent_files import GIVEN
from ..store.records import Job

if TYPE_CHECKING:
    from ...engine import Engine


def given_frames(engine: Engine, job: Job, folder: Path) -> list[Frame]:
    """The first frames of a story, whose pictures lie in its ``folder``. Those that this service drew come with their
    codes, so that the story goes on as if it had never stopped; others are encoded."""
    found = []
    for index, record in enumerate(job.body["given"]):
        with Image.open(folder / GIVEN.format(index)) as picture:
            found.append(_frame(engine, index, job.sentences[index], picture, record))
    return found


def _frame(engine: Engine, index: int, sentence: str, picture: Image.Image, record: Mapping[str, Any]) -> Frame:
    """A finished frame. ``record`` has its codes; where it is empty the tokenizer encodes the ``picture``."""
    from ...pipeline.carried import encoded_picture  # torch

    if record:
        image, codes, drawn = np.asarray(picture.convert("RGB")), record["codes"], record["draft_codes"]
        prompt, corrected = record["prompt"], record["corrected"]
    else:
        image, codes = encoded_picture(engine.models, picture)
        prompt, drawn, corrected = sentence, codes, True
    return Frame(index, sentence, prompt, None, corrected, image, image, tuple(drawn), tuple(codes), ())
