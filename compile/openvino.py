"""OpenVINO on the CPU: a stage traced or exported by torch, kept on disk as OpenVINO's IR, compiled in float32.

The IR is made by OpenVINO's PyTorch frontend itself: ``openvino.convert_model`` would report its use over the network.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from . import processor
from .builder import PlanRefused
from .cache import PlanCache
from .entry import find_adjacent
from .exact_half import exact_in_half
from .installed import installed
from .key import plan_key
from .openvino_ir import FILE, RECIPE
from .proof import Proof
from .quiet import quiet
from .spec import Plan, StageSpec
from .torchscript import trace

LOG = logging.getLogger("acdc")
COMPILE = "acdc.compile.openvino_ir:compile_ir"
MIB = 1 << 20
LARGE = 64 * MIB  # weights from here on are kept once, in the IR; of small ones a copy loads faster
BUILD_SECONDS = 120.0  # of a small plan, on a slow and busy machine; and a second for each MiB of weights
TYPES = {  # of inputs: OpenVINO's names
    torch.float32: "f32",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.bool: "boolean",
}
NO_UNITS = "this CPU has no bfloat16 units (AVX512_BF16 or AMX)"
# Share of a result's norm: far more than rounding, far less than another function.
ERRORS = {"openvino": 1e-3, "openvino-bf16": 0.3, "openvino-int8": 0.5}
CODES = 0.1  # a share: near ties are rare
MAKER = "2"  # counts up when this module makes another IR of the same stage


def unsupported_reasons(spec: StageSpec) -> list[str]:
    """No OpenVINO, another device, another number type, or bfloat16 on a CPU that would only emulate it."""
    reasons = []
    if installed("openvino") is None:
        reasons.append("openvino is not installed: pip install openvino")
    if spec.device != "cpu":
        reasons.append(f"it runs on the CPU, not on {spec.device}")
    if kinds := {str(value.dtype).removeprefix("torch.") for value in spec.inputs if value.dtype not in TYPES}:
        reasons.append(f"it takes float32, bfloat16, int64 and bool, not {', '.join(sorted(kinds))}")
    if (
        any(value.dtype == torch.bfloat16 for value in spec.inputs)
        and installed("openvino") is not None
        and "BF16" not in capabilities()
    ):
        reasons.append(NO_UNITS)
    return reasons


@functools.cache
def capabilities() -> list[str]:
    """The number types that this CPU computes in: FP32, BF16, ..."""
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def make_plan(run: nn.Module, spec: StageSpec, cache: PlanCache, precision: str = "f32") -> Plan:
    """Compile ``run`` for the shapes of ``spec`` and for as many threads as torch has now.

    A model in bfloat16 is computed in bfloat16, whatever ``precision`` says.
    """
    if any(weight.dtype == torch.bfloat16 for weight in run.parameters()):  # a stage may take only ids
        precision = "bf16"
    backend = "openvino-bf16" if precision == "bf16" else "openvino"
    proof = Proof(run, spec)
    return OpenVINOPlan(load(ir(proof, cache), proof, cache, precision, backend))


def ir(proof: Proof, cache: PlanCache) -> Path:
    """The folder in the cache with the IR of the stage that ``proof`` calls."""
    key = plan_key(proof.run, proof.spec, "openvino", f"{installed('openvino')}-{MAKER}")
    return cache.entry(key, str(proof.spec), lambda folder: save_ir(proof, folder))


def load(folder: Path, proof: Proof, cache: PlanCache, precision: str, backend: str) -> Any:
    """The IR in ``folder`` compiled for this processor; ``precision`` (f32 or bf16) is what products are computed in.

    It is compiled, and run once, in another process, and kept with the IR for this kind of processor and number of
    threads; here it is only read back. Large weights stay in the IR's file alone. ``PlanRefused`` where that process
    died, then and every later time.
    """
    import openvino

    threads = torch.get_num_threads()
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,  # left open, a CPU with AMX computes in bfloat16
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # it would bind the caller's thread too: two processes then share one core
    }
    weights = {}
    if size(folder) >= LARGE:
        options["CACHE_MODE"] = "OPTIMIZE_SIZE"
        weights["WEIGHTS_PATH"] = str((folder / FILE).with_suffix(".bin"))
    machine = [processor.identity(), *capabilities(), installed("openvino"), RECIPE]
    name = hashlib.blake2b(repr((machine, options)).encode(), digest_size=8).hexdigest()
    core = openvino.Core()
    if (blob := find_adjacent(folder, f"compiled-{name}")) is not None:
        try:
            return core.import_model(io.BytesIO(blob), "CPU", options | weights)
        except RuntimeError as error:
            said = str(error).splitlines()[0]
            LOG.warning("plan cache: %s is not read (%s), compiling again", folder / f"compiled-{name}", said)
    if (refused := find_adjacent(folder, f"refused-{name}")) is not None:
        raise PlanRefused(refused.decode(), lasting=True)
    try:
        blob = cache.built(COMPILE, {"folder": str(folder), "options": options}, BUILD_SECONDS + size(folder) / MIB)
        compiled = core.import_model(io.BytesIO(blob), "CPU", options | weights)
        check(compiled, proof, backend)
    except PlanRefused as error:
        on = f"for {threads} thread{'s' if threads > 1 else ''}"
        reason = f"backend {backend!r} cannot build {proof.spec} {on}: OpenVINO {installed('openvino')} {error}"
        if error.lasting:
            reason += "; choose another backend (acdc cache --clear tries this one again)"
            cache.keep(folder, f"refused-{name}", reason.encode())
        raise PlanRefused(reason) from None
    cache.keep(folder, f"compiled-{name}", blob)
    return compiled


def check(compiled: Any, proof: Proof, backend: str) -> None:
    """``PlanRefused`` where a compiled model does something else than its stage: not rounding, but another function."""
    error, share = proof.deviation(OpenVINOPlan(compiled))
    if error > ERRORS[backend]:
        raise PlanRefused(f"made results that are {error:.1g} of their norm from plain PyTorch's", lasting=True)
    if backend == "openvino" and share > CODES:
        raise PlanRefused(f"made other codes than plain PyTorch, {share:.0%} of them", lasting=True)


def size(folder: Path) -> int:
    """Bytes of the IR's weights."""
    return (folder / FILE).with_suffix(".bin").stat().st_size


def save_ir(proof: Proof, folder: Path) -> None:
    """Write the IR of a stage with static shapes into ``folder``, its weights in two bytes each where that is exact."""
    import openvino
    from openvino.frontend import FrontEndManager

    # The frontend logs operators that its decomposition table does not know and does not need.
    with torch.no_grad(), warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        frontend = FrontEndManager().load_by_framework("pytorch")
        try:
            decoder = _decoder(proof)  # the frontend does not keep it alive
            model = frontend.convert(frontend.load(decoder))
        except Exception as error:  # of the frontend's own kinds, and of torch.export's
            lines = [line.strip() for line in str(error).splitlines() if "aten" in line or "No conversion" in line]
            said = lines[0][:200] if lines else type(error).__name__
            raise PlanRefused(
                f"backend 'openvino' cannot translate {proof.spec.name}: {said}; choose eager for it"
            ) from None
    for port, given in zip(model.inputs, proof.spec.inputs, strict=True):
        port.get_node().set_element_type(getattr(openvino.Type, TYPES[given.dtype]))
        port.get_node().set_partial_shape(openvino.PartialShape(list(given.shape)))
    model.validate_nodes_and_infer_types()
    openvino.save_model(model, str(folder / FILE), compress_to_fp16=exact_in_half(model))


def _decoder(proof: Proof) -> Any:
    """The frontend's input: a trace, or where that would not be the stage, an exported program."""
    if (traced := trace(proof)) is not None:
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        return TorchScriptPythonDecoder(traced)
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    return TorchFXPythonDecoder.from_exported_program(torch.export.export(proof.run, proof.spec.examples()))


class OpenVINOPlan:
    """A compiled IR; tensors in, new tensors out. One plan serves one caller at a time."""

    def __init__(self, compiled: Any) -> None:
        import openvino

        self.request, self.num_outputs = compiled.create_infer_request(), len(compiled.outputs)
        self.shared, self.bfloat16 = openvino.Tensor, openvino.Type.bf16

    def __call__(self, *inputs: Tensor) -> Any:
        """The stage's result: a tensor, or a tuple of them.

        The request is driven by hand, since its convenience wrapper does much for every input.
        """
        held = [value.detach().contiguous() for value in inputs]  # read in place, not copied
        for index, value in enumerate(held):
            self.request.set_input_tensor(index, self._lent(value))
        self.request.start_async()
        self.request.wait()
        outputs = tuple(map(self._copied, map(self.request.get_output_tensor, range(self.num_outputs))))
        return outputs[0] if len(outputs) == 1 else outputs

    def _lent(self, value: Tensor) -> Any:
        """OpenVINO's tensor over the same memory. numpy has no bfloat16, so its bits are lent as integers."""
        if value.dtype != torch.bfloat16:
            return self.shared(value.numpy(), shared_memory=True)
        return self.shared(value.view(torch.int16).numpy(), list(value.shape), self.bfloat16)

    def _copied(self, result: Any) -> Tensor:
        """A tensor of its own: the next call writes over ``result``."""
        if result.element_type != self.bfloat16:
            return torch.from_numpy(result.data).clone()
        return torch.from_numpy(result.data.view(numpy.int16)).clone().view(torch.bfloat16)
