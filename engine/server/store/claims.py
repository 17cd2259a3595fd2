"""A worker's side of the store: claim jobs, renew their leases, write their events while they are the worker's own."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from .append import append_event
from .database import Database
from .records import DONE, FAILED, QUEUED, RUNNING, WAITING, Job
from .tables import EVENTS, JOBS

SUSPECT = 2  # attempts without a frame after which a job runs alone, so that its end harms no other job


class Lost(RuntimeError):
    """The job is another worker's, was cancelled, or is gone."""


class Claims:
    """Jobs of the worker ``owner``. ``lease`` is in seconds; a job that was claimed ``max_attempts`` times without a
    new frame fails instead of being claimed again."""

    def __init__(self, database: Database, owner: str, lease: float = 30.0, max_attempts: int = 3) -> None:
        self.database, self.owner, self.lease, self.max_attempts = database, owner, lease, max_attempts

    def waiting(self) -> bool:
        """Is there a job to claim?"""
        with self.database.read() as connection:
            return connection.execute(select(JOBS.c.id).where(self._free()).limit(1)).first() is not None

    def claim(self, *, suspects: bool = True) -> Job | None:
        """The next job, or None. Without ``suspects`` those are left that have ended workers before."""
        free = self._free() if suspects else and_(self._free(), JOBS.c.attempt < SUSPECT)
        turn = select(JOBS.c.id).where(free).order_by(JOBS.c.priority.desc(), JOBS.c.created, JOBS.c.id).limit(1)
        now = time.time()
        values = {"state": RUNNING, "owner": self.owner, "lease": now + self.lease, "attempt": JOBS.c.attempt + 1}
        chosen = turn.with_for_update(skip_locked=True).scalar_subquery()
        with self.database.write() as connection:
            row = connection.execute(update(JOBS).where(JOBS.c.id == chosen).values(values).returning(JOBS)).first()
            if row is None:
                return None
            job = Job.of(row)
            if job.attempt > self.max_attempts:
                message = f"the engine ended {self.max_attempts} times while it drew the same frame"
                error = {"message": message, "type": "server_error", "param": None, "code": "engine_died"}
                _end(connection, job.id, FAILED, "failed", {"error": error}, error)
                return None
            if job.started is None:
                connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(started=now))
            append_event(connection, job.id, "started", {"attempt": job.attempt})
            return job

    def renew(self) -> set[str]:
        """Prolong the leases of all own jobs -> their ids. A job that is not among them is lost."""
        with self.database.write() as connection:
            own = update(JOBS).where(JOBS.c.owner == self.owner, JOBS.c.state == RUNNING)
            rows = connection.execute(own.values(lease=time.time() + self.lease).returning(JOBS.c.id))
            return {name for (name,) in rows}

    def give_up(self, names: Collection[str]) -> None:
        """These jobs were lost, and no launch of theirs is under way here any more."""
        lost = and_(JOBS.c.owner == self.owner, JOBS.c.state != RUNNING, JOBS.c.id.in_(names))
        with self.database.write() as connection:
            connection.execute(update(JOBS).where(lost).values(owner=None, lease=None))

    def own(self) -> set[str]:
        """Ids of all own jobs."""
        with self.database.read() as connection:
            asked = select(JOBS.c.id).where(JOBS.c.owner == self.owner, JOBS.c.state == RUNNING)
            return set(connection.scalars(asked))

    def add(self, job: str, kind: str, data: Mapping[str, Any]) -> None:
        """Append an event; a frame clears the count of attempts. ``Lost`` where the job is not the worker's."""
        with self.database.write() as connection:
            values: dict[str, Any] = {"lease": time.time() + self.lease} | ({"attempt": 0} if kind == "frame" else {})
            self._guard(connection, job, values)
            append_event(connection, job, kind, data)

    def seen(self, job: str, kinds: Collection[str]) -> list[Mapping[str, Any]]:
        """Data of a job's earlier events of these kinds."""
        with self.database.read() as connection:
            asked = select(EVENTS.c.data).where(EVENTS.c.job == job, EVENTS.c.kind.in_(kinds)).order_by(EVENTS.c.seq)
            return list(connection.scalars(asked))

    def exists(self, job: str) -> bool:
        """Is there still such a job, any worker's?"""
        with self.database.read() as connection:
            return connection.execute(select(JOBS.c.id).where(JOBS.c.id == job)).first() is not None

    def end(self, job: str, data: Mapping[str, Any]) -> None:
        """The job is done. ``Lost`` as for :meth:`add`."""
        with self.database.write() as connection:
            self._guard(connection, job, {})
            _end(connection, job, DONE, "end", data)

    def fail(self, job: str, error: Mapping[str, Any]) -> None:
        """The job has failed, with an error of OpenAI's shape. ``Lost`` as for :meth:`add`."""
        with self.database.write() as connection:
            self._guard(connection, job, {})
            _end(connection, job, FAILED, "failed", {"error": dict(error)}, error)

    def settle(self, job: str, drawn: int, data: Mapping[str, Any]) -> str:
        """All ``drawn`` sentences of a story have their frames -> its state from now on: queued again where a sentence
        was added meanwhile, waiting where it is open, else done. ``Lost`` as for :meth:`add`."""
        with self.database.write() as connection:
            self._guard(connection, job, {})
            body = connection.execute(select(JOBS.c.body).where(JOBS.c.id == job)).scalar_one()
            if len(body["sentences"]) <= drawn and not body.get("open"):
                _end(connection, job, DONE, "end", data)
                return DONE
            state = QUEUED if len(body["sentences"]) > drawn else WAITING
            free = {"state": state, "owner": None, "lease": None, "attempt": 0}
            connection.execute(update(JOBS).where(JOBS.c.id == job).values(free))
            append_event(connection, job, state, {"position": None} if state == QUEUED else {})
            return state

    def release(self, names: Collection[str] | None = None, *, blame: bool = False) -> int:
        """Hand own jobs (None: all) back to the queue -> their number. With ``blame`` the attempt counts: the worker
        died with them."""
        attempt = JOBS.c.attempt if blame else JOBS.c.attempt - 1
        mine = and_(JOBS.c.owner == self.owner, JOBS.c.state == RUNNING)
        chosen = mine if names is None else and_(mine, JOBS.c.id.in_(names))
        values = {"state": QUEUED, "owner": None, "lease": None, "attempt": attempt}
        with self.database.write() as connection:
            return connection.execute(update(JOBS).where(chosen).values(values)).rowcount

    def _free(self) -> ColumnElement[bool]:
        expired = and_(JOBS.c.state == RUNNING, JOBS.c.lease < time.time(), JOBS.c.owner != self.owner)
        return or_(JOBS.c.state == QUEUED, expired)

    def _guard(self, connection: Connection, job: str, values: Mapping[str, Any]) -> None:
        """Lock the job's row, if it is still the worker's own."""
        mine = and_(JOBS.c.id == job, JOBS.c.owner == self.owner, JOBS.c.state == RUNNING)
        if connection.execute(update(JOBS).where(mine).values({"owner": self.owner, **values})).rowcount == 0:
            raise Lost(f"job {job!r} is not this worker's any more")


def _end(
    connection: Connection,
    job: str,
    state: str,
    kind: str,
    data: Mapping[str, Any],
    error: Mapping[str, Any] | None = None,
) -> None:
    values = {"state": state, "ended": time.time(), "owner": None, "lease": None, "error": error}
    connection.execute(update(JOBS).where(JOBS.c.id == job).values(values))
    append_event(connection, job, kind, data)
