"""Fields that all pictures have, whichever route asks for them, and the engine's own, at top level or under ``acdc``.

Each field says in its description what becomes of it: it is honoured, refused with 400, or accepted without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ...options import FLAT_NAMES, make_options
from .refusal import Refusal

OPTIONS = ("negative_prompt", "num_inference_steps", "guidance_scale", "strength", "correction", "temperature", "top_k")
MORE_OPTIONS = tuple(name for name in FLAT_NAMES if name not in OPTIONS and not name.startswith("memory"))
LARGEST_SEED = 2**63 - 1  # of n pictures the last one's fits, too


def honoured(text: str, default: Any = None, **limits: Any) -> Any:
    """A field that decides something."""
    return Field(default, description=text, json_schema_extra={"status": "honoured"}, **limits)


def refused(text: str) -> Any:
    """A field that is there so that its refusal says what to do."""
    return Field(None, description=text, json_schema_extra={"status": "refused"})


def ignored(text: str) -> Any:
    """A field that is accepted, so that ordinary clients run, and has no effect."""
    return Field(None, description=text, json_schema_extra={"status": "ignored"})


class OwnFields(BaseModel):
    """The engine's own fields. Null is the same as absent; ``acdc`` holds the same fields, and every other option of a
    story (``sampler``, ``top_p``, ...)."""

    model_config = ConfigDict(strict=True, extra="forbid")

    seed: int | None = honoured("decides every draw; absent: drawn by the server", ge=0, le=LARGEST_SEED)
    negative_prompt: str | None = honoured("the correction's negative prompt", max_length=2000)
    num_inference_steps: int | None = honoured("N, the steps of the diffusion model's schedule", ge=1, le=1000)
    guidance_scale: float | None = honoured("scale of classifier-free guidance in the correction")
    strength: float | None = honoured("t' of SDEdit in (0, 1], the share of the schedule that runs")
    correction: bool | None = honoured("false: the autoregressive model's draft is shown")
    temperature: float | None = honoured("of the autoregressive model's draw")
    top_k: int | None = honoured("the draw's number of candidates; 0: all", ge=0)
    include_drafts: bool = honoured("answer with the drafts, too", False)
    acdc: dict[str, Any] | None = honoured("the engine's own fields and any option of a story, by name")

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, given: Any) -> Any:
        """``acdc``'s entries at the top, without nulls."""
        if not isinstance(given, Mapping):
            return given
        found = {name: value for name, value in given.items() if value is not None}
        inner = found.get("acdc")
        if not isinstance(inner, Mapping):
            return found
        inner = {name: value for name, value in inner.items() if value is not None}
        for name, value in inner.items():
            at = {"param": f"acdc.{name}"}
            if name not in (*cls.own_names(), *MORE_OPTIONS):
                known = ", ".join((*cls.own_names(), *MORE_OPTIONS))
                raise PydanticCustomError("unknown_parameter", f"unknown field acdc.{name}; choose among {known}", at)
            if name in found and found[name] != value:
                raise PydanticCustomError("invalid_value", f"{name} and acdc.{name} differ; give one of them", at)
        top = {name: value for name, value in inner.items() if name in cls.own_names()}
        return {**found, **top, "acdc": {name: value for name, value in inner.items() if name in MORE_OPTIONS}}

    @classmethod
    def own_names(cls) -> tuple[str, ...]:
        """The engine's own fields that this route has."""
        return tuple(name for name in (*OPTIONS, "seed", "include_drafts", "sentences") if name in cls.model_fields)

    def options(self) -> dict[str, Any]:
        """The story's own options, by flat name; :class:`Refusal` for one that is invalid by itself."""
        given = {name: getattr(self, name) for name in OPTIONS if getattr(self, name) is not None} | (self.acdc or {})
        for name, value in given.items():
            try:
                make_options(**{name: value})
            except (ValueError, TypeError) as error:
                raise Refusal(str(error), name if name in OPTIONS else f"acdc.{name}") from None
        return given
