"""Pictures that a conversation carries: those of this server know their codes, others are encoded again."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...storage.story_reader import STORY_FILE
from ..service import Service
from ..store.records import Job
from .chat_fields import Turn
from .encode import data_url, text_in, with_text
from .model_info import model_info
from .uploads import png_of, read_data_url

PURPOSE = "acdc.chat.frame.v1"
PARAM = "messages"


class Given(NamedTuple):
    """A frame of the conversation: its picture as PNG, and what its token says (codes, prompt; empty: no token)."""

    png: bytes
    record: dict[str, Any]


def given_in(here: Service, turns: Sequence[Turn]) -> list[Given]:
    """The first frames of the story, as far as every turn has a picture; the last turn has none."""
    found: list[Given] = []
    for index, turn in enumerate(turns):
        if turn.image_url is None:
            return found
        picture = read_data_url(turn.image_url, PARAM, here.settings.max_pixels)
        found.append(Given(png_of(picture), record_in(here, turn, index)))
    return found


def record_in(here: Service, turn: Turn, index: int) -> dict[str, Any]:
    """The content of a picture's token; empty for another picture, sentence or place, and for another model's."""
    token = text_in(base64.b64decode((turn.image_url or "").partition(",")[2]))
    content = None if token is None else here.signer.opened(PURPOSE, token)
    if content is None or (content["index"], content["sentence"]) != (index, turn.sentence):
        return {}
    return content if content["weights"] == weights_of(here) else {}


def weights_of(here: Service) -> str:
    """The fingerprint of the model that is served now."""
    return str(model_info(here)["settings"]["weights"])


def picture_url(here: Service, job: Job, index: int, png: bytes) -> str:
    """A frame as a data URL whose PNG carries its signed token."""
    record = json.loads((here.settings.stories / job.id / STORY_FILE).read_text(encoding="utf-8"))
    frame = record["frames"][index]
    content = {name: frame[name] for name in ("codes", "draft_codes", "corrected")}
    content |= {"index": index, "sentence": job.sentences[index], "prompt": record["refined_prompts"][index]}
    content |= {"weights": record["settings"].get("weights")}
    return data_url(with_text(png, here.signer.sealed(PURPOSE, content)), "png")
