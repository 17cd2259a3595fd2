"""Kinds of jobs besides stories: one function each, which runs alone on the engine and returns its last event's data.

``ValueError`` of an executor is the client's mistake; any other error is the server's.
"""

from __future__ import annotations

from collections.abc import Mapping

from .desk import Executor

STORY = "story"  # stories are drawn together (drawing.py)
EXECUTORS: Mapping[str, Executor] = {}
