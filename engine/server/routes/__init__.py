"""Routes, one router a file. Everything below ``/v1/`` needs a key (``guard.py``)."""

from fastapi import APIRouter

from . import events, health, models, page, session, stories, story_files, story_gif

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    session.router,
    models.router,
    stories.router,
    story_files.router,
    story_gif.router,
    events.router,
    page.router,
)
