"""A load to send, and where to. No client, no service."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from ...engine.cli.inputs import check_seed

KEY_VARIABLE = "ACDC_API_KEY"
STORIES, IMAGES = "stories", "openai-images"


@dataclass(frozen=True)
class Plan:
    """Load to send, and where to; ready for JSON, for it holds no key."""

    base_url: str
    endpoint_type: str
    model: str | None
    num_inference_steps: int | None
    partial_images: int
    num_prompts: int
    request_rate: float
    max_concurrency: int | None
    num_warmups: int
    seed: int
    dataset_path: str | None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_seed(self.seed + self.num_prompts + self.num_warmups - 1)
        if self.partial_images and self.endpoint_type != IMAGES:
            raise ValueError(f"--partial-images is for {IMAGES}; a story's events bring its drafts without it")

    def fields(self) -> dict[str, Any]:
        """Further fields of every request's body."""
        fields: dict[str, Any] = {} if self.model is None else {"model": self.model}
        if self.num_inference_steps is not None:
            fields["num_inference_steps"] = self.num_inference_steps
        return fields

    def record(self) -> dict[str, Any]:
        """Everything, ready for JSON, which has no infinity."""
        return {**asdict(self), "request_rate": "inf" if self.request_rate == inf else self.request_rate}
