"""The database: SQLite in WAL mode, or Postgres. Each transaction says whether it writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError

from .tables import META, METADATA, VERSION

BUSY_MS = 10_000  # how long a statement waits for another process's transaction
CONNECTIONS = 40  # as many threads as the API's routes run on
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON")


class Database:
    """``read()`` and ``write()`` open a transaction as a context: it is committed at the end, or rolled back."""

    def __init__(self, url: str) -> None:
        """``url`` as SQLAlchemy takes it; ``ValueError`` (one line, without the password) for one that it refuses."""
        try:
            parsed = make_url(url)
            self.engine = create_engine(parsed, pool_size=CONNECTIONS, max_overflow=0, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            reason = f"{type(error).__name__}; choose sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
            raise ValueError(f"the database's URL is refused: {reason}") from None
        self._log = None
        if parsed.get_backend_name() == "sqlite":
            self._log = f"{parsed.database}-wal"
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writer = self.engine.execution_options(writes=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; on SQLite one at a time, from its first statement on."""
        with self._writer.begin() as connection:
            yield connection

    def written(self) -> int | None:
        """A number that changes when any process writes, cheap to ask for; None where only a query can tell."""
        try:
            return None if self._log is None else os.stat(self._log).st_mtime_ns
        except OSError:
            return None

    def create_tables(self) -> None:
        """Make what is missing; ``ValueError`` for a store of another version."""
        try:
            with self.write() as connection:
                METADATA.create_all(connection)
                if connection.scalar(select(META.c.value).where(META.c.name == "version")) is None:
                    rows = [{"name": "version", "value": VERSION}, {"name": "events", "value": 0}]
                    connection.execute(insert(META), rows)
        except IntegrityError:  # another process made them at the same time
            pass
        with self.read() as connection:
            version = connection.scalar(select(META.c.value).where(META.c.name == "version"))
        if version != VERSION:
            raise ValueError(f"the store has version {version}, this program needs {VERSION}; choose another --data")

    def close(self) -> None:
        """Release all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun below
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that reads before it writes could fail at once, in spite of the time limit, unless it says so."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
