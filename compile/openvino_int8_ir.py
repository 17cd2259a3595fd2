"""From OpenVINO's IR and samples of its inputs to the IR in int8, by NNCF. No torch: NNCF works on the IR itself."""

from __future__ import annotations

import os
from pathlib import Path

from .openvino_ir import FILE


def quantize_ir(source: str, samples: str, target: str, halved: bool) -> None:
    """Write the IR in the folder ``source``, quantized, into ``target``.

    ``samples`` is a safetensors file with tensors named "row index" for the inputs of each row. Weights are symmetric,
    one scale an output channel; activations have one scale a tensor. Smooth quantization (arXiv 2211.10438) moves
    outliers of the linear layers' inputs into their weights. ``halved`` weights use half of their range.
    """
    os.environ["NNCF_CI"] = "1"  # it reports its use over the network otherwise
    import nncf
    import openvino
    from safetensors.numpy import load_file

    model = openvino.Core().read_model(str(Path(source) / FILE))
    found = load_file(samples)
    rows = len(found) // len(model.inputs)
    inputs = [tuple(found[f"{row} {index}"] for index in range(len(model.inputs))) for row in range(rows)]
    quantized = nncf.quantize(
        model,
        nncf.Dataset(inputs),
        subset_size=rows,
        model_type=nncf.ModelType.TRANSFORMER,  # attention stays in floating point; smooth quantization is on
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            disable_bias_correction=True,
            overflow_fix=nncf.OverflowFix.ENABLE if halved else None,
        ),
    )
    openvino.save_model(quantized, str(Path(target) / FILE), compress_to_fp16=False)
