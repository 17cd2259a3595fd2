"""Append an event to a job, within the transaction that changes the job."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, update

from .tables import EVENTS, JOBS, META


def append_event(connection: Connection, job: str, kind: str, data: Mapping[str, Any]) -> int:
    """Returns the event's number among those of all jobs. The row of that counter stays locked until the commit, so
    numbers become visible in ascending order, and a reader needs to remember the last one only."""
    own = update(JOBS).where(JOBS.c.id == job).values(events=JOBS.c.events + 1).returning(JOBS.c.events)
    seq = connection.execute(own).scalar_one() - 1
    count = update(META).where(META.c.name == "events").values(value=META.c.value + 1).returning(META.c.value)
    number: int = connection.execute(count).scalar_one()
    row = {"number": number, "job": job, "seq": seq, "kind": kind, "data": dict(data), "created": time.time()}
    connection.execute(insert(EVENTS).values(row))
    return number
