"""The choice of backend ``auto``: the fastest that can serve a stage, as measured on this kind of processor.

    python -m acdc.bench.choose --no-whole --out bench/results/auto_cpu_2026-11-30.json  Xeon with AMX, one thread
    bench/results/stages_cpu_2026-11-21.json                                             EPYC with AVX2, two threads

On both, every stage of the embedded bundle is fastest as an OpenVINO plan among exact ones. With units for bfloat16 a
whole correction takes 122 ms, against 283 in float32 and 505 eagerly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from . import processor
from .backends import unsupported_reasons
from .spec import StageSpec

Precision = Literal["exact", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
# Not the ARM's: a pass of the draw gains a fifth, and other codes are drawn.
LOSSY_STAGES = ("tokenizer_encoder", "tokenizer_decoder", "vae_encoder", "vae_decoder", "unet")
PLANS = ("openvino",)
UNITS = "bf16 units"  # a class of processors; the others are named after their widest vectors
FASTEST: Mapping[str, Mapping[Precision, tuple[str, ...]]] = {  # class -> backends, of which the first that can serves
    UNITS: {"exact": PLANS, "bf16": ("openvino-bf16", *PLANS)},
    "avx512": {"exact": PLANS, "bf16": PLANS},
    "avx2": {"exact": PLANS, "bf16": PLANS},
}
# A stage of more weights is converted and compiled for a minute and more, which a story does not win back: the UNet of
# Stable Diffusion 1.5 in bfloat16 takes .50 s a pass eagerly and .44 s as a plan (cpu_real_size_2026-11-30.json).
MOST_BYTES = 256 << 20
# Plans save .22 s a frame of the embedded bundle. Loading them costs .9 s, and making them 6.4 s, once
# (start_cpu_2026-11-30.json): shorter runs start eagerly.
MIN_FRAMES = 12


def choose(spec: StageSpec, precision: Precision = "exact") -> str:
    """The first backend of the processor's order that has no reason to refuse ``spec``, or else eager.

    On a GPU nothing is measured yet, so it is eager there.
    """
    if spec.device != "cpu":
        return "eager"
    allowed: Precision = precision if spec.name in LOSSY_STAGES else "exact"
    order = FASTEST.get(processor_class(), {}).get(allowed, ())
    return next((name for name in order if not unsupported_reasons(spec, name)), "eager")


def processor_class() -> str:
    """The row of the table for this processor; empty where nothing was measured on its like."""
    known = processor.instructions()
    if known & {"amx_bf16", "avx512_bf16"}:
        return UNITS
    if "avx512f" in known:
        return "avx512"
    return "avx2" if "avx2" in known else ""
