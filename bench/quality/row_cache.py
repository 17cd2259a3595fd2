"""Numbers that networks gave, kept in one SQLite file: a run that was killed continues, and gives the same table.

rows(network, item, value)   float32, little-endian; ``network`` is a digest of what computes, ``item`` of the input
files(digest, ...)           facts of a file that was read
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .sets.survey import FileFacts

Rows = NDArray[np.float32]
TABLES = """
CREATE TABLE IF NOT EXISTS rows(network TEXT, item TEXT, value BLOB, PRIMARY KEY (network, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files(digest TEXT PRIMARY KEY, height INT, width INT, count INT, fps REAL, kind TEXT);
"""
ASKED_AT_ONCE = 500  # SQLite allows a limited number of placeholders
PATIENCE = 60.0  # seconds for which another run may write


class RowCache:
    """The file ``path``, which is made if it is not there; None: in memory.

    ``ValueError`` (one line) for a file that is something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        try:
            self._file = sqlite3.connect(":memory:" if path is None else path, timeout=PATIENCE)
            self._file.executescript(TABLES)
        except sqlite3.Error as error:
            raise ValueError(
                f"{path}: not a cache of evaluations ({error}); delete it or choose another --out"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def get(self, network: str, items: Sequence[str]) -> dict[str, Rows]:
        """The rows that are there, by item."""
        found: dict[str, Rows] = {}
        for start in range(0, len(items), ASKED_AT_ONCE):
            part = items[start : start + ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            asked = f"SELECT item, value FROM rows WHERE network = ? AND item IN ({marks})"
            with closing(self._file.execute(asked, (network, *part))) as rows:
                found |= {item: np.frombuffer(value, "<f4") for item, value in rows}
        return found

    def put(self, network: str, rows: Mapping[str, Rows]) -> None:
        """Keep rows, on disk when this returns. One that is there stays: what was computed once does not change."""
        with self._file:
            self._file.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, ?, ?)",
                ((network, item, row.astype("<f4").tobytes()) for item, row in rows.items()),
            )

    def facts(self, digest: str) -> FileFacts | None:
        """As :class:`.sets.survey.KnownFiles`."""
        asked = "SELECT height, width, count, fps, kind FROM files WHERE digest = ?"
        row = self._file.execute(asked, (digest,)).fetchone()
        return None if row is None else FileFacts(*row)

    def remember(self, digest: str, found: FileFacts) -> None:
        """As :class:`.sets.survey.KnownFiles`; on disk with the next rows, or at the latest with :meth:`save`."""
        self._file.execute("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?)", (digest, *found))

    def save(self) -> None:
        """Have what was remembered on disk."""
        self._file.commit()
