"""Queue a job for a request: checks that every kind of job shares."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from .errors import NO_RETRY, ApiError, too_many
from .service import Service
from .store.records import Job
from .store.store import Conflict, QueueFull

MAX_KEY = 255  # characters of an Idempotency-Key


def new_id(kind: str) -> str:
    """``story_3f...``, which cannot be guessed."""
    return f"{kind}_{secrets.token_hex(12)}"


def new_seed() -> int:
    """A seed for a request without one."""
    return secrets.randbelow(2**31)


def check_model(here: Service, model: str | None) -> None:
    """``ApiError`` (404) for another model than the one that is served."""
    if model is not None and model != here.model:
        raise ApiError(
            404, f"there is no model {model[:100]!r}; choose {here.model!r}", param="model", code="model_not_found"
        )


def idempotency_key(request: Request) -> str | None:
    """The header ``Idempotency-Key``."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise ApiError(400, f"Idempotency-Key has {len(key)} characters; choose 1 to {MAX_KEY}", code="invalid_value")
    return key


def submit(
    here: Service,
    request: Request,
    kind: str,
    body: Mapping[str, Any],
    *,
    name: str | None = None,
    asked: Mapping[str, Any] | None = None,
    idempotency: str | None = None,
    priority: int = 0,
) -> tuple[Job, bool]:
    """Queue a job -> it, and whether it is new. ``name`` is its id if the client chose one; ``asked`` is what the
    client sent, by which a repeated request is recognised. ``ApiError`` 409 or 429. It blocks on the
    database: call it in a route that is not ``async``, or by ``asyncio.to_thread``."""
    try:
        job, new = here.store.submit(
            name or new_id(kind),
            kind,
            body,
            asked=asked,
            key_hash=request.state.key_hash,
            idempotency=idempotency or idempotency_key(request),
            priority=priority,
            max_queue=here.settings.max_queue,
        )
    except Conflict as error:
        raise ApiError(409, str(error), code="conflict", headers=NO_RETRY) from None
    except QueueFull as error:
        raise too_many(str(error)) from None
    if not new and job.kind != kind:
        raise ApiError(409, f"id {job.id!r} is another kind of request's", code="conflict", headers=NO_RETRY)
    return job, new


def get_job(here: Service, name: str, kind: str) -> Job:
    """The job of that id and kind; ``ApiError`` (404) where there is none."""
    job = here.store.get(name) if is_id(name) else None
    if job is None or job.kind != kind:
        raise ApiError(404, f"there is no {kind} {name[:100]!r}", code=f"{kind}_not_found")
    return job


def is_id(name: str) -> bool:
    """Could it be a job's id? Then it is also a folder's name, which leads nowhere else."""
    return 0 < len(name) <= 100 and name[0].isalnum() and all(c.isascii() and (c.isalnum() or c in "-_.") for c in name)
