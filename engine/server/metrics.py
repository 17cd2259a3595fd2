"""Metrics for Prometheus, under the names that vLLM's dashboards know where they mean the same. No prompt, no id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .store.records import QUEUED, RUNNING, STATES, StoredEvent
from .store.store import Store
from .store.workers import READY, Workers

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300)
MODEL = "model_name"
MAX_TIMED = 10_000  # jobs whose times are remembered while they run


class Metrics:
    """Counters are fed by the events that the watcher reads, so they count from this process's start; gauges are read
    from the store when they are asked for."""

    def __init__(self, model: str) -> None:
        self.model, self.registry = model, CollectorRegistry()
        self.streams = self._gauge("sse_clients", "Open event streams.")
        self.restarts = self._counter("worker_restarts", "Workers that were started again after they had ended.")
        self._running = self._gauge("num_requests_running", "Jobs that workers draw.")
        self._waiting = self._gauge("num_requests_waiting", "Jobs in the queue.")
        self._workers = self._gauge("workers_ready", "Workers whose model is loaded.")
        self._jobs = self._gauge("jobs", "Jobs by kind and state.", "kind", "state")
        self._succeeded = self._counter("requests_success", "Jobs that have ended well.", "finished_reason")
        self._failed = self._counter("requests_failed", "Jobs that have failed.", "code")
        self._frames = self._counter("frames", "Finished frames.", "corrected")
        self._tokens = self._counter("image_tokens", "Image codes that were drawn.")
        self._first = self._histogram("time_to_first_frame_seconds", "From a job's submission to its first frame.")
        self._partial = self._histogram("time_to_first_partial_seconds", "From a job's submission to its first draft.")
        self._queued = self._histogram("request_queue_time_seconds", "From a job's submission to its start.")
        self._whole = self._histogram("e2e_request_latency_seconds", "From a job's submission to its end.")
        self._frame = self._histogram("frame_latency_seconds", "From a story's frame to the next.")
        self._stage = self._histogram("stage_gen_time_seconds", "One phase of one frame.", "stage")
        self._begun: dict[str, float] = {}  # job -> when it was submitted

    def take(self, event: StoredEvent) -> None:
        """Count an event."""
        begun = self._begun.get(event.job)
        since = None if begun is None else max(0.0, event.created - begun)
        data = event.data
        if event.kind == "queued" and event.seq == 0 and len(self._begun) < MAX_TIMED:
            self._begun[event.job] = event.created
        elif event.kind == "started" and since is not None and event.seq == 1:
            self._queued.labels(self.model).observe(since)
        elif event.kind == "draft" and since is not None and data["index"] == 0:
            self._partial.labels(self.model).observe(since)
        elif event.kind == "frame":
            self._count_frame(event, since)
        elif event.last:
            self._begun.pop(event.job, None)
            if event.kind == "failed":
                self._failed.labels(self.model, str(data["error"].get("code"))).inc()
            else:
                self._succeeded.labels(self.model, "stop" if event.kind == "end" else "abort").inc()
            if since is not None:
                self._whole.labels(self.model).observe(since)

    def text(self, store: Store, workers: Workers, lease: float) -> bytes:
        """All metrics in Prometheus' text format."""
        counts = store.counts()
        self._running.labels(self.model).set(sum(n for (_, state), n in counts.items() if state == RUNNING))
        self._waiting.labels(self.model).set(sum(n for (_, state), n in counts.items() if state == QUEUED))
        for kind in {kind for kind, _ in counts}:
            for state in STATES:
                self._jobs.labels(self.model, kind, state).set(counts.get((kind, state), 0))
        self._workers.labels(self.model).set(sum(worker.state == READY for worker in workers.alive(lease)))
        return generate_latest(self.registry)

    def _count_frame(self, event: StoredEvent, since: float | None) -> None:
        data = event.data
        self._frames.labels(self.model, str(bool(data.get("corrected"))).lower()).inc()
        self._tokens.labels(self.model).inc(data.get("image_tokens", 0))
        for stage, milliseconds in data.get("phases_ms", {}).items():
            if milliseconds:
                self._stage.labels(self.model, stage).observe(milliseconds / 1e3)
        if (latency := data.get("latency_ms")) is not None:
            self._frame.labels(self.model).observe(latency / 1e3)
        if since is not None and data["index"] == 0:
            self._first.labels(self.model).observe(since)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"acdc:{name}", text, (MODEL, *labels), registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"acdc:{name}", text, (MODEL, *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"acdc:{name}", text, (MODEL, *labels), registry=self.registry, buckets=SECONDS)
