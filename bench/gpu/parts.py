"""Everything that is prepared for a GPU, in order of worth, and why a part cannot run here. Nothing is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...engine.utils.versions import installed

ROOT = Path(__file__).parents[2]
GPU, TOY = ("acdc.bench.gpu",), ("--device", "cpu")


class GpuPart(NamedTuple):
    """A command of its own process.

    ``command`` are the arguments of ``python -m``. A part with ``rows`` writes a record's file: it is handed
    --out, --seconds, --resume and --retry, and goes on where it was; any other runs as a whole. ``seconds`` is its
    share while other parts wait; without a sign of life for ``silent_s`` it hangs. ``toy`` is the same on a CPU in
    seconds. It needs the distributions ``needs`` and the ``folder`` of the repository.
    """

    name: str
    what: str
    command: Sequence[str]
    seconds: float
    silent_s: float = 120.0
    toy: Sequence[str] = ()
    rows: bool = True
    needs: Sequence[str] = ()
    folder: str = ""

    def refusal(self) -> str:
        """Why it cannot run here; empty if it can."""
        missing = [name for name in self.needs if installed(name) is None]
        if missing:
            return f"{', '.join(missing)} not installed"
        return "" if (ROOT / self.folder).is_dir() else f"no folder {self.folder} here: run it from a checkout"


PARTS = (
    GpuPart(
        "device", "what there is, rates of products and copies, the cost of a launch",
        (*GPU, "device"), 60, toy=(*GPU, "device", *TOY),
    ),
    GpuPart(
        "right", "every Triton kernel against its reference",
        (*GPU, "kernels", "--columns", "none"), 180, needs=("triton",),
        toy=(*GPU, "kernels", *TOY, "--columns", "none", "--only", "lfq"),
    ),
    GpuPart(
        "graphs", "the embedded bundle's stages: 100 bit-equal replays of each graph, its time and its floor",
        (*GPU, "stages", "--backends", "eager,cudagraph"), 180,
        toy=(*GPU, "stages", *TOY, "--backends", "eager,cudagraph", "--batches", "1"),
    ),
    GpuPart(
        "stories", "whole stories by graphs and by kernels against plain ones, three systems",
        (*GPU, "stories"), 180, 180, toy=(*GPU, "stories", *TOY, "--only", "storyworld"),
    ),
    GpuPart(
        "kernels", "every kernel's time next to eager, the library's call and its floor",
        (*GPU, "kernels"), 300, needs=("triton",),
        toy=(*GPU, "kernels", *TOY, "--only", "lfq", "--columns", "kernel,eager"),
    ),
    GpuPart(
        "systems", "the published systems at full size of noise, every phase with its floor",
        (*GPU, "systems"), 360, 240,
        toy=(*GPU, "systems", *TOY, "--dtype", "float32", "--only", "storyworld", "--ways", "plain"),
    ),
    GpuPart(
        "decoding", "a pass of 1 to 256 codes of a decoder of LWM's size",
        (*GPU, "decoding"), 120,
        toy=(*GPU, "decoding", *TOY, "--dtype", "float32", "--size", "tiny", "--windows", "1,4"),
    ),
    GpuPart(
        "overhead", "what ACDC costs over the plain ARM, serial and overlapped, at 1 and 8 stories",
        (
            *GPU, "overhead", "--only", "storyworld,show-o+sd15", "--concurrency", "1,8", "--frames", "2",
            "--rounds", "2",
        ), 240, 180,
        toy=(
            *GPU, "overhead", *TOY, "--dtype", "float32", "--way", "plain", "--only", "storyworld",
            "--concurrency", "1", "--frames", "1", "--rounds", "1",
        ),
    ),
    GpuPart(
        "kernel-tests", "the kernels' tests on the device: every number type, odd sizes, NaN",
        ("pytest", "-q", "-n", "8", "tests/kernels"), 240, rows=False, folder="tests/kernels",
        needs=("triton", "pytest", "pytest-xdist", "hypothesis"),
    ),
    GpuPart(
        "graphs-triton", "the same stages with our kernels inside, in bfloat16",
        (*GPU, "stages", "--backends", "eager,cudagraph", "--kernels", "triton", "--dtype", "bfloat16"), 120,
        needs=("triton",),
    ),
    GpuPart(
        "batches", "the stages as graphs, in bfloat16, at 1 to 64 stories",
        (*GPU, "stages", "--backends", "cudagraph", "--dtype", "bfloat16", "--batches", "1,2,8,32,64"), 120,
    ),
    GpuPart(
        "lossy", "LWM with its weights in a byte",
        (*GPU, "systems", "--only", "lwm+sd15", "--ways", "int8,fp8"), 180, 240, needs=("triton",),
    ),
    GpuPart(
        "overhead-lwm", "the same of LWM, at 1 and 4 stories",
        (*GPU, "overhead", "--only", "lwm+sd15", "--concurrency", "1,4", "--frames", "2", "--rounds", "2"), 240, 180,
    ),
    GpuPart(
        "many", "the same at 16 and 32 stories",
        (
            *GPU, "overhead", "--only", "storyworld,show-o+sd15", "--concurrency", "16,32", "--frames", "2",
            "--rounds", "2",
        ), 240, 180,
    ),
    GpuPart(
        "inductor", "the stages compiled by Inductor, in the process and ahead of time",
        (*GPU, "stages", "--backends", "inductor,inductor-jit", "--batches", "1,16"), 300, 240, needs=("triton",),
    ),
    GpuPart(
        "autotuned", "every kernel against Inductor's best",
        (*GPU, "kernels", "--columns", "kernel,inductor"), 300, 240, needs=("triton",),
    ),
    GpuPart(
        "xformers", "the UNet's attention by xformers",
        (*GPU, "stages", "--backends", "eager,cudagraph", "--attention", "xformers", "--dtype", "bfloat16"), 60,
        needs=("xformers",),
    ),
    GpuPart(
        "tensorrt", "the stages as TensorRT's engines",
        (*GPU, "stages", "--backends", "tensorrt"), 300, 240, needs=("tensorrt", "onnx", "onnxscript"),
    ),
    GpuPart(
        "tensorrt-rtx", "the stages as engines of TensorRT for RTX",
        (*GPU, "stages", "--backends", "tensorrt-rtx"), 300, 240, needs=("tensorrt-rtx", "onnx", "onnxscript"),
    ),
)  # fmt: skip
