"""TensorRT on NVIDIA GPUs: a stage exported to ONNX, built into an engine and kept on disk.

NVIDIA's two packages share one API, so one module serves both. ``tensorrt`` times kernels on the GPU at hand and
builds for it; ``tensorrt_rtx`` builds without a GPU for every RTX one since Ampere, and the GPU's own code is made at
the first run. That code is kept in the plan's folder, with the files of the manifest.

A weight that changes gives another key and another engine: engines are not refitted (``tensorrt_rtx`` without a GPU
neither builds an engine that could be, nor reads one).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .cache import PlanCache
from .installed import installed
from .key import plan_key
from .onnx_export import export_onnx, exporter_version, input_names, missing_packages, output_names
from .spec import Plan, StageSpec

FILE = "plan.engine"
RUNTIME_CACHE = "runtime.cache"
MAKER = "1"  # counts up when this module makes another engine of the same stage
ALIGNMENT = 256  # bytes, of every address that TensorRT is given
DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}


class Built(NamedTuple):
    """An engine on disk."""

    path: Path
    num_layers: int  # of the network, before layers are fused


@dataclass(frozen=True)
class TensorRT:
    """A backend over one of the packages."""

    name: str  # of the distribution, of our extra, and of the backend
    module: str
    portable: bool  # builds without a GPU, for all that it serves
    index: str = ""  # where pip finds it, if not on PyPI

    @property
    def installed_version(self) -> str | None:
        """The package's version, or None."""
        return installed(self.name)

    def unsupported_reasons(self, spec: StageSpec) -> list[str]:
        """Why it can neither build ``spec`` nor run it here; all reasons, or none."""
        reasons = self.build_reasons(spec)
        if spec.device != "cuda":
            reasons.append(f"it runs on cuda, not on {spec.device}")
        return reasons + (_no_device() if self.portable else [])

    def build_reasons(self, spec: StageSpec) -> list[str]:
        """Why it cannot build ``spec`` here: packages, number types and, if it times kernels, a GPU."""
        reasons = []
        if self.installed_version is None:
            reasons.append(f"{self.name} is not installed: pip install {self.index}'acdc-engine[{self.name}]'")
        reasons += missing_packages()
        if kinds := {_bare(value.dtype) for value in spec.inputs if value.dtype not in DTYPES.values()}:
            reasons.append(f"it takes {', '.join(map(_bare, DTYPES.values()))}, not {', '.join(sorted(kinds))}")
        return reasons + ([] if self.portable else _no_device())

    def make_plan(self, run: nn.Module, spec: StageSpec, cache: PlanCache) -> Plan:
        """Compile ``run`` for the shapes of ``spec``; needs the GPU."""
        folder = self.stored(run, spec, cache)
        trt = import_module(self.module)
        logger = _logger(trt)
        engine = trt.Runtime(logger).deserialize_cuda_engine((folder / FILE).read_bytes())
        if engine is None:
            raise RuntimeError(f"{self.name} cannot load {folder / FILE}: {logger}")
        context, save = _context(engine, folder / RUNTIME_CACHE if self.portable else None)
        return TensorRTPlan(context, input_names(run, len(spec.inputs)), save)

    def stored(self, run: nn.Module, spec: StageSpec, cache: PlanCache) -> Path:
        """The folder of ``run``'s engine, which is built if it does not lie there."""
        key = plan_key(run, spec, self.name, self._version())
        timings = None if self.portable or cache.root is None else cache.root / f"{self.name}.timings"
        return cache.entry(key, str(spec), lambda folder: self.build_engine(run, spec, folder, timings))

    def build_engine(self, run: nn.Module, spec: StageSpec, folder: Path, timings: Path | None = None) -> Built:
        """Write ``run``'s engine into ``folder``; the file ``timings`` keeps what a build measures for the next ones.

        ``run`` may lie on the CPU, whatever ``spec.device``. ``ValueError`` gives every reason, TensorRT's too.
        """
        if reasons := self.build_reasons(spec):
            raise ValueError(f"backend {self.name!r} cannot build {spec}: {'; '.join(reasons)}")
        trt = import_module(self.module)
        logger = _logger(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = export_onnx(run, spec, Path(place))
            parser = trt.OnnxParser(network, logger)
            if not parser.parse_from_file(str(path)):
                errors = (" ".join(str(parser.get_error(index)).split()) for index in range(parser.num_errors))
                raise ValueError(f"backend {self.name!r} cannot build {spec}: {'; '.join(errors)}")
            config = builder.create_builder_config()
            config.clear_flag(trt.BuilderFlag.TF32)  # float32 means float32
            engine = _with_timings(config, timings, lambda: builder.build_serialized_network(network, config))
        if engine is None:
            raise ValueError(f"backend {self.name!r} cannot build {spec}: {logger}")
        (folder / FILE).write_bytes(memoryview(engine))
        return Built(folder / FILE, network.num_layers)

    def _version(self) -> str:
        """Key of everything besides the stage that decides an engine."""
        target = "" if self.portable else f"-{torch.cuda.get_device_name()}-{torch.cuda.get_device_capability()}"
        return f"{self.installed_version}-{exporter_version()}-{MAKER}{target}"


TENSORRT = TensorRT("tensorrt", "tensorrt", portable=False, index="--extra-index-url https://pypi.nvidia.com ")
TENSORRT_RTX = TensorRT("tensorrt-rtx", "tensorrt_rtx", portable=True)


class TensorRTPlan:
    """An engine on torch's current stream; tensors in, new tensors out. One plan serves one caller at a time.

    ``save()`` is called after the first run, when the GPU's code has been made.
    """

    def __init__(self, context: Any, inputs: list[str], save: Callable[[], None]) -> None:
        engine = context.engine
        self.context, self.inputs, self.save = context, inputs, save
        self.outputs = [
            (name, tuple(engine.get_tensor_shape(name)), DTYPES[engine.get_tensor_dtype(name).name])
            for name in output_names(engine.num_io_tensors - len(inputs))
        ]
        self.first = True

    def __call__(self, *inputs: Tensor) -> Any:
        """The stage's result: a tensor, or a tuple of them. The host does not wait for it."""
        device = inputs[0].device
        given = [_aligned(value) for value in inputs]  # a copy may go at once: its memory is reused on this stream only
        results = tuple(torch.empty(shape, dtype=dtype, device=device) for _, shape, dtype in self.outputs)
        for name, value in zip((*self.inputs, *(name for name, *_ in self.outputs)), (*given, *results), strict=True):
            self.context.set_tensor_address(name, value.data_ptr())
        if not self.context.execute_async_v3(torch.cuda.current_stream(device).cuda_stream):
            raise RuntimeError(f"TensorRT did not run an engine of {', '.join(self.inputs)}")
        if self.first:
            self.first = False
            self.save()
        return results[0] if len(results) == 1 else results


def _aligned(value: Tensor) -> Tensor:
    """``value`` in memory order, at an address that TensorRT takes: a part of a tensor may begin anywhere."""
    value = value.detach().contiguous()
    return value.clone() if value.data_ptr() % ALIGNMENT else value


def _context(engine: Any, path: Path | None) -> tuple[Any, Callable[[], None]]:
    """A function that runs the engine, and one that stores at ``path`` the code that was made for the GPU."""
    if path is None:
        return engine.create_execution_context(), lambda: None
    config = engine.create_runtime_config()
    cache = config.create_runtime_cache()
    if path.is_file():
        cache.deserialize(path.read_bytes())  # it refuses damage, and what another GPU, driver or version made
    config.set_runtime_cache(cache)
    return engine.create_execution_context(config), lambda: _replace(path, memoryview(cache.serialize()))


def _with_timings(config: Any, path: Path | None, build: Callable[[], Any]) -> Any:
    """``build()`` with the timings of earlier builds at ``path``, where its own are added."""
    if path is None:
        return build()
    known = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    config.set_timing_cache(known or config.create_timing_cache(b""), False)  # False: no other GPU's
    engine = build()
    _replace(path, memoryview(config.get_timing_cache().serialize()))
    return engine


def _replace(path: Path, content: memoryview) -> None:
    """Whole or not at all, as other processes may read it; the last one that writes stays."""
    with suppress(OSError):  # it may only be read, be full, or have made room for other plans
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(part, path)


def _logger(trt: Any) -> Any:
    """TensorRT's errors, as one line."""

    class Errors(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.lines.append(" ".join(message.split()))

        def __str__(self) -> str:
            return "; ".join(self.lines) or "it gives no reason"

    return Errors()


def _no_device() -> list[str]:
    return [] if torch.cuda.is_available() else ["this machine has no CUDA device"]


def _bare(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
