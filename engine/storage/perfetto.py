"""A story's timeline in Chrome's trace format: opens in Perfetto (ui.perfetto.dev) and chrome://tracing.

Format: "Trace Event Format", complete events ("X") with times in microseconds, one track a resource.
"""

from typing import Any

from ..outputs import Frame, Phase, StoryResult

TRACKS = ("memory", "ARM", "tokenizer", "diffusion model")
TRACK_OF = {
    Phase.MEMORY: "memory",
    Phase.PREFILL: "ARM",
    Phase.SAMPLE: "ARM",
    Phase.VQ_DECODE: "tokenizer",
    Phase.SDEDIT: "diffusion model",
    Phase.VQ_ENCODE: "tokenizer",
    Phase.UPDATE_CONTEXT: "ARM",
}


def trace_events(story: StoryResult) -> dict[str, Any]:
    """The whole trace, ready for JSON: track names first, then one event for each span of each frame."""
    events = [_name("process_name", 0, "acdc story")]
    for number, track in enumerate(TRACKS, 1):
        events.append(_name("thread_name", number, track))
        events.append(_metadata("thread_sort_index", number, {"sort_index": number}))
    for frame in story.frames:
        events.extend(_frame_events(frame))
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": dict(story.versions)}


def _frame_events(frame: Frame) -> list[dict[str, Any]]:
    return [
        {
            "name": span.phase.value,
            "cat": f"frame {frame.index + 1}",
            "ph": "X",
            "pid": 1,
            "tid": TRACKS.index(TRACK_OF[span.phase]) + 1,
            "ts": round(span.start_ms * 1e3, 3),
            "dur": round(span.duration_ms * 1e3, 3),
            "args": {"frame": frame.index + 1, "sentence": frame.sentence},
        }
        for span in frame.spans
    ]


def _name(kind: str, track: int, name: str) -> dict[str, Any]:
    return _metadata(kind, track, {"name": name})


def _metadata(kind: str, track: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": 1, "tid": track, "args": args}
