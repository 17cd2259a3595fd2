"""Routes, one router a file. Everything below ``/v1/`` needs a key (``guard.py``)."""

from fastapi import APIRouter

from ..openai import chat, images, videos
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
    images.router,
    chat.router,
    videos.router,
)
