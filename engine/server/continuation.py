"""Tokens with which any server of the same model and secret goes on with a story: the client carries its state."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..storage.story_reader import STORY_FILE
from .errors import ApiError
from .service import Service
from .settings_digest import settings_digest
from .store.records import Job

TYPE = "acdc.story.v1"
MAX_TOKEN = 1 << 22  # characters


class Continuation(BaseModel):
    """As an answer carries it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["acdc.story.v1"]
    payload: str = Field(max_length=MAX_TOKEN)


def token_of(here: Service, job: Job) -> dict[str, str] | None:
    """The token of a story's finished frames; None before the first."""
    try:
        record = json.loads((here.settings.stories / job.id / STORY_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    frames = [
        {
            "prompt": prompt,
            "codes": frame["codes"],
            "draft_codes": frame["draft_codes"],
            "corrected": frame["corrected"],
        }
        for frame, prompt in zip(record["frames"], record["refined_prompts"], strict=True)
    ]
    content = {
        "story": job.id,  # its pictures are taken where the server has them
        "sentences": record["sentences"][: len(frames)],
        "seed": record["seed"],
        "options": job.body.get("options", {}),
        "settings": settings_digest(record["settings"]),
        "frames": frames,
    }
    return {"kind": TYPE, "payload": here.signer.sealed(TYPE, content)}


def read_continuation(here: Service, token: Continuation) -> dict[str, Any]:
    """The state that the token carries; ``ApiError`` (400) for one that this server's secret did not sign."""
    content = here.signer.opened(TYPE, token.payload)
    if content is None:
        message = "the continuation was not signed with this server's secret, or was changed"
        raise ApiError(400, message, param="continuation", code="invalid_continuation")
    return content
