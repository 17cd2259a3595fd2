"""Kinds of jobs besides stories: one function each, which runs alone on the engine and returns its last event's data.

``ValueError`` of an executor is the client's mistake; any other error is the server's.
"""

from __future__ import annotations

from collections.abc import Mapping

from .clip_work import clip
from .desk import Executor
from .edit_work import edit

STORIES = ("story", "film")  # drawn together (drawing.py); a film is a story that /v1/videos knows
EXECUTORS: Mapping[str, Executor] = {"edit": edit, "clip": clip}
