"""Which backend runs which stage of the loaded models: what the user chose, and why a backend cannot serve."""

from __future__ import annotations

import torch

from ...compile.auto import PRECISIONS, Precision, choose
from ...compile.backends import BACKENDS, unsupported_reasons
from ...compile.spec import StageSpec, TensorSpec

STAGES = (
    "arm_prefill",
    "arm_draw",
    "tokenizer_decoder",
    "tokenizer_encoder",
    "text_encoder",
    "vae_decoder",
    "vae_encoder",
    "unet",
)
TAKE_IDS = ("arm_prefill", "arm_draw")
WHOLE = "correction"  # as one plan, where it is asked for by name; these stages are then a part of it
PARTS = ("tokenizer_encoder", "vae_decoder", "vae_encoder", "unet")


def parse_backends(
    text: str, device: torch.device, dtype: torch.dtype, precision: Precision = "exact"
) -> dict[str, str]:
    """``NAME`` for all stages, or ``stage=NAME,...`` with the others eager: stage -> backend.

    ``auto`` becomes the fastest backend of that ``precision`` that can serve the stage on this device, in this dtype.
    ``correction=NAME`` makes one plan of the whole correction; otherwise it stays "eager", which runs stage by stage.
    ``ValueError`` names the stage or backend that is unknown, and stages that are chosen twice.
    """
    chosen = dict.fromkeys((*STAGES, WHOLE), "eager")
    if "=" not in text:
        return chosen | {stage: _resolved(stage, text, device, dtype, precision) for stage in STAGES}
    for part in text.split(","):
        stage, _, backend = part.partition("=")
        if stage not in chosen:
            raise ValueError(f"unknown stage {stage!r} in backend {text!r}; choose among {', '.join(chosen)}")
        chosen[stage] = _resolved(stage, backend, device, dtype, precision)
    twice = [stage for stage in PARTS if chosen[stage] != "eager"]
    if chosen[WHOLE] != "eager" and twice:
        raise ValueError(f"backend {text!r}: {WHOLE} holds {', '.join(twice)}; choose one or the other")
    return chosen


def choose_backends(
    text: str, device: torch.device, dtype: torch.dtype, precision: str
) -> tuple[dict[str, str], frozenset[str]]:
    """:func:`parse_backends` with every check, and the stages whose backend ``text`` leaves open."""
    check_precision(precision, text)
    backends = parse_backends(text, device, dtype, "bf16" if precision == "bf16" else "exact")
    check_backends(backends, device, dtype)
    return backends, automatic_stages(text)


def check_precision(precision: str, backend: str) -> None:
    """``ValueError`` for an unknown precision, and for one that no stage's backend is chosen by."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision != "exact" and not automatic_stages(backend):
        raise ValueError(f"precision {precision!r} needs a backend that is auto; {backend!r} is chosen already")


def automatic_stages(text: str) -> frozenset[str]:
    """The stages whose backend is left open by a ``text`` that :func:`parse_backends` takes."""
    if "=" not in text:
        return frozenset(STAGES if text == "auto" else ())
    parts = (part.partition("=") for part in text.split(","))
    return frozenset(stage for stage, _, backend in parts if backend == "auto")


def _resolved(stage: str, backend: str, device: torch.device, dtype: torch.dtype, precision: Precision) -> str:
    if backend == "auto":
        return choose(probe(stage, device, dtype), precision)
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose among auto, {', '.join(BACKENDS)}")
    return backend


def check_backends(backends: dict[str, str], device: torch.device, dtype: torch.dtype) -> None:
    """``ValueError`` (one line, every reason) for the first stage that its backend cannot serve."""
    for stage, backend in backends.items():
        if reasons := unsupported_reasons(probe(stage, device, dtype), backend):
            kind = str(dtype).removeprefix("torch.")
            raise ValueError(f"backend {backend!r} cannot run {stage} in {kind} on {device}: {'; '.join(reasons)}")


def describe(backends: dict[str, str]) -> str:
    """The shortest text that :func:`parse_backends` reads as ``backends``."""
    names = {backends[stage] for stage in STAGES}
    if len(names) == 1 and backends[WHOLE] == "eager":
        return names.pop()
    return ",".join(f"{stage}={backend}" for stage, backend in backends.items() if backend != "eager")


def probe(stage: str, device: torch.device, dtype: torch.dtype) -> StageSpec:
    """A spec that represents all shapes of a stage, to ask a backend about."""
    codes = (TensorSpec((1,), torch.int64),) if stage in TAKE_IDS else ()
    return StageSpec(stage, (*codes, TensorSpec((1,), dtype)), device.type)


def refusals(device: torch.device, dtype: torch.dtype = torch.float32) -> dict[str, dict[str, list[str]]]:
    """Backend -> stage -> every reason why that backend cannot serve that stage there; no reason: it can."""
    return {
        name: {stage: unsupported_reasons(probe(stage, device, dtype), name) for stage in (*STAGES, WHOLE)}
        for name in BACKENDS
    }
