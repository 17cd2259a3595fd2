"""The table of ``bench/service.py``'s results."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

TITLES = {"poisson": "at random times", "at_once": "all at once", "alone": "one story at a time"}
COLUMNS = (
    "stories sent", "frames a second", "share of offline", "first draft ms", "first frame ms", "frame ms", "queue ms",
    "frame, engine to client ms",
)  # fmt: skip


def service_table(name: str, record: Mapping[str, Any]) -> str:
    """A row a load; medians."""
    offline = median(record["offline_frames_a_second"])
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines.append(f"| `generate_many`, no service | {offline:.2f} |" + " |" * (len(COLUMNS) - 2))
    for key, title in TITLES.items():
        found = record[key]
        share = "" if key == "alone" else f"{found['share_of_offline']:.0%}"
        kinds = ("time_to_first_partial_ms", "time_to_first_frame_ms", "frame_latency_ms", "queue_wait_ms")
        cells = [f"{found[kind]['P50']:.0f}" for kind in kinds]
        way = f"{found['delivery_ms']['P50']:.0f} (P90 {found['delivery_ms']['P90']:.0f})"
        lines.append(f"| {title} | {found['frame_throughput']:.2f} | {share} | {' | '.join(cells)} | {way} |")
    costs = record["processor_s_a_frame"]
    page, machine, settings = record["page_delivery_ms"], record["machine"], record["settings"]
    shown = "" if page is None else f" To the picture in Chromium: {page['P50']:.0f} ms (P90 {page['P90']:.0f})."
    lines += [
        "",
        f"{record['stories']} stories, {record['frames']} frames; random times at {record['share']:.0%} of the offline "
        f"rate; {settings['num_inference_steps']} steps, {settings['dtype']}, {settings['threads']} threads, "
        f"{machine['processor']}, torch {record['versions']['torch']}. Milliseconds are P50.{shown} "
        f"Processors' seconds a frame: {median(costs['offline']):.3f} offline, {costs['service']:.3f} in the service. "
        f"Source: `bench/results/{name}`.",
    ]
    return "\n".join(lines)
