"""Who is still there of stories that share a session: they come together, and leave one by one.

three come together     here = 3
two are done            here = 1; members (this company, place 2) are now all of it
the last goes           here = 0; the session is closed
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Protocol


class Session(Protocol):
    """What the stories share."""

    def close(self) -> None:
        """The cache's buffers serve the next stories."""
        ...


class Company:
    """Stories in one session, ``here`` of which have not left. They may leave from several threads."""

    session: Session

    def __init__(self, count: int) -> None:
        self.here, self._lock = count, Lock()

    def whole(self, members: Sequence[tuple[Company, int]]) -> bool:
        """Are these stories, each given by its company and its place there, all that is left of this one?"""
        return all(other is self for other, _ in members) and len(members) == self.here

    def let_go(self) -> None:
        """One story less; when the last has gone, the cache's buffers serve the next group."""
        with self._lock:
            self.here -= 1
            if self.here == 0:
                self.session.close()
