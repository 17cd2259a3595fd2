"""Requests, frames and events as the records that ``wire.py`` packs, and back."""

from __future__ import annotations

from typing import Any

from ..constraints import NONE, NUMBERED, Constraints
from ..memory import MemoryFailure
from ..outputs import Frame, PartialImage, Phase, Span
from ..request import StoryRequest
from ..scheduler.events import AlreadyComplete, Cancelled, Event, FrameDone, PartialReady, StoryFailed

Record = dict[str, Any]
ERRORS = {kind.__name__: kind for kind in (ValueError, OSError, MemoryFailure, Cancelled, MemoryError, AssertionError)}
FRAME_FIELDS = ("index", "sentence", "refined_prompt", "cut_prompt", "corrected", "draft", "image", "memory_note")
CODES = ("draft_codes", "codes", "later_prompts")


def request_record(request: StoryRequest) -> Record:
    """A story to draw, with its frames so far and the pictures that constrain it."""
    return {
        "id": request.id,
        "sentences": list(request.sentences),
        "seed": request.seed,
        "done": [frame_record(frame) for frame in request.done],
        "constraints": _constraints_record(request.constraints) if request.constraints else None,
        "partial_images": request.partial_images,
        "options": dict(request.options),
    }


def parse_request(record: Record) -> StoryRequest:
    """The request of such a record. ``ValueError`` for one that is invalid."""
    wanted = record["partial_images"]
    return StoryRequest(
        record["id"],
        tuple(record["sentences"]),
        record["seed"],
        tuple(parse_frame(frame) for frame in record["done"]),
        _parse_constraints(record["constraints"]) if record["constraints"] else NONE,
        tuple(wanted) if isinstance(wanted, list) else wanted,
        record["options"],
    )


def frame_record(frame: Frame) -> Record:
    """A frame with its pixels."""
    spans = [[span.phase.value, span.start_ms, span.duration_ms] for span in frame.spans]
    return {**{name: getattr(frame, name) for name in (*FRAME_FIELDS, *CODES)}, "spans": spans}


def parse_frame(record: Record) -> Frame:
    """The frame of such a record."""
    spans = tuple(Span(Phase(phase), start, duration) for phase, start, duration in record["spans"])
    codes: Record = {name: tuple(record[name]) for name in CODES}
    return Frame(**{name: record[name] for name in FRAME_FIELDS}, **codes, spans=spans)


def event_record(event: Event) -> Record:
    """An event; its story is named by its id alone."""
    record: Record = {"event": type(event).__name__, "id": event.request.id}
    match event:
        case FrameDone(_, frame, latency_ms, waited_ms):
            return {**record, "frame": frame_record(frame), "latency_ms": latency_ms, "waited_ms": waited_ms}
        case PartialReady(_, partial):
            return {**record, "partial": vars(partial)}
        case StoryFailed(_, error):
            return {**record, "error": error_record(error)}
        case AlreadyComplete():
            return record


def parse_event(record: Record, request: StoryRequest) -> Event:
    """The event of such a record about ``request``."""
    match record["event"]:
        case "FrameDone":
            return FrameDone(request, parse_frame(record["frame"]), record["latency_ms"], record["waited_ms"])
        case "PartialReady":
            return PartialReady(request, PartialImage(**record["partial"]))
        case "StoryFailed":
            return StoryFailed(request, parse_error(record["error"]))
        case "AlreadyComplete":
            return AlreadyComplete(request)
        case unknown:
            raise ValueError(f"unknown event {unknown!r} of story {request.id!r}")


def error_record(error: BaseException) -> Record:
    """An error's class and message."""
    return {"type": type(error).__name__, "message": str(error)}


def parse_error(record: Record) -> Exception:
    """An error of the same class where it is a known one; else one whose message names the class."""
    kind, message = record["type"], record["message"]
    if kind == "RuntimeError":
        return RuntimeError(message)
    return ERRORS[kind](message) if kind in ERRORS else RuntimeError(f"{kind}: {message}")


def _constraints_record(constraints: Constraints) -> Record:
    numbered = {name: list(getattr(constraints, name).items()) for name in NUMBERED}
    return {"mask": constraints.mask, "depth": constraints.depth, **numbered}


def _parse_constraints(record: Record) -> Constraints:
    numbered = {name: dict(record[name]) for name in NUMBERED}
    return Constraints(record["mask"], record["depth"], **numbered)
