"""Routes, one router a file. Everything below ``/v1/`` needs a key (``guard.py``)."""

from fastapi import APIRouter

from . import events, health, models, session, stories, story_files

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    session.router,
    models.router,
    stories.router,
    story_files.router,
    events.router,
)
