"""Films as jobs of the store: a story that is shown as one, or a clip of one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request

from ...storage.story_reader import FRAMES, STORY_FILE
from ..errors import NO_RETRY, ApiError
from ..service import Service
from ..store.records import CANCELLED, DONE, FAILED, QUEUED, RUNNING, WAITING, Job
from ..submit import check_model, is_id, new_id, new_seed, submit
from .model_info import model_info
from .queue import check_served, story_body, submit_with_files
from .refusal import Refusal, unsupported
from .video_fields import RemixFields, VideoFields

FILM, CLIP = "film", "clip"
KINDS = (FILM, CLIP)
STATUS: Mapping[str, str] = {
    QUEUED: "queued", RUNNING: "in_progress", WAITING: "in_progress", DONE: "completed", FAILED: "failed",
    CANCELLED: "failed",
}  # fmt: skip


def draws_clips(here: Service) -> bool:
    """Does the model that is served draw moving pictures? ``ApiError`` (503) while it is loaded."""
    return bool(model_info(here)["clips"])


def get_video(here: Service, name: str) -> Job:
    """The job of a video; ``ApiError`` (404) where there is none."""
    job = here.store.get(name) if is_id(name) else None
    if job is None or job.kind not in KINDS:
        raise ApiError(404, f"there is no video {name[:100]!r}", code="video_not_found")
    return job


def queue_video(here: Service, request: Request, asked: VideoFields) -> Job:
    """A video of its own."""
    clips = draws_clips(here)
    asked.check(clips)
    check_served(here, asked)
    seed = new_seed() if asked.seed is None else asked.seed
    kind = CLIP if asked.is_clip(clips) else FILM
    sent = asked.model_dump(exclude_unset=True, mode="json")
    body = _body(here, asked, clips, seed)
    return submit(here, request, kind, body, name=new_id("video"), asked=sent)[0]


def queue_remix(here: Service, request: Request, asked: RemixFields, source: Job) -> Job:
    """The video ``source`` of other words, with its seed and options; or what follows it."""
    clips = draws_clips(here)
    asked.check(clips)
    check_model(here, asked.model)
    kind = CLIP if asked.is_clip(clips) else FILM
    if kind == source.kind == CLIP and not {"num_frames", "seconds", "fps"} & asked.model_fields_set:
        lengths = {name: source.body["video"][name] for name in ("num_frames", "fps", "chunk_frames")}
        asked = asked.model_copy(update=lengths)
    seed = source.body["seed"] if asked.seed is None else asked.seed
    body = _body(here, asked, clips, seed)
    body["options"] = {**source.body["options"], **body["options"]}
    body["video"]["remixed_from"] = source.id
    sent = {"source": source.id, **asked.model_dump(exclude_unset=True, mode="json")}
    if not asked.extend:
        return submit(here, request, kind, body, name=new_id("video"), asked=sent)[0]
    _extend(here, source, kind, body)
    write = partial(_copy_frames, here.settings.stories / source.id)
    return submit_with_files(here, request, kind, body, new_id("video"), sent, write)


def _body(here: Service, asked: VideoFields, clips: bool, seed: int) -> dict[str, Any]:
    param = "prompt" if asked.sentences is None else "sentences"
    story, lengths = story_body(here, asked, asked.story(), seed, 0, param), asked.lengths(clips)
    shown = {"prompt": asked.prompt, "num_frames": lengths.num_frames, "fps": lengths.fps}
    shown["size"] = model_info(here)["size"]
    return {**story, "video": {**shown, "seconds": lengths.seconds, "chunk_frames": lengths.chunk_frames}}


def _extend(here: Service, source: Job, kind: str, body: dict[str, Any]) -> None:
    """Frames of ``source`` come first: ``body`` becomes that of the longer video."""
    if kind != source.kind:
        raise unsupported("extend", True, f"{source.id} is a {source.kind}, and the words make a {kind}")
    if source.state != DONE:
        raise Refusal(f"{source.id} is {STATUS[source.state]}; wait until it is completed", "video", "video_not_ready")
    video, earlier = body["video"], source.body["video"]
    if kind == FILM:
        body["sentences"] = [*source.sentences, *body["sentences"]]
        if len(body["sentences"]) > here.settings.max_sentences:
            most = here.settings.max_sentences
            raise Refusal(f"the film would have {len(body['sentences'])} sentences; the limit is {most}", "prompt")
    elif source.sentences != body["sentences"]:
        raise Refusal(f"a clip goes on under its own words; give prompt {source.sentences[0]!r}", "prompt")
    elif earlier["num_frames"] % earlier["chunk_frames"]:
        frames, chunk = earlier["num_frames"], earlier["chunk_frames"]
        raise unsupported("extend", True, f"{source.id} has {frames} frames, which are not whole chunks of {chunk}")
    video["num_frames"] += earlier["num_frames"]
    video["chunk_frames"], video["fps"] = earlier["chunk_frames"], earlier["fps"]
    video["seconds"] = f"{video['num_frames'] / video['fps']:g}"


def _copy_frames(before: Path, folder: Path) -> None:
    """The longer video's folder begins with the frames of the one ``before``."""
    shutil.copytree(before / FRAMES, folder / FRAMES)
    shutil.copyfile(before / STORY_FILE, folder / STORY_FILE)


def video_object(here: Service, job: Job) -> dict[str, Any]:
    """A video as the client's type has it, and more by vLLM-Omni's names."""
    video, events = job.body["video"], here.store.events(job.id, kinds=("frame",))
    stages: dict[str, float] = {}
    for event in events:
        for phase, milliseconds in event.data["phases_ms"].items():
            stages[phase] = round(stages.get(phase, 0.0) + milliseconds / 1e3, 4)
    size = f"{events[0].data['width']}x{events[0].data['height']}" if events else video["size"]
    ended = None if job.ended is None else int(job.ended)
    took = None if job.started is None or job.ended is None else round(job.ended - job.started, 3)
    return {
        "id": job.id,
        "object": "video",
        "model": here.model,
        "status": STATUS[job.state],
        "progress": 100 if job.state == DONE else min(99, 100 * len(events) // video["num_frames"]),
        "created_at": int(job.created),
        "completed_at": ended if job.state == DONE else None,
        "expires_at": None,
        "error": error_of(job),
        "prompt": video["prompt"],
        "remixed_from_video_id": video.get("remixed_from"),
        "seconds": video["seconds"],
        "size": size,
        "num_frames": video["num_frames"],
        "fps": video["fps"],
        "seed": job.body["seed"],
        "kind": job.kind,
        "stage_durations": stages,
        "inference_time_s": took,
    }


def error_of(job: Job) -> dict[str, Any] | None:
    """Why a video failed."""
    if job.state == CANCELLED:
        return {"code": "cancelled", "message": "the video was cancelled"}
    return None if job.error is None else {"code": job.error.get("code"), "message": job.error["message"]}


def not_ready(job: Job) -> ApiError:
    """404 for the content of a video that has none: clients repeat a 409."""
    message = f"{job.id} is {STATUS[job.state]}; its content is there when it is completed"
    return ApiError(404, message, code="video_not_ready", headers=NO_RETRY)
