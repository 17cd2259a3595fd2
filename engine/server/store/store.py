"""The API's side of the store: submit, read, append to, cancel and delete jobs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from .append import append_event
from .database import Database
from .records import CANCELLED, ENDED, QUEUED, WAITING, Job, StoredEvent
from .tables import EVENTS, JOBS, META


class Conflict(RuntimeError):
    """Another job has this id, or this idempotency key."""


class QueueFull(RuntimeError):
    """As many jobs wait as may."""


class Closed(RuntimeError):
    """The story takes no more sentences."""


def digest_of(kind: str, body: Mapping[str, Any]) -> str:
    """Equal for equal requests."""
    text = json.dumps([kind, body], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """Jobs and events. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def submit(
        self,
        name: str,
        kind: str,
        body: Mapping[str, Any],
        *,
        asked: Mapping[str, Any] | None = None,
        key_hash: str = "",
        idempotency: str | None = None,
        priority: int = 0,
        max_queue: int | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job -> it, and whether it is new. The same request under the same id or idempotency key gives the job
        that is there; ``asked`` is what the client sent, where ``body`` has values that were chosen for it. Raises
        ``Conflict`` for another request, ``QueueFull`` where ``max_queue`` jobs wait."""
        digest = digest_of(kind, body if asked is None else asked)
        row: dict[str, Any] = {"id": name, "kind": kind, "body": dict(body), "digest": digest, "key_hash": key_hash}
        row |= {"idempotency": idempotency, "priority": priority, "state": QUEUED, "created": time.time()}
        row |= {"attempt": 0, "events": 0}
        try:
            with self.database.write() as connection:
                if (earlier := _same(connection, row)) is not None:
                    return earlier, False
                waiting = connection.execute(_count(JOBS.c.state == QUEUED)).scalar_one()
                if max_queue is not None and waiting >= max_queue:
                    raise QueueFull(f"{waiting} requests wait, the limit is {max_queue}; try again later")
                connection.execute(insert(JOBS).values(row))
                append_event(connection, name, "queued", {"position": waiting})
                return _job(connection, name), True
        except IntegrityError:  # the same request was committed meanwhile
            with self.database.read() as connection:
                earlier = _same(connection, row)
            if earlier is None:
                raise
            return earlier, False

    def get(self, name: str) -> Job | None:
        """The job of that id."""
        with self.database.read() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == name)).one_or_none()
        return None if row is None else Job.of(row)

    def position(self, job: Job) -> int | None:
        """Number of jobs that come before it in the queue; None where it does not wait."""
        if job.state != QUEUED:
            return None
        same = and_(JOBS.c.priority == job.priority, JOBS.c.created < job.created)
        with self.database.read() as connection:
            before = _count(JOBS.c.state == QUEUED, or_(JOBS.c.priority > job.priority, same))
            return int(connection.execute(before).scalar_one())

    def jobs(
        self, kinds: Sequence[str], *, state: str | None = None, after: str | None = None, limit: int = 20,
        ascending: bool = False,
    ) -> list[Job]:  # fmt: skip
        """Jobs of these kinds, the newest first unless ``ascending``, from the one after ``after`` on."""
        asked = select(JOBS).where(JOBS.c.kind.in_(kinds))
        if state is not None:
            asked = asked.where(JOBS.c.state == state)
        with self.database.read() as connection:
            if after is not None:
                created = select(JOBS.c.created).where(JOBS.c.id == after).scalar_subquery()
                beyond = (JOBS.c.id > after) if ascending else (JOBS.c.id < after)
                later = (JOBS.c.created > created) if ascending else (JOBS.c.created < created)
                asked = asked.where(or_(later, and_(JOBS.c.created == created, beyond)))
            order = (JOBS.c.created, JOBS.c.id) if ascending else (JOBS.c.created.desc(), JOBS.c.id.desc())
            rows = connection.execute(asked.order_by(*order).limit(limit))
            return [Job.of(row) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """(kind, state) -> number of jobs."""
        asked = select(JOBS.c.kind, JOBS.c.state, func.count()).group_by(JOBS.c.kind, JOBS.c.state)
        with self.database.read() as connection:
            return {(kind, state): count for kind, state, count in connection.execute(asked)}

    def add_sentences(self, name: str, sentences: Sequence[str], most: int) -> Job:
        """Append to an open story. Raises ``Closed`` for one that is not, ``ValueError`` beyond ``most`` sentences."""
        with self.database.write() as connection:
            job = _locked(connection, name)
            if job.state in ENDED or not job.body.get("open"):
                raise Closed(f"story {name!r} takes no more sentences; begin another one")
            texts = [*job.sentences, *sentences]
            if len(texts) > most:
                raise ValueError(f"story {name!r} would have {len(texts)} sentences; the limit is {most}")
            self._change(connection, job, {"sentences": texts})
            return _job(connection, name)

    def close(self, name: str) -> Job:
        """No more sentences; those that are there are drawn. A story that takes none is left as it is."""
        with self.database.write() as connection:
            job = _locked(connection, name)
            if job.state not in ENDED and job.body.get("open"):
                self._change(connection, job, {"open": False})
            return _job(connection, name)

    def cancel(self, name: str) -> Job:
        """End a job now; its worker sees that it has lost it, and then gives it up (``held``). One that has ended is
        left as it is."""
        with self.database.write() as connection:
            job = _locked(connection, name)
            if job.state not in ENDED:
                ended = {"state": CANCELLED, "ended": time.time()}
                connection.execute(update(JOBS).where(JOBS.c.id == name).values(ended))
                append_event(connection, name, "cancelled", {})
            return _job(connection, name)

    def held(self, name: str) -> bool:
        """May a worker still write files of the job?"""
        job = self.get(name)
        return job is not None and job.owner is not None and (job.lease or 0.0) > time.time()

    def delete(self, name: str) -> None:
        """Remove a job and its events; its files are the caller's."""
        with self.database.write() as connection:
            connection.execute(delete(EVENTS).where(EVENTS.c.job == name))
            connection.execute(delete(JOBS).where(JOBS.c.id == name))

    def events(self, name: str, after: int = -1, kinds: Sequence[str] = ()) -> list[StoredEvent]:
        """The job's events with a seq above ``after``, of these kinds (none: all)."""
        asked = select(EVENTS).where(EVENTS.c.job == name, EVENTS.c.seq > after).order_by(EVENTS.c.seq)
        return self._events(asked.where(EVENTS.c.kind.in_(kinds)) if kinds else asked)

    def all_events(self, after: int, limit: int = 1000) -> list[StoredEvent]:
        """Events of all jobs with a number above ``after``."""
        return self._events(select(EVENTS).where(EVENTS.c.number > after).order_by(EVENTS.c.number).limit(limit))

    def last_number(self) -> int:
        """The number of the newest event, 0 where there is none."""
        with self.database.read() as connection:
            return int(connection.execute(select(META.c.value).where(META.c.name == "events")).scalar_one())

    def _events(self, asked: Select[Any]) -> list[StoredEvent]:
        with self.database.read() as connection:
            return [StoredEvent.of(row) for row in connection.execute(asked)]

    def _change(self, connection: Connection, job: Job, changes: Mapping[str, Any]) -> None:
        """Other values in a job's body; a job that waited for them is queued again."""
        values: dict[str, Any] = {"body": {**job.body, **changes}}
        if job.state == WAITING:
            values |= {"state": QUEUED, "attempt": 0}
        connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(values))
        if job.state == WAITING:
            append_event(connection, job.id, "queued", {"position": None})


def _count(*conditions: Any) -> Select[Any]:
    return select(func.count()).select_from(JOBS).where(*conditions)


def _job(connection: Connection, name: str) -> Job:
    return Job.of(connection.execute(select(JOBS).where(JOBS.c.id == name)).one())


def _locked(connection: Connection, name: str) -> Job:
    """The job, which no other transaction changes until this one ends; ``LookupError`` where there is none."""
    row = connection.execute(select(JOBS).where(JOBS.c.id == name).with_for_update()).one_or_none()
    if row is None:
        raise LookupError(f"there is no job {name!r}")
    return Job.of(row)


def _same(connection: Connection, row: Mapping[str, Any]) -> Job | None:
    """The job that an equal request made; ``Conflict`` where another request has its id or key."""
    same_key = and_(JOBS.c.key_hash == row["key_hash"], JOBS.c.idempotency == row["idempotency"])
    condition = JOBS.c.id == row["id"] if row["idempotency"] is None else or_(JOBS.c.id == row["id"], same_key)
    found = [Job.of(one) for one in connection.execute(select(JOBS).where(condition))]
    for job in found:
        if job.digest != row["digest"]:
            what = f"id {job.id!r}" if job.id == row["id"] else "idempotency key"
            raise Conflict(f"another request has the {what}; choose another")
    return found[0] if found else None
