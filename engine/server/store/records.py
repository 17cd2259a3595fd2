"""Rows of the store as values: jobs, events, states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

QUEUED, RUNNING, WAITING = "queued", "running", "waiting"  # waiting: an open story without a sentence left to draw
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
STATES = (QUEUED, RUNNING, WAITING, DONE, FAILED, CANCELLED)
ENDED = (DONE, FAILED, CANCELLED)
LAST_EVENTS = ("end", "failed", "cancelled")  # after these a job has no more


@dataclass(frozen=True)
class Job:
    """A job as it was read. ``body`` is the request as accepted; times in seconds since 1970."""

    id: str
    kind: str
    state: str
    priority: int
    created: float
    started: float | None
    ended: float | None
    owner: str | None
    lease: float | None
    attempt: int
    events: int
    body: Mapping[str, Any]
    error: Mapping[str, Any] | None
    digest: str
    key_hash: str
    idempotency: str | None

    @classmethod
    def of(cls, row: Row[Any]) -> Job:
        """A row of the table ``jobs``."""
        return cls(**row._mapping)

    @property
    def sentences(self) -> list[str]:
        """Sentences of a story."""
        return list(self.body.get("sentences", ()))


@dataclass(frozen=True)
class StoredEvent:
    """An event of a job: number ``seq`` of it (from 0), ``number`` among those of all jobs."""

    number: int
    job: str
    seq: int
    kind: str
    data: Mapping[str, Any]
    created: float

    @classmethod
    def of(cls, row: Row[Any]) -> StoredEvent:
        """A row of the table ``events``."""
        return cls(**row._mapping)

    @property
    def last(self) -> bool:
        """Is the job over with it?"""
        return self.kind in LAST_EVENTS
