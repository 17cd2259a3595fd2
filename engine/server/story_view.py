"""Stories as the API shows them: objects and events, with addresses of their pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.sse import ServerSentEvent

from .service import Service
from .store.records import Job, StoredEvent


def story_url(here: Service, name: str) -> str:
    """The address of a story, as a path."""
    return f"{here.settings.root_path}/v1/stories/{name}"


def frame_urls(here: Service, name: str, index: int) -> dict[str, str]:
    """Addresses of a finished frame (``index`` from 0)."""
    base = story_url(here, name)
    return {"url": f"{base}/frames/{index}.png", "draft_url": f"{base}/drafts/{index}.png"}


def event_data(here: Service, event: StoredEvent) -> dict[str, Any]:
    """An event's data with the addresses of its pictures."""
    data, base = dict(event.data), story_url(here, event.job)
    match event.kind:
        case "frame":
            return {**data, **frame_urls(here, event.job, data["index"])}
        case "draft":
            return {**data, "url": f"{base}/drafts/{data['index']}.png"}
        case "estimate":
            return {**data, "url": f"{base}/estimates/{data['index']}/{data['number']}.png"}
    return data


def wire(here: Service, event: StoredEvent) -> ServerSentEvent:
    """An event of one story's stream; its id is the event's seq."""
    data = json.dumps(event_data(here, event), ensure_ascii=False)
    return ServerSentEvent(event=event.kind, id=str(event.seq), raw_data=data)


def wire_of_all(here: Service, event: StoredEvent) -> ServerSentEvent:
    """An event of the stream over all stories: ``story`` is its id, the event's id its number among all."""
    data = json.dumps({"story": event.job, "seq": event.seq, **event_data(here, event)}, ensure_ascii=False)
    return ServerSentEvent(event=event.kind, id=str(event.number), raw_data=data)


def story_line(here: Service, job: Job) -> dict[str, Any]:
    """A story without its frames, for lists and as the answer to a submission."""
    base, body = story_url(here, job.id), job.body
    return {
        "id": job.id,
        "object": "story",
        "state": job.state,
        "model": here.model,
        "created_at": job.created,
        "started_at": job.started,
        "ended_at": job.ended,
        "sentences": job.sentences,
        "seed": body["seed"],
        "options": body.get("options", {}),
        "open": bool(body.get("open")),
        "error": job.error,
        "url": base,
        "events_url": f"{base}/events",
        "page_url": f"{here.settings.root_path}/?story={job.id}",
    }


def story_object(here: Service, job: Job, events: Sequence[StoredEvent], position: int | None) -> dict[str, Any]:
    """A story with its frames so far, which are the data of its ``frame`` events."""
    base = story_url(here, job.id)
    frames = [event_data(here, event) for event in events if event.kind == "frame"]
    whole: Mapping[str, Any] = {"sheet_url": f"{base}/sheet.png", "trace_url": f"{base}/trace.json"} if frames else {}
    return {**story_line(here, job), "position": position, "frames": frames, **whole}
