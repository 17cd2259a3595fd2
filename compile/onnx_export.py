"""A stage as an ONNX file with static shapes, checked; for TensorRT, and for anyone who wants the file.

    FOLDER/stage.onnx         inputs are named as the stage's ``forward`` names them, outputs output_0, output_1, ...
    FOLDER/stage.onnx.data    the weights

ONNX Runtime is the judge of a file: :func:`check_against_eager`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .installed import installed
from .quiet import quiet
from .spec import StageSpec

FILE = "stage.onnx"
OPSET = 20  # the newest that PyTorch's exporter writes without converting
DISTRIBUTIONS = ("onnx", "onnxscript")


def missing_packages() -> list[str]:
    """Packages that are missing for the export of a stage: reasons, or none."""
    return [
        f"{name} is not installed: pip install 'acdc-engine[onnx]'" for name in DISTRIBUTIONS if not installed(name)
    ]


def exporter_version() -> str:
    """Versions that decide a file, besides PyTorch's."""
    return "-".join(installed(name) or "none" for name in DISTRIBUTIONS)


def export_onnx(run: nn.Module, spec: StageSpec, folder: Path) -> Path:
    """Write ``run`` at the shapes of ``spec`` into ``folder``, traced where ``run`` lies, and check the file.

    Raises ``ValueError`` with every package that is missing.
    """
    if missing := missing_packages():
        raise ValueError(f"{spec} cannot be exported: {'; '.join(missing)}")
    import onnx

    path = folder / FILE
    inputs = replace(spec, device=_device(run)).examples()
    with torch.no_grad(), warnings.catch_warnings(), quiet("torch.onnx"):
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.export.export(run, inputs)
        torch.onnx.export(
            program, (), str(path), dynamo=True, opset_version=OPSET, external_data=True, verbose=False,
            input_names=input_names(run, len(inputs)),
            output_names=output_names(len(program.graph_signature.user_outputs)),
        )  # fmt: skip
    onnx.checker.check_model(str(path))  # by its path: a model of 2 GiB has no other way
    return path


def input_names(run: nn.Module, count: int) -> list[str]:
    """The names of ``count`` tensors as ``forward`` calls them; those of ``*kv`` are kv_0, kv_1, ..."""
    names: list[str] = []
    for name, parameter in inspect.signature(run.forward).parameters.items():
        many = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        names += [f"{name}_{index}" for index in range(count - len(names))] if many else [name]
    assert len(names) >= count, f"forward takes {names}, not {count} tensors"
    return names[:count]


def output_names(count: int) -> list[str]:
    """The names of ``count`` results, in their order."""
    return [f"output_{index}" for index in range(count)]


def check_against_eager(run: nn.Module, path: Path, inputs: Sequence[Tensor], tolerance: float) -> float:
    """The largest difference between ONNX Runtime on the CPU and ``run``, relative to the results above 1.

    Raises ``ValueError`` where it is more than ``tolerance``.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = input_names(run, len(inputs))
    found = session.run(None, {name: value.cpu().numpy() for name, value in zip(names, inputs, strict=True)})
    with torch.no_grad():
        wanted: Any = run(*inputs)
    results = wanted if isinstance(wanted, tuple) else (wanted,)
    worst = max(_difference(torch.from_numpy(one), other) for one, other in zip(found, results, strict=True))
    if not worst <= tolerance:
        raise ValueError(f"{path} differs from eager by {worst:.1e}, more than {tolerance:.1e}")
    return worst


def _difference(one: Tensor, other: Tensor) -> float:
    other = other.cpu()
    assert (one.shape, one.dtype) == (other.shape, other.dtype), "the file returns what the stage returns"
    difference = (one.double() - other.double()).abs() / other.double().abs().clamp(min=1)
    return float(difference.max())


def _device(run: nn.Module) -> str:
    """The file of its weights."""
    return next((str(value.device) for value in (*run.parameters(), *run.buffers())), "cpu")
