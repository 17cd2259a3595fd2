"""Options that say which models are loaded, and where and how they compute."""

from __future__ import annotations

from cloup import option_group

from ..options import BACKEND_VARIABLE
from .flags import Decorator, flag


def models(bundle: str | None = None) -> Decorator:
    """Which models; ``bundle`` is what a command loads where none is named."""
    return option_group(
        "Models",
        flag(
            "--bundle",
            "engine.bundle",
            "Load this bundle of models: a name that acdc info lists, or a directory.",
            unset=bundle,
            metavar="NAME",
        ),
        flag(
            "--models",
            "engine.models",
            "Read a published bundle's checkpoints from this directory.",
            unset="none",
            metavar="DIR",
        ),
        flag(
            "--random-weights",
            "engine.random_weights",
            "Build a published bundle at full size with random weights, to measure time without its checkpoints.",
        ),
        flag(
            "--lora",
            "engine.loras",
            "Merge this LoRA (safetensors) into the corrector's weights, WEIGHT times (1 if none is given); repeat the "
            "option for several.",
            unset="none",
            metavar="FILE[=WEIGHT]",
        ),
    )


_PLACE = (
    flag("--device", "engine.device", "Run the models on this device: cpu, cuda or cuda:N."),
    flag("--dtype", "engine.dtype", "Store weights and compute in this floating-point type."),
    flag(
        "--backend",
        "engine.backend",
        "Run the stages with this backend: a name that acdc info lists, auto (the fastest one for the length of the "
        "run), or stage=NAME,... for single stages.",
        unset=f"${BACKEND_VARIABLE}, or auto",
        metavar="NAME",
    ),
    flag(
        "--precision",
        "engine.precision",
        "Let auto choose exact backends only, or also those that compute the correction in bfloat16, which is lossy.",
    ),
    flag("--attention", "engine.attention", "Compute the UNet's attention with this library."),
    flag(
        "--kernels",
        "engine.kernels",
        "Compute norms, activations, sampling and other small operations with PyTorch, or with fused Triton kernels on "
        "CUDA.",
    ),
)
_QUANTIZATION = flag(
    "--quantization",
    "engine.quantization",
    "Store the autoregressive model's weights in this format; int8 and fp8 are lossy.",
)
_THREADS = flag(
    "--threads",
    "engine.threads",
    "Compute with this number of CPU threads.",
    unset="PyTorch's choice",
    metavar="N",
    least=1,
)
EXECUTION = option_group("Execution", *_PLACE, _QUANTIZATION, _THREADS)
CORRECTOR_EXECUTION = option_group("Execution", *_PLACE, _THREADS)
REFERENCE_EXECUTION = option_group("Execution", *_PLACE[:2], _THREADS)  # device and type: no stage has a plan
