"""From OpenVINO's IR to what its CPU plugin makes of it. No torch: the process that does this starts quickly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# OpenVINO's conversion runs without its telemetry: that reports over the network, from a process that it forks off any
# thread, and which hangs for ever where another thread reads standard input, as a service's worker does.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

FILE = "plan.xml"  # plan.bin, with the weights, lies in the same folder
RECIPE = "3"  # counts up when another model is compiled of the same IR


def compile_ir(folder: str, options: dict[str, Any], blob: str) -> None:
    """Compile the IR in ``folder`` for this processor, run it once, and write what ``import_model`` reads to ``blob``.

    ``options`` are the plugin's. The run is part of the proof: kernels are made at the first one, too.
    """
    import numpy
    import openvino

    core = openvino.Core()
    model = core.read_model(str(Path(folder) / FILE))
    if options["INFERENCE_PRECISION_HINT"] == "bf16" and options["INFERENCE_NUM_THREADS"] == 1:
        without_gated_mlp(model)
        without_gelu_mlp(model)
    compiled = core.compile_model(model, "CPU", options)
    request = compiled.create_infer_request()
    request.infer([numpy.zeros(port.get_shape(), port.get_element_type().to_dtype()) for port in model.inputs])
    Path(blob).write_bytes(compiled.export_model().getvalue())


def without_gated_mlp(model: Any) -> int:
    """Write every ``swish(gate) * up`` of ``model`` as ``(up * sigmoid(gate)) * gate``; returns how many there were.

    The plugin makes a node LLMMLP of a gated feed-forward layer in bfloat16. It shares out the columns of the second
    product among pairs of threads, and with one thread, which is not a pair, it divides by zero (SIGFPE; 2026.4.1 and,
    by https://github.com/openvinotoolkit/openvino/issues/33300, since 2025.4). The same product in another order is
    not what it looks for.
    """
    from openvino import opset13 as ops

    found = 0
    for swish in model.get_ordered_ops():
        if swish.get_type_name() != "Swish":
            continue
        gate = swish.input_value(0)
        slope = ops.multiply(gate, swish.input_value(1)) if swish.get_input_size() > 1 else gate  # beta * gate
        for target in swish.output(0).get_target_inputs():
            product = target.get_node()
            if product.get_type_name() != "Multiply":
                continue
            up = product.input_value(1 - target.get_index())
            same = ops.multiply(ops.multiply(up, ops.sigmoid(slope)), gate).output(0)
            for reader in product.output(0).get_target_inputs():
                reader.replace_source_output(same)
            found += 1
    model.validate_nodes_and_infer_types()
    return found


def without_gelu_mlp(model: Any) -> int:
    """Multiply every float32 ``gelu(gate) * up`` that a product reads by 1 + 2^-23; returns how many there were.

    The plugin makes LLMMLP of these layers, too, and with one thread it divides by zero there as well: the UNet of
    Stable Diffusion 1.5 has 16. Another factor in between is not what it looks for. This one, float32's next after 1,
    is lost in bfloat16's rounding; NaN and infinities stay what they are. A model in bfloat16 has no such number and
    keeps the node.
    """
    import numpy
    from openvino import Type
    from openvino import opset13 as ops

    found = 0
    for gelu in model.get_ordered_ops():
        if gelu.get_type_name() != "Gelu":
            continue
        products = (target.get_node() for target in gelu.output(0).get_target_inputs())
        for product in products:
            readers = [port for port in product.output(0).get_target_inputs() if _multiplies_matrices(port)]
            if product.get_type_name() != "Multiply" or not readers or product.get_element_type() != Type.f32:
                continue
            same = ops.multiply(product.output(0), ops.constant(numpy.float32(1 + 2**-23))).output(0)
            for reader in readers:
                reader.replace_source_output(same)
            found += 1
    model.validate_nodes_and_infer_types()
    return found


def _multiplies_matrices(port: Any) -> bool:
    return bool(port.get_node().get_type_name() == "MatMul")
