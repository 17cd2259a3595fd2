"""Workers as the store knows them: who is alive, and which model each has."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Any

from sqlalchemy import delete, insert, select, update

from .claims import Claims
from .database import Database
from .tables import JOBS, WORKERS

ENDED = ("Z", "X")  # states of a process in /proc (proc(5))
LOADING, READY, BLOCKED = "loading", "ready", "blocked"  # blocked: it cannot write


@dataclass(frozen=True)
class Worker:
    """A worker as it was read; times in seconds since 1970."""

    id: str
    host: str
    pid: int
    state: str
    beat: float
    progress: float
    info: Mapping[str, Any]


class Workers:
    """Beats of workers."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def beat(self, name: str, state: str, progress: float, info: Mapping[str, Any]) -> None:
        """The worker of this process is alive."""
        values = {"state": state, "beat": time.time(), "progress": progress, "info": dict(info)}
        with self.database.write() as connection:
            if connection.execute(update(WORKERS).where(WORKERS.c.id == name).values(values)).rowcount == 0:
                own = {"id": name, "host": gethostname(), "pid": os.getpid()}
                connection.execute(insert(WORKERS).values({**own, **values}))

    def alive(self, within: float) -> list[Worker]:
        """Workers that were seen in the last ``within`` seconds."""
        with self.database.read() as connection:
            rows = connection.execute(select(WORKERS).where(WORKERS.c.beat > time.time() - within))
            return [Worker(**row._mapping) for row in rows]

    def get(self, name: str) -> Worker | None:
        """The worker of that id."""
        with self.database.read() as connection:
            row = connection.execute(select(WORKERS).where(WORKERS.c.id == name)).one_or_none()
        return None if row is None else Worker(**row._mapping)

    def bury(self, name: str, *, blame: bool) -> int:
        """A worker has ended: its jobs go back to the queue -> their number. ``blame`` as for ``Claims.release``."""
        released = Claims(self.database, name).release(blame=blame)
        with self.database.write() as connection:
            connection.execute(update(JOBS).where(JOBS.c.owner == name).values(owner=None, lease=None))
            connection.execute(delete(WORKERS).where(WORKERS.c.id == name))
        return released

    def bury_dead(self) -> None:
        """Bury the workers of this machine whose processes are gone: those of a server that was killed."""
        with self.database.read() as connection:
            here = connection.execute(select(WORKERS.c.id, WORKERS.c.pid).where(WORKERS.c.host == gethostname())).all()
        for name, pid in here:
            if not _runs(pid):
                self.bury(name, blame=True)


def _runs(pid: int) -> bool:
    """Does the process run? One that has ended and waits for its parent (a zombie) does not; containers whose first
    process looks seldom keep them for seconds."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ENDED
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or a system without /proc
        return True
