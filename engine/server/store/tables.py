"""Tables of the store; the statements on them are the same for SQLite and Postgres."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

VERSION = 1  # of the tables; a store of a later version is refused
METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("name", String(20), primary_key=True),  # "version", and "events": the number of events so far
    Column("value", BigInteger, nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String(100), primary_key=True),
    Column("kind", String(20), nullable=False),  # story, video, edit
    Column("state", String(20), nullable=False),  # store/states.py
    Column("priority", Integer, nullable=False),
    Column("created", Float, nullable=False),  # seconds since 1970, as all times here
    Column("started", Float),
    Column("ended", Float),
    Column("owner", String(40)),  # the worker that runs it
    Column("lease", Float),  # until when it is the owner's
    Column("attempt", Integer, nullable=False),  # claims since its last frame
    Column("events", Integer, nullable=False),  # their number, which is the next event's seq
    Column("body", JSON, nullable=False),  # the request as accepted
    Column("error", JSON(none_as_null=True)),
    Column("digest", String(64), nullable=False),  # of the request: a repeated one is recognised by it
    Column("key_hash", String(64), nullable=False),
    Column("idempotency", String(255)),
    UniqueConstraint("key_hash", "idempotency"),
    Index("jobs_in_turn", "state", "priority", "created"),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # among all events, in the order of commits
    Column("job", String(100), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),  # among the job's events, from 0 without gaps
    Column("kind", String(20), nullable=False),
    Column("data", JSON, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("job", "seq"),
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("state", String(20), nullable=False),  # loading, ready, blocked
    Column("beat", Float, nullable=False),  # when its main thread was last seen
    Column("progress", Float, nullable=False),  # when its engine last finished something, or had nothing to do
    Column("info", JSON, nullable=False),  # its model
)
