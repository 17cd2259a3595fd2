"""Remove a job with its files, as soon as no worker writes them any more."""

from __future__ import annotations

import logging
import math
import shutil
import time
from contextlib import suppress

from .errors import NO_RETRY, ApiError
from .service import Service

LOG = logging.getLogger("acdc.serve")
GIVE_UP_S = 10.0  # for its worker to give up a job that a client waits to see removed
UNLIMITED = math.inf  # a lease ends: a worker that hangs holds nobody up for longer
LOOK_S = 0.02


def remove(here: Service, name: str, *, cancel: bool = True, within: float = GIVE_UP_S) -> None:
    """End a job, and remove it with its files when its worker has given it up: what a worker wrote later would stay.

    Without ``cancel`` a job that has all its pictures ends by itself. ``ApiError`` (409) where the worker goes on for
    more than ``within`` seconds. It blocks."""
    with suppress(LookupError):  # another request has removed it
        if cancel:
            here.store.cancel(name)
        end = time.monotonic() + within
        while here.store.held(name):
            if time.monotonic() > end:
                raise ApiError(409, f"{name!r} is under way; delete it again", code="story_ending", headers=NO_RETRY)
            time.sleep(LOOK_S)
        here.store.delete(name)
    shutil.rmtree(here.settings.stories / name, ignore_errors=True)


def remove_later(here: Service, name: str, *, cancel: bool = True) -> None:
    """As :func:`remove` does, however long its worker goes on; waits for nothing."""
    here.removals.submit(_remove, here, name, cancel)


def _remove(here: Service, name: str, cancel: bool) -> None:
    try:
        remove(here, name, cancel=cancel, within=UNLIMITED)
    except Exception as error:  # nobody asks for the result
        LOG.warning("job %r is not removed: %s", name, type(error).__name__)
