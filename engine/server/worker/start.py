"""The start of a worker that a server spawns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ...utils.malloc import keep_freed_memory
from ..logs import set_up_logs
from ..settings import Settings
from .desk import Executor
from .process import run_worker

if TYPE_CHECKING:
    from ...engine import Engine


def start(name: str, load: Callable[[Settings], Engine], executors: Mapping[str, Executor]) -> int:
    """Run the worker ``name`` with the settings in the first line of standard input -> its exit code."""
    keep_freed_memory()  # before there is another thread
    settings = Settings.model_validate_json(sys.stdin.readline())
    set_up_logs(settings.log_level)
    return run_worker(settings, name, load, executors, until_closed=True)
