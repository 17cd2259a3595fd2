"""Write until it succeeds: a full disk or a locked database holds a worker up, and loses nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

Result = TypeVar("Result")
LOG = logging.getLogger("acdc.serve.worker")
AGAIN_S = 0.5


class Persistence:
    """``blocked`` says why nothing can be written now, "" when it can."""

    def __init__(self) -> None:
        self.blocked = ""
        self.since = time.time()  # when something was last tried
        self.stopped = False

    def __call__(self, write: Callable[[], Result]) -> Result:
        """The result of ``write``, which is repeated while the disk or the store refuses; raises when the worker
        stops meanwhile, and whatever else it raises: a folder that somebody has removed will not come back."""
        while True:
            try:
                result = write()
            except (OSError, OperationalError) as error:
                if isinstance(error, FileNotFoundError):
                    self._goes_on()
                    raise
                if self.stopped:
                    raise
                self._waits(getattr(error, "strerror", None) or str(getattr(error, "orig", None) or error))
            except Exception:
                self._goes_on()  # the disk and the store had no objection
                raise
            else:
                self._goes_on()
                return result

    def _waits(self, reason: str) -> None:
        if not self.blocked:
            LOG.error("nothing can be written (%s); waiting until it can", " ".join(reason.split()))
        self.blocked, self.since = reason, time.time()
        time.sleep(AGAIN_S)

    def _goes_on(self) -> None:
        if self.blocked:
            LOG.info("writing goes on")
        self.blocked, self.since = "", time.time()
