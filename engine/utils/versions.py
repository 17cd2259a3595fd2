"""Versions of installed packages, from their metadata: nothing heavy is imported."""

import platform
from importlib import import_module

from ...compile.installed import installed

REQUIRED = {"torch": "torch", "numpy": "numpy", "pillow": "pillow", "tokenizers": "tokenizers"}
REQUIRED |= {"safetensors": "safetensors", "openvino": "openvino"}

OPTIONAL = {  # distribution: what it is for here
    "diffusers": "training and parity tests",
    "transformers": "memory by a local language model, metrics of acdc evaluate, training and parity tests",
    "httpx2": "memory by an endpoint",
    "tenacity": "memory by a language model",
    "sentencepiece": "text of LWM, Unified-IO 2 and DeepFloyd IF, as published",
    "msgpack": "LWM's weights, as published",
    "av": "MP4",
    "triton": "fused GPU kernels",
    "xformers": "memory-efficient attention on GPUs",
    "tensorrt": "compiled plans on NVIDIA GPUs",
    "tensorrt-rtx": "compiled plans for RTX GPUs, built anywhere",
    "onnxruntime": "the check of ONNX files",
}


def acdc_version() -> str:
    """The engine's own version, also where the package was not installed."""
    return str(import_module("...", __package__).__version__)


def versions() -> dict[str, str]:
    """The versions that decide a story's pixels: acdc, Python and the libraries that it computes with."""
    found = {name: installed(distribution) for name, distribution in REQUIRED.items()}
    own = {"acdc": acdc_version(), "python": platform.python_version()}
    return own | {name: text for name, text in found.items() if text is not None}
